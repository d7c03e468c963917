"""Still people are steadier, moving ones are where they were; sizes, gaps and scores count."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from pose.data.synthetic import draw_clip
from pose.inference import smoothing
from pose.inference.smoothing import OneEuro, smooth_in_windows, smooth_offline
from pose.skeleton import Skeleton
from pose.structures import Poses, empty_poses

PAIR = Skeleton("pair", ("a", "b"))
RATE = 30.0


def poses_at(points, scores=0.9, ids=(1,), height=200.0):
    """One frame: `points` (N, 2, 2)."""
    points = np.asarray(points, np.float32).reshape(-1, 2, 2)
    n = len(points)
    box = np.array([[0, 0, height / 2, height]], np.float32).repeat(n, 0)
    scores = np.broadcast_to(np.asarray(scores, np.float32), (n, 2)).copy()
    return Poses(points, scores, box, PAIR, np.ones(n, np.float32), np.array(ids[:n]))


def clip_of(path, **options):
    """Frames of one person whose keypoints are path (F, 2) and path + 50."""
    return [poses_at([[point, point + 50]], **options) for point in path]


def times_of(count):
    return np.arange(count) / RATE


def run_live(frames, times=None, **options):
    live, times = OneEuro(**options), times_of(len(frames)) if times is None else times
    return np.array(
        [live.update(f, float(t)).keypoints[0, 0] for f, t in zip(frames, times, strict=True)]
    )


def run_offline(frames, times=None, **options):
    times = times_of(len(frames)) if times is None else times
    return np.array([f.keypoints[0, 0] for f in smooth_offline(frames, times, **options)])


def noisy(count, deviation=3.0, seed=0):
    return 100 + np.random.default_rng(seed).normal(0, deviation, (count, 2))


def slow_one_euro(values, times, min_cutoff, beta, height):
    """The paper's algorithm 1, of one point, scalar by scalar; speeds count in heights."""

    def alpha(cutoff, step):
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau / step)

    found, old, speed, last = [], None, [0.0, 0.0], None
    for value, time in zip(values.tolist(), times.tolist(), strict=True):
        if old is None:
            old, last = value, time
            found.append(value)
            continue
        step, last = time - last, time
        a = alpha(smoothing.SPEED_CUTOFF, step)
        moved = zip(value, old, speed, strict=True)
        speed = [a * (v - o) / step + (1 - a) * s for v, o, s in moved]
        a = alpha(min_cutoff + beta * math.hypot(*speed) / height, step)
        old = [a * v + (1 - a) * o for v, o in zip(value, old, strict=True)]
        found.append(old)
    return np.array(found)


def test_the_live_filter_is_the_papers():
    path, times = (
        np.cumsum(noisy(60) - 98, axis=0),
        np.cumsum(0.01 + 0.05 * np.random.default_rng(1).random(60)),
    )
    found = run_live(clip_of(path, scores=1.0), times, min_cutoff=1.2, beta=2.0)
    expected = slow_one_euro(path.astype(np.float32), times, 1.2, 2.0, 200.0)
    assert np.abs(found - expected).max() < 1e-2


@pytest.mark.parametrize("run", [run_live, run_offline])
def test_who_stands_still_stays_where_they_are(run):
    assert np.abs(run(clip_of(np.full((40, 2), 77.0))) - 77).max() < 1e-4


@pytest.mark.parametrize(("run", "least"), [(run_live, 1.8), (run_offline, 1.4)])
def test_jitter_is_reduced(run, least):
    raw = noisy(300)
    assert raw[30:].std() / run(clip_of(raw))[30:].std() > least


def test_a_moving_point_lags_little_live_and_not_at_all_afterwards():
    """A person who crosses their own height a second: live within 5 % of it."""
    path = np.column_stack([np.arange(90) / RATE * 200.0, np.zeros(90)])
    assert np.abs(run_live(clip_of(path)) - path)[45:].max() < 0.05 * 200
    assert np.abs(run_offline(clip_of(path)) - path).max() < 0.05


