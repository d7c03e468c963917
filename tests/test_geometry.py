"""The crop is an invertible map, the published one, and its mirror is the mirrored image's crop."""

import math

import cv2
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from pose import geometry
from pose.geometry import (
    Crop,
    box_center_extent,
    fix_aspect,
    to_image,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

SIZE = (192, 256)
coordinate = st.floats(-2000, 2000)
crops = st.builds(
    lambda x, y, width, rotation, mirrored, grid: Crop.around(
        np.array([x, y]),
        np.array([width, width * 4 / 3]),
        SIZE,
        rotation=rotation,
        mirrored=mirrored,
        grid=grid,
    ),
    coordinate,
    coordinate,
    st.floats(20, 3000),
    st.floats(-180, 180),
    st.booleans(),
    st.sampled_from(["published", "udp"]),
)


@settings(max_examples=50)
@given(crops, st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5))
def test_crop_round_trip(crop, points):
    points = np.array(points)
    assert np.abs(crop.to_image(crop.to_input(points)) - points).max() < 1e-9
    batch = to_image(crop.to_input(points)[None], crop.matrix[None])
    assert np.abs(batch[0] - points).max() < 1e-9


@settings(max_examples=50)
@given(coordinate, coordinate, st.floats(20, 3000), st.floats(-90, 90), coordinate, coordinate)
def test_crop_is_the_published_closed_form(cx, cy, width, t, x, y):
    """x' = W/2 + k[(x-cx) cos t + (y-cy) sin t], y' = H/2 + k[-(x-cx) sin t + (y-cy) cos t]."""
    crop = Crop.around(np.array([cx, cy]), np.array([width, 1.0]), SIZE, rotation=t)
    k, cos, sin = SIZE[0] / width, math.cos(math.radians(t)), math.sin(math.radians(t))
    expected = (
        SIZE[0] / 2 + k * ((x - cx) * cos + (y - cy) * sin),
        SIZE[1] / 2 + k * (-(x - cx) * sin + (y - cy) * cos),
    )
    assert crop.to_input(np.array([x, y])) == pytest.approx(expected, abs=1e-8)
    assert not crop.mirrored


def test_positive_rotation_turns_the_picture_counter_clockwise():
    """What lay right of the centre lies above it after a quarter turn."""
    crop = Crop.around(np.array([100.0, 80.0]), np.array([192.0, 256.0]), SIZE, rotation=90)
    assert crop.to_input(np.array([110.0, 80.0])) == pytest.approx([96, 118], abs=1e-9)


def test_a_box_grows_to_the_aspect_and_by_a_quarter():
    center, extent = box_center_extent(np.array([10.0, 20.0, 110.0, 120.0]), SIZE)
    assert center.tolist() == [60, 70]
    assert extent == pytest.approx([125, 125 * 4 / 3])
    center, extent = box_center_extent(np.array([0.0, 0.0, 30.0, 400.0]), SIZE)
    assert extent == pytest.approx([375, 500])
    crop = Crop.of_box(np.array([0.0, 0.0, 30.0, 400.0]), SIZE)
    assert crop.to_input(np.array([15.0, 200.0])) == pytest.approx([96, 128])
    assert crop.to_input(np.array([15.0 + 187.5, 450.0])) == pytest.approx([192, 256])


@settings(max_examples=50)
@given(st.floats(0.1, 5000), st.floats(0.1, 5000))
def test_fix_aspect_is_the_published_branch(width, height):
    aspect = SIZE[0] / SIZE[1]
    expected = (width, width / aspect) if width > aspect * height else (height * aspect, height)
    assert fix_aspect(np.array([width, height]), SIZE) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=20)
@given(st.lists(st.tuples(*[st.integers(0, 999)] * 4), max_size=4))
def test_boxes_there_and_back(boxes):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    assert np.array_equal(xyxy_to_xywh(xywh_to_xyxy(boxes)), boxes)
    given_before = boxes.copy()
    xywh_to_xyxy(boxes)
    assert np.array_equal(boxes, given_before), "the argument stays as it is"


