"""Ids stay with people through crossings, gaps and cuts; no id is given twice; boxes stay sane.

People here walk: `crowd` draws articulated walkers of different sizes who cross and hide each
other, and spoils their true poses as a detector and a network would.
"""

import copy
import json
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.data.synthetic import draw_clip
from pose.data.synthetic.figure import draw_figure, pose_figure
from pose.data.synthetic.motions import draw_moment, mirrored
from pose.data.synthetic.paint import facing
from pose.geometry import Crop, box_iou, xywh_to_xyxy
from pose.inference import tracker as module
from pose.inference.boxes import Boxes
from pose.inference.frames import Frame, follow_through
from pose.inference.tracker import Track, Tracker, assign, compare, pose_boxes
from pose.metrics.oks import oks
from pose.skeleton import COCO_17, MPII_16
from pose.structures import Poses, empty_poses
from pose.video import read_frames

FPS = 25
SIGMAS = np.array(COCO_17.sigmas)
RIGHT = np.array([1.0, 0.0])


class Walker:
    """A figure that walks from side to side; keypoints in pixels of a wide picture."""

    def __init__(self, rng, height, speed, middle=(640.0, 1.0), feet=500.0):
        """speed in heights a second, to the right; at the time middle[1] it is at x middle[0]."""
        self.figure = draw_figure(rng)
        step = draw_moment(rng, "walk")
        self.moments = (step, mirrored(step))
        self.turn = facing(np.pi / 2 * np.sign(speed) * rng.uniform(0.6, 1.0), 0.0)
        self.height, self.speed, self.middle, self.feet = height, speed, middle, feet

    def at(self, time):
        """(17, 2)."""
        place = time * max(1.0, 2.5 * abs(self.speed))
        share = place % 1
        before, after = self.moments if int(place) % 2 == 0 else self.moments[::-1]
        share = share * share * (3 - 2 * share)
        angles = (1 - share) * before + share * after
        points = pose_figure(self.figure.build, "walk", angles).keypoints @ self.turn.T
        points = points[:, :2] - [points[:, 0].mean(), points[:, 1].max()]
        x = self.middle[0] + self.speed * self.height * (time - self.middle[1])
        return points * self.height + [x, self.feet]


def boxes_of(points):
    """(N, 4) person boxes of all keypoints (N, 17, 2)."""
    low, high = points.min(axis=1), points.max(axis=1)
    margin = 0.1 * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - margin, high + margin], axis=1)


def as_poses(points, scores=0.8, box_scores=0.9, skeleton=COCO_17):
    points = np.asarray(points, np.float32).reshape(-1, skeleton.num_keypoints, 2)
    shape = points.shape[:2]
    return Poses(
        points,
        np.broadcast_to(np.asarray(scores, np.float32), shape).copy(),
        boxes_of(points).astype(np.float32).reshape(-1, 4),
        skeleton,
        np.broadcast_to(np.asarray(box_scores, np.float32), shape[:1]).copy(),
    )


def pair(seed=0, heights=(300, 290), speeds=(0.8, -0.7)):
    """Two who meet in the middle of the picture after a second."""
    rng = np.random.default_rng(seed)
    return [Walker(rng, h, v) for h, v in zip(heights, speeds, strict=True)]


