"""Tracking figures: worked out by hand, equal to trackeval's and motmetrics', of PoseTrack's files.

In sequences by hand a frame is a dict of the pairs that are alike, {(person, track): similarity};
0 stands for nobody.
"""

import json
import math

import motmetrics
import numpy as np
import pytest
import trackeval
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.commands.main import main
from pose.data.posetrack import read_posetrack
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.posetrack import UNSCORED, score_posetrack
from pose.metrics.posetrack_files import read_sequences, write_sequences
from pose.metrics.tracking import (
    ALPHAS,
    TrackedFrame,
    clear_counts,
    idf1,
    people_frame,
    tracking_figures,
)
from pose.skeletons import POSETRACK_17

SEEDS = st.integers(0, 2**32 - 1)
SCORED = [k for k, name in enumerate(POSETRACK_17.keypoints) if name not in UNSCORED]


def by_hand(*frames):
    """A sequence of such dicts."""
    return [make_frame(frame) for frame in frames]


def make_frame(alike):
    truth = sorted({person for person, _ in alike} - {0})
    found = sorted({track for _, track in alike} - {0})
    similarity = [[alike.get((person, track), 0.0) for track in found] for person in truth]
    return TrackedFrame(
        np.array(truth, np.int64),
        np.array(found, np.int64),
        np.array(similarity, np.float64).reshape(len(truth), len(found)),
    )


def figures(*frames):
    return tracking_figures([by_hand(*frames)])


def expected(hota, det, ass, idf1, mota, switches):
    values = {"HOTA": hota, "DetA": det, "AssA": ass, "IDF1": idf1, "MOTA (people)": mota}
    return pytest.approx({**values, "ID switches": switches}, abs=1e-12)


def test_everybody_found_and_followed():
    assert figures({(1, 7): 1, (2, 8): 1}, {(1, 7): 1, (2, 8): 1}) == expected(1, 1, 1, 1, 1, 0)


def test_an_id_switch():
    # 4 people, 4 predictions, 1 switch: MOTA 1 - 1/4.
    # The better track serves 2 of 4 frames: IDF1 = 2 * 2 / (4 + 4).
    # Each of two tracks of 2 frames, all of them matched, to a person of 4: AssA = 2 / 4.
    switched = figures({(1, 7): 1}, {(1, 7): 1}, {(1, 8): 1}, {(1, 8): 1})
    assert switched == expected(math.sqrt(0.5), 1, 0.5, 0.5, 0.75, 1)


def test_a_fragment_is_a_miss_and_no_switch():
    # 5 people, 4 predictions, 1 missed: MOTA 1 - 1/5, IDF1 = 2 * 4 / (5 + 4), DetA = 4/5.
    # All 4 matches are of one pair of tracks with 5 and 4 frames: AssA = 4 / (5 + 4 - 4).
    gap = {(1, 0): 0}
    fragment = figures({(1, 7): 1}, {(1, 7): 1}, gap, {(1, 7): 1}, {(1, 7): 1})
    assert fragment == expected(0.8, 0.8, 0.8, 8 / 9, 0.8, 0)


def test_another_id_after_a_gap_is_a_switch():
    # 3 people, 2 predictions: 1 missed, 1 switch, MOTA 1 - 2/3. IDF1 = 2 * 1 / (3 + 2).
    # DetA = 2/3; each match is 1 frame of a person of 3 and a track of 1: AssA = 1/3.
    switched = figures({(1, 7): 1}, {(1, 0): 0}, {(1, 8): 1})
    assert switched == expected(math.sqrt(2) / 3, 2 / 3, 1 / 3, 0.4, 1 / 3, 1)


def test_a_false_prediction():
    # 4 people, 5 predictions: MOTA 1 - 1/4, IDF1 = 2 * 4 / (4 + 5), DetA = 4/5, AssA = 1.
    frame = {(1, 7): 1}
    false = figures(frame, frame, {**frame, (0, 9): 0}, frame)
    assert false == expected(math.sqrt(0.8), 0.8, 1, 8 / 9, 0.75, 0)


def test_two_people_swapped_half_way():
    # 8 people, 2 switches: MOTA 1 - 2/8. Each person has a track for 2 of 4 frames: IDF1 = 4/8.
    # Each match is of a pair with 2 common frames of 4 and 4: AssA = 2 / (4 + 4 - 2).
    straight, crossed = {(1, 7): 1, (2, 8): 1}, {(1, 8): 1, (2, 7): 1}
    swapped = figures(straight, straight, crossed, crossed)
    assert swapped == expected(math.sqrt(1 / 3), 1, 1 / 3, 0.5, 0.75, 2)


