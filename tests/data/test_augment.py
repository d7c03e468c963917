"""Crops are drawn by the published recipe: its distributions, and a slow plain copy of it."""

import math

import numpy as np
import pytest

from pose.data.augment import CropPolicy
from pose.geometry import Crop, box_center_extent
from pose.skeleton import COCO_17
from pose.structures import Person

SIZE = (192, 256)
UPPER = tuple(int(i) for i in COCO_17.upper_index)
CALM = {"scale": 0.0, "rotation_chance": 0.0, "flip_chance": 0.0, "half_body_chance": 0.0}
NUM_DRAWS = 6000


def make_person(rng, labelled=range(17), k=17, spread=90.0):
    """A person about (200, 150) of whom only the keypoints `labelled` have labels."""
    visibility = np.zeros(k, np.uint8)
    visibility[list(labelled)] = rng.integers(1, 3, len(labelled))
    keypoints = (np.array([200, 150]) + spread * rng.uniform(-1, 1, (k, 2))).astype(np.float32)
    box = np.array([110, 60, 290, 240], np.float32) + rng.uniform(-9, 9, 4).astype(np.float32)
    return Person("a.jpg", 1, box, keypoints, visibility, 9000.0, 1.0, 1)


def reference(points, person, policy, rng, image_width):
    """Points (N, 2) in the image -> in the crop, step by step as the published code has it."""
    width, height = policy.size
    center, extent = box_center_extent(person.box, policy.size)
    whole = bool(policy.upper_index) and np.count_nonzero(person.visibility) > 8
    if whole and rng.random() < policy.half_body_chance:
        center, extent = reference_half_body(person, policy, rng) or (center, extent)
    factor = 1 + policy.scale * rng.standard_normal()
    factor = min(max(factor, 1 - policy.scale), 1 + policy.scale)
    angle = 0.0
    if rng.random() < policy.rotation_chance:
        limit = 2 * policy.rotation
        angle = math.radians(min(max(policy.rotation * rng.standard_normal(), -limit), limit))
    x, y = np.array(points, float).T
    cx, cy = center
    if rng.random() < policy.flip_chance:
        x, cx = image_width - 1 - x, image_width - 1 - cx
    k = width / (extent[0] * factor)
    cos, sin = math.cos(angle), math.sin(angle)
    across = width / 2 + k * ((x - cx) * cos + (y - cy) * sin)
    down = height / 2 + k * (-(x - cx) * sin + (y - cy) * cos)
    return np.stack([across, down], axis=1)


def reference_half_body(person, policy, rng):
    upper, lower = [], []
    for i, point in enumerate(person.keypoints):
        if person.visibility[i] > 0:
            (upper if i in policy.upper_index else lower).append(point)
    if rng.random() < 0.6915 and len(upper) > 2:
        chosen = upper
    elif len(lower) > 2:
        chosen = lower
    else:
        chosen = upper
    if len(chosen) < 2:
        return None
    xs, ys = np.array(chosen, float).T
    w, h = xs.max() - xs.min(), ys.max() - ys.min()
    aspect = policy.size[0] / policy.size[1]
    if w > aspect * h:
        h = w / aspect
    else:
        w = aspect * h
    return (sum(xs) / len(xs), sum(ys) / len(ys)), (1.5 * w, 1.5 * h)


LABELLED = {
    "all": range(17),
    "nine, of both halves": (0, 1, 2, 5, 6, 11, 12, 13, 14),
    "eight": range(8),
    "nobody": (),
    "upper only": range(11),
    "two of the lower": (*range(9), 11, 12),
    "two of the upper": (0, 5, *range(11, 17)),
}


@pytest.mark.parametrize("labelled", LABELLED.values(), ids=LABELLED)
@pytest.mark.parametrize("size", [(192, 256), (288, 384), (256, 256)])
def test_equals_the_published_steps(labelled, size):
    rng = np.random.default_rng(len(labelled))
    policy = CropPolicy(size, half_body_chance=0.5, upper_index=UPPER)
    for seed in range(60):
        person = make_person(rng, labelled)
        points, image_width = rng.uniform(0, 400, (5, 2)), int(rng.integers(200, 500))
        crop = policy.draw(person, np.random.default_rng(seed))
        expected = reference(points, person, policy, np.random.default_rng(seed), image_width)
        assert crop.to_input(points) == pytest.approx(expected, abs=1e-9)
        assert crop.size == size


def test_few_keypoints_of_another_skeleton():
    """With two of the upper half and two of the lower neither half may be chosen by chance."""
    rng = np.random.default_rng(0)
    policy = CropPolicy(SIZE, half_body_chance=1.0, upper_index=(0, 1))
    for seed in range(50):
        person = make_person(rng, range(12), k=12)
        points = rng.uniform(0, 400, (5, 2))
        crop = policy.draw(person, np.random.default_rng(seed))
        expected = reference(points, person, policy, np.random.default_rng(seed), 400)
        assert crop.to_input(points) == pytest.approx(expected, abs=1e-9)


def draws(policy, labelled=range(17)):
    """Extent factors, rotations in degrees and mirrored flags of many draws of one person."""
    person = make_person(np.random.default_rng(1), labelled)
    rng = np.random.default_rng(2)
    crops = [policy.draw(person, rng) for _ in range(NUM_DRAWS)]
    linear = np.stack([crop.matrix[:, :2] for crop in crops])
    mirrored = np.array([crop.mirrored for crop in crops])
    linear[mirrored, :, 0] *= -1
    _, extent = box_center_extent(person.box, policy.size)
    factors = policy.size[0] / (np.hypot(linear[:, 0, 0], linear[:, 0, 1]) * extent[0])
    rotations = np.rad2deg(np.arctan2(linear[:, 0, 1], linear[:, 0, 0]))
    centers = np.stack([crop.to_image(np.array(policy.size) / 2) for crop in crops])
    return factors, rotations, mirrored, centers, person


