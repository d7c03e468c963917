"""What to label next: the choice equals a slow obvious one, and repeats nothing."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.data.labelling import LabelledImage
from pose.data.synthetic import draw_scene
from pose.inference.doubt import mirrored_poses
from pose.reports.novelty import CELLS, COLOUR, FARTHEST, SURE, choose, colours_of, describe
from pose.reports.suggestions import (
    ALIKE,
    REASONS,
    Labels,
    Seen,
    content_of,
    read_labels,
    suggest,
    uncertainty_of,
)
from pose.skeleton import COCO_17, Skeleton, skeleton_to_category
from pose.structures import Poses

FEW = Skeleton("few", ("top", "left", "right"), mirrored=(("left", "right"),))


def people(rng, number, skeleton=FEW):
    """Columns of people at random: keypoints, scores, boxes."""
    corners = rng.uniform(0, 200, (number, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 100, (number, 2))], axis=1)
    inside = rng.uniform(0, 1, (number, skeleton.num_keypoints, 2))
    keypoints = corners[:, None] + inside * (boxes[:, None, 2:] - boxes[:, None, :2])
    return keypoints, rng.uniform(0, 1, keypoints.shape[:2]), boxes


def described(rng, counts, skeleton=FEW):
    owners = np.repeat(np.arange(len(counts)), counts)
    colours = rng.uniform(0, 1, (len(counts), CELLS, CELLS, 3))[owners]
    columns = people(rng, len(owners), skeleton)
    return columns, colours, describe(*columns, colours, owners, skeleton.flip_index)


def slow_distance(one, other, flip_index):
    """Of two people (keypoints, scores, box, colours), in the plainest words; the nearer of the
    other and the other in the mirror."""

    def places(person):
        keypoints, scores, box, _ = person
        longer = max(box[2] - box[0], box[3] - box[1])
        for (x, y), score in zip(keypoints, scores, strict=True):
            known = min(score / SURE, 1)
            yield (known * (x - (box[0] + box[2]) / 2) / longer,
                   known * (y - (box[1] + box[3]) / 2) / longer)  # fmt: skip

    here, there = list(places(one)), list(places(other))
    results = []
    for mirrored in (False, True):
        turned = [(-there[k][0], there[k][1]) for k in flip_index] if mirrored else there
        apart = [(a - c) ** 2 + (b - d) ** 2 for (a, b), (c, d) in zip(here, turned, strict=True)]
        colours = other[3][:, ::-1] if mirrored else other[3]
        differ = ((one[3] - colours) ** 2).mean()
        results.append(np.sqrt(np.mean(apart) + COLOUR**2 * differ))
    return min(*results, FARTHEST)


def slow_choice(persons, owners, doubts, num_images, number, known, flip_index):
    chosen, distances = [], {}
    taken = list(known)
    while len(chosen) < number:
        best, worth = None, -1.0
        for image in range(num_images):
            own = [i for i in range(len(owners)) if owners[i] == image]
            if image in chosen or not own:
                continue
            near = [min([slow_distance(persons[i], t, flip_index) for t in taken], default=FARTHEST)
                    for i in own]  # fmt: skip
            value = np.mean([(doubts[i] * d) ** 2 for i, d in zip(own, near, strict=True)])
            if value > worth + 1e-12:
                best, worth, distance = image, value, np.sqrt(np.mean(np.square(near)))
        if best is None:
            break
        chosen.append(best)
        distances[best] = distance
        taken += [persons[i] for i in range(len(owners)) if owners[i] == best]
    return chosen, distances


def rows(columns, colours):
    return list(zip(*columns, colours, strict=True))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3), max_size=7), st.integers(1, 8))
def test_the_choice_is_that_of_plain_loops(seed, counts, number):
    rng = np.random.default_rng(seed)
    columns, colours, pool = described(rng, counts)
    known_columns, known_colours, known = described(rng, [2] * (seed % 2))
    doubts = rng.uniform(0, 1, sum(counts))
    choice = choose(pool, doubts, len(counts), number, known)
    expected, distances = slow_choice(
        rows(columns, colours), pool.images, doubts, len(counts), number,
        rows(known_columns, known_colours), FEW.flip_index,
    )  # fmt: skip
    assert choice.order.tolist() == expected
    for image, distance in distances.items():
        assert choice.distances[image] == pytest.approx(distance, abs=1e-7)


def test_a_longer_choice_begins_with_the_shorter_one():
    rng = np.random.default_rng(0)
    _, _, pool = described(rng, rng.integers(0, 4, 40))
    doubts = rng.uniform(0, 1, len(pool.images))
    orders = [choose(pool, doubts, 40, n, described(rng, [])[2]).order for n in (5, 12, 100)]
    assert orders[1][:5].tolist() == orders[0].tolist()
    assert orders[2][:12].tolist() == orders[1].tolist()
    assert sorted(orders[2]) == sorted(set(pool.images.tolist()))


@pytest.mark.slow
def test_ten_thousand_images_take_seconds():
    rng = np.random.default_rng(1)
    _, _, pool = described(rng, rng.integers(0, 6, 10_000), COCO_17)
    _, _, known = described(rng, [3] * 1000, COCO_17)
    started = time.process_time()
    choice = choose(pool, rng.uniform(0, 1, len(pool.images)), 10_000, 100, known)
    assert len(choice.order) == 100
    assert time.process_time() - started < 30


def seen_of(
    name, keypoints, scores, boxes, colours, *, differing=0.0, skeleton=FEW, size=(320, 240)
):
    poses = Poses(
        np.asarray(keypoints, np.float32), np.asarray(scores, np.float32),
        np.asarray(boxes, np.float32), skeleton, np.ones(len(boxes), np.float32),
    )  # fmt: skip
    disagreement = np.full(poses.scores.shape, differing)
    return Seen(LabelledImage(1, name, size, poses), disagreement, colours)


def random_seen(seed, number=1, **more):
    rng = np.random.default_rng(seed)
    keypoints, _, boxes = people(rng, number)
    scores = rng.uniform(0.3, 1, keypoints.shape[:2])
    colours = rng.uniform(0, 1, (CELLS, CELLS, 3))
    return seen_of(f"{seed}.jpg", keypoints, scores, boxes, colours, **more)


def copy_of(one, name, *, mirrored=False):
    poses, colours, differing = one.image.poses, one.colours, one.disagreement
    if mirrored:
        poses, colours = mirrored_poses(poses, one.image.size[0]), colours[:, ::-1]
        differing = differing[:, FEW.flip_index]
    return Seen(LabelledImage(2, name, one.image.size, poses), differing, colours)


@pytest.mark.parametrize("mirrored", [False, True])
def test_who_repeats_a_chosen_one_even_in_the_mirror_comes_last(mirrored):
    seen = [random_seen(seed) for seed in range(6)]
    first = suggest(seen, FEW, 1).choice.order[0]
    seen.append(copy_of(seen[first], "again.jpg", mirrored=mirrored))
    found = suggest(seen, FEW, 7)
    order = found.choice.order.tolist()
    assert {order[0], order[-1]} == {first, 6}
    assert found.choice.distances[order[-1]] == pytest.approx(0, abs=1e-6)
    content = content_of(suggest(seen, FEW, 3), {}, FEW, calibrated=False)
    told = {row["file_name"]: row for row in content["images"]}
    again = told[seen[order[-1]].image.name]
    assert again["rank"] is None and again["reason"] == REASONS["alike"]


def test_the_frames_of_a_video_repel_each_other():
    frames = [random_seen(100)]
    poses = frames[0].image.poses
    rng = np.random.default_rng(0)
    for i in range(9):
        moved = poses.keypoints + rng.normal(0, 0.4, poses.keypoints.shape)
        frames.append(
            seen_of(f"frame{i}", moved, poses.scores, poses.boxes, frames[0].colours + 0.005)
        )
    others = [random_seen(seed) for seed in range(4)]
    found = suggest([*frames, *others], FEW, 5)
    assert sum(place < 10 for place in found.choice.order) == 1
    rest = np.setdiff1d(np.arange(10), found.choice.order)
    assert (found.choice.distances[rest] < ALIKE).all()


def test_an_image_does_not_gain_by_a_crowd():
    one, alone = random_seen(0, 1), random_seen(1, 1)
    poses = one.image.poses[np.zeros(8, int)]
    crowd = Seen(LabelledImage(3, "crowd", (320, 240), poses), np.zeros((8, 3)), one.colours)
    found = suggest([one, crowd, alone], FEW, 3)
    assert found.doubts[0] == pytest.approx(found.doubts[1])
    assert found.uncertainty[0] == pytest.approx(found.uncertainty[1])


def test_the_most_doubtful_person_weighs_most_and_more_doubt_is_never_less():
    rng = np.random.default_rng(2)
    keypoints, _, boxes = people(rng, 2)
    colours = np.zeros((CELLS, CELLS, 3))

    def doubt(a, b):
        scores = np.repeat([[a], [b]], 3, axis=1)
        return suggest([seen_of("x", keypoints, scores, boxes, colours)], FEW, 1).doubts[0]

    assert doubt(0.5, 0.9) > (doubt(0.5, 0.5) + doubt(0.9, 0.9)) / 2
    values = [doubt(0.6, score) for score in (0.9, 0.7, 0.5, 0.3)]
    assert values == sorted(values)


def test_doubt_grows_with_flip_disagreement_and_falls_with_the_boxs_score():
    plain, differing = random_seen(3), random_seen(3, differing=0.4)
    found = suggest([plain, differing], FEW, 2)
    assert found.disagreement == pytest.approx([0, 0.4])
    assert 1 - found.doubts[1] == pytest.approx((1 - found.doubts[0]) * 0.6)
    poses = plain.image.poses
    half = Poses(poses.keypoints, poses.scores, poses.boxes, FEW, np.full(1, 0.5, np.float32))
    faint = Seen(LabelledImage(1, "faint", (320, 240), half), plain.disagreement, plain.colours)
    expected = 0.5 * uncertainty_of(faint)[0]
    assert suggest([faint], FEW, 1).doubts[0] == pytest.approx(expected)


def test_uncertainty_is_of_the_keypoints_that_count():
    one = random_seen(4, number=2)
    scores = one.image.poses.scores.astype(float)
    person = one.image.poses.person_scores()
    expected = 1 - (person + scores.mean(axis=1)) / 2
    np.testing.assert_allclose(uncertainty_of(one), expected)
    one.disagreement[0, 0] = np.nan
    expected[0] = 1 - (person[0] + scores[0, 1:].mean()) / 2
    np.testing.assert_allclose(uncertainty_of(one), expected)
    one.disagreement[1] = np.nan
    assert uncertainty_of(one)[1] == pytest.approx(1 - person[1] / 2)


def nobody(name):
    return seen_of(name, np.zeros((0, 3, 2)), np.zeros((0, 3)), np.zeros((0, 4)),
                   np.zeros((CELLS, CELLS, 3)))  # fmt: skip


def test_every_image_stands_in_the_content_with_its_reason():
    seen = [*(random_seen(seed) for seed in range(4)), nobody("empty.jpg")]
    others = {"old.jpg": "labelled", "broken.jpg": "unreadable", "late.jpg": "unseen"}
    content = content_of(suggest(seen, FEW, 2), others, FEW, calibrated=True)
    told = {row["file_name"]: row for row in content["images"]}
    assert set(told) == {one.image.name for one in seen} | set(others)
    assert sorted(row["rank"] for row in told.values() if row["rank"]) == [1, 2]
    assert all((row["rank"] is None) == (row["reason"] is not None) for row in told.values())
    assert told["empty.jpg"]["reason"] == REASONS["nobody"] and told["empty.jpg"]["doubt"] is None
    assert {name: told[name]["reason"] for name in others} == {
        name: REASONS[why] for name, why in others.items()
    }
    assert content["counts"]["images"] == 8 and content["counts"]["chosen"] == 2
    assert content["counts"][REASONS["nobody"]] == 1
    assert [row["keypoint"] for row in content["keypoints"]] == list(FEW.keypoints)
    assert content["scores"] == "calibrated"


def test_a_pool_of_nobody_gives_nothing_to_choose():
    for seen in ([], [nobody("a.jpg"), nobody("b.jpg")]):
        found = suggest(seen, FEW, 5)
        assert found.chosen() == []
        assert content_of(found, {}, FEW, calibrated=False)["counts"]["chosen"] == 0


def labels_of(save, one, *, keypoints=FEW, name="set/old.jpg"):
    poses = one.image.poses
    triplets = np.concatenate([poses.keypoints[0], np.full((3, 1), 2)], axis=1)
    x1, y1, x2, y2 = poses.boxes[0].tolist()
    return save({
        "images": [{"id": 1, "file_name": name, "width": 320, "height": 240},
                   {"id": 2, "file_name": "set/empty.jpg", "width": 320, "height": 240}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
                         "keypoints": triplets.ravel().tolist(), "num_keypoints": 3,
                         "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1], "area": 100}],
        "categories": [{**skeleton_to_category(keypoints), "sigmas": None}],
    })  # fmt: skip


def test_who_is_labelled_already_is_near(save):
    seen = [random_seen(seed) for seed in range(5)]
    sure = np.full((1, 3), 0.9)
    seen = [
        seen_of(one.image.name, poses.keypoints, sure, poses.boxes, one.colours)
        for one in seen
        for poses in [one.image.poses]
    ]
    plain = suggest(seen, FEW, 5)
    first = plain.choice.order[0]
    labels = read_labels(labels_of(save, seen[first]), FEW)
    found = suggest(seen, FEW, 5, labels, {"set/old.jpg": seen[first].colours})
    assert found.choice.distances[first] < 0.02 and found.choice.order[-1] == first
    unknown = suggest(seen, FEW, 5, labels)
    assert 0.02 < unknown.choice.distances[first] < FARTHEST


def test_labelled_images_are_known_by_the_end_of_their_path(save, tmp_path):
    labels = read_labels(labels_of(save, random_seen(0)), FEW)
    assert isinstance(labels, Labels)
    assert labels.name_of(tmp_path / "set/old.jpg") == "set/old.jpg"
    assert labels.name_of(tmp_path / "set/empty.jpg") == "set/empty.jpg"
    assert labels.name_of(tmp_path / "other/old.jpg") is None
    assert labels.name_of(tmp_path / "set/older.jpg") is None


def test_labels_of_other_keypoints_are_refused(save):
    other = Skeleton("other", ("top", "left", "right", "tail"))
    path = labels_of(save, random_seen(0), keypoints=Skeleton("x", ("a", "b", "c")))
    with pytest.raises(
        ValueError, match="its keypoints are those of 'x', not those of the network"
    ):
        read_labels(path, other)


def test_colours_are_means_of_the_parts_of_an_image():
    image = draw_scene(1, 0, (64, 48)).image
    parts = [[image[r : r + 12, c : c + 16].mean(axis=(0, 1)) for c in range(0, 64, 16)]
             for r in range(0, 48, 12)]  # fmt: skip
    np.testing.assert_allclose(colours_of(image) * 255, parts, atol=0.51)