def frame_of(walkers, time, rng=None, noise=0.007):
    points = np.array([walker.at(time) for walker in walkers]).reshape(-1, 17, 2)
    if rng is not None:
        heights = np.array([walker.height for walker in walkers])
        points += rng.normal(0, noise, points.shape) * heights[:, None, None]
    return points


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of `crowd`: owners (N,) are places of people, -1 that of a false detection."""

    time: float
    poses: Poses
    owners: np.ndarray


def crowd(seed, seconds=6.0, fps=FPS, missed=0.05, pan=0.0, num_people=6):
    """Walkers who cross; who is nearer (larger) hides who is not. Hidden keypoints have low scores
    and half of them lie on the person in front; some detections are missing, some are nobody."""
    rng = np.random.default_rng(seed)
    walkers = []
    for _ in range(num_people):
        height = np.exp(rng.uniform(np.log(140), np.log(420)))
        speed = rng.choice([-1, 1]) * rng.uniform(0.3, 1.1)
        middle = rng.uniform(200, 1080), rng.uniform(0.2, 0.8) * seconds
        walkers.append(Walker(rng, height, speed, middle, 360 + 0.8 * height))
    heights = np.array([walker.height for walker in walkers])
    shots = []
    for time in np.arange(int(seconds * fps)) / fps:
        points = frame_of(walkers, time) + pan * np.sin(2 * np.pi * time / 3) * RIGHT
        hidden = hidden_keypoints(points, heights)
        seen = 1 - hidden.mean(axis=1)
        found = rng.random(num_people) > missed + np.clip((0.55 - seen) / 0.35, 0, 1)
        scores = rng.uniform(0.6, 0.95, hidden.shape) * (0.35 + 0.65 * seen[:, None])
        scores[hidden] *= rng.uniform(0.1, 0.6, hidden.sum())
        spoilt = points + rng.normal(0, 0.007, points.shape) * heights[:, None, None]
        front = points[heights.argsort()[::-1]]
        for i in np.flatnonzero(hidden.any(axis=1)):
            others = front[: (heights > heights[i]).sum()]
            gap = np.abs(others[..., 0].mean(axis=1) - points[i, :, 0].mean())
            leaps = hidden[i] & (rng.random(17) < 0.5)
            if len(others):
                spoilt[i, leaps] = others[gap.argmin(), leaps]
        owners = np.flatnonzero(found)
        box_scores = 0.9 * (0.5 + 0.5 * seen[found])
        poses = as_poses(spoilt[found], scores[found], box_scores)
        poses = replace(poses, boxes=boxes_of(points)[found].astype(np.float32))
        if rng.random() < 0.03:
            cloud = rng.uniform(0, 700, 2) + rng.normal(0, 40, (1, 17, 2))
            poses = joined(poses, as_poses(cloud, rng.uniform(0.3, 0.8, (1, 17)), 0.6))
            owners = np.append(owners, -1)
        order = rng.permutation(len(owners))
        shots.append(Shot(float(time), poses[order], owners[order]))
    return shots


def hidden_keypoints(points, heights):
    """(N, 17) bool: outside the picture, or inside the trunk's column of a larger person."""
    hidden = ((points < 0) | (points > [1280, 720])).any(axis=-1)
    boxes = boxes_of(points)
    waist = 0.22 * (boxes[:, 2] - boxes[:, 0])
    for i, box in enumerate(boxes):
        low, high = box[:2] + waist[i] * RIGHT, box[2:] - waist[i] * RIGHT
        inside = ((points > low) & (points < high)).all(axis=-1)
        hidden |= inside & (heights < heights[i])[:, None]
    return hidden


def joined(*several):
    return Poses(
        *(np.concatenate([getattr(p, n) for p in several]) for n in ("keypoints", "scores")),
        np.concatenate([p.boxes for p in several]),
        several[0].skeleton,
        np.concatenate([p.box_scores for p in several]),
    )


def follow(shots, **options):
    """Id switches, people seen, ids given, share of the poses of people that came through, ids on
    false detections."""
    tracker, last = Tracker(COCO_17, **options), {}
    switches = kept = total = 0
    false = set()
    for shot in shots:
        found = tracker.update(shot.poses, shot.time)
        total += (shot.owners >= 0).sum()
        same = (found.keypoints[:, None] == shot.poses.keypoints).all(axis=(2, 3))
        owners = [shot.owners[np.flatnonzero(row)[0]] for row in same]
        for owner, track_id in zip(owners, found.track_ids, strict=True):
            if owner < 0:
                false.add(track_id)
                continue
            kept += 1
            switches += last.get(owner, track_id) != track_id
            last[owner] = track_id
    return np.array([switches, len(last), tracker.num_ids, kept / total, len(false)])


def ids_of(tracker, points, time, **options):
    return tracker.update(as_poses(points, **options), time).track_ids.tolist()


def test_the_first_frame_gives_ids_from_left_to_right():
    walkers = [Walker(np.random.default_rng(0), 200, 0.5, (x, 0)) for x in (900, 100, 500)]
    weak = as_poses(frame_of(walkers, 0), scores=[[0.3]] * 3)
    assert Tracker(COCO_17).update(weak, 0.0).track_ids.tolist() == [3, 1, 2]