def test_a_swing_keeps_its_phase():
    times = times_of(120)
    swing = np.column_stack([40 * np.sin(2 * np.pi * 1.0 * times), np.zeros(120)])
    found = run_offline(clip_of(swing))
    assert np.abs(found - swing)[15:-15].max() < 0.2
    lags = [np.dot(found[20:-20, 0], np.roll(swing[:, 0], lag)[20:-20]) for lag in (-1, 0, 1)]
    assert int(np.argmax(lags)) == 1


@pytest.mark.parametrize("run", [run_live, run_offline])
def test_size_and_place_do_not_matter(run):
    raw = np.cumsum(noisy(50) - 99, axis=0)
    once = run(clip_of(raw))
    large = run(clip_of(3 * raw, height=600.0))
    assert np.abs(large - 3 * once).max() < 1e-2
    moved = run(clip_of(raw + np.array([500, -200])))
    assert np.abs(moved - [500, -200] - once).max() < 1e-2


@pytest.mark.parametrize("run", [run_live, run_offline])
def test_after_a_gap_it_begins_anew(run):
    times = np.concatenate([times_of(20), 10 + times_of(20)])
    raw = np.concatenate([noisy(20), noisy(20, seed=1) + 400])
    apart = np.concatenate([run(clip_of(raw[:20]), times[:20]), run(clip_of(raw[20:]), times[20:])])
    assert np.abs(run(clip_of(raw), times) - apart).max() < 1e-3


@pytest.mark.parametrize("run", [run_live, run_offline])
def test_what_was_hardly_seen_moves_nobody(run):
    """A leap of 300 pixels in a frame whose score is next to nothing."""
    raw = np.full((41, 2), 60.0)
    frames = clip_of(raw)
    frames[20] = poses_at([[[360, 360], [110, 110]]], scores=[[0.01, 0.9]])
    found = run(frames)
    others = np.delete(np.arange(41), 20)
    assert np.abs(found[others] - 60).max() < 8
    sure = list(frames)
    sure[20] = dataclasses.replace(frames[20], scores=np.full((1, 2), 0.9, np.float32))
    assert np.abs(run(sure)[others] - 60).max() > 2 * np.abs(found[others] - 60).max()


def test_people_are_filtered_apart_and_in_any_order():
    first, second = noisy(30), noisy(30, seed=1) + 300
    live, crossed = OneEuro(), OneEuro()
    for number in range(30):
        points = np.array([[first[number]] * 2, [second[number]] * 2])
        both = live.update(poses_at(points, ids=(1, 2)), number / RATE)
        turned = crossed.update(poses_at(points[::-1], ids=(2, 1)), number / RATE)
        assert np.array_equal(both.keypoints, turned.keypoints[::-1])
    alone = run_live([poses_at([[p, p]]) for p in first])
    assert np.array_equal(both.keypoints[0, 0], alone[-1])


def test_people_without_ids_and_empty_frames_pass():
    plain = dataclasses.replace(poses_at([[[1, 2], [3, 4]]]), track_ids=None)
    assert OneEuro().update(plain, 0.0) is plain
    nobody = dataclasses.replace(empty_poses(PAIR), track_ids=np.zeros(0, np.int64))
    assert len(OneEuro().update(nobody, 0.0)) == 0
    assert smooth_offline([], np.zeros(0)) == []
    found = smooth_offline([plain, nobody, plain], times_of(3))
    assert [len(poses) for poses in found] == [1, 0, 1]
    assert np.array_equal(found[0].keypoints, plain.keypoints)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_short_clips_come_out_sane(count):
    raw = noisy(count, 1.0)
    assert np.abs(run_offline(clip_of(raw)) - raw).max() < 4


def test_offline_is_the_filter_of_biomechanics_where_frames_are_even():
    path = np.cumsum(noisy(300) - 100, axis=0)
    expected = sosfiltfilt(butter(2, 3.0, fs=RATE, output="sos"), path, axis=0)
    found = run_offline(clip_of(path, scores=1.0), cutoff=3.0)
    assert np.abs(found - expected)[40:-40].max() < 0.005 * path.std()


