"""How new a person would be to those who are labelled already, and a choice in which none repeats
another.

A person is described by where the keypoints lie in the box, each as far as it is known, and by the
colours of the image, so that the frames of one video repel each other. Mirrored it is the same
person: training mirrors people too.
"""

from dataclasses import dataclass

import cv2
import numpy as np

CELLS = 4
"""Colours are the means of so many rows and columns of an image."""

SURE = 0.5
"""Keypoints of a higher score count in full, others in proportion; one of no score lies in the
middle of the box."""

COLOUR = 0.5
"""What a difference of all colours counts beside one of all keypoints by the box's longer side."""

FARTHEST = 1.0
"""The distance of what nothing is like; no distance is more."""

AT_ONCE = 256
"""Descriptions with which all others are compared in one go."""


@dataclass(frozen=True, eq=False)
class Described:
    """N people as vectors; distances between them are those of the package's coordinates."""

    vectors: np.ndarray
    """(N, D) float64."""
    mirrored: np.ndarray
    """(N, D) of the same people in the mirror."""
    images: np.ndarray
    """(N,) int64: the place of the image that each is in."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Images in the order in which they were taken."""

    order: np.ndarray
    """(C,) int64 places of images."""
    distances: np.ndarray
    """(I,) of every image, from 0 to `FARTHEST`: the root mean square, over its people, of how far
    the nearest person is that was labelled or chosen; of a chosen image when it was chosen."""


def colours_of(image: np.ndarray) -> np.ndarray:
    """(CELLS, CELLS, 3) float64 in [0, 1]: the mean colours of the parts of (H, W, 3) uint8 RGB."""
    return cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA) / 255.0


def describe(
    keypoints: np.ndarray,
    scores: np.ndarray,
    boxes: np.ndarray,
    colours: np.ndarray,
    images: np.ndarray,
    flip_index: np.ndarray,
) -> Described:
    """People with keypoints (N, K, 2) and scores (N, K), labelled ones 1 and others 0, in boxes
    (N, 4), with the colours (N, CELLS, CELLS, 3) of their images, at the places (N,)."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2)
    middle, sides = corners.mean(axis=1), np.ptp(corners, axis=1)
    inside = (keypoints - middle[:, None]) / np.maximum(sides.max(axis=1), 1)[:, None, None]
    known = np.minimum(scores / SURE, 1.0)[..., None]
    places = np.where(known > 0, known * np.clip(inside, -1, 1), 0.0)
    turned = places[:, flip_index] * [-1, 1]
    return Described(
        _vectors(places, colours), _vectors(turned, colours[:, :, ::-1]), np.asarray(images)
    )


def _vectors(places: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Side by side, each so that its distances are root mean squares."""
    count, num_keypoints = places.shape[:2]
    num_colours = CELLS * CELLS * 3
    parts = [
        places.reshape(count, 2 * num_keypoints) / np.sqrt(num_keypoints),
        COLOUR * colours.reshape(count, num_colours) / np.sqrt(num_colours),
    ]
    return np.concatenate(parts, axis=1)


def choose(
    people: Described, doubts: np.ndarray, num_images: int, number: int, known: Described
) -> Choice:
    """At most `number` images, one after the other, each of them the one whose people are in most
    doubt and farthest from all who are `known` or were chosen before.

    The worth of an image is the root mean square over its people of doubt (N,) times distance.
    Images without people are never chosen; of equal ones the first is.
    """
    norms = (people.vectors**2).sum(axis=1)
    near = np.full(len(people.vectors), FARTHEST)
    _approach(near, people.vectors, norms, known.vectors)
    _approach(near, people.vectors, norms, known.mirrored)
    counts = np.bincount(people.images, minlength=num_images)
    free = counts > 0
    order: list[int] = []
    final = np.zeros(num_images)
    while len(order) < number and free.any():
        worth = mean_square(doubts * near, people.images, counts)
        best = int(np.where(free, worth, -1.0).argmax())
        own = people.images == best
        final[best] = np.sqrt(np.mean(near[own] ** 2))
        free[best] = False
        order.append(best)
        _approach(near, people.vectors, norms, people.vectors[own])
        _approach(near, people.vectors, norms, people.mirrored[own])
    rest = np.sqrt(mean_square(near, people.images, counts))
    return Choice(np.array(order, np.int64), np.where(free, rest, final))


def mean_square(values: np.ndarray, images: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(I,) the mean over the `counts` (I,) people of each image of the squares of values (N,); 0
    for nobody."""
    return np.bincount(images, values**2, len(counts)) / np.maximum(counts, 1)


def _approach(near: np.ndarray, vectors: np.ndarray, norms: np.ndarray, others: np.ndarray) -> None:
    """Lowers `near` (N,) to the distance of the nearest of `others` (M, D), where that is less."""
    for start in range(0, len(others), AT_ONCE):
        part = others[start : start + AT_ONCE]
        squares = norms[:, None] + (part**2).sum(axis=1) - 2 * (vectors @ part.T)
        np.minimum(near, np.sqrt(squares.min(axis=1).clip(0)), out=near)