@pytest.mark.parametrize("fps", [8, 25, 60])
@pytest.mark.parametrize("hidden", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(4))
def test_ids_stay_with_people_who_cross(seed, hidden, fps):
    """For `hidden` seconds before and after they meet only one of them is found."""
    walkers, rng, shots = pair(seed), np.random.default_rng(seed), []
    for time in np.arange(2 * fps) / fps:
        owners = np.arange(1 if abs(time - 1) < hidden else 2)
        poses = as_poses(frame_of(walkers, time, rng)[owners])
        shots.append(Shot(float(time), poses, owners))
    switches, people, given, kept, _ = follow(shots)
    assert switches == 0 and people == given == 2
    assert kept > 0.9, "where one covers the other they may count as one person for a moment"


def test_ids_stay_through_missing_frames():
    """A whole second in which the two walk further than they are apart."""
    rng, tracker = np.random.default_rng(0), Tracker(COCO_17)
    walkers = [Walker(rng, 200, 0.9, (x, 0.0)) for x in (300, 450)]
    for time in (*np.arange(10) / FPS, 1.36, 1.4):
        assert ids_of(tracker, frame_of(walkers, time), time) == [1, 2]


def test_who_is_away_for_too_long_is_somebody_new():
    walker = pair()[:1]
    for gap, expected in ((1.4, [1]), (1.6, [2])):
        tracker = Tracker(COCO_17)
        assert ids_of(tracker, frame_of(walker, 0), 0.0) == [1]
        assert ids_of(tracker, [], gap / 2) == []
        assert ids_of(tracker, [], gap) == []
        assert ids_of(tracker, frame_of(walker, 0), gap) == expected


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_no_id_is_given_twice(seed):
    """Whatever comes: an id is once a frame, comes back within the gap or never, and new ones are
    counted upwards."""
    rng = np.random.default_rng(seed)
    tracker, seen_at, time = Tracker(COCO_17), {}, 0.0
    for _ in range(30):
        time += rng.choice([0.04, 0.3, 2.0])
        count = rng.integers(0, 5)
        points = rng.uniform(0, 600, (count, 1, 2)) + rng.normal(0, 40, (count, 17, 2))
        ids = ids_of(tracker, points, time, scores=rng.uniform(0, 1, (count, 17)))
        assert len(set(ids)) == len(ids) <= count
        new = sorted(set(ids) - set(seen_at))
        assert new == list(range(len(seen_at) + 1, len(seen_at) + 1 + len(new)))
        for track_id in ids:
            assert time - seen_at.get(track_id, time) <= tracker.max_gap + 2.0
            seen_at[track_id] = time
        assert tracker.num_ids == len(seen_at)


def test_no_id_comes_back_after_everybody_left():
    tracker = Tracker(COCO_17)
    for visit in range(4):
        start = 10.0 * visit
        for time in np.arange(6) / FPS:
            found = ids_of(tracker, frame_of(pair(), time), start + time)
            assert found == [2 * visit + 1, 2 * visit + 2]
        assert ids_of(tracker, [], start + 3) == [] and not tracker.tracks


