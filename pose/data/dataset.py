"""People -> crops: the data set that workers read, and the order in which they read it.

What a sample looks like depends on (seed, epoch, index) alone: not on the number of workers or
of processes, nor on what was drawn before it.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, get_worker_info

from pose.data.augment import CropPolicy
from pose.data.merge import ImageFolders
from pose.data.parts import Parts
from pose.data.photographs import Photographs, upright_reductions
from pose.data.windows import Window, WindowBatch, lay_out
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
        reduced_jpeg: bool = False,
        parts: Parts | None = None,
        warped_by: Literal["loader", "device"] = "loader",
    ) -> None:
        """grid is that of the upright crops; a policy has its own. With `reduced_jpeg` a JPEG that
        all its upright crops shrink by 2, 4 or 8 is decoded at that part of its size. Crops are
        taken out of `parts`, or else out of the photographs in `images`; where the device warps
        them, a batch is a `WindowBatch`, which becomes a `PoseBatch` there."""
        self.people = people
        self.size = size
        self.policy = policy
        self.seed = seed
        self.grid = grid
        self.arithmetic = arithmetic
        self.warped_by = warped_by
        self.parts = parts or Photographs(
            people, images, upright_reductions(people, size) if reduced_jpeg else None
        )

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: tuple[int, int]) -> PoseBatch:
        """The sample as a batch without its first axis."""
        batch = self.__getitems__([key]).to(torch.device("cpu"))
        return PoseBatch(**{f.name: getattr(batch, f.name)[0] for f in fields(PoseBatch)})

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> PoseBatch | WindowBatch:
        """The samples as one batch, as torch's loader asks for them.

        Image by image, each decoded once, whoever stands between its people.
        """
        crops = [self.crop(key) for key in keys]
        indices = [index for _, index in keys]
        matrices = np.stack([crop.matrix for crop in crops])
        keypoints, labelled = self._labels(indices, matrices)
        labels = {
            "keypoints": torch.from_numpy(keypoints),
            "labelled": torch.from_numpy(labelled),
            "matrices": torch.from_numpy(matrices),
            "index": torch.tensor(indices),
        }
        if self.warped_by == "loader":
            return PoseBatch(torch.from_numpy(self._warped(indices, crops)), **labels)
        places = image_by_image(self.people.image_index[indices])
        windows = {i: Window.of(self.parts.part(indices[i]), crops[i]) for i in places}
        return WindowBatch(*lay_out([windows[i] for i in range(len(keys))]), self.size, **labels)

    def _warped(self, indices: list[int], crops: list[Crop]) -> np.ndarray:
        """The crops (B, 3, h, w) of people."""
        pictures = np.empty((len(crops), 3, self.size[1], self.size[0]), np.uint8)
        idle = np.empty(pictures.shape[2:], np.uint8)
        shown_in = self.people.image_index[indices]
        _, number, people = np.unique(shown_in, return_inverse=True, return_counts=True)
        for i in image_by_image(shown_in):
            part = self.parts.part(indices[i])
            pixels = part.to_warp(self.size, crops=people[number[i]])
            picture = part.crop(crops[i]).warp(pixels, self.arithmetic)
            planes = [*pictures[i], idle]
            cv2.split(picture, planes[: picture.shape[2]])
        return pictures

    def _labels(self, indices: list[int], matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (B, K, 2) float32 in input pixels, and (B, K) bool which are labelled; left
        and right swapped where a matrix (B, 2, 3) mirrors."""
        linear, offset = matrices[:, :, :2], matrices[:, None, :, 2]
        keypoints = self.people.keypoints[indices] @ linear.transpose(0, 2, 1) + offset
        mirrored = np.linalg.det(linear) < 0
        flip_index = self.people.skeleton.flip_index
        order = np.where(mirrored[:, None], flip_index, np.arange(len(flip_index)))
        labelled = np.take_along_axis(self.people.visibility[indices] > 0, order, axis=1)
        keypoints = np.take_along_axis(keypoints, order[..., None], axis=1)
        return keypoints.astype(np.float32), labelled

    def crop(self, key: tuple[int, int]) -> Crop:
        """Of a sample."""
        epoch, index = key
        if self.policy is None:
            return Crop.of_box(self.people.boxes[index], self.size, grid=self.grid)
        rng = np.random.default_rng((self.seed, epoch, index))
        return self.policy.draw(self.people[index], rng)


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
    """Batches of (0, index), the people of an image one after the other, each process its own
    contiguous part of them.

    Batches are the same whatever the number of processes: the last bit of a convolution depends on
    what else is in the batch.
    """

    def __init__(
        self, image_index: np.ndarray, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        """image_index (N,) says of each person which image shows it, as `People` does."""
        starts = range(0, len(image_index), batch_size)
        bounds = np.linspace(0, len(starts), world_size + 1).round().astype(int)
        self.starts = starts[int(bounds[rank]) : int(bounds[rank + 1])]
        self.order = image_by_image(image_index)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in self.starts:
            yield [(0, int(i)) for i in self.order[start : start + self.batch_size]]


def image_by_image(image_index: np.ndarray) -> np.ndarray:
    """People (N,) sorted by the first appearance of their image: where those of an image stand
    together already, as they do in most files, their order is as given."""
    _, first, image = np.unique(image_index, return_index=True, return_inverse=True)
    return np.argsort(first[image], kind="stable")


def as_made(batch: Any) -> Any:
    """What a loader calls to collate: the data set makes whole batches (`PoseBatch`).

    A worker moves them to shared memory here, where the want of it is an error: the thread that
    torch would leave it to drops the batch, and everybody waits for it for ever.
    """
    if get_worker_info() is not None:
        for value in vars(batch).values():
            if isinstance(value, torch.Tensor):
                value.share_memory_()
    return batch


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
