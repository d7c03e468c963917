"""Drawings: sides by colour, widths by size, nothing where nothing was found."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pose.inference.draw import (
    BACKGROUND,
    LEFT,
    MIDDLE,
    RIGHT,
    contact_sheet,
    draw_people,
    draw_poses,
    letterbox,
    line_width,
)
from pose.skeleton import COCO_17, Skeleton
from pose.structures import Person, Poses, empty_poses

TRIO = Skeleton(
    "trio",
    ("top", "left_end", "right_end"),
    limbs=(("top", "left_end"), ("top", "right_end"), ("left_end", "right_end")),
    mirrored=(("left_end", "right_end"),),
)
POINTS = np.array([[50, 10], [20, 90], [80, 90]], np.float32)
BOX = np.array([10, 5, 90, 95], np.float32)


def poses(
    points: np.ndarray = POINTS, scores: tuple[float, ...] = (0.9, 0.9, 0.9), box: np.ndarray = BOX
) -> Poses:
    return Poses(
        np.asarray(points, np.float32)[None],
        np.array([scores], np.float32),
        box[None].astype(np.float32),
        TRIO,
        np.ones(1, np.float32),
    )


def person(visibility: tuple[int, ...]) -> Person:
    return Person("a.png", 1, BOX, POINTS, np.array(visibility, np.uint8), 1.0, 1.0, 1)


def ground(size: int = 100) -> np.ndarray:
    return np.full((size, size, 3), 128, np.uint8)


def near(image: np.ndarray, x: float, y: float, color: tuple[int, int, int]) -> bool:
    found = image[round(y), round(x)].astype(int)
    return bool(np.abs(found - color).max() < 40)


def test_limbs_and_keypoints_have_the_colour_of_their_side() -> None:
    image = draw_poses(ground(400), poses(POINTS * 4, box=BOX * 4))
    (top, left, right) = POINTS * 4
    for point, color in ((top, MIDDLE), (left, LEFT), (right, RIGHT)):
        assert near(image, *point, color)
    assert near(image, *(top + left) / 2, LEFT)
    assert near(image, *(top + right) / 2, RIGHT)
    assert near(image, *(left + right) / 2, MIDDLE)  # from side to side


def test_the_input_is_left_alone_and_no_people_draw_nothing() -> None:
    image = ground()
    drawn = draw_poses(image, poses(), draw_boxes=True, draw_scores=True)
    assert (image == 128).all() and (drawn != 128).any()
    assert (drawn.shape, drawn.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(draw_poses(image, empty_poses(COCO_17), draw_scores=True), image)
    np.testing.assert_array_equal(draw_people(image, [], COCO_17, draw_boxes=True), image)
    np.testing.assert_array_equal(draw_poses(image, poses(scores=(0.1, 0.2, 0.0))), image)


def test_a_keypoint_of_low_score_takes_its_limbs_along() -> None:
    image = draw_poses(ground(), poses(scores=(0.9, 0.9, 0.1)))
    top, left, right = POINTS
    assert near(image, *(top + left) / 2, LEFT)
    for point in (right, (top + right) / 2, (left + right) / 2):
        assert (image[int(point[1]), int(point[0])] == 128).all()
    image = draw_poses(ground(), poses(scores=(0.9, 0.9, 0.1)), score_threshold=0.05)
    assert near(image, *right, RIGHT)


def test_mirroring_the_picture_mirrors_the_drawing() -> None:
    mirrored = POINTS[TRIO.flip_index] * (-1, 1) + (99, 0)
    image = draw_poses(ground(), poses())
    other = draw_poses(
        ground(), poses(mirrored, box=BOX[[2, 1, 0, 3]] * (-1, 1, -1, 1) + (99, 0) * 2)
    )
    swapped = other[:, ::-1].astype(int)
    lit = (image != 128).any(axis=2) | (swapped != 128).any(axis=2)
    differing = np.abs((image != 128).any(axis=2).astype(int) - (swapped != 128).any(axis=2))
    assert differing.sum() < 0.1 * lit.sum()


@pytest.mark.parametrize("size", [32, 64, 300, 1200])
def test_widths_suit_the_person(size: int) -> None:
    """A tenth of a tiny person's height at most, never thinner than a visible line."""
    factor = size / 100
    image = draw_poses(ground(size), poses(POINTS * factor, box=BOX * factor))
    row = image[round(size / 2)]
    drawn = (np.abs(row.astype(int) - 128).max(axis=1) > 30).sum() / 2  # two limbs cross the row
    assert 1 <= drawn <= max(5, 0.1 * size)
    assert line_width(size) < 0.04 * size