@given(st.integers(0, 1000), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_people_decides_nothing(seed, shuffle):
    rng = np.random.default_rng(shuffle)
    plain, mixed = Tracker(COCO_17), Tracker(COCO_17)
    for shot in crowd(seed, seconds=1.5, fps=10):
        order = rng.permutation(len(shot.poses))
        one = plain.update(shot.poses, shot.time)
        other = mixed.update(shot.poses[order], shot.time)
        named = [
            {i: k.tobytes() for i, k in zip(p.track_ids.tolist(), p.keypoints, strict=True)}
            for p in (one, other)
        ]
        assert named[0] == named[1]


@pytest.mark.parametrize(("scale", "shift"), [(3.0, (0, 0)), (0.25, (0, 0)), (1.0, (-4000, 900))])
def test_size_and_place_of_the_picture_decide_nothing(scale, shift):
    plain, other = Tracker(COCO_17), Tracker(COCO_17)
    for shot in crowd(5, seconds=3):
        moved = shot.poses.keypoints * scale + np.array(shift, np.float32)
        boxes = shot.poses.boxes * scale + np.tile(np.array(shift, np.float32), 2)
        found = plain.update(shot.poses, shot.time)
        there = other.update(replace(shot.poses, keypoints=moved, boxes=boxes), shot.time)
        assert np.array_equal(found.track_ids, there.track_ids)
        near = plain.boxes_at(shot.time + 0.04).boxes * scale + np.tile(shift, 2)
        assert np.abs(near - other.boxes_at(shot.time + 0.04).boxes).max(initial=0) < 0.02 * scale


def test_everything_but_the_people_left_out_passes_unchanged():
    poses = as_poses(frame_of(pair(), 0))
    found = Tracker(COCO_17).update(poses, 0.0)
    assert found.track_ids.dtype == np.int64
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        assert np.array_equal(getattr(found, name), getattr(poses, name))


def test_a_newcomer_earns_an_id_by_scores_and_a_flash_none():
    old, new = pair()
    tracker = Tracker(COCO_17)
    ids_of(tracker, frame_of([old], 0), 0.0)
    for step, (score, expected) in enumerate([(0.3, [1]), (0.3, [1, 2]), (0.3, [1, 2])], 1):
        scores = [[0.8] * 17, [score] * 17]
        found = ids_of(tracker, frame_of([old, new], step / FPS), step / FPS, scores=scores)
        assert found == expected, "0.27 is not enough, 0.54 is"
    sure = frame_of([old, new], 4 / FPS)[1:] + 300 * RIGHT
    assert ids_of(tracker, sure, 4 / FPS) == [3], "0.72 is enough at once"
    flash = frame_of([new], 0) + 2000 * RIGHT
    assert ids_of(tracker, flash, 5 / FPS, scores=0.3) == []
    assert ids_of(tracker, [], 6 / FPS) == []
    assert ids_of(tracker, flash, 7 / FPS, scores=0.3) == [], "what it had is forgotten"
    assert tracker.num_ids == 3


def test_who_was_found_is_kept_at_a_lower_score():
    walkers, tracker = pair()[:1], Tracker(COCO_17)
    for step, (score, expected) in enumerate([(0.9, [1]), (0.3, [1]), (0.15, []), (0.3, [1])]):
        shown = frame_of(walkers, step / FPS)
        found = ids_of(tracker, shown, step / FPS, scores=0.5, box_scores=score)
        assert found == expected
    assert ids_of(Tracker(COCO_17), frame_of(walkers, 0), 0.0, scores=0.5, box_scores=0.3) == []


def test_who_is_long_out_of_sight_comes_back_by_a_pose_that_shows_somebody():
    """Half a second later a faint pose where they stood is a lamppost as likely as they are."""
    walkers = pair()[:1]
    for score, expected in ((0.3, []), (0.9, [1])):
        tracker = Tracker(COCO_17)
        assert ids_of(tracker, frame_of(walkers, 0), 0.0) == [1]
        for time in (0.1, 0.2, 0.3, 0.4):
            assert ids_of(tracker, [], time) == []
        shown = frame_of(walkers, 0)
        assert ids_of(tracker, shown, 0.5, scores=0.5, box_scores=score) == expected


def test_a_cut_makes_everybody_new_and_a_cut_back_nobody():
    tracker = Tracker(COCO_17)
    here, there = frame_of(pair(), 0), frame_of(pair(7, (120, 500)), 0) * [0.5, 1] + [2000, 300]
    assert ids_of(tracker, here, 0.0) == [1, 2]
    assert sorted(ids_of(tracker, there, 0.04)) == [3, 4]
    assert ids_of(tracker, here, 0.08) == [1, 2]


def test_empty_frames_are_frames():
    tracker = Tracker(COCO_17)
    for time in (0.0, 0.1, 0.2):
        found = tracker.update(empty_poses(COCO_17), time)
        assert len(found) == 0 and found.track_ids.shape == (0,)
        assert tracker.boxes_at(time + 0.1).boxes.shape == (0, 4)
    assert not tracker.needs_detector and tracker.num_ids == 0


def test_copies_go_on_by_themselves_and_alike():
    shots = crowd(1, seconds=2)
    tracker = Tracker(COCO_17)
    for shot in shots[:20]:
        tracker.update(shot.poses, shot.time)
    other, number = copy.copy(tracker), tracker.num_ids
    first = [tracker.update(s.poses, s.time).track_ids.tolist() for s in shots[20:]]
    assert other.num_ids == number and other.time == shots[19].time
    assert [other.update(s.poses, s.time).track_ids.tolist() for s in shots[20:]] == first


def test_times_that_do_not_grow_are_borne():
    walkers, tracker = pair(), Tracker(COCO_17)
    for time in (0.0, 0.04, 0.04, 0.08, 0.02, 0.06):
        assert ids_of(tracker, frame_of(walkers, time), time) == [1, 2]
        assert all(np.isfinite(track.velocity).all() for track in tracker.tracks)
        now, before = (tracker.boxes_at(t).boxes for t in (time, time - 0.5))
        assert np.array_equal(now, before)


def test_a_skeleton_without_sigmas_is_followed():
    points = np.random.default_rng(0).uniform(0, 200, (2, 16, 2))
    points[1] += 500 * RIGHT
    tracker = Tracker(MPII_16)
    for step in range(5):
        poses = as_poses(points + 5 * step, skeleton=MPII_16)
        assert tracker.update(poses, step / FPS).track_ids.tolist() == [1, 2]


@pytest.mark.parametrize("gap", [-1.0, float("nan"), float("inf")])
def test_an_impossible_gap_is_refused(gap):
    with pytest.raises(ValueError, match=r"max_gap is .*; expected seconds, 0 or more"):
        Tracker(COCO_17, max_gap=gap)


def test_an_impossible_time_is_refused():
    with pytest.raises(ValueError, match="the frame's time is nan; expected seconds"):
        Tracker(COCO_17).update(empty_poses(COCO_17), float("nan"))


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_the_pairs_are_the_best_of_all(rows, columns, seed):
    similarity = np.random.default_rng(seed).uniform(-0.4, 1, (rows, columns)).clip(0)
    pairs = assign(similarity)
    assert all(similarity[row, column] > 0 for column, row in pairs.items())
    assert len(set(pairs.values())) == len(pairs)
    square = np.zeros((4, 4))
    square[:rows, :columns] = similarity
    best = max(square[range(4), order].sum() for order in permutations(range(4)))
    assert sum(similarity[r, c] for c, r in pairs.items()) == pytest.approx(best, abs=1e-12)


def track_of(points, scores, box):
    return Track(0, points, scores, box, np.zeros(2), 1.0, 1.0, 0.0, 0.0, 0.0)


def slow_similarity(one, other, threshold):
    common = [k for k in range(17) if min(one.scores[k], other.scores[k]) > threshold]
    area = sum((t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for t in (one, other)) / 2
    each = [
        np.exp(-((one.keypoints[k] - other.keypoints[k]) ** 2).sum() / (8 * SIGMAS[k] ** 2 * area))
        for k in common
    ]
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    shared = max(width, 0) * max(height, 0)
    overlap = shared / (2 * area - shared)
    return (sum(each) / len(each) + overlap) / 2 if common else overlap


@given(st.integers(0, 2**32 - 1))
def test_similarity_is_the_mean_of_oks_and_iou(seed):
    rng = np.random.default_rng(seed)
    sides = []
    for count in rng.integers(1, 4, 2):
        points = rng.uniform(0, 60, (count, 17, 2))
        scores = rng.uniform(0, 1, (count, 17)) ** rng.choice([0.5, 8.0])
        boxes = boxes_of(points)
        sides.append([track_of(p, s, b) for p, s, b in zip(points, scores, boxes, strict=True)])
    expected = [[slow_similarity(one, other, 0.2) for other in sides[1]] for one in sides[0]]
    assert np.abs(compare(*sides, SIGMAS, 0.2) - expected).max() < 1e-9


def look(points, box, size=(192, 256)):
    """A perfect network: the keypoints inside the crop of `box`; the others are held at its border,
    with a low score."""
    crop = Crop.of_box(box, size)
    there = crop.to_input(points)
    inside = ((there >= 0) & (there <= size)).all(axis=-1)
    found = crop.to_image(there.clip(0, size))
    return replace(as_poses(found, np.where(inside, 0.9, 0.1)), boxes=box[None])


@pytest.mark.parametrize("start", [0.6, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("speed", [0.0, 0.8])
def test_boxes_from_poses_neither_grow_nor_shrink(start, speed):
    """Box, pose, box, 200 times, without the detector after the first one."""
    walker = pair(speeds=(speed + 1e-9, 0.1))[0]
    truth = boxes_of(frame_of([walker], 0))[0]
    center, half = (truth[:2] + truth[2:]) / 2, (truth[2:] - truth[:2]) / 2
    box = np.concatenate([center - start * half, center + start * half]).astype(np.float32)
    tracker = Tracker(COCO_17)
    for step in range(200):
        time = step / FPS
        poses = look(walker.at(time), box)
        tracker.update(poses, time, detected=step % 20 == 0)
        (box,) = tracker.boxes_at(time + 1 / FPS).boxes
        if step >= 30:
            truth = boxes_of(frame_of([walker], time + 1 / FPS))[0]
            assert box_iou(box[None], truth[None]) > 0.8
            assert 0.9 < (box[3] - box[1]) / (truth[3] - truth[1]) < 1.1


def test_a_box_from_a_pose_is_near_that_of_an_annotator(test_data):
    path = test_data / "coco/annotations/person_keypoints_train2017.json"
    overlaps = []
    for entry in json.loads(path.read_text())["annotations"]:
        triplets = np.array(entry["keypoints"], float).reshape(-1, 3)
        if (triplets[:, 2] > 0).sum() >= 15 and not entry["iscrowd"]:
            poses = as_poses(triplets[:, :2], 0.9 * (triplets[:, 2] > 0))
            box = xywh_to_xyxy(np.array([entry["bbox"]]))
            overlaps.append(box_iou(pose_boxes(poses, 0.2), box).item())
    assert len(overlaps) > 40 and np.median(overlaps) > 0.78


def test_a_pose_of_few_keypoints_has_the_box_it_was_looked_for_in():
    poses = as_poses(frame_of(pair(), 0), np.where(np.arange(17) < 2, 0.9, 0.1))
    assert np.array_equal(pose_boxes(poses, 0.2), poses.boxes)
    one = as_poses(np.full((1, 17, 2), 50.0))
    assert np.array_equal(pose_boxes(one, 0.2), one.boxes), "all in one place"


def followed_for(seconds, walkers, **options):
    """A tracker after `seconds` of looking at walkers, each frame by the detector."""
    tracker = Tracker(COCO_17, **options)
    for time in np.arange(round(seconds * FPS)) / FPS:
        tracker.update(as_poses(frame_of(walkers, time)), time)
    return tracker


def test_boxes_run_ahead_with_the_person():
    walker = pair()[0]
    tracker = followed_for(1.0, [walker])
    for ahead in (0.04, 0.2):
        (box,) = tracker.boxes_at(0.96 + ahead).boxes
        truth = boxes_of(frame_of([walker], 0.96 + ahead))[0]
        assert abs(box[::2].mean() - truth[::2].mean()) < 0.05 * walker.height
    assert tracker.boxes_at(1.0).scores.tolist() == pytest.approx([0.9])


def test_keypoints_that_leap_carry_nobody_away():
    walkers = [Walker(np.random.default_rng(0), 200, 1e-9)]
    tracker = followed_for(0.4, walkers)
    (before,) = tracker.boxes_at(0.6).boxes
    points, scores = frame_of(walkers, 0.0), np.full(17, 0.8)
    points[:, 7:11, 0] += 40
    tracker.update(as_poses(points, scores), 0.4)
    (after,) = tracker.boxes_at(0.6).boxes
    assert abs(after[0] - before[0]) < 1 and np.abs(tracker.tracks[0].velocity).max() < 20


def test_the_detectors_boxes_come_first_and_those_it_missed_after_them():
    walkers = pair()
    tracker = followed_for(0.4, walkers)
    expected = tracker.boxes_at(0.4).boxes
    found = Boxes(
        np.array([[2000, 0, 2100, 300], expected[1] + 4], np.float32), np.array([0.7, 0.6])
    )
    boxes = tracker.boxes_at(0.4, found)
    assert np.array_equal(boxes.boxes, [*found.boxes, expected[0]])
    assert boxes.scores.tolist() == pytest.approx([0.7, 0.6, 0.9])
    beside = Boxes(expected[:1] + 0.5 * np.float32(expected[0, 2] - expected[0, 0]), np.ones(1))
    assert len(tracker.boxes_at(0.4, beside).boxes) == 3, "somebody else, who stands near"
    nothing = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert np.array_equal(tracker.boxes_at(0.4, nothing).boxes, expected)
    assert np.array_equal(Tracker(COCO_17).boxes_at(0.0, found).boxes, found.boxes)


def test_nobody_is_followed_for_long_without_the_detector():
    """A ghost: its box always shows the same pose, and the detector never sees it again."""
    walkers = [Walker(np.random.default_rng(0), 200, 1e-9)]
    tracker = followed_for(0.4, walkers)
    asked, looked = [], []
    for step in range(10, 45):
        boxes = tracker.boxes_at(step / FPS).boxes
        poses = as_poses(frame_of(walkers[: len(boxes)], 0))
        tracker.update(poses, step / FPS, detected=False)
        asked.append(tracker.needs_detector)
        looked.append(len(boxes))
    assert looked == [1] * 25 + [0] * 10
    assert asked[:12] == [False] * 12 and all(asked[13:26])


def test_the_detector_is_asked_for_when_somebody_is_lost():
    walkers, tracker = pair(), Tracker(COCO_17)
    assert tracker.needs_detector
    for step in range(8):
        poses = as_poses(frame_of(walkers, step / FPS), [[0.8], [0.8 if step < 5 else 0.05]])
        tracker.update(poses, step / FPS, detected=step == 0)
        assert tracker.needs_detector == (step == 5), "once: the next look is the detector's"


def test_who_is_lost_is_looked_for_a_little_longer():
    tracker = followed_for(0.4, pair())
    sizes = []
    for time in 0.36 + 0.045 * np.arange(1, 9):
        sizes.append(len(tracker.boxes_at(time).boxes))
        tracker.update(empty_poses(COCO_17), time, detected=False)
    assert sizes == [2] * 4 + [0] * 4


def test_two_poses_of_one_person_become_one():
    walkers, rng = pair(), np.random.default_rng(0)
    tracker = followed_for(0.4, walkers)
    twice = frame_of([*walkers, walkers[0]], 0.4, rng)
    poses = as_poses(twice, [[0.6], [0.8], [0.8]])
    found = tracker.update(poses, 0.4, np.array([True, True, False]))
    assert np.array_equal(found.keypoints, poses.keypoints[:2]), "the detector's goes first"
    assert found.track_ids.tolist() == [1, 2]
    every = followed_for(0.4, walkers, same_person=1.0).update(poses, 0.4)
    assert len(every) == 3 and len(set(every.track_ids.tolist())) == 3


def test_poses_in_expected_boxes_make_no_newcomers():
    tracker = followed_for(0.4, pair()[:1])
    drifted = frame_of(pair()[:1], 0.4) + 600 * RIGHT
    assert len(tracker.update(as_poses(drifted), 0.4, detected=False)) == 0
    assert tracker.num_ids == 1


def test_who_is_hidden_moves_with_the_camera(monkeypatch):
    """The camera swings while one of four is out of sight for 0.8 seconds."""

    def last_ids():
        rng, tracker = np.random.default_rng(3), Tracker(COCO_17)
        walkers = [Walker(rng, 200, 0.3, (x, 0)) for x in (0, 400, 800, 1200)]
        for time in np.arange(40) / FPS:
            swing = 600 * max(time - 0.6, 0) ** 2
            shown = walkers[1:] if 0.6 <= time < 1.4 else walkers
            found = ids_of(tracker, frame_of(shown, time, rng) + swing * RIGHT, time)
        return found

    assert last_ids() == [1, 2, 3, 4]
    monkeypatch.setattr(module, "CAMERA_PEOPLE", 99)
    assert last_ids() != [1, 2, 3, 4], "else this would show nothing"


@pytest.mark.parametrize("seed", [2, 32, 40])
def test_people_of_a_drawn_clip_keep_their_ids(seed):
    """True keypoints with noise; every fifth pose is not found."""
    rng, shots = np.random.default_rng(seed), []
    for number, scene in enumerate(draw_clip(seed, 45, 15.0, (160, 120))):
        people = [i for i in range(len(scene.people)) if rng.random() > 0.2 or number == 0]
        triplets = np.array([scene.people[i].keypoints for i in people]).reshape(-1, 17, 3)
        boxes = np.array([scene.people[i].box for i in people], np.float32).reshape(-1, 4)
        heights = (boxes[:, 3] - boxes[:, 1])[:, None, None]
        points = triplets[..., :2] + 0.01 * heights * rng.normal(size=triplets[..., :2].shape)
        poses = as_poses(points, np.where(triplets[..., 2] > 0, 0.8, 0.1))
        shots.append(Shot(number / 15, replace(poses, boxes=boxes), np.array(people, int)))
    switches, people, given, kept, _ = follow(shots)
    assert switches == 0 and given == people and kept > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "most", "surplus"),
    [({}, 22, 10), ({"fps": 10}, 22, 10), ({"missed": 0.3}, 32, 13), ({"pan": 190.0}, 34, 17)],
)
def test_crowds(options, most, surplus, monkeypatch):
    """72 people in 12 crowds: so many switches and ids too many; without motion twice as many."""
    crowds = [crowd(seed, 8.0, **options) for seed in range(12)]
    switches, people, given, kept, false = sum(follow(shots) for shots in crowds)
    assert people == 72 and switches <= most and given - people <= surplus
    assert kept / 12 > 0.97 and false <= 5
    monkeypatch.setattr(module, "foresee", lambda track, time: replace(track, at=time))
    assert sum(follow(shots)[0] for shots in crowds) > 2 * switches


@pytest.mark.slow
def test_a_street(test_data):
    """205 frames in which the camera wavers and people hide each other, the detector at every
    tenth: by eye one man stays in the middle throughout and a pair nearly so."""
    from pose.build_predictor import load

    predictor = load(
        test_data / "models/ultralight_simplepose_256x192.onnx",
        detector=f"rtmdet={test_data / 'models/rtmdet_nano_person_320.onnx'}",
    )
    frames = read_frames(test_data / "video/street_205frames_720p.avi")
    numbered = (Frame(number, time, image) for number, (image, time) in enumerate(frames))
    found = list(follow_through(predictor, numbered, Tracker(COCO_17), interval=10))
    ids = np.concatenate([poses.track_ids for _, poses in found])
    frames_of = np.sort(np.bincount(ids)[1:])[::-1]
    assert len(found) == 205 and 5 <= len(frames_of) <= 14
    assert frames_of[0] >= 200 and frames_of[3] >= 100, frames_of


def labelled_people(path, least):
    """(N, 17, 3) of each image with several."""
    images = {}
    for entry in json.loads(path.read_text())["annotations"]:
        triplets = np.array(entry.get("keypoints", []), float).reshape(-1, 3)
        if len(triplets) == 17 and (triplets[:, 2] > 0).sum() >= least:
            images.setdefault(entry["image_id"], []).append(triplets)
    return [np.array(people) for people in images.values() if len(people) > 1]


def test_labelled_people_are_followed_through_a_moving_picture(test_data):
    """A crowded frame of PoseTrack: the camera pans and zooms, poses jitter and fail."""
    path = test_data / "posetrack/annotations/val/012834_mpii_test.json"
    (people,) = labelled_people(path, 5)
    rng, shots = np.random.default_rng(0), []
    for time in np.arange(75) / FPS:
        found = np.flatnonzero((rng.random(len(people)) > 0.2) | (time == 0))
        points = people[found, :, :2] * (1 + 0.2 * np.sin(2 * time))
        points = points + 300 * np.sin(3 * time) * RIGHT
        poses = as_poses(points + rng.normal(0, 2, points.shape), 0.8 * (people[found, :, 2] > 0))
        shots.append(Shot(float(time), replace(poses, boxes=pose_boxes(poses, 0.2)), found))
    switches, number, given, kept, _ = follow(shots)
    assert number == len(people) > 8 and switches == 0 and given == number and kept > 0.98


def test_hardly_any_labelled_people_would_be_taken_for_one(test_data):
    path = test_data / "coco_scale/person_keypoints_val2017.json"
    alike = []
    for people in labelled_people(path, 8):
        points, seen = people[..., :2], people[..., 2] > 0
        boxes = pose_boxes(as_poses(points, 0.9 * seen), 0.2)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * 1.25**2
        both = seen[:, None] & seen
        mean_areas = (areas[:, None] + areas) / 2
        similarity = oks(points[:, None], points, mean_areas, SIGMAS, both)
        one, other = np.triu_indices(len(people), 1)
        alike += similarity[one, other][both.sum(axis=-1)[one, other] >= 5].tolist()
    alike = np.array(alike)
    twice = (alike > 0.95).sum()  # labelled twice
    assert len(alike) > 7000 and twice < 45
    assert (alike > module.SAME_PERSON).sum() - twice < 0.002 * len(alike)
