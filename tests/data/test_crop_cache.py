"""Samples out of a cache are those of the photographs; a cache that does not fit is not used."""

import logging
import multiprocessing
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pose.data import crop_cache, regions
from pose.data.augment import CropPolicy
from pose.data.crop_cache import name_of, open_cache
from pose.data.dataset import PoseDataset, TrainingOrder, as_made, quiet_worker
from pose.data.forgiving import ForgivingDataset
from pose.data.merge import ImageFolders, merge_people
from pose.data.parts import Part
from pose.images import ImageFolder, write_image
from pose.skeleton import COCO_17
from pose.structures import People
from tests.data.test_windows import exact

SIZE = (96, 128)
IMAGE_SIZE = (300, 240)
UPPER = tuple(int(i) for i in COCO_17.upper_index)
POLICY = CropPolicy(SIZE, upper_index=UPPER)
NUM_PEOPLE, NUM_IMAGES = 12, 5


def make_people(image_size=IMAGE_SIZE, num_images=NUM_IMAGES, extents=(20, 90)):
    rng = np.random.default_rng(0)
    index = np.arange(NUM_PEOPLE) % num_images
    corners = rng.uniform(0, np.array(image_size) * 0.6, (NUM_PEOPLE, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(*extents, (NUM_PEOPLE, 2))], axis=1)
    places = rng.uniform(0, 1, (NUM_PEOPLE, 17, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    return People(
        skeleton=COCO_17,
        images=np.array([f"{i}.png" for i in range(num_images)]),
        image_sizes=np.tile(np.array(image_size, np.int32), (num_images, 1)),
        image_index=index,
        image_ids=index + 1,
        boxes=boxes.astype(np.float32),
        keypoints=(boxes[:, None, :2] + places).astype(np.float32),
        visibility=rng.choice([0, 1, 2], (NUM_PEOPLE, 17), p=[0.2, 0.3, 0.5]).astype(np.uint8),
        areas=np.full(NUM_PEOPLE, 900.0),
        scores=np.ones(NUM_PEOPLE),
        annotation_ids=np.arange(NUM_PEOPLE) + 1,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five pictures of noise."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(NUM_IMAGES):
        noise = np.random.default_rng(i).integers(0, 256, (*IMAGE_SIZE[::-1], 3), dtype=np.uint8)
        write_image(path / f"{i}.png", noise)
    return path


@pytest.fixture
def copied(pictures, tmp_path):
    """The same ones, to be changed."""
    return shutil.copytree(pictures, tmp_path / "pictures")


class CountingFolder(ImageFolder):
    """Which images were read."""

    def __init__(self, path, fails_after=None):
        super().__init__(path)
        self.names = []
        self.fails_after = fails_after

    def read(self, name):
        if len(self.names) == self.fails_after:
            raise KeyboardInterrupt
        self.names.append(name)
        return super().read(name)


def dataset_of(people, images, cache=None, policy=POLICY, warped_by="loader"):
    return PoseDataset(people, images, SIZE, policy, parts=cache, warped_by=warped_by)


def load(dataset, workers=0, method=None):
    loader = DataLoader(
        dataset,
        batch_sampler=TrainingOrder(NUM_PEOPLE, 4, seed=0),
        num_workers=workers,
        multiprocessing_context=multiprocessing.get_context(method) if method else None,
        collate_fn=as_made,
        worker_init_fn=quiet_worker if workers else None,
    )
    return list(loader)


def keys(epochs=3):
    return [(epoch, i) for epoch in range(epochs) for i in range(NUM_PEOPLE)]


def assert_same_labels(one, other):
    for name in ("keypoints", "labelled", "matrices", "index"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def apart(one, other):
    """Grey levels between the pictures of two batches."""
    return (one.images.int() - other.images.int()).abs()


# Samples


def test_samples_are_those_of_the_photographs(pictures, tmp_path):
    """Kept as it was, a region gives the same crop. OpenCV computes source coordinates in float32,
    from the region's corner now: a value that lies half way may be rounded the other way."""
    people, images = make_people(), ImageFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    assert np.array_equal(
        cache.regions.sizes, cache.regions.windows[:, 2:] - cache.regions.windows[:, :2]
    )
    ours = dataset_of(people, images, cache).__getitems__(keys())
    theirs = dataset_of(people, images).__getitems__(keys())
    assert_same_labels(ours, theirs)
    assert apart(ours, theirs).max() <= 1
    assert (apart(ours, theirs) > 0).double().mean() < 1e-3


def test_a_region_from_the_photographs_corner_gives_the_same_bits(pictures, tmp_path):
    people, images = make_people(), ImageFolder(pictures)
    everywhere = replace(people, boxes=np.tile(np.float32([1, 1, 299, 239]), (NUM_PEOPLE, 1)))
    cache = open_cache(tmp_path, everywhere, replace(POLICY, size=(288, 384)), images)
    assert (cache.regions.windows == [0, 0, *IMAGE_SIZE]).all()
    ours = dataset_of(people, images, cache).__getitems__(keys())
    assert torch.equal(ours.images, dataset_of(people, images).__getitems__(keys()).images)


@exact
def test_the_device_warps_the_same_crops(pictures, tmp_path):
    people, images = make_people(), ImageFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    ours = dataset_of(people, images, cache, warped_by="device").__getitems__(keys())
    theirs = dataset_of(people, images, cache).__getitems__(keys())
    assert_same_labels(ours, theirs)
    assert apart(ours.to(torch.device("cpu")), theirs).max() <= 1


@exact
def test_what_is_scaled_down_lies_where_it_did():
    """A ramp in both axes, in float32, gives the same crops as it did whole."""
    ys, xs = np.mgrid[:1200, :1600].astype(np.float32)
    ramp = np.stack([xs, ys, xs + ys], axis=-1) + 100
    people = make_people((1600, 1200), num_images=1, extents=(500, 800))
    found = find(people)
    [window], [size] = found.windows, found.sizes
    factor = (window[2:] - window[:2]) / size
    assert factor.min() > 2
    part = Part(crop_cache.cut_region(ramp, window, size), window[:2], factor)
    dataset, compared = dataset_of(people, None), 0
    for key in keys():
        crop = dataset.crop(key)
        theirs, ours = crop.warp(ramp), part.crop(crop).warp(part.pixels)
        inside = cv2.erode((theirs.min(axis=2) >= 100).astype(np.uint8), np.ones((5, 5)))
        compared += int(inside.sum())
        assert np.abs(ours - theirs)[inside > 0].max(initial=0) < 0.1
    assert compared > 1000


def test_samples_of_what_is_scaled_down_lie_near(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX)
    write_image(tmp_path / "pictures" / "0.png", smooth)
    people = make_people((1600, 1200), num_images=1, extents=(500, 800))
    images = ImageFolder(tmp_path / "pictures")
    cache = open_cache(tmp_path / "cache", people, POLICY, images)
    assert cache.file_bytes().sum() < 1600 * 1200 * 3 / 4
    ours = dataset_of(people, images, cache).__getitems__(keys(2))
    theirs = dataset_of(people, images).__getitems__(keys(2))
    assert_same_labels(ours, theirs)
    assert 0 < apart(ours, theirs).float().mean() < 3


@pytest.mark.parametrize("method", ["spawn", None])
def test_workers_change_nothing(pictures, tmp_path, method):
    people, images = make_people(), ImageFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    dataset = dataset_of(people, images, cache)
    expected = load(dataset)
    for one, other in zip(load(dataset, 1, method), expected, strict=True):
        assert_same_labels(one, other)
        assert torch.equal(one.images, other.images)


def test_a_pickled_cache_is_its_place_not_its_content(pictures, tmp_path):
    cache = open_cache(tmp_path, make_people(), POLICY, ImageFolder(pictures))
    pixels = cache.part(3).pixels
    assert not pixels.flags.writeable and pixels.base is not None
    there = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 30_000 < cache.file_bytes().sum()
    assert np.array_equal(there.part(3).pixels, pixels)


# Making


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_it_is_made_once_and_photographs_are_read_once(pictures, tmp_path, caplog):
    caplog.set_level(logging.INFO, "pose")
    people, images = make_people(), CountingFolder(pictures)
    before = files_in(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    assert sorted(images.names) == people.images.tolist()
    assert f"making the crop cache, {cache.file_bytes().sum() / 1e6:.1f} MB, in " in caplog.text
    caplog.clear()
    again = open_cache(tmp_path, people, POLICY, images)
    assert len(images.names) == NUM_IMAGES and again.folder == cache.folder
    assert "making" not in caplog.text and "training crops come from" in caplog.text
    assert files_in(pictures) == before
    [folder] = tmp_path.iterdir()
    assert files_in(folder) == ["0000.pixels"]


def small_files(monkeypatch):
    """A file for each region."""
    monkeypatch.setattr(regions, "FILE_BYTES", 1)
    monkeypatch.setattr(crop_cache, "PHOTOGRAPHS_AT_ONCE", 1)


def test_what_was_interrupted_goes_on(pictures, tmp_path, monkeypatch):
    small_files(monkeypatch)
    people, images = make_people(), CountingFolder(pictures, fails_after=3)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path, people, POLICY, images)
    [folder] = tmp_path.iterdir()
    done = files_in(folder)
    assert 0 < len(done) < len(find(people).windows), "and nothing half done"
    images.fails_after = None
    images.names.clear()
    cache = open_cache(tmp_path, people, POLICY, images)
    assert len(images.names) == len(cache.regions.windows) - len(done)
    ours = dataset_of(people, images, cache).__getitems__(keys(1))
    assert apart(ours, dataset_of(people, images).__getitems__(keys(1))).max() <= 1


def find(people):
    return regions.find_regions(people, POLICY, people.image_sizes)


def test_a_file_of_another_length_is_made_again(pictures, tmp_path, monkeypatch):
    small_files(monkeypatch)
    people, images = make_people(), CountingFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    whole = cache.path(1).read_bytes()
    cache.path(1).write_bytes(whole[:-7])
    images.names.clear()
    open_cache(tmp_path, people, POLICY, images)
    assert len(images.names) == 1 and cache.path(1).read_bytes() == whole


@pytest.mark.parametrize("forgiving", [False, True])
@pytest.mark.parametrize("place", [10, -2])
def test_a_damaged_file_is_noticed(pictures, tmp_path, monkeypatch, place, forgiving):
    """In the pixels, and in the checksums; leaving out photographs that cannot be read does not
    mean leaving out people whose photograph can."""
    small_files(monkeypatch)
    people, images = make_people(), ImageFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    content = bytearray(cache.path(0).read_bytes())
    content[place] ^= 1
    cache.path(0).write_bytes(content)
    cache = open_cache(tmp_path, people, POLICY, images)
    hit = np.flatnonzero(cache.regions.of_person == 0)
    dataset = dataset_of(people, images, cache)
    if forgiving:
        dataset = ForgivingDataset(dataset)
    with pytest.raises(ValueError, match=r"0000\.pixels: damaged; delete it, the next .*") as error:
        dataset[0, int(hit[0])]
    assert "\n" not in str(error.value)
    assert dataset[0, int(np.flatnonzero(cache.regions.of_person == 1)[0])] is not None
    cache.path(0).unlink()
    cache = open_cache(tmp_path, people, POLICY, images)
    assert dataset_of(people, images, cache)[0, int(hit[0])] is not None


def test_no_room_is_said_before_anything_is_written(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(crop_cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = r"the crop cache needs \d\.\d MB, 0\.0 MB are free; name .* POSE_CACHE, or .*"
    with pytest.raises(ValueError, match=message) as error:
        open_cache(tmp_path, make_people(), POLICY, ImageFolder(pictures))
    assert "\n" not in str(error.value) and files_in(tmp_path) == []


def test_what_nobody_writes_to_any_more_is_removed(pictures, tmp_path):
    people, images = make_people(), ImageFolder(pictures)
    cache = open_cache(tmp_path, people, POLICY, images)
    cache.path(0).unlink()
    old, new = (cache.folder / f".{digits}.0000.pixels" for digits in ("01234567", "89abcdef"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    open_cache(tmp_path, people, POLICY, images)
    assert not old.exists() and new.exists()


# Which one


def test_another_set_or_recipe_has_another_name(copied):
    people, images = make_people(), ImageFolder(copied)

    def name(people=people, policy=POLICY, images=images):
        return name_of(people, policy, images, forgiving=False)

    first = name()
    assert name(make_people()) == name(images=ImageFolder(copied)) == first
    moved = people.boxes.copy()
    moved[3, 2] += 40
    others = [
        name(replace(people, boxes=moved)),
        name(replace(people, image_index=(people.image_index + 1) % NUM_IMAGES)),
        name(replace(people, image_sizes=people.image_sizes + 1)),
        name(replace(people, keypoints=people.keypoints * 1.1)),
        name(policy=replace(POLICY, scale=0.4)),
        name(policy=replace(POLICY, rotation_chance=0)),
        name(policy=replace(POLICY, size=(192, 256))),
        name(policy=replace(POLICY, half_body_chance=0)),
    ]
    os.utime(copied / "2.png", (1e9, 1e9))
    others.append(name())
    assert len({first, *others}) == 1 + len(others)
    assert name(policy=replace(POLICY, flip_chance=0)) == others[-1], "a mirror shows the same"


def test_another_version_has_another_name(pictures, monkeypatch):
    people, images = make_people(), ImageFolder(pictures)
    first = name_of(people, POLICY, images, forgiving=False)
    monkeypatch.setattr(crop_cache, "VERSION", crop_cache.VERSION + 1)
    assert name_of(people, POLICY, images, forgiving=False) != first


def test_a_photograph_that_changed_is_cut_anew(copied, tmp_path):
    people, images = make_people(), ImageFolder(copied)
    first = open_cache(tmp_path / "cache", people, POLICY, images)
    write_image(copied / "0.png", np.full((*IMAGE_SIZE[::-1], 3), 7, np.uint8))
    second = open_cache(tmp_path / "cache", people, POLICY, images)
    assert (second.part(0).pixels == 7).all() and not (first.part(0).pixels == 7).all()


def test_a_zip_file_and_several_sets_are_kept_too(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as target:
        for path in pictures.iterdir():
            target.write(path, path.name)
    people = make_people()
    zipped = ImageFolder(tmp_path / "pictures.zip")
    alone = open_cache(tmp_path / "cache", people, POLICY, zipped)
    both = merge_people([people, people], people.skeleton)
    images = ImageFolders([pictures, tmp_path / "pictures.zip"])
    cache = open_cache(tmp_path / "cache", both, POLICY, images)
    for i in range(NUM_PEOPLE):
        assert np.array_equal(cache.part(i).pixels, alone.part(i).pixels)
        assert np.array_equal(cache.part(NUM_PEOPLE + i).pixels, alone.part(i).pixels)


def test_a_photograph_that_a_zip_file_lacks_is_named(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as target:
        target.write(pictures / "0.png", "0.png")
    with pytest.raises(FileNotFoundError, match=r"pictures\.zip: 1\.png: no such image in the zip"):
        open_cache(
            tmp_path / "cache", make_people(), POLICY, ImageFolder(tmp_path / "pictures.zip")
        )


def test_sizes_that_annotations_do_not_state_are_found(pictures, tmp_path):
    people, images = make_people(), CountingFolder(pictures)
    stated = open_cache(tmp_path, people, POLICY, images)
    sizes = people.image_sizes.copy()
    sizes[[1, 3]] = 0
    unstated = replace(people, image_sizes=sizes)
    images.names.clear()
    cache = open_cache(tmp_path, unstated, POLICY, images)
    assert sorted(images.names) == people.images.tolist(), "their headers tell, decoded is once"
    assert np.array_equal(cache.regions.windows, stated.regions.windows)
    assert cache.path(0).read_bytes() == stated.path(0).read_bytes()
    images.names.clear()
    open_cache(tmp_path, unstated, POLICY, images)
    assert images.names == [], "what was found is kept"
    path = cache.folder / "sizes"
    whole = path.read_bytes()
    for damaged in (whole[:-8], whole[:3] + b"\1" + whole[4:]):
        path.write_bytes(damaged)
        open_cache(tmp_path, unstated, POLICY, images)
        assert path.read_bytes() == whole


# What cannot be read


def test_a_photograph_that_cannot_be_read_stops_the_making(copied, tmp_path):
    people, images = make_people(), ImageFolder(copied)
    (copied / "3.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"3\.png: not a JPEG, PNG, .* image$"):
        open_cache(tmp_path / "cache", people, POLICY, images)
    (copied / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"3\.png: no such image file$"):
        open_cache(tmp_path / "cache", people, POLICY, images)
    write_image(copied / "3.png", np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^3\.png: is 20x10 pixels, its annotation says 300x240"):
        open_cache(tmp_path / "cache", people, POLICY, images)


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("content", [b"no picture", None])
def test_or_is_left_out(copied, tmp_path, caplog, content, stated):
    people, images = make_people(), ImageFolder(copied)
    people = replace(people, image_sizes=people.image_sizes * stated)
    (copied / "3.png").unlink()
    if content is not None:
        (copied / "3.png").write_bytes(content)
    cache = open_cache(tmp_path / "cache", people, POLICY, images, forgiving=True)
    assert caplog.text.count("its people are left out") == 1 and "3.png" in caplog.text
    missing = people.image_index == 3
    with pytest.raises(ValueError, match=r"^3\.png: could not be read when the crop cache was"):
        cache.part(int(np.flatnonzero(missing)[0]))
    batch = ForgivingDataset(dataset_of(people, images, cache)).__getitems__(keys(1))
    expected = ForgivingDataset(dataset_of(people, images)).__getitems__(keys(1))
    assert_same_labels(batch, expected)
    assert apart(batch, expected).max() <= 1
    assert not batch.labelled[missing].any() and batch.labelled[~missing].any(dim=1).all()


# Real photographs


@pytest.fixture(scope="module")
def coco(test_data):
    from pose.data.coco import load_coco

    people = load_coco(test_data / "coco/annotations/person_keypoints_train2017.json")
    return people, ImageFolder(test_data / "coco/images/train2017")


def differences(coco, folder):
    """(people, H, W, 3) grey levels between both ways, in a crop of each person."""
    people, images = coco
    policy = CropPolicy((192, 256), upper_index=UPPER)
    cache = open_cache(folder, people, policy, images)
    batches = [
        PoseDataset(people, images, policy.size, policy, parts=parts).__getitems__(
            [(0, i) for i in range(len(people))]
        )
        for parts in (cache, None)
    ]
    windows = cache.regions.windows
    scaled = (cache.regions.sizes != windows[:, 2:] - windows[:, :2]).any(axis=1)
    return apart(*batches), torch.from_numpy(scaled[cache.regions.of_person])


def test_real_photographs(coco, tmp_path):
    """The figures of docs/data-cache.md."""
    found, scaled = differences(coco, tmp_path)
    assert found[~scaled].max() <= 1
    assert (found[~scaled] == 0).double().mean() > 0.9999
    assert 0 < scaled.double().mean() < 0.01
    assert found.double().mean() < 0.02
    assert (found <= 1).double().mean() > 0.997 and (found <= 2).double().mean() > 0.998


def test_real_photographs_scaled_down(coco, tmp_path, monkeypatch):
    """All that may be: crops differ where they shrink fine structure, whose mean is kept."""
    monkeypatch.setattr(regions, "MOST_SCALE", 1)
    found, scaled = differences(coco, tmp_path)
    some = found[scaled].double()
    assert scaled.sum() > 10 and some.mean() < 3
    assert (some <= 1).double().mean() > 0.7 and (some <= 2).double().mean() > 0.8
