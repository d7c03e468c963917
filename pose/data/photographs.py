"""The photographs of a set, decoded when somebody in them is asked for."""

import numpy as np

from pose.data.merge import ImageFolders
from pose.data.parts import Part, UnreadableError
from pose.geometry import Size, box_center_extent
from pose.images import ImageFolder
from pose.structures import People


class Photographs:
    """Whole photographs; the last one stays, since its people mostly come in a row."""

    def __init__(
        self,
        people: People,
        images: ImageFolder | ImageFolders,
        reductions: np.ndarray | None = None,
    ) -> None:
        """reductions (I,) say to which part of its size, 1, 2, 4 or 8, each JPEG is decoded."""
        self.people = people
        self.images = images
        self.reductions = np.ones(len(people.images), int) if reductions is None else reductions
        self._last: tuple[int, Part] | None = None

    def part(self, person: int) -> Part:
        """The whole photograph of a person."""
        place = int(self.people.image_index[person])
        if self._last is None or self._last[0] != place:
            self._last = None  # let go before the next is there
            self._last = (place, self._read(place))
        return self._last[1]

    def _read(self, place: int) -> Part:
        name, reduction = str(self.people.images[place]), int(self.reductions[place])
        try:
            if reduction == 1:
                image = self.images.read(name)
            else:
                assert isinstance(self.images, ImageFolder)  # several sets are for training
                image, reduction = self.images.read_reduced(name, reduction)
            check_size(image, self.people, place, reduction)
        except (OSError, ValueError) as error:
            raise UnreadableError(error) from error
        return Part(image, np.zeros(2), np.full(2, float(reduction)))


def check_size(image: np.ndarray, people: People, place: int, reduction: int = 1) -> None:
    """ValueError where the image number `place`, decoded at 1/reduction, has not the size that is
    annotated: annotations are in stored coordinates, so it is another image."""
    width, height = (int(v) for v in people.image_sizes[place])
    size = (image.shape[1], image.shape[0])
    if 0 not in (width, height) and size != (-(-width // reduction), -(-height // reduction)):
        part = f" at 1/{reduction} of its size" if reduction > 1 else ""
        raise ValueError(
            f"{people.images[place]}: is {size[0]}x{size[1]} pixels{part}, its annotation "
            f"says {width}x{height}; the file and the annotations do not belong together"
        )


def upright_reductions(people: People, size: Size) -> np.ndarray:
    """(I,) int: the greatest of 1, 2, 4 and 8 by which all the upright crops of an image shrink
    it."""
    _, extents = box_center_extent(people.boxes, size)
    shrinking = np.full(len(people.images), 8.0)
    np.minimum.at(shrinking, people.image_index, extents[:, 0] / size[0])
    return 2 ** np.log2(shrinking.clip(1)).astype(int)