def test_widths_grow_with_people_but_more_slowly() -> None:
    widths = [line_width(extent) for extent in (0, 10, 64, 300, 3000)]
    assert widths == sorted(widths) and widths[0] >= 1
    assert line_width(3000) / line_width(300) < 10


def test_hidden_keypoints_are_hollow_and_unlabelled_ones_absent() -> None:
    big = replace(person((2, 1, 0)), keypoints=POINTS * 4, box=BOX * 4)
    image = draw_people(ground(400), [big], TRIO)
    (top, left, right) = POINTS * 4
    assert near(image, *top, MIDDLE)
    assert image[round(left[1]), round(left[0])].max() < 60
    assert (image[round(right[1]), round(right[0])] == 128).all()


def test_scores_and_boxes_are_written_inside_the_image() -> None:
    plain = draw_poses(ground(), poses())
    boxed = draw_poses(ground(), poses(), draw_boxes=True)
    assert near(boxed, 10, 50, MIDDLE) and (plain[50, 10] == 128).all()
    corner = np.array([70, -30, 300, 120], np.float32)
    scored = draw_poses(ground(), poses(box=corner), draw_scores=True)
    assert (scored[:20, 60:] != draw_poses(ground(), poses(box=corner))[:20, 60:]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e12, -1e12, 5e4])
def test_points_from_nowhere_do_no_harm(bad: float) -> None:
    points = POINTS.copy()
    points[2] = bad
    image = draw_poses(ground(), poses(points), draw_boxes=True, draw_scores=True)
    assert near(image, *POINTS[1], LEFT)
    everything = poses(np.full((3, 2), bad), box=np.full(4, bad))
    draw_poses(ground(), everything, draw_boxes=True, draw_scores=True)


def test_scattered_keypoints_of_a_small_box_ask_for_little_memory() -> None:
    points, small = np.array([[5, 5], [3990, 2990], [20, 2900]]), np.array([5, 5, 40, 40])
    tracemalloc.start()
    draw_poses(np.zeros((3000, 4000, 3), np.uint8), poses(points, box=small))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600e6


def test_people_outside_or_across_the_border() -> None:
    for shift in (-500, -60, 60, 500):
        drawn = draw_poses(ground(), poses(POINTS + shift, box=BOX + shift))
        assert (drawn != 128).any() == (abs(shift) < 100)


def test_limbs_are_not_needed_nor_sides() -> None:
    for skeleton in (Skeleton("dots", ("a", "b", "c")), replace(TRIO, mirrored=())):
        plain = replace(poses(), skeleton=skeleton)
        assert near(draw_poses(ground(), plain), *POINTS[0], MIDDLE)


@pytest.mark.parametrize("bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_only_rgb_uint8_is_drawn_on(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        draw_poses(bad, poses())


def test_contact_sheets_hold_every_image() -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (9, 99, 199)]
    shapes = [(10, 30), (300, 20), (64, 64), (1, 1), (500, 900)]
    images = [np.full((*s, 3), c, np.uint8) for s, c in zip(shapes, colors, strict=True)]
    sheet = contact_sheet(images, 2, (80, 60), captions=["a" * 200, "é", "", "x.jpg", "y"])
    for i, color in enumerate(colors):
        center = (4 + i % 2 * 84 + 40, 4 + i // 2 * 86 + 30)
        assert near(sheet, *center, color)
    assert tuple(sheet[-30, -10]) == BACKGROUND  # the empty cell
    captions = sheet[64:86, 4:84]
    assert (captions != BACKGROUND).any() and (sheet[64:86, 86:88] == BACKGROUND).all()
    assert contact_sheet([], 3, (80, 60)).shape == (68, 256, 3)


def test_contact_sheets_refuse_what_does_not_match() -> None:
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        contact_sheet([ground()] * 2, 2, (40, 40), ["a"])
    with pytest.raises(ValueError, match="above 0"):
        contact_sheet([ground()], 0, (40, 40))


def test_letterbox_keeps_the_aspect_ratio() -> None:
    image = letterbox(np.full((10, 20, 3), 250, np.uint8), (100, 100))
    assert image.shape == (100, 100, 3)
    assert (image[25:75] == 250).all() and (image[:25] == BACKGROUND).all()