def smooth_image(seed, width=171, height=140):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("rotation", [0.0, 33.0, -75.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_flipping_image_and_centre_is_the_mirror_in_the_matrix(seed, rotation):
    rng = np.random.default_rng(seed)
    image = smooth_image(seed)
    width = image.shape[1]
    center, extent = rng.uniform(60, 90, 2), np.array([90.0, 120.0])
    flipped_center = np.array([width - 1 - center[0], center[1]])
    mirrored = Crop.around(center, extent, SIZE, rotation=rotation, mirrored=True)
    of_flipped = Crop.around(flipped_center, extent, SIZE, rotation=rotation)

    points = rng.uniform(0, 140, (20, 2))
    flipped_points = points * [-1, 1] + [width - 1, 0]
    gap = mirrored.to_input(points) - of_flipped.to_input(flipped_points)
    assert np.abs(gap).max() < 0.05
    assert mirrored.mirrored
    assert not of_flipped.mirrored

    one = mirrored.warp(image).astype(int)
    other = of_flipped.warp(np.ascontiguousarray(image[:, ::-1])).astype(int)
    assert one.max() > 100, "the crop shows the picture"
    assert np.abs(one - other).max() <= 1


@pytest.mark.parametrize("rotation", [0.0, 40.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_picture_goes_where_the_points_go(rotation, mirrored):
    """The centre of a bright spot in the crop is the crop of the spot's centre."""
    spot = np.array([70, 55])
    image = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(image, spot.tolist(), 4, (255, 255, 255), -1)
    crop = Crop.around(
        np.array([66.3, 58.8]), np.array([60.0, 80.0]), SIZE, rotation=rotation, mirrored=mirrored
    )
    level = crop.warp(image)[..., 0].astype(float)
    rows, columns = np.indices(level.shape)
    found = np.array([(columns * level).sum(), (rows * level).sum()]) / level.sum()
    assert np.abs(found - crop.to_input(spot)).max() < 0.05


EXACT = int(cv2.__version__.split(".")[0]) >= 5
"""OpenCV 4 rounds source coordinates to 1/32 pixel."""


@pytest.mark.parametrize("rotation", [0.0, 40.0])
@pytest.mark.parametrize("grid", ["published", "udp"])
def test_the_warp_is_the_exact_bilinear_one(rotation, grid):
    """On a picture whose values are the coordinates, a pixel shows where it came from."""
    rows, columns = np.indices((300, 400)).astype(np.float32)
    image = np.dstack([columns, rows, np.ones_like(rows)])
    center, extent = np.array([200.3, 150.7]), np.array([160.0, 213.3])
    crop = Crop.around(center, extent, SIZE, rotation=rotation, grid=grid)
    places = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), axis=-1)
    warped, expected = crop.warp(image), crop.to_image(places)
    inside = ((expected > 1) & (expected < (398, 298))).all(axis=-1)
    assert inside.mean() > 0.9
    difference = np.abs(warped[..., :2] - expected)[inside]
    assert difference.max() < (0.003 if EXACT else 1 / 32)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    exact = crop.warp(noise.astype(np.float32))
    assert np.abs(crop.warp(noise) - exact).max() <= (0.51 if EXACT else 12)


def by_32nds(image, matrix, x, y):
    """One pixel of OpenCV 4's warp, after its own description."""
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
    source = [
        math.floor((round(1024 * a * x) + round(1024 * (b * y + c)) + 16) / 32)
        for a, b, c in inverse[:2]
    ]
    value = 0.0
    for row in (source[1] // 32, source[1] // 32 + 1):
        for column in (source[0] // 32, source[0] // 32 + 1):
            share = (1 - abs(column - source[0] / 32)) * (1 - abs(row - source[1] / 32))
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                value = value + share * image[row, column].astype(float)
    return np.floor(value + 0.5)


@pytest.mark.parametrize("rotation", [0.0, -63.0])
def test_the_older_arithmetic_is_its_formula(rotation):
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    center, extent = np.array([33.0, 41.0]), np.array([75.0, 100.0])
    crop = Crop.around(center, extent, SIZE, rotation=rotation)
    picture = crop.warp(image, "opencv4")
    for x, y in np.random.default_rng(1).integers(0, SIZE, (300, 2)):
        assert (picture[y, x] == by_32nds(image, crop.matrix, x, y)).all()
    if not EXACT:
        assert np.array_equal(picture, crop.warp(image))
    else:
        assert 0 < np.abs(picture.astype(int) - crop.warp(image)).max() <= 12


def test_outside_the_image_is_black():
    image = np.full((40, 40, 3), 255, np.uint8)
    picture = Crop.around(np.array([0.0, 20.0]), np.array([48.0, 64.0]), SIZE).warp(image)
    assert picture.shape == (256, 192, 3)
    assert picture[128, 10].tolist() == [0, 0, 0]
    assert picture[128, 180].tolist() == [255, 255, 255]


def test_no_people_is_an_input():
    assert to_image(np.zeros((0, 17, 2)), np.zeros((0, 2, 3))).shape == (0, 17, 2)
    center, extent = box_center_extent(np.zeros((0, 4)), SIZE)
    assert center.shape == extent.shape == (0, 2)


@pytest.mark.parametrize("rotation", [0.0, 31.0, -74.0])
def test_a_crop_on_the_udp_grid_is_its_formula(rotation):
    """Written with the angle the other way round, as that formula turns pictures."""
    center, extent = np.array([130.0, 91.0]), np.array([150.0, 200.0])
    crop = Crop.around(center, extent, SIZE, rotation=-rotation, grid="udp")
    t = np.deg2rad(rotation)
    for x, y in np.random.default_rng(0).uniform(0, 300, (20, 2)):
        dx, dy = x - center[0], y - center[1]
        kx, ky = (SIZE[0] - 1) / extent[0], (SIZE[1] - 1) / extent[1]
        expected = (
            kx * (dx * np.cos(t) - dy * np.sin(t) + extent[0] / 2),
            ky * (dx * np.sin(t) + dy * np.cos(t) + extent[1] / 2),
        )
        assert crop.to_input(np.array([x, y])) == pytest.approx(expected, abs=1e-9)


def test_on_the_udp_grid_a_mirrored_crop_is_the_crops_mirror_image():
    box = np.array([40.0, 30.0, 190.0, 230.0])
    center, extent = box_center_extent(box, SIZE)
    crop = Crop.of_box(box, SIZE, grid="udp")
    mirrored = Crop.around(center, extent, SIZE, mirrored=True, grid="udp")
    points = np.random.default_rng(1).uniform(0, 250, (20, 2))
    expected = crop.to_input(points) * (-1, 1) + (SIZE[0] - 1, 0)
    assert mirrored.to_input(points) == pytest.approx(expected, abs=1e-9)
    image = np.random.default_rng(2).integers(0, 256, (260, 240, 3)).astype(np.uint8)
    difference = mirrored.warp(image).astype(int) - crop.warp(image)[:, ::-1]
    assert np.abs(difference).max() <= 1


def test_overlaps_are_torchvisions():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (12, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 60, (12, 2))], axis=1)
    expected = torchvision.ops.box_iou(torch.from_numpy(boxes[:5]), torch.from_numpy(boxes))
    assert np.abs(geometry.box_iou(boxes[:5], boxes) - expected.numpy()).max() < 1e-12
    assert geometry.box_iou(boxes[:0], boxes).shape == (0, 12)
    assert geometry.box_iou(boxes, np.zeros((0, 4))).shape == (12, 0)