def test_one_track_on_two_people():
    # Track 7 goes from person 1 to person 2. 4 people, 2 predictions, 2 missed, no switch: each
    # person has met one track only. MOTA 1 - 2/4, IDF1 = 2 * 1 / (4 + 2), DetA = 2/4.
    # Each match is of a pair with 1 common frame of 2 and 2: AssA = 1/3.
    moved = figures({(1, 7): 1, (2, 0): 0}, {(2, 7): 1, (1, 0): 0})
    assert moved == expected(math.sqrt(1 / 6), 0.5, 1 / 3, 1 / 3, 0.5, 0)


def test_matches_of_before_stay_even_where_another_is_more_alike():
    # Track 8 is nearer to person 1 in frame 2, but 7 is near enough and had him: no switch.
    counts = clear_counts([by_hand({(1, 7): 0.9}, {(1, 7): 0.6, (1, 8): 0.9})])
    assert (counts.switches, counts.matches, counts.similarity) == (0, 2, pytest.approx(1.5))
    # also after a frame without both; below the threshold the nearer takes over
    later = clear_counts([by_hand({(1, 7): 0.9}, {(1, 0): 0}, {(1, 7): 0.6, (1, 8): 0.9})])
    assert (later.switches, later.similarity) == (0, pytest.approx(1.5))
    lost = clear_counts([by_hand({(1, 7): 0.9}, {(1, 7): 0.4, (1, 8): 0.9})])
    assert (lost.switches, lost.similarity) == (1, pytest.approx(1.8))


def test_as_many_as_possible_are_matched_before_the_most_alike():
    # 1 and 8 are the best pair, but then 2 would have nobody.
    counts = clear_counts([by_hand({(1, 7): 0.5, (1, 8): 1.0, (2, 8): 0.5})])
    assert (counts.matches, counts.motp) == (2, 0.5)


@pytest.mark.parametrize("steps", range(1, 21))
def test_a_similarity_on_a_threshold_reaches_it(steps):
    frame = {(1, 7): 0.05 * steps}
    assert figures(frame)["HOTA"] == pytest.approx(min(steps, len(ALPHAS)) / 19, abs=1e-12)
    assert figures(frame)["IDF1"] == (steps >= 10)
    assert figures(frame)["MOTA (people)"] == (1 if steps >= 10 else -1)


def test_empty_input():
    for nothing in ([], [[]], [[], []], [by_hand({}, {})]):
        found = tracking_figures(nothing)
        assert found.pop("ID switches") == 0
        assert len(found) == 5 and all(math.isnan(value) for value in found.values())
    counts = clear_counts([])
    assert math.isnan(counts.motp) and math.isnan(counts.precision) and math.isnan(counts.recall)
    # nobody there: what is found is false, and MOTA counts by people
    alone = figures({(0, 7): 0})
    assert math.isnan(alone["MOTA (people)"]) and alone["IDF1"] == alone["HOTA"] == 0
    missed = figures({(1, 0): 0})
    assert (missed["MOTA (people)"], missed["IDF1"], missed["HOTA"]) == (0, 0, 0)
    assert figures({(1, 7): 1}, {}, {(1, 7): 1}) == expected(1, 1, 1, 1, 1, 0)


LIKENESS = {
    "any": lambda similarity, own: similarity,
    "with ties": lambda similarity, own: np.round(4 * similarity) / 4,
    "on thresholds, to one": lambda similarity, own: own * np.round(20 * similarity) * 0.05,
}
"""What is made of random similarities; `own` says which track a person tends to have."""


def random_sequences(seed, likeness="any"):
    """Up to 3 sequences of up to 12 frames of up to 5 people and 6 tracks; some are empty."""
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(rng.integers(1, 4)):
        sequences.append([])
        home = rng.permutation(6)
        for _ in range(rng.integers(0, 13)):
            truth = rng.permutation(5)[: rng.integers(0, 6)]
            found = rng.permutation(6)[: rng.integers(0, 7)]
            if rng.random() < 0.2:
                home = rng.permutation(6)
            own = home[truth][:, None] == found[None]
            similarity = rng.random(own.shape) * (rng.random() < 0.8)
            similarity = np.where(own, np.maximum(similarity, rng.random(own.shape)), similarity)
            frame = TrackedFrame(truth, found, LIKENESS[likeness](similarity, own))
            sequences[-1].append(frame)
    return sequences


