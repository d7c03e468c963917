"""People -> crops: the data set that workers read, and the order in which they read it.

What a sample looks like depends on (seed, epoch, index) alone: not on the number of workers or
of processes, nor on what was drawn before it.
"""

import os
import signal
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from pose.data.augment import CropPolicy
from pose.data.merge import ImageFolders
from pose.geometry import Crop, PixelGrid, Size, WarpArithmetic
from pose.images import ImageFolder
from pose.structures import People, PoseBatch


class PoseDataset(Dataset[PoseBatch]):
    """One crop a person, addressed by (epoch, index).

    With a policy crops are drawn at random; without one they are the upright padded boxes, the
    same in every epoch.
    """

    def __init__(
        self,
        people: People,
        images: ImageFolder | ImageFolders,
        size: Size,
        policy: CropPolicy | None = None,
        seed: int = 0,
        grid: PixelGrid = "published",
        arithmetic: WarpArithmetic = "installed",
    ) -> None:
        """grid is that of the upright crops; a policy has its own."""
        self.people = people
        self.images = images
        self.size = size
        self.policy = policy
        self.seed = seed
        self.grid = grid
        self.arithmetic = arithmetic

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: tuple[int, int]) -> PoseBatch:
        """The sample as a batch without its first axis."""
        epoch, index = key
        person = self.people[index]
        if self.policy is None:
            crop = Crop.of_box(person.box, self.size, grid=self.grid)
        else:
            crop = self.policy.draw(person, np.random.default_rng((self.seed, epoch, index)))
        image = self.images.read(person.image)
        self._check_size(image, index)
        keypoints, visibility = crop.to_input(person.keypoints), person.visibility
        if crop.mirrored:
            swap = self.people.skeleton.flip_index
            keypoints, visibility = keypoints[swap], visibility[swap]
        return PoseBatch(
            images=torch.from_numpy(crop.warp(image, self.arithmetic))
            .permute(2, 0, 1)
            .contiguous(),
            keypoints=torch.from_numpy(keypoints.astype(np.float32)),
            labelled=torch.from_numpy(visibility > 0),
            matrices=torch.from_numpy(crop.matrix),
            index=torch.tensor(index),
        )

    def _check_size(self, image: np.ndarray, index: int) -> None:
        """Annotations are in stored coordinates: an image of another size is another image."""
        place = self.people.image_index[index]
        expected = tuple(int(v) for v in self.people.image_sizes[place])
        size = (image.shape[1], image.shape[0])
        if 0 not in expected and size != expected:
            raise ValueError(
                f"{self.people.images[place]}: is {size[0]}x{size[1]} pixels, its annotation says "
                f"{expected[0]}x{expected[1]}; the file and the annotations do not belong together"
            )


class TrainingOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) for one of `world_size` processes.

    The batch of all processes together is `batch_size` people of a permutation that depends on
    (seed, epoch); each process takes its equal slice. The last, incomplete batch is left out; a
    set smaller than one batch is a batch of its own, wrapped around to divide evenly. Nobody makes
    no batch.
    """

    def __init__(
        self, num_people: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"train.batch_size {batch_size} is that of all processes together and must be a "
                f"multiple of their number, {world_size}"
            )
        self.num_people = num_people
        self.batch_size = min(batch_size, -(-num_people // world_size) * world_size)
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first_batch = 0
        """Batches of the epoch that are done already, after an interruption."""

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return max(self.num_people // self.batch_size, 1) if self.num_people else 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_people)
        order = np.resize(order, max(len(order), self.batch_size))
        share = self.batch_size // self.world_size
        for batch in range(self.first_batch, len(self)):
            start = batch * self.batch_size + self.rank * share
            yield [(self.epoch, int(i)) for i in order[start : start + share]]


class EvaluationOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (0, index) in order, each process its own contiguous part of them.

    Batches are the same whatever the number of processes: the last bit of a convolution depends on
    what else is in the batch.
    """

    def __init__(
        self, num_people: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        starts = range(0, num_people, batch_size)
        bounds = np.linspace(0, len(starts), world_size + 1).round().astype(int)
        self.starts = starts[int(bounds[rank]) : int(bounds[rank + 1])]
        self.num_people = num_people
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in self.starts:
            yield [(0, i) for i in range(start, min(start + self.batch_size, self.num_people))]


def quiet_worker(_worker: int) -> None:
    """A loader worker uses one thread: there are as many workers as cores.

    Ctrl-C and a job's end reach the whole process group; the run decides what they mean and needs
    its workers until it has saved. So they form a group of their own and wait for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
