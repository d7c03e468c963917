"""Which regions of the photographs training crops can show, and where a cache keeps them."""

from dataclasses import dataclass

import numpy as np

from pose.data.augment import CropPolicy
from pose.structures import People

FILE_BYTES = 2**30
"""A file of the cache is closed with the region that reaches this length."""

MOST_SCALE = 0.5
"""Only what may be scaled down so far is: a crop of what is kept as it was stays the same."""


@dataclass(frozen=True, eq=False)
class Regions:
    """R upright rectangles of photographs, in the order in which they are kept."""

    of_person: np.ndarray
    """(N,) int: the region that shows a person."""
    photographs: np.ndarray
    """(R,) int, ascending: their places in `People.images`."""
    windows: np.ndarray
    """(R, 4) int xyxy in pixels of the photograph; right and bottom are the first ones outside."""
    sizes: np.ndarray
    """(R, 2) int: width and height as kept."""
    files: np.ndarray
    """(R,) int, ascending: the number of the file."""
    starts: np.ndarray
    """(R,) int: the first byte in it."""

    def first(self, file: int) -> int:
        """The first region of a file."""
        return int(np.searchsorted(self.files, file))

    @property
    def lengths(self) -> np.ndarray:
        """(R,) bytes."""
        return self.sizes.prod(axis=1) * 3


def find_regions(people: People, policy: CropPolicy, image_sizes: np.ndarray) -> Regions:
    """All that crops of `people` can show in photographs of `image_sizes` (I, 2).

    The neighbourhoods of a photograph's people are one region, at the scale of the most magnified,
    where this needs no more room than each for itself.
    """
    windows, scales = neighbourhoods(people, policy, image_sizes)
    place = people.image_index
    together = np.tile(np.array([np.inf, np.inf, -np.inf, -np.inf]), (len(people.images), 1))
    np.minimum.at(together[:, :2], place, windows[:, :2])
    np.maximum.at(together[:, 2:], place, windows[:, 2:])
    most = np.zeros(len(people.images))
    np.maximum.at(most, place, scales)
    alone = np.bincount(place, kept_sizes(windows, scales).prod(axis=1), len(people.images))
    is_shared = kept_sizes(together[place], most[place]).prod(axis=1) <= alone[place]
    windows = np.where(is_shared[:, None], together[place], windows).astype(np.int64)
    scales = np.where(is_shared, most[place], scales)
    # Sorted by photograph; whoever shares a region has the same number in it.
    number = np.where(is_shared, 0, 1 + np.arange(len(people)))
    keys = place * (len(people) + 1) + number
    _, first, of_person = np.unique(keys, return_index=True, return_inverse=True)
    sizes = kept_sizes(windows[first], scales[first])
    lengths = sizes.prod(axis=1) * 3
    begins = lengths.cumsum() - lengths
    files = begins // FILE_BYTES
    _, heads, of_region = np.unique(files, return_index=True, return_inverse=True)
    return Regions(
        of_person=of_person,
        photographs=place[first],
        windows=windows[first],
        sizes=sizes,
        files=of_region,
        starts=begins - begins[heads][of_region],
    )


def neighbourhoods(
    people: People, policy: CropPolicy, image_sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each person: (N, 4) int xyxy what crops can show, cut at the photograph; and (N,) at
    which scale it is kept: 1, or the least that magnifies no crop where this saves enough."""
    bounds, finest = policy.reach(people)
    scales = np.where(finest <= MOST_SCALE, finest, 1)
    # Half a kept pixel lies beyond the last centre, and interpolation reaches for one more.
    margin = np.ceil(1 / scales)[:, None] + 1
    limits = image_sizes[people.image_index].astype(np.int64)
    low = (np.floor(bounds[:, :2]) - margin).astype(np.int64).clip(0, limits - 1)
    high = (np.ceil(bounds[:, 2:]) + margin).astype(np.int64).clip(low + 1, limits)
    return np.concatenate([low, high], axis=1), scales


def kept_sizes(windows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(R, 2) int: width and height of windows (R, 4) at scales (R,), rounded up."""
    return np.ceil((windows[:, 2:] - windows[:, :2]) * scales[:, None]).astype(np.int64)