def num_people(sequences):
    return sum(len(frame.truth_ids) for frames in sequences for frame in frames)


def num_predictions(sequences):
    return sum(len(frame.predicted_ids) for frames in sequences for frame in frames)


def by_trackeval(metric, sequences):
    """What trackeval makes of sequences together."""
    results = {}
    for number, frames in enumerate(sequences):
        truth = sorted({int(i) for frame in frames for i in frame.truth_ids})
        found = sorted({int(i) for frame in frames for i in frame.predicted_ids})
        results[number] = metric.eval_sequence(
            {
                "num_timesteps": len(frames),
                "num_gt_ids": len(truth),
                "num_tracker_ids": len(found),
                "num_gt_dets": sum(len(frame.truth_ids) for frame in frames),
                "num_tracker_dets": sum(len(frame.predicted_ids) for frame in frames),
                "gt_ids": [np.searchsorted(truth, frame.truth_ids) for frame in frames],
                "tracker_ids": [np.searchsorted(found, frame.predicted_ids) for frame in frames],
                "similarity_scores": [frame.similarity for frame in frames],
            }
        )
    return metric.combine_sequences(results)


def by_motmetrics(sequences, names):
    """What motmetrics makes of sequences together, and the sum of the distances of matches (its
    own mean is nan as soon as one sequence has no match)."""
    tables = []
    for frames in filter(len, sequences):
        table = motmetrics.MOTAccumulator(auto_id=True)
        for frame in frames:
            distance = np.where(frame.similarity >= 0.5, 1 - frame.similarity, np.nan)
            table.update(frame.truth_ids, frame.predicted_ids, distance)
        tables.append(table)
    host = motmetrics.metrics.create()
    overall = host.compute_many(tables, metrics=names, generate_overall=True).loc["OVERALL"]
    events = [table.events[table.events.Type.isin(["MATCH", "SWITCH"])] for table in tables]
    return [*(float(overall[name]) for name in names), sum(event.D.sum() for event in events)]


@pytest.mark.parametrize("likeness", LIKENESS)
@settings(max_examples=40)
@given(seed=SEEDS)
def test_hota_and_idf1_are_those_of_trackeval(seed, likeness):
    sequences = random_sequences(seed, likeness)
    ours = tracking_figures(sequences)
    theirs = by_trackeval(trackeval.metrics.HOTA(), sequences)
    identity = by_trackeval(trackeval.metrics.Identity({"PRINT_CONFIG": False}), sequences)
    if not num_people(sequences) and not num_predictions(sequences):
        assert math.isnan(ours["HOTA"]) and math.isnan(ours["IDF1"])
        return
    for name in ("HOTA", "DetA", "AssA"):
        assert ours[name] == pytest.approx(theirs[name].mean(), abs=1e-9)
    assert ours["IDF1"] == pytest.approx(identity["IDF1"], abs=1e-9)


@pytest.mark.parametrize("likeness", LIKENESS)
@settings(max_examples=15)
@given(seed=SEEDS)
def test_clear_mot_and_idf1_are_those_of_motmetrics(seed, likeness):
    sequences = random_sequences(seed, likeness)
    counts = clear_counts(sequences)
    assert (counts.people, counts.predictions) == (
        num_people(sequences),
        num_predictions(sequences),
    )
    if not counts.matches:
        return
    names = ["num_detections", "num_switches", "mota", "precision", "recall", "idf1"]
    detections, switches, mota, precision, recall, f1, distance = by_motmetrics(sequences, names)
    assert (counts.matches, counts.switches) == (detections, switches)
    assert counts.mota == pytest.approx(mota, abs=1e-9)
    assert counts.motp == pytest.approx(1 - distance / detections, abs=1e-9)
    assert (counts.precision, counts.recall) == pytest.approx((precision, recall), abs=1e-9)
    assert idf1(sequences) == pytest.approx(f1, abs=1e-9)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_clear_mot_is_that_of_trackeval_where_nobody_is_like_two(seed):
    # else they may differ: trackeval keeps matches of the frame just before only, and takes
    # the largest similarity before the largest number
    sequences = random_sequences(seed, "on thresholds, to one")
    counts = clear_counts(sequences)
    metric = trackeval.metrics.CLEAR({"PRINT_CONFIG": False})
    theirs = by_trackeval(metric, sequences)
    assert (counts.matches, counts.switches) == (theirs["CLR_TP"], theirs["IDSW"])
    assert counts.similarity == pytest.approx(theirs["MOTP_sum"], abs=1e-9)
    if counts.people:
        assert counts.mota == pytest.approx(theirs["MOTA"], abs=1e-9)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_other_names_and_other_orders_change_nothing(seed):
    sequences = random_sequences(seed)
    rng = np.random.default_rng(seed)
    names, others = rng.permutation(1000), rng.permutation(1000)

    def changed(frame):
        found = rng.permutation(len(frame.predicted_ids))
        return TrackedFrame(
            names[frame.truth_ids], others[frame.predicted_ids][found], frame.similarity[:, found]
        )

    same = [[changed(frame) for frame in frames] for frames in reversed(sequences)]
    assert tracking_figures(same) == pytest.approx(
        tracking_figures(sequences), abs=1e-9, nan_ok=True
    )


