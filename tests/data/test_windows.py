"""Crops that the device warps are the loader's, to a grey level."""

import multiprocessing

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pose.data.augment import CropPolicy
from pose.data.dataset import PoseDataset, TrainingOrder, as_made, quiet_worker
from pose.data.parts import Part
from pose.data.windows import Window, WindowBatch, lay_out, warp_windows
from pose.geometry import Crop
from pose.images import ImageFolder, write_image
from pose.skeleton import COCO_17
from pose.structures import People, PoseBatch

SIZE = (96, 128)
UPPER = tuple(int(i) for i in COCO_17.upper_index)
POLICY = CropPolicy(SIZE, upper_index=UPPER)
CPU = torch.device("cpu")
NUM_PEOPLE = 9
EXACT = int(cv2.__version__.split(".")[0]) >= 5
"""OpenCV 4 rounds source coordinates to 1/32 pixel."""
exact = pytest.mark.skipif(not EXACT, reason="OpenCV 4 warps by 32nds of a pixel")


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def random_crops(count, seed=0):
    """Of a photograph of 300 x 240: magnified and shrunk, in part or wholly outside."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        width = float(np.exp(rng.uniform(np.log(8), np.log(900))))
        yield Crop.around(
            rng.uniform([-150, -120], [450, 360]),
            np.array([width, width * 4 / 3]),
            SIZE,
            rotation=float(rng.choice([0, 90, rng.uniform(-180, 180)])),
            mirrored=bool(i % 2),
            grid="udp" if i % 3 else "published",
        )


def whole(photograph):
    return Part(photograph, np.zeros(2), np.ones(2))


def warped(parts_and_crops, device=CPU):
    """(B, H, W, 3) by the device."""
    windows = [Window.of(part, crop) for part, crop in parts_and_crops]
    layout = [tensor.to(device) for tensor in lay_out(windows)]
    return warp_windows(*layout, SIZE).permute(0, 2, 3, 1).cpu().numpy()


@exact
def test_the_device_warps_as_opencv():
    photograph, crops = noise(300, 240), list(random_crops(120))
    ours = warped([(whole(photograph), crop) for crop in crops]).astype(int)
    theirs = np.stack([crop.warp(photograph) for crop in crops]).astype(int)
    apart = np.abs(ours - theirs)
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-3
    assert (theirs.reshape(len(crops), -1).max(axis=1) == 0).any(), "some are wholly outside"
    assert theirs.mean() > 20


def test_the_device_warps_by_the_formula():
    """In double precision and pixel by pixel, whatever OpenCV is installed."""
    photograph = noise(60, 50)
    padded = np.pad(photograph.astype(float), ((1, 2), (1, 2), (0, 0)))
    for crop in random_crops(30, seed=1):
        source = crop.to_image(np.stack(np.meshgrid(*map(np.arange, SIZE)), axis=-1))
        cell = np.floor(source).astype(int)
        share = source - cell
        expected = np.zeros((*SIZE[::-1], 3))
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = (cell + np.array([dx, dy])).clip(-1, [60, 50]).transpose(2, 0, 1) + 1
                weight = np.abs(1 - dx - share[..., 0]) * np.abs(1 - dy - share[..., 1])
                expected += weight[..., None] * padded[y, x]
        ours = warped([(whole(photograph), crop)])[0]
        assert np.abs(ours - expected).max() < 0.51


@exact
def test_a_part_shows_what_the_photograph_does():
    """A window is cut out of a part, which itself was cut out of the photograph and scaled."""
    photograph = cv2.GaussianBlur(noise(400, 320), (0, 0), 5)
    half = cv2.resize(photograph[20:, 40:], (180, 150), interpolation=cv2.INTER_AREA)
    part = Part(half, np.array([40, 20]), np.full(2, 2.0))
    crop = Crop.around(np.array([220, 170]), np.array([150, 200]), SIZE, rotation=25)
    ours = warped([(part, crop)])[0].astype(int)
    assert np.abs(ours - part.crop(crop).warp(half)).max() <= 1
    assert np.abs(ours - crop.warp(photograph)).mean() < 1


def test_windows_hold_what_is_seen_and_no_more():
    photograph = noise(300, 240)
    crop = Crop.around(np.array([150.0, 120.0]), np.array([40.0, 40 * 4 / 3]), SIZE)
    window = Window.of(whole(photograph), crop)
    assert window.pixels.shape[1] in (41, 42) and window.pixels.shape[0] in (54, 55)
    assert np.shares_memory(window.pixels, photograph)
    far = Crop.around(np.array([5000.0, -4000.0]), np.array([40.0, 40 * 4 / 3]), SIZE)
    assert Window.of(whole(photograph), far).pixels.size <= 2 * 2 * 3
    assert not warped([(whole(photograph), far)]).any()


def test_no_windows_are_a_batch_of_none():
    assert warp_windows(*lay_out([]), SIZE).shape == (0, 3, 128, 96)


def test_crops_come_in_the_order_that_networks_are_fastest_in():
    crop = Crop.around(np.array([50.0, 40.0]), np.array([40.0, 60.0]), SIZE)
    images = warp_windows(*lay_out([Window.of(whole(noise(100, 90)), crop)] * 2), SIZE)
    assert images.is_contiguous(memory_format=torch.channels_last)


# Data sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        write_image(path / f"{i}.png", noise(260, 220, i))
    return path


def make_dataset(folder, warped_by, policy=POLICY, seed=0):
    rng = np.random.default_rng(0)
    index = np.arange(NUM_PEOPLE) % 3
    corners = rng.uniform(0, 150, (NUM_PEOPLE, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 90, (NUM_PEOPLE, 2))], axis=1)
    people = People(
        skeleton=COCO_17,
        images=np.array(["0.png", "1.png", "2.png"]),
        image_sizes=np.tile(np.array([260, 220], np.int32), (3, 1)),
        image_index=index,
        image_ids=index + 1,
        boxes=boxes.astype(np.float32),
        keypoints=rng.uniform(0, 220, (NUM_PEOPLE, 17, 2)).astype(np.float32),
        visibility=rng.integers(0, 3, (NUM_PEOPLE, 17)).astype(np.uint8),
        areas=np.full(NUM_PEOPLE, 900.0),
        scores=np.ones(NUM_PEOPLE),
        annotation_ids=np.arange(NUM_PEOPLE) + 1,
    )
    return PoseDataset(people, ImageFolder(folder), SIZE, policy, seed, warped_by=warped_by)


def load(dataset, workers=0, method=None, batch_size=4):
    loader = DataLoader(
        dataset,
        batch_sampler=TrainingOrder(NUM_PEOPLE, batch_size, seed=0),
        num_workers=workers,
        multiprocessing_context=multiprocessing.get_context(method) if method else None,
        collate_fn=as_made,
        worker_init_fn=quiet_worker if workers else None,
    )
    return list(loader)


def assert_same_labels(one, other):
    for name in ("keypoints", "labelled", "matrices", "index"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@exact
@pytest.mark.parametrize("policy", [POLICY, None], ids=["drawn", "upright"])
def test_both_ways_make_the_same_batches(folder, policy):
    for theirs, ours in zip(
        load(make_dataset(folder, "loader", policy)),
        load(make_dataset(folder, "device", policy)),
        strict=True,
    ):
        assert isinstance(ours, WindowBatch)
        batch = ours.to(CPU)
        assert isinstance(batch, PoseBatch) and batch.images.shape == theirs.images.shape
        assert_same_labels(batch, theirs)
        assert_same_labels(ours, theirs)
        assert (batch.images.int() - theirs.images.int()).abs().max() <= 1


@pytest.mark.parametrize("method", ["spawn", None])
def test_workers_change_nothing(folder, method):
    dataset = make_dataset(folder, "device")
    for one, other in zip(load(dataset), load(dataset, 1, method), strict=True):
        assert_same_labels(one, other)
        assert torch.equal(one.to(CPU).images, other.to(CPU).images)


def test_a_sample_depends_on_seed_epoch_and_index_alone(folder):
    """The same picture, to the bit, alone and in any company."""
    dataset = make_dataset(folder, "device")
    batch = dataset.__getitems__([(1, 4), (1, 2), (3, 8)]).to(CPU)
    for row, key in enumerate([(1, 4), (1, 2), (3, 8)]):
        assert torch.equal(dataset[key].images, batch.images[row])
    assert not torch.equal(dataset[2, 4].images, batch.images[0])
    assert not torch.equal(make_dataset(folder, "device", seed=1)[1, 4].images, batch.images[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_warps_as_the_processor(folder):
    for batch in load(make_dataset(folder, "device")):
        pinned = batch.pin_memory()
        torch.cuda.set_sync_debug_mode("error")  # nothing in it waits for the device
        try:
            ours = pinned.to(torch.device("cuda"))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert ours.images.is_cuda and ours.keypoints.is_cuda
        assert (ours.images.cpu().int() - batch.to(CPU).images.int()).abs().max() <= 1
        assert_same_labels(batch.to(CPU), PoseBatch(*(t.cpu() for t in vars(ours).values())))
