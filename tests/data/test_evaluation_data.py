"""Evaluation data: people visited image by image, each image decoded once, nothing else changed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pose.data.augment import CropPolicy
from pose.data.dataset import (
    EvaluationOrder,
    PoseDataset,
    as_made,
    image_by_image,
    quiet_worker,
)
from pose.data.parts import Part
from pose.data.photographs import upright_reductions
from pose.geometry import Crop
from pose.images import ImageFolder, write_image
from pose.skeleton import COCO_17
from pose.structures import People, PoseBatch

SIZE = (96, 128)
IMAGE_SIZE = (321, 243)
UPPER = tuple(int(i) for i in COCO_17.upper_index)


def make_people(image_index, boxes=None, image_size=IMAGE_SIZE, suffix="jpg"):
    """A person for each entry of `image_index`, with random boxes where none are given."""
    rng = np.random.default_rng(0)
    image_index = np.asarray(image_index, int)
    n, num_images = len(image_index), int(image_index.max(initial=-1)) + 1
    if boxes is None:
        corners = rng.uniform(0, 150, (n, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(20, 90, (n, 2))], axis=1)
    return People(
        skeleton=COCO_17,
        images=np.array([f"{i}.{suffix}" for i in range(num_images)], np.str_),
        image_sizes=np.tile(np.array(image_size, np.int32), (num_images, 1)),
        image_index=image_index,
        image_ids=image_index + 1,
        boxes=np.asarray(boxes, np.float32).reshape(n, 4),
        keypoints=rng.uniform(0, 240, (n, 17, 2)).astype(np.float32),
        visibility=rng.integers(0, 3, (n, 17)).astype(np.uint8),
        areas=np.full(n, 1000.0),
        scores=np.ones(n),
        annotation_ids=np.arange(n) + 1,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of smoothed noise, as JPEG and as PNG."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (*IMAGE_SIZE[::-1], 3), dtype=np.uint8)
        for suffix in ("jpg", "png"):
            write_image(path / f"{i}.{suffix}", cv2.GaussianBlur(noise, (0, 0), 4))
    return path


class CountingFolder(ImageFolder):
    """Which images were read, in order."""

    def __init__(self, path):
        super().__init__(path)
        self.names = []

    def read(self, name):
        self.names.append(name)
        return super().read(name)


def fields(batch):
    return (batch.images, batch.keypoints, batch.labelled, batch.matrices, batch.index)


def assert_same(one, other):
    for a, b in zip(fields(one), fields(other), strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


def stacked(samples):
    columns = zip(*map(fields, samples), strict=True)
    return PoseBatch(*(torch.stack(column) for column in columns))


MIXED = [3, 0, 3, 1, 0, 3, 5, 1, 1, 4, 5, 0]


@pytest.mark.parametrize("policy", [None, CropPolicy(SIZE, upper_index=UPPER)], ids=["", "policy"])
@pytest.mark.parametrize("arithmetic", ["installed", "opencv4"])
def test_a_batch_is_its_samples_one_by_one(folder, policy, arithmetic):
    people = make_people(MIXED)
    keys = [(2, i) for i in (5, 0, 11, 2, 7, 8)]
    alone = [
        PoseDataset(people, ImageFolder(folder), SIZE, policy, arithmetic=arithmetic)[key]
        for key in keys
    ]
    dataset = PoseDataset(people, ImageFolder(folder), SIZE, policy, arithmetic=arithmetic)
    assert_same(dataset.__getitems__(keys), stacked(alone))
    assert_same(dataset.__getitems__(keys[::-1]), stacked(alone[::-1]))


def test_pictures_are_the_warped_photographs(folder):
    people = make_people(MIXED)
    batch = PoseDataset(people, ImageFolder(folder), SIZE).__getitems__([(0, i) for i in range(12)])
    for i, picture in enumerate(batch.images):
        bgr = cv2.imread(str(folder / people[i].image))
        crop = Crop.of_box(people.boxes[i], SIZE)
        expected = cv2.warpAffine(np.ascontiguousarray(bgr[..., ::-1]), crop.matrix, SIZE)
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 64])
def test_each_image_is_decoded_once(folder, batch_size):
    images = CountingFolder(folder)
    dataset = PoseDataset(make_people(MIXED), images, SIZE)
    loader = DataLoader(
        dataset,
        batch_sampler=EvaluationOrder(dataset.people.image_index, batch_size),
        collate_fn=as_made,
    )
    seen = torch.cat([batch.index for batch in loader])
    assert sorted(seen.tolist()) == list(range(len(MIXED)))
    assert images.names == [f"{i}.jpg" for i in (3, 0, 1, 5, 4)]


def test_an_image_between_the_people_of_another_costs_a_batch_no_decoding(folder):
    images = CountingFolder(folder)
    dataset = PoseDataset(make_people(MIXED), images, SIZE)
    dataset.__getitems__([(0, i) for i in range(len(MIXED))])
    assert sorted(images.names) == [f"{i}.jpg" for i in (0, 1, 3, 4, 5)]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing(folder, num_workers):
    dataset = PoseDataset(make_people(MIXED), ImageFolder(folder), SIZE)
    order = EvaluationOrder(dataset.people.image_index, 5)
    expected = [dataset.__getitems__(keys) for keys in order]
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=num_workers,
        collate_fn=as_made,
        worker_init_fn=quiet_worker,
    )
    for one, other in zip(loader, expected, strict=True):
        assert_same(one, other)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_people_of_an_image_are_visited_together(image_index):
    image_index = np.array(image_index, int)
    order = image_by_image(image_index)
    assert sorted(order) == list(range(len(image_index)))
    visited = image_index[order]
    assert (np.diff(visited) != 0).sum() == max(len(set(visited)) - 1, 0)
    assert list(dict.fromkeys(visited)) == list(dict.fromkeys(image_index))
    for image in set(visited):
        assert (np.diff(order[visited == image]) > 0).all()
    assert np.array_equal(image_by_image(visited), np.arange(len(visited)))


# JPEGs at a part of their size


def test_reductions_are_those_that_every_crop_of_an_image_allows():
    heights = {0: [100, 250], 1: [210, 900], 2: [900], 3: [1700, 900], 4: [10]}
    image_index = [image for image, sides in heights.items() for _ in sides]
    sides = np.array([side for sides in heights.values() for side in sides], np.float32)
    boxes = np.stack([0 * sides, 0 * sides, sides / 2, sides], axis=1)
    people = make_people(image_index, boxes)
    expected = [1, 2, 8, 8, 1]  # the smaller person of each, 1.25 times its height over 128 rows
    assert upright_reductions(people, SIZE).tolist() == expected
    assert upright_reductions(make_people([]), SIZE).tolist() == []


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("width", [321, 328])
def test_a_reduced_picture_lies_where_the_whole_one_does(tmp_path, reduction, width):
    """A ramp in both axes comes out of either with the same levels but for JPEG's noise, whose
    mean over the crop would show a tenth of an image pixel."""
    ys, xs = np.mgrid[:243, :width]
    ramp = np.stack([xs * 0.6 + 20, ys * 0.8 + 20, (xs + ys) * 0.3 + 20], axis=-1)
    write_image(tmp_path / "a.jpg", ramp.round().astype(np.uint8), quality=100)
    whole, same = ImageFolder(tmp_path).read_reduced("a.jpg", 1)
    image, found = ImageFolder(tmp_path).read_reduced("a.jpg", reduction)
    assert (found, same) == (reduction, 1)
    assert image.shape == (-(-243 // reduction), -(-width // reduction), 3)
    crop = Crop.around(np.array([160, 120]), np.array([90, 120]), SIZE, rotation=20, mirrored=True)
    part = Part(image, np.zeros(2), np.full(2, reduction))
    assert np.abs(mean_apart(crop, whole, part.crop(crop), image)).max() < 0.08
    aside = Crop.around(
        np.array([160.2, 120.2]), np.array([90, 120]), SIZE, rotation=20, mirrored=True
    )
    assert np.abs(mean_apart(crop, whole, part.crop(aside), image)).max() > 0.08


@pytest.mark.parametrize("arithmetic", ["installed", "opencv4"])
@pytest.mark.parametrize("rotation", [0, 35])
def test_the_channel_that_warping_is_faster_with_changes_no_value(arithmetic, rotation):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    part = Part(noise, np.zeros(2), np.ones(2))
    few, many = part.to_warp(SIZE, crops=1), part.to_warp(SIZE, crops=20)
    assert few is noise, "twenty times the pixels of the crop: not worth it"
    assert many.shape == (480, 640, 4)
    assert part.to_warp(SIZE, crops=30) is many, "made once a photograph"
    for extent in (60, 150, 500):
        crop = Crop.around(
            np.array([200, 50]), np.array([extent, extent * 4 / 3]), SIZE, rotation=rotation
        )
        warped = crop.warp(many, arithmetic)[..., :3]
        assert np.array_equal(warped, crop.warp(noise, arithmetic))


def mean_apart(crop, image, other_crop, other_image):
    """(3,) levels a channel."""
    return (crop.warp(image).astype(float) - other_crop.warp(other_image)).mean(axis=(0, 1))


def test_reduced_jpegs_are_read_where_asked_for(folder):
    boxes = [[10, 10, 130, 230], [20, 5, 200, 220], [0, 0, 30, 50], [5, 5, 150, 235]]
    people = make_people([0, 0, 1, 2], boxes)
    keys = [(0, i) for i in range(4)]
    whole = PoseDataset(people, ImageFolder(folder), SIZE).__getitems__(keys)
    dataset = PoseDataset(people, ImageFolder(folder), SIZE, reduced_jpeg=True)
    assert dataset.parts.reductions.tolist() == [2, 1, 2]
    batch = dataset.__getitems__(keys)
    assert_same(replace(batch, images=whole.images), whole)
    changed = (batch.images != whole.images).flatten(1).any(dim=1)
    assert changed.tolist() == [True, True, False, True]
    assert (batch.images.int() - whole.images.int()).abs().float().mean() < 2


def test_other_formats_stay_whole(folder):
    people = make_people([0], [[10, 10, 130, 230]], suffix="png")
    one = PoseDataset(people, ImageFolder(folder), SIZE, reduced_jpeg=True)
    assert one.parts.reductions.tolist() == [2]
    assert_same(one[0, 0], PoseDataset(people, ImageFolder(folder), SIZE)[0, 0])


def test_a_reduced_image_of_another_size_is_refused(folder):
    people = make_people([0], [[10, 10, 130, 230]], image_size=(324, 243))
    dataset = PoseDataset(people, ImageFolder(folder), SIZE, reduced_jpeg=True)
    with pytest.raises(ValueError, match=r"^0\.jpg: is 161x122 pixels at 1/2 .* 324x243; .*"):
        dataset[0, 0]