def test_ids_mean_nothing_across_sequences():
    one, two = by_hand({(1, 7): 1}, {(1, 7): 1}), by_hand({(1, 8): 1}, {(1, 8): 1})
    assert tracking_figures([one, two]) == expected(1, 1, 1, 1, 1, 0)
    assert tracking_figures([one + two])["ID switches"] == 1


def test_a_long_sequence_weighs_more():
    # 2 of 2 and 0 of 6 are found: 2 of 8, not the mean of 1 and 0
    found, missed = by_hand(*2 * [{(1, 7): 1}]), by_hand(*6 * [{(1, 0): 0}])
    both = tracking_figures([found, missed])
    assert (both["MOTA (people)"], both["DetA"], both["IDF1"]) == (0.25, 0.25, 0.4)


def test_people_are_alike_by_oks_and_nobody_is_blamed_where_nobody_knows():
    truth = np.array([[[0.0, 0], [10, 0]], [[100, 0], [110, 0]], [[200, 0], [210, 0]]])
    labelled = np.array([[True, True], [True, False], [False, False]])
    predicted = np.array(
        [
            [[0.0, 0], [10, 2]],  # the first person, one keypoint 2 sigma off
            [[100, 0], [500, 500]],  # the second: the second keypoint is not labelled
            [[200, 0], [210, 0]],  # nobody knows
            [[400, 0], [410, 0]],  # false
        ]
    )
    frame = people_frame(
        predicted,
        predicted_ids=np.array([5, 6, 7, 8]),
        ignored=np.array([True, False, True, False]),
        truth=truth,
        truth_ids=np.array([1, 2, 3]),
        labelled=labelled,
        areas=np.array([100.0, 100, 100]),
        sigmas=np.array([0.05, 0.1]),
    )
    assert frame.truth_ids.tolist() == [1, 2]
    assert frame.predicted_ids.tolist() == [5, 6, 8]
    by_formula = (1 + math.exp(-(2**2) / (2 * 0.2**2 * 100))) / 2
    assert frame.similarity == pytest.approx(np.array([[by_formula, 0, 0], [0, 1, 0]]), abs=1e-12)


def test_a_frame_without_people_or_predictions():
    nobody, ids = np.zeros((0, 2, 2)), np.zeros(0, np.int64)
    seen, given_ids = np.zeros((1, 2, 2)), np.array([4])
    sigmas = np.array([0.05, 0.1])
    alone = people_frame(
        *(seen, given_ids, np.array([False])),
        *(nobody, ids, np.zeros((0, 2), bool), np.zeros(0), sigmas),
    )
    assert alone.similarity.shape == (0, 1)
    missed = people_frame(
        *(nobody, ids, np.zeros(0, bool)),
        *(seen, given_ids, np.ones((1, 2), bool), np.ones(1), sigmas),
    )
    assert missed.similarity.shape == (1, 0)


REGION = np.array([[0.0, 0.0], [60.0, 0.0], [60.0, 400.0], [0.0, 400.0]])


