"""No crop shows more than its region, and no region is coarser than what the crop is made of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose.data import regions
from pose.data.augment import CropPolicy
from pose.data.coco import load_coco
from pose.data.regions import find_regions, neighbourhoods
from pose.skeleton import COCO_17
from pose.structures import People

SIZE = (192, 256)
UPPER = tuple(int(i) for i in COCO_17.upper_index)
IMAGE_SIZE = (2000, 1500)

POLICIES = {
    "published": CropPolicy(SIZE, upper_index=UPPER),
    "udp": CropPolicy(SIZE, upper_index=UPPER, grid="udp"),
    "mmpose": CropPolicy(SIZE, draws="again", shift=0.16, shift_chance=0.3, upper_index=UPPER),
    "turned a little": CropPolicy(SIZE, rotation=10, upper_index=UPPER),
    "upside down": CropPolicy((256, 192), rotation=90, rotation_chance=1, scale=0.9),
    "upright": CropPolicy(SIZE, rotation_chance=0, half_body_chance=0, upper_index=UPPER),
}


def make_people(num_people=12, num_images=4, seed=0, reach=400.0):
    """People of all proportions, some of them beyond the photograph's border."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(0, IMAGE_SIZE, (num_people, 2))
    size = rng.uniform(0.02, 1, (num_people, 2)) * reach
    spread = rng.uniform(-0.6, 0.6, (num_people, 17, 2)) * size[:, None]
    return People(
        skeleton=COCO_17,
        images=np.array([f"{i}.png" for i in range(num_images)]),
        image_sizes=np.tile(np.array(IMAGE_SIZE, np.int32), (num_images, 1)),
        image_index=np.arange(num_people) % num_images,
        image_ids=np.arange(num_people) % num_images + 1,
        boxes=np.concatenate([center - size / 2, center + size / 2], axis=1).astype(np.float32),
        keypoints=(center[:, None] + spread).astype(np.float32),
        visibility=rng.choice([0, 2], (num_people, 17), p=[0.35, 0.65]).astype(np.uint8),
        areas=size.prod(axis=1),
        scores=np.ones(num_people),
        annotation_ids=np.arange(num_people) + 1,
    )


def corners_of(crop):
    """(4, 2) of its outermost pixels, in the photograph."""
    right, bottom = crop.size[0] - 1, crop.size[1] - 1
    return crop.to_image(np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]]))


def drawn_bounds(people, policy, index, draws):
    """(4,) what the draws show, and (draws,) the input pixels to a pixel of the photograph."""
    crops = [policy.draw(people[index], np.random.default_rng((index, i))) for i in range(draws)]
    corners = np.concatenate([corners_of(crop) for crop in crops])
    bound = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return bound, np.array([np.hypot(*crop.matrix[0, :2]) for crop in crops])


@pytest.mark.parametrize("name", POLICIES)
def test_draws_stay_within_reach_and_use_it(name):
    """The bounds hold every draw, and are not much wider than what is drawn."""
    people, policy = make_people(), POLICIES[name]
    bounds, finest = policy.reach(people)
    used = []
    for index in range(len(people)):
        drawn, magnified = drawn_bounds(people, policy, index, 150)
        assert (drawn[:2] >= bounds[index, :2] - 1e-6).all()
        assert (drawn[2:] <= bounds[index, 2:] + 1e-6).all()
        assert magnified.max() <= finest[index] * (1 + 1e-9)
        used += [*((drawn[2:] - drawn[:2]) / (bounds[index, 2:] - bounds[index, :2]))]
        assert magnified.max() > 0.6 * finest[index]
    assert np.mean(used) > 0.75


def test_neighbourhoods_are_cut_at_the_photograph():
    people = make_people(40, reach=3000)
    windows, _scales = neighbourhoods(people, POLICIES["published"], people.image_sizes)
    assert (windows[:, :2] >= 0).all() and (windows[:, 2:] <= IMAGE_SIZE).all()
    assert (windows[:, 2:] > windows[:, :2]).all()
    assert (windows == [0, 0, *IMAGE_SIZE]).all(axis=1).any()
    beyond = replace(people, boxes=people.boxes + 9000, visibility=np.zeros_like(people.visibility))
    windows, _ = neighbourhoods(beyond, POLICIES["published"], people.image_sizes)
    assert ((windows[:, 2:] - windows[:, :2]) == 1).all(), "a pixel, which no crop comes near"


