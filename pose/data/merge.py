"""Several training sets as one: keypoints matched by name, images of each set kept apart.

An image's name begins with its set's place, as in `0/000000000009.jpg`, so that equal file names of
two sets stay two images; `ImageFolders` reads them by such names.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose.geometry import Size
from pose.images import ImageFolder
from pose.skeleton import Skeleton
from pose.structures import People


def shared_keypoints(people: People, skeleton: Skeleton) -> list[str]:
    """The keypoints of `skeleton` that a set's own skeleton names too, in its order."""
    return [name for name in skeleton.keypoints if name in people.skeleton.keypoints]


def merge_people(sets: Sequence[People], skeleton: Skeleton) -> People:
    """The people of all sets, one set after the other, with the K keypoints of `skeleton`.

    A keypoint that a set does not name is unlabelled: visibility 0, at (0, 0). The sets' own
    keypoints that `skeleton` does not name are left out. Ids stay those of each set, so two sets
    may share them: they mean something to an evaluation only, which is of one set.
    """
    starts = np.cumsum([0] + [len(people.images) for people in sets])[:-1]
    columns = [_renamed(people, skeleton) for people in sets]
    images = [f"{place}/{name}" for place, people in enumerate(sets) for name in people.images]
    return People(
        skeleton=skeleton,
        images=np.array(images, np.str_),
        image_sizes=np.concatenate([people.image_sizes for people in sets]),
        image_index=np.concatenate(
            [people.image_index + start for people, start in zip(sets, starts, strict=True)]
        ),
        image_ids=np.concatenate([people.image_ids for people in sets]),
        boxes=np.concatenate([people.boxes for people in sets]),
        keypoints=np.concatenate([keypoints for keypoints, _ in columns]),
        visibility=np.concatenate([visibility for _, visibility in columns]),
        areas=np.concatenate([people.areas for people in sets]),
        scores=np.concatenate([people.scores for people in sets]),
        annotation_ids=np.concatenate([people.annotation_ids for people in sets]),
    )


class ImageFolders:
    """The images of several sets, read as those of one: `1/a.jpg` is a.jpg of the second folder.

    Each folder (or zip) confines its own names, as `ImageFolder` says.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.folders = [ImageFolder(path) for path in paths]

    def read(self, name: str) -> np.ndarray:
        """Image `name`, which begins with its set's place, as (H, W, 3) uint8 RGB."""
        folder, rest = self._split(name)
        return folder.read(rest)

    def size(self, name: str) -> Size:
        """Width and height of image `name`, as `ImageFolder.size` has them."""
        folder, rest = self._split(name)
        return folder.size(rest)

    def read_bytes(self, name: str) -> bytes:
        """Image `name` as it is stored, still encoded."""
        folder, rest = self._split(name)
        return folder.read_bytes(rest)

    def stamp(self, name: str) -> tuple[int, int]:
        """Two numbers that change with image `name`, as `ImageFolder.stamp` has them."""
        folder, rest = self._split(name)
        return folder.stamp(rest)

    def _split(self, name: str) -> tuple[ImageFolder, str]:
        """The set's folder, and the name in it."""
        place, _, rest = name.partition("/")
        return self.folders[int(place)], rest


def _renamed(people: People, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) float32 keypoints and (N, K) uint8 visibility in the order of `skeleton`."""
    names = shared_keypoints(people, skeleton)
    ours = [skeleton.index(name) for name in names]
    theirs = [people.skeleton.index(name) for name in names]
    keypoints = np.zeros((len(people), skeleton.num_keypoints, 2), np.float32)
    visibility = np.zeros((len(people), skeleton.num_keypoints), np.uint8)
    keypoints[:, ours] = people.keypoints[:, theirs]
    visibility[:, ours] = people.visibility[:, theirs]
    return keypoints, visibility