def make_labels(seed=0, num_frames=7):
    """Two sequences of three people who drift; an ignored region, a frame that is not annotated,
    and someone whose keypoints nobody labelled."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for sequence in ("first_seq", "second_seq"):
        starts = rng.uniform(20, 250, (3, 1, 2)) + rng.uniform(0, 60, (3, 17, 2))
        for number in range(num_frames):
            image = {"id": len(images), "file_name": f"images/val/{sequence}/{number:06d}.jpg"}
            if number % 3 == 1:
                image["ignore_regions_x"] = [REGION[:, 0].tolist()]
                image["ignore_regions_y"] = [REGION[:, 1].tolist()]
            for person in range(3 if number != 4 else 0):
                points = starts[person] + 5 * number
                seen = rng.random(17) < (0 if person == number == 2 else 0.8)
                seen[[3, 4]] = False
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": image["id"],
                        "category_id": 1,
                        "keypoints": np.column_stack([points, seen]) * seen[:, None],
                        "bbox": [*points.min(axis=0), *np.ptp(points, axis=0)],
                        "bbox_head": [0, 0, 12, 16],
                        "track_id": person,
                    }
                )
                annotations[-1]["keypoints"] = annotations[-1]["keypoints"].ravel().tolist()
            images.append(image)
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK_17.keypoints)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def make_found(labels, seed=0):
    """People found with noise, some missed, ids that change; something false; keypoints that are
    not there; nobody at all in the third frame of the second sequence."""
    rng = np.random.default_rng(seed)
    results = []
    for number, annotation in enumerate(labels["annotations"]):
        image_id = annotation["image_id"]
        if rng.random() < 0.15 or image_id == 9:
            continue
        truth = np.reshape(annotation["keypoints"], (17, 3))[:, :2]
        points = truth + rng.normal(size=(17, 2)) * rng.choice([2.0, 5.0, 20.0])
        triplets = np.column_stack([points, rng.random(17)]) * (rng.random(17) < 0.9)[:, None]
        changed = 10 if rng.random() < 0.2 else 0
        results.append((image_id, annotation["track_id"] + changed, triplets))
        if number % 4 == 0:
            results.append((image_id, 20, np.column_stack([points + 60, rng.random(17)])))
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": triplets.ravel().tolist(),
            "score": 1.0,
            "track_id": track_id,
        }
        for image_id, track_id, triplets in results
    ]


def annotated(labels):
    """For each sequence the images that have annotations, and their annotations."""
    sequences = {}
    for image in labels["images"]:
        people = [a for a in labels["annotations"] if a["image_id"] == image["id"]]
        if people:
            sequences.setdefault(image["file_name"].split("/")[2], []).append((image, people))
    return sequences.values()


def in_region(image, point):
    return "ignore_regions_x" in image and 0 < point[0] < 60 and 0 < point[1] < 400


def slow_mota(labels, results, k):
    """One kind of keypoint through motmetrics, as PoseTrack's program goes through its frames."""
    tables = []
    for frames in annotated(labels):
        tables.append(motmetrics.MOTAccumulator(auto_id=True))
        for image, people in frames[:-1]:
            sides = []
            for side in (people, [r for r in results if r["image_id"] == image["id"]]):
                points = [
                    (entry["track_id"], j, point)
                    for entry in side
                    for j, point in enumerate(np.reshape(entry["keypoints"], (17, 3)))
                    if j in SCORED and point.any() and not in_region(image, point)
                ]
                sides.append(points)
            there, found = ([(i, point) for i, j, point in side if j == k] for side in sides)
            if not all(sides):
                tables[-1].update([0], [0], [[np.nan]])
                continue
            distance = [[np.hypot(*(p - q)[:2]) / 12 for _, q in found] for _, p in there]
            distance = np.reshape(distance, (len(there), len(found)))
            distance[distance > 0.5] = np.nan
            tables[-1].update([i for i, _ in there], [i for i, _ in found], distance)
    names = ["mota", "precision", "recall"]
    host = motmetrics.metrics.create()
    overall = host.compute_many(tables, metrics=names, generate_overall=True).loc["OVERALL"]
    matches = [t.events[t.events.Type.isin(["MATCH", "SWITCH"])].D for t in tables]
    return [*(overall[name] for name in names), 1 - np.concatenate(matches).mean()]


def truth_of(labels, save, name="labels.json"):
    """The ground truth as `pose score` reads it."""
    path = save(labels, name)
    return ground_truth_from(read_posetrack(path), str(path))