def test_only_what_is_much_too_fine_is_scaled_down():
    people = make_people(60, reach=3000)
    policy = POLICIES["upright"]
    _, scales = neighbourhoods(people, policy, people.image_sizes)
    _, finest = policy.reach(people)
    assert (scales[finest > 0.5] == 1).all() and (scales == 1).any()
    assert (scales[finest <= 0.5] == finest[finest <= 0.5]).all() and (scales < 1).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_region_holds_the_neighbourhoods_of_its_people(seed):
    people = make_people(30, seed=seed, reach=[100, 3000][seed % 2])
    policy = POLICIES["published"]
    windows, scales = neighbourhoods(people, policy, people.image_sizes)
    found = find_regions(people, policy, people.image_sizes)
    own = found.windows[found.of_person]
    assert (own[:, :2] <= windows[:, :2]).all() and (own[:, 2:] >= windows[:, 2:]).all()
    assert np.array_equal(found.photographs[found.of_person], people.image_index)
    assert (np.diff(found.photographs) >= 0).all()
    kept = found.sizes / (found.windows[:, 2:] - found.windows[:, :2])
    assert (kept[found.of_person] >= scales[:, None]).all()
    alone = regions.kept_sizes(windows, scales).prod(axis=1)
    assert found.lengths.sum() <= 3 * alone.sum()
    assert set(found.of_person) == set(range(len(found.windows))), "nothing is kept for nobody"


def test_people_beside_each_other_share_a_region():
    people = make_people(4, num_images=2)
    boxes = np.array([[100, 100, 160, 220], [120, 90, 180, 220]] * 2, np.float32)
    boxes[3] += 1200  # of the second photograph, far from the other there
    people = replace(people, boxes=boxes[[0, 2, 1, 3]], visibility=0 * people.visibility)
    found = find_regions(people, POLICIES["published"], people.image_sizes)
    assert found.of_person.tolist() == [0, 1, 0, 2]


def test_files_are_closed_with_the_region_that_fills_them(monkeypatch):
    people = make_people(40)
    whole = find_regions(people, POLICIES["published"], people.image_sizes)
    assert set(whole.files) == {0}
    assert np.array_equal(whole.starts, whole.lengths.cumsum() - whole.lengths)
    monkeypatch.setattr(regions, "FILE_BYTES", int(whole.lengths.max()))
    found = find_regions(people, POLICIES["published"], people.image_sizes)
    assert len(set(found.files)) > 3
    for file in range(found.files.max() + 1):
        rows = found.files == file
        assert np.array_equal(
            found.starts[rows], found.lengths[rows].cumsum() - found.lengths[rows]
        )
        assert found.first(file) == np.flatnonzero(rows)[0]


def test_nobody_needs_no_region():
    people = make_people(0)
    found = find_regions(people, POLICIES["published"], people.image_sizes)
    assert len(found.windows) == len(found.of_person) == 0


def test_what_coco_needs(test_data):
    """The figures of docs/data-cache.md, from the labels of val2017."""
    labels: Path = test_data / "coco_scale" / "person_keypoints_val2017.json"
    people = load_coco(labels)
    found = find_regions(people, POLICIES["published"], people.image_sizes)
    a_person = found.lengths.sum() / len(people) / 1e6
    assert 0.22 < a_person < 0.24
    scaled = (found.sizes != found.windows[:, 2:] - found.windows[:, :2]).any(axis=1)
    assert 0.005 < scaled[found.of_person].mean() < 0.01
    finer = find_regions(
        people, replace(POLICIES["published"], size=(288, 384)), people.image_sizes
    )
    assert np.array_equal(finer.sizes, finer.windows[:, 2:] - finer.windows[:, :2])