def share(hits, chance):
    """Whether hits come as often as `chance` says, to four standard deviations."""
    return abs(np.mean(hits) - chance) < 4 * math.sqrt(chance * (1 - chance) / len(hits))


def below(deviations):
    """Chance that a standard normal is below."""
    return 0.5 * (1 + math.erf(deviations / math.sqrt(2)))


@pytest.mark.parametrize(("scale", "rotation"), [(0.35, 45.0), (0.25, 30.0), (0.3, 40.0)])
def test_distributions(scale, rotation):
    policy = CropPolicy(SIZE, scale=scale, rotation=rotation)
    factors, rotations, mirrored, centers, person = draws(policy)
    assert factors.min() == pytest.approx(1 - scale) and factors.max() == pytest.approx(1 + scale)
    assert share(np.isclose(factors, 1 - scale), 0.1587)
    assert share(np.isclose(factors, 1 + scale), 0.1587)
    assert share(factors < 1 + scale / 2, below(0.5))
    still = np.isclose(rotations, 0, atol=1e-9)
    assert share(still, 0.4)
    assert rotations.max() == pytest.approx(2 * rotation)
    assert rotations.min() == pytest.approx(-2 * rotation)
    assert share(np.isclose(np.abs(rotations), 2 * rotation), 0.6 * 2 * below(-2))
    assert share(rotations[~still] > rotation, below(-1))
    assert share(mirrored, 0.5)
    assert share(mirrored[~still], 0.5) and share(rotations[mirrored & ~still] > 0, 0.5)
    assert np.allclose(centers, (person.box[:2] + person.box[2:]) / 2)


def test_draws_that_are_made_again_stay_within_one_deviation():
    policy = CropPolicy(SIZE, draws="again", scale=0.5, rotation=80, shift=0.16, shift_chance=0.3)
    factors, rotations, _, centers, person = draws(policy)
    deviations = (factors - 1) / 0.5
    assert np.abs(deviations).max() <= 1
    inside = below(1) - below(-1)
    assert share(deviations < 0.5, (below(0.5) - below(-1)) / inside)
    still = np.isclose(rotations, 0, atol=1e-9)
    assert share(still, 0.4) and np.abs(rotations).max() <= 80
    assert share(rotations[~still] > 40, (below(1) - below(0.5)) / inside)
    _, extent = box_center_extent(person.box, policy.size)
    shifts = (centers - (person.box[:2] + person.box[2:]) / 2) / (extent * factors[:, None])
    shifted = np.abs(shifts).max(axis=1) > 1e-5
    assert share(shifted, 0.3) and np.abs(shifts).max() <= 0.16 + 1e-5
    assert share(shifts[shifted, 0] > 0.08, (below(1) - below(0.5)) / inside)


def test_half_bodies_come_as_often_as_said():
    policy = CropPolicy(SIZE, upper_index=UPPER)
    *_, centers, person = draws(policy)
    upper, lower = person.keypoints[:11].mean(axis=0), person.keypoints[11:].mean(axis=0)
    is_upper = np.isclose(centers, upper, atol=1e-3).all(axis=1)
    is_lower = np.isclose(centers, lower, atol=1e-3).all(axis=1)
    is_whole = np.isclose(centers, (person.box[:2] + person.box[2:]) / 2).all(axis=1)
    assert (is_upper + is_lower + is_whole == 1).all()
    assert share(is_upper, 0.3 * 0.6915) and share(is_lower, 0.3 * (1 - 0.6915))


@pytest.mark.parametrize(
    ("upper", "labelled"),
    [((), range(17)), (UPPER, range(8)), (UPPER, ())],
    ids=["without upper body", "eight labelled", "a detection"],
)
def test_no_half_bodies(upper, labelled):
    policy = CropPolicy(SIZE, half_body_chance=1.0, upper_index=upper)
    *_, centers, person = draws(policy, labelled)
    assert np.allclose(centers, (person.box[:2] + person.box[2:]) / 2)


def test_keypoints_all_in_one_place_give_the_whole_person():
    person = make_person(np.random.default_rng(0), spread=0.0)
    policy = CropPolicy(SIZE, **{**CALM, "half_body_chance": 1.0}, upper_index=UPPER)
    crop = policy.draw(person, np.random.default_rng(0))
    assert crop.matrix == pytest.approx(Crop.of_box(person.box, SIZE).matrix)


def test_a_policy_without_chances_gives_the_plain_crop():
    person = make_person(np.random.default_rng(0))
    policy = CropPolicy(SIZE, **CALM, upper_index=UPPER)
    for seed in range(5):
        crop = policy.draw(person, np.random.default_rng(seed))
        assert np.array_equal(crop.matrix, Crop.of_box(person.box, SIZE).matrix)


def test_draws_depend_on_the_generator_alone():
    rng = np.random.default_rng(0)
    people = [make_person(rng) for _ in range(4)]
    policy = CropPolicy(SIZE, upper_index=UPPER)
    first = [policy.draw(p, np.random.default_rng((3, i))).matrix for i, p in enumerate(people)]
    np.random.seed(5)
    again = [
        CropPolicy(SIZE, upper_index=UPPER).draw(people[i], np.random.default_rng((3, i))).matrix
        for i in (3, 2, 1, 0)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    other = policy.draw(people[0], np.random.default_rng((4, 0))).matrix
    assert not np.array_equal(first[0], other)