@pytest.mark.parametrize("seed", range(3))
def test_posetrack_figures_are_those_of_its_definition(seed, save):
    labels = make_labels(seed)
    results = make_found(labels, seed)
    found = score_posetrack(results, truth_of(labels, save))
    slow = {POSETRACK_17.keypoints[k]: slow_mota(labels, results, k) for k in SCORED}
    mota, precision, recall, motp = np.mean(list(slow.values()), axis=0)
    assert found["MOTA"] == pytest.approx(mota, abs=1e-12)
    assert found["Precision"] == pytest.approx(precision, abs=1e-12)
    assert found["Recall"] == pytest.approx(recall, abs=1e-12)
    assert found["MOTP"] == pytest.approx(motp, abs=1e-12)
    head = np.mean([slow[name][0] for name in ("nose", "head_top", "head_bottom")])
    assert found["MOTA Head"] == pytest.approx(head, abs=1e-12)
    knees = np.mean([slow[f"{side}_knee"][0] for side in ("left", "right")])
    assert found["MOTA Knee"] == pytest.approx(knees, abs=1e-12)
    assert 0.1 < found["Recall"] < 0.9 and 0 < found["HOTA"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_posetrack_people_are_those_of_trackeval(seed, save):
    labels = make_labels(seed)
    results = make_found(labels, seed)
    found = score_posetrack(results, truth_of(labels, save))
    sequences = [
        [slow_people(image, people, results) for image, people in frames]
        for frames in annotated(labels)
    ]
    theirs = by_trackeval(trackeval.metrics.HOTA(), sequences)
    assert found["HOTA"] == pytest.approx(theirs["HOTA"].mean(), abs=1e-9)
    assert found["AssA"] == pytest.approx(theirs["AssA"].mean(), abs=1e-9)
    mota, switches, f1, _ = by_motmetrics(sequences, ["mota", "num_switches", "idf1"])
    assert found["MOTA (people)"] == pytest.approx(mota, abs=1e-9)
    assert (found["ID switches"], found["IDF1"]) == (switches, pytest.approx(f1, abs=1e-9))


def slow_people(image, people, results):
    """One frame by OKS, pair by pair."""
    there, boxes = [], []
    for person in people:
        labels = np.reshape(person["keypoints"], (17, 3))
        if not labels.any():
            boxes.append(person["bbox"])
        known = [k for k in SCORED if labels[k].any() and not in_region(image, labels[k])]
        if known:
            there.append((person, labels, known))
    found = []
    for entry in results:
        points = np.reshape(entry["keypoints"], (17, 3))
        row = []
        for person, labels, known in there:
            area = person["bbox"][2] * person["bbox"][3]
            squares = [((labels[k] - points[k])[:2] ** 2).sum() for k in known]
            sigmas = [POSETRACK_17.sigmas[k] for k in known]
            each = [
                math.exp(-d / (2 * area * 4 * sigma**2))
                for d, sigma in zip(squares, sigmas, strict=True)
            ]
            row.append(sum(each) / len(each))
        present = [point for k, point in enumerate(points) if k in SCORED and point.any()]
        blind = sum(
            in_region(image, (x, y))
            or any(left < x < left + w and top < y < top + h for left, top, w, h in boxes)
            for x, y, _ in present
        )
        counts = blind <= len(present) / 2 or max(row, default=0) >= 0.5
        if entry["image_id"] == image["id"] and counts:
            found.append((entry["track_id"], row))
    return TrackedFrame(
        np.array([person["track_id"] for person, _, _ in there], np.int64),
        np.array([track_id for track_id, _ in found], np.int64),
        np.array([row for _, row in found]).reshape(len(found), len(there)).T,
    )


def test_the_command_shows_tracking_where_people_were_followed(save, tmp_path, capsys):
    labels = make_labels()
    results = make_found(labels)
    truth = truth_of(labels, save)
    folder = tmp_path / "results"
    write_sequences(folder, results, labels)
    read = {(entry["image_id"], entry["track_id"]): entry for entry in read_sequences(folder)}
    assert read == {(entry["image_id"], entry["track_id"]): entry for entry in results}
    out = tmp_path / "figures.json"
    command = ["score", str(folder), "--annotations", truth.source, "--format", "posetrack"]
    assert main([*command, "--json", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    found = score_posetrack(results, truth)
    assert json.loads(out.read_text()) == found
    lines = {line[: line.rindex(" ")].strip(): line.split()[-1] for line in printed[2:-1]}
    assert lines["HOTA"] == f"{found['HOTA']:.4f}" and lines["MOTA Head"] != lines["MOTA"]
    assert lines["ID switches"] == str(found["ID switches"]) != "0"
    # one sequence alone: its own people, and those of the other are missed
    one = score_posetrack(folder / "first_seq.json", truth)
    assert 0 < one["Recall"] < found["Recall"]


def test_without_ids_there_are_no_tracking_figures(save, tmp_path):
    labels = make_labels()
    truth = truth_of(labels, save)
    results = [{k: v for k, v in e.items() if k != "track_id"} for e in make_found(labels)]
    found = score_posetrack(results, truth)
    assert "mAP" in found and "MOTA" not in found and "HOTA" not in found
    write_sequences(tmp_path / "results", results, labels)
    assert score_posetrack(tmp_path / "results", truth) == found
    # the program reads ids all the same, each once in a frame
    written = json.loads((tmp_path / "results/first_seq.json").read_text())["annotations"]
    keys = [(entry["image_id"], entry["track_id"]) for entry in written]
    assert len(set(keys)) == len(keys) > 0


def test_sequences_of_one_frame_have_no_keypoint_mota(save):
    labels = make_labels(num_frames=1)
    found = score_posetrack(make_found(labels), truth_of(labels, save))
    assert math.isnan(found["MOTA"]) and math.isnan(found["MOTP"]) and found["HOTA"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"track_id": 20}, r"first_seq\.json: annotation \d: track_id 20 stands twice in image 0"),
        (
            {"track_id": 1.5},
            r"first_seq\.json: annotation \d: track_id is 1\.5, expected an integer",
        ),
        ({"track_id": None}, r"first_seq\.json: annotation \d: track_id is None, expected an int"),
    ],
)
def test_a_bad_id_is_named(change, message, save, tmp_path):
    labels = make_labels()
    write_sequences(tmp_path / "results", make_found(labels), labels)
    file = tmp_path / "results/first_seq.json"
    content = json.loads(file.read_text())
    assert content["annotations"][1]["track_id"] == 20
    content["annotations"][2] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        score_posetrack(tmp_path / "results", truth_of(labels, save))