def test_slow_clips_have_nothing_to_filter():
    raw = noisy(30)
    assert np.abs(run_offline(clip_of(raw), np.arange(30) / 2.5) - raw).max() < 0.1


def test_missing_frames_and_uneven_times_do_not_bend_a_swing():
    rng = np.random.default_rng(0)
    for times in (times_of(300)[rng.random(300) > 0.3], np.cumsum(rng.choice([0.02, 0.07], 150))):
        swing = np.column_stack([40 * np.sin(2 * np.pi * times), np.zeros(len(times))])
        assert np.abs(run_offline(clip_of(swing), times) - swing)[5:-5].max() < 0.4


@pytest.mark.parametrize("run", [run_live, run_offline])
@pytest.mark.parametrize("step", [0.0, -0.2, 1e-7, 2e-5])
def test_times_that_hardly_grow_are_borne(run, step):
    raw, times = noisy(60, 1.0), times_of(60)
    times[30:] += step - 1 / RATE
    assert np.abs(run(clip_of(raw), times) - raw).max() < 5


def test_a_keypoint_that_was_out_of_sight_begins_anew():
    """For two seconds, while the person stays in the picture."""
    raw, times = noisy(120), times_of(120)
    frames = clip_of(raw)
    for number in range(30, 90):
        frames[number] = poses_at([[raw[number], raw[number] + 50]], scores=[[0.1, 0.9]])
    found = run_offline(frames)
    assert np.abs(found - raw)[30:90].max() < 1e-4
    for part in (slice(0, 30), slice(90, 120)):
        assert np.abs(found[part] - run_offline(frames[part], times[part])).max() < 1e-3


def test_a_sure_point_weighs_more_than_a_doubtful_one():
    pulls = []
    for score in (0.3, 0.9):
        frames = clip_of(np.full((41, 2), 60.0))
        frames[20] = poses_at([[[90, 60], [110, 110]]], scores=[[score, 0.9]])
        pulls.append(run_offline(frames)[20, 0] - 60)
    assert 1 < pulls[0] < 0.6 * pulls[1]


@pytest.mark.parametrize(("run", "most"), [(run_live, 0.97), (run_offline, 0.65)])
def test_smoothing_brings_people_nearer_to_the_truth(run, most):
    """People of drawn clips with noise as networks have it, 0.7 % of the person's height."""
    ratios = []
    for seed in (60, 61, 62, 63):
        clip = list(draw_clip(seed, 90, RATE, (96, 72)))
        for place, person in enumerate(clip[0].people):
            height = float(person.box[3] - person.box[1])
            tracks = np.array([scene.people[place].keypoints for scene in clip])
            for k in np.flatnonzero((tracks[..., 2] > 0).all(axis=0))[::3]:
                truth = tracks[:, k, :2] * 300 / height
                raw = truth + np.random.default_rng(k).normal(0, 0.007 * 300, truth.shape)
                errors = [p - truth for p in (run(clip_of(raw, height=300.0)), raw)]
                ratios.append([np.square(error[5:]).mean() for error in errors])
    smooth, rough = np.sqrt(np.mean(ratios, axis=0))
    assert len(ratios) > 15 and smooth < most * rough


def test_uneven_times_keep_a_line_a_line():
    times = np.cumsum(0.02 + 0.03 * np.random.default_rng(2).random(80))
    path = np.column_stack([120 * times, -40 * times])
    assert np.abs(run_offline(clip_of(path), times) - path).max() < 1e-3


@pytest.mark.parametrize("count", [0, 5, 39, 40, 41, 100, 200])
def test_windows_give_what_the_whole_gives(count):
    frames, times = clip_of(np.cumsum(noisy(count) - 100, axis=0)), times_of(count)
    entries = zip(times.tolist(), frames, strict=True)
    found = list(smooth_in_windows(entries, window=40, overlap=30))
    assert [time for time, _ in found] == times.tolist()
    whole = smooth_offline(frames, times)
    for (_, poses), expected in zip(found, whole, strict=True):
        assert np.abs(poses.keypoints - expected.keypoints).max() < 0.5
