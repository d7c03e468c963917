"""Training people whose image cannot be read, left out: what `data.unreadable=skip` asks for."""

import logging
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch.utils.data import Dataset

from pose.data.dataset import PoseDataset
from pose.data.parts import Part, Parts, UnreadableError
from pose.data.windows import WindowBatch
from pose.structures import People, PoseBatch

logger = logging.getLogger(__name__)


class ReadableParts:
    """Parts of photographs; black where one cannot be read, which the log says once a process."""

    def __init__(self, parts: Parts, people: People) -> None:
        self.parts = parts
        self.people = people
        self.unreadable = np.zeros(len(people.images), bool)

    def part(self, person: int) -> Part:
        """As of any `Parts`."""
        place = int(self.people.image_index[person])
        if not self.unreadable[place]:
            try:
                return self.parts.part(person)
            except UnreadableError as error:
                logger.warning("%s; its people are left out", error)
                self.unreadable[place] = True
        return Part(np.zeros((1, 1, 3), np.uint8), np.zeros(2), np.ones(2))


class ForgivingDataset(Dataset[PoseBatch]):
    """The samples of a `PoseDataset`; whoever's image cannot be read is black and unlabelled.

    Such people keep their place in the batch, so nobody else's sample or share of the loss changes.
    """

    def __init__(self, dataset: PoseDataset) -> None:
        self.dataset = dataset
        self.people = dataset.people
        self.parts = dataset.parts = ReadableParts(dataset.parts, dataset.people)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> PoseBatch:
        batch = self.__getitems__([key]).to(torch.device("cpu"))
        return PoseBatch(**{f.name: getattr(batch, f.name)[0] for f in fields(PoseBatch)})

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> PoseBatch | WindowBatch:
        batch = self.dataset.__getitems__(keys)
        places = self.people.image_index[batch.index.numpy()]
        batch.labelled[torch.from_numpy(self.parts.unreadable[places])] = False
        return batch