def test_a_person_without_id_is_named(save, tmp_path):
    labels = make_labels()
    write_sequences(tmp_path / "results", make_found(labels), labels)
    file = tmp_path / "results/second_seq.json"
    content = json.loads(file.read_text())
    del content["annotations"][3]["track_id"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"second_seq\.json: annotation 3: was not followed"):
        score_posetrack(tmp_path / "results", truth_of(labels, save))
    results = make_found(labels)
    del results[3]["track_id"]
    with pytest.raises(ValueError, match="results: entry 3: has no 'track_id'"):
        score_posetrack(results, truth_of(labels, save))


def test_labels_without_ids_are_named_and_repeated_ones_warned_of(save, caplog):
    labels = make_labels()
    results = make_found(labels)
    labels["annotations"][1]["track_id"] = 0
    assert score_posetrack(results, truth_of(labels, save))["HOTA"] > 0
    assert "labels.json: 1 track ids stand twice in a frame" in caplog.text
    del labels["annotations"][5]["track_id"]
    with pytest.raises(ValueError, match=r"labels\.json: annotation 5: has no 'track_id'"):
        score_posetrack(results, truth_of(labels, save))


def test_the_real_labels_follow_themselves(test_data):
    folder = test_data / "posetrack/annotations/val"
    content = read_posetrack(folder)
    results = [
        {
            "image_id": entry["image_id"],
            "category_id": entry["category_id"],
            "keypoints": entry["keypoints"],
            "score": 1.0,
            "track_id": entry["track_id"] + 100,
        }
        for entry in content["annotations"]
    ]
    found = score_posetrack(results, ground_truth_from(content, str(folder)))
    names = ("HOTA", "DetA", "AssA", "IDF1", "MOTA (people)", "mAP")
    assert [found[name] for name in names] == [1.0] * 6
    for entry in results:
        entry["keypoints"] = (np.array(entry["keypoints"]) + 5000).tolist()
    far = score_posetrack(results, ground_truth_from(content, str(folder)))
    assert far["HOTA"] == far["IDF1"] == far["mAP"] == 0 > far["MOTA (people)"]
