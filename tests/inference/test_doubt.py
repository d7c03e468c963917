"""Two looks: a mirrored image gives the mirrored looks; whom no mirror fools agrees."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pose.inference.boxes import Boxes
from pose.inference.doubt import look_twice, mirrored_boxes, mirrored_poses, similarities
from pose.inference.predict import Runtime, find_poses
from pose.inference.predictor import Predictor
from pose.metrics.calibration import Calibration, Curve
from pose.metrics.oks import oks
from pose.skeleton import Skeleton
from pose.structures import Poses

HAND = Skeleton("hand", ("palm", "left", "right"), mirrored=(("left", "right"),))
SIGMAS = np.array([0.05, 0.1, 0.1])
SIZE = (48, 64)


def symmetric(images):
    """A network that is not fooled: the palm where the light is, the person's left where the
    right end of what is red lies."""
    light = images.float().sum(1)
    columns = torch.arange(SIZE[0]).float()
    rows = torch.arange(SIZE[1]).float()[:, None]
    total = light.sum((1, 2)) + 1e-6
    palm = (
        torch.stack([(light * columns).sum((1, 2)), (light * rows).sum((1, 2))], 1) / total[:, None]
    )
    weights = images[:, 0].float().sum(1) + 1e-6
    mean = (weights * columns).sum(1) / weights.sum(1)
    spread = ((weights * (columns - mean[:, None]) ** 2).sum(1) / weights.sum(1)).sqrt()
    points = torch.stack([palm, palm, palm], 1)
    points[:, 1, 0], points[:, 2, 0] = mean + spread, mean - spread
    scores = torch.tensor([[0.9, 0.7, 0.7]]).repeat(len(images), 1)
    return points, scores


def fooled(images):
    """A network that sees its points, and how sure it is, by what lies left in the picture."""
    points, _ = symmetric(images)
    left = images[..., : SIZE[0] // 3].float().mean((1, 2, 3))[:, None] / 255
    reach = torch.tensor([12.0, 1.0, 4.0])
    return points + (reach * left)[..., None], torch.cat([left, 1 - left, left / 2 + 0.3], 1)


def predictor_of(find, grid="udp", **more):
    return Predictor(Runtime(find, SIZE, grid, HAND, "a test"), **more)


def picture(seed, size=(90, 80)):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 7, 3), np.uint8)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size[::-1], (6, 7), strict=True))
    return small[rows][:, columns]


def boxes_of(seed, number=4, score=1.0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 40, (number, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(15, 45, (number, 2))], axis=1)
    return Boxes(boxes.astype(np.float32), np.full(number, score, np.float32))


def look(find, image, boxes, **more):
    [looks] = look_twice(predictor_of(find, **more), [image], [boxes], SIGMAS)
    return looks


@pytest.mark.parametrize("find", [symmetric, fooled])
@pytest.mark.parametrize("grid", ["udp", "published"])
def test_a_mirrored_image_gives_the_mirrored_looks(find, grid):
    for seed in range(5):
        image, boxes = picture(seed), boxes_of(seed)
        width = image.shape[1]
        there = Boxes(mirrored_boxes(boxes.boxes, width), boxes.scores)
        here = look(find, image, boxes, grid=grid)
        mirror = look(find, np.ascontiguousarray(image[:, ::-1]), there, grid=grid)
        back = mirrored_poses(mirror.poses, width)
        np.testing.assert_allclose(back.keypoints, here.poses.keypoints, atol=1e-3)
        np.testing.assert_allclose(back.scores, here.poses.scores, atol=1e-5)
        np.testing.assert_allclose(back.boxes, here.poses.boxes, atol=1e-4)
        differing = mirror.disagreement[:, HAND.flip_index]
        np.testing.assert_allclose(differing, here.disagreement, atol=1e-4)


def test_a_network_that_no_mirror_fools_agrees_with_itself():
    looks = look(symmetric, picture(1), boxes_of(1))
    assert looks.disagreement.max() < 1e-3
    assert looks.of_people().max() < 1e-3
    assert look(fooled, picture(1), boxes_of(1)).of_people().max() > 0.1


def test_where_the_looks_agree_a_point_is_their_mean_by_score_else_the_surer_ones():
    image, boxes = picture(2), boxes_of(2, number=30)
    width = image.shape[1]
    predictor = predictor_of(fooled)
    [first] = find_poses(predictor.runtime, [image], [boxes])
    there = Boxes(mirrored_boxes(boxes.boxes, width), boxes.scores)
    [second] = find_poses(predictor.runtime, [np.ascontiguousarray(image[:, ::-1])], [there])
    second = mirrored_poses(second, width)
    [looks] = look_twice(predictor, [image], [boxes], SIGMAS)
    kinds = set()
    for i in range(30):
        side = boxes.boxes[i, 2:].astype(float) - boxes.boxes[i, :2]
        for k in range(3):
            p, q = first.keypoints[i, k].astype(float), second.keypoints[i, k].astype(float)
            a, b = float(first.scores[i, k]), float(second.scores[i, k])
            similarity = np.exp(-((p - q) @ (p - q)) / (2 * (2 * SIGMAS[k]) ** 2 * side.prod()))
            agree = similarity >= 0.5
            kinds.add((agree, max(a, b) > 0.2))
            expected = (a * p + b * q) / (a + b) if agree else (p if a >= b else q)
            np.testing.assert_allclose(looks.poses.keypoints[i, k], expected, atol=1e-3)
            score = (max(a, b) + similarity * min(a, b)) / 2
            assert looks.poses.scores[i, k] == pytest.approx(score, abs=1e-5)
            differs = 1 - similarity if max(a, b) > 0.2 else np.nan
            assert looks.disagreement[i, k] == pytest.approx(differs, abs=1e-5, nan_ok=True)
    assert {agree for agree, _ in kinds} == {True, False}
    np.testing.assert_array_equal(looks.poses.boxes, boxes.boxes)


def test_the_similarities_are_those_of_oks():
    rng = np.random.default_rng(0)
    boxes = boxes_of(3, number=6)
    poses = [
        Poses(rng.uniform(0, 60, (6, 3, 2)).astype("f4"), np.ones((6, 3), "f4"), boxes.boxes, HAND,
              boxes.scores) for _ in range(2)
    ]  # fmt: skip
    areas = np.prod(boxes.boxes[:, 2:].astype(float) - boxes.boxes[:, :2], axis=1)
    found = similarities(*poses, SIGMAS)
    expected = oks(poses[0].keypoints, poses[1].keypoints, areas, SIGMAS)
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=1e-12)


def test_a_person_of_whom_nothing_counts_disagrees_wholly():
    looks = look(lambda images: (symmetric(images)[0], torch.zeros(len(images), 3)),
                 picture(4), boxes_of(4, number=2))  # fmt: skip
    assert np.isnan(looks.disagreement).all() and looks.of_people().tolist() == [1, 1]


def test_given_boxes_stay_and_of_detected_ones_those_that_show_somebody_once():
    image, given = picture(5), boxes_of(5, number=3)
    weak = replace(given, scores=np.full(3, 0.2, np.float32))
    assert len(look(symmetric, image, given).poses) == 3
    assert len(look(symmetric, image, weak, person_threshold=0.2).poses) == 0
    twice = Boxes(given.boxes[[0, 0]], np.array([0.9, 0.95], np.float32))
    found = look(symmetric, image, twice)
    assert found.poses.box_scores.tolist() == [np.float32(0.95)] and found.disagreement.shape == (
        1,
        3,
    )
    predictor = predictor_of(symmetric, detector=lambda images: [twice for _ in images])
    [detected] = look_twice(predictor, [image], None, SIGMAS)
    np.testing.assert_array_equal(detected.poses.keypoints, found.poses.keypoints)


def test_several_images_are_looked_at_as_one_by_one():
    images = [picture(6), picture(7, (60, 100)), picture(8)]
    boxes = [boxes_of(6), boxes_of(7, number=0), boxes_of(8, number=2)]
    together = look_twice(predictor_of(fooled), images, boxes, SIGMAS)
    assert [len(looks.poses) for looks in together] == [4, 0, 2]
    for looks, image, own in zip(together, images, boxes, strict=True):
        alone = look(fooled, image, own)
        np.testing.assert_allclose(looks.poses.keypoints, alone.poses.keypoints, atol=1e-4)
        np.testing.assert_allclose(looks.disagreement, alone.disagreement, atol=1e-5)
    assert look_twice(predictor_of(fooled), [], [], SIGMAS) == []


def test_scores_come_calibrated_and_disagreement_goes_by_the_networks_own():
    predictor = predictor_of(fooled)
    plain = look_twice(predictor, [picture(9)], [boxes_of(9)], SIGMAS)[0]
    calibration = Calibration(Curve(5.0, -1.0), Curve(4.0, -2.0))
    predictor.runtime = replace(predictor.runtime, calibration=calibration)
    found = look_twice(predictor, [picture(9)], [boxes_of(9)], SIGMAS)[0]
    np.testing.assert_array_equal(found.disagreement, plain.disagreement)
    np.testing.assert_allclose(found.poses.scores, calibration.keypoints(plain.poses.scores), 1e-6)
    expected = calibration.people(plain.poses.person_scores())
    np.testing.assert_allclose(found.poses.expected_oks, expected)
