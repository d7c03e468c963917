"""PoseTrack18's mAP equals a slow reading of its definition; results are files of its program."""

import json

import numpy as np
import pytest

from pose.build_data import FORMATS, evaluator_of, load_boxes, load_people, write_results
from pose.commands.main import main
from pose.config import load_config
from pose.files import sha256_of
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.posetrack import average_precision, inside, score_posetrack
from pose.reports.receipt import hashed
from pose.skeletons import POSETRACK_17

SCORED = [k for k, name in enumerate(POSETRACK_17.keypoints) if "ear" not in name]
SQUARE = np.array([[0.0, 0.0], [50.0, 0.0], [50.0, 300.0], [0.0, 300.0]])


def make_labels(seed=0, num_frames=8):
    """Two sequences of frames of up to three people; the last frame of each is not annotated."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for frame in range(num_frames):
        name = f"images/val/{'first_seq' if frame % 2 else 'second_seq'}/{frame:06d}.jpg"
        image = {"id": 10 + frame, "file_name": name, "is_labeled": frame < num_frames - 2}
        if frame % 3 == 0:
            image |= {
                "ignore_regions_x": [SQUARE[:, 0].tolist()],
                "ignore_regions_y": [SQUARE[:, 1].tolist()],
            }
        images.append(image)
        for person in range(rng.integers(1, 4) if frame < num_frames - 2 else 0):
            points = rng.uniform(20, 280, 2) + rng.uniform(0, 60, (17, 2))
            seen = rng.random(17) < 0.8
            seen[[3, 4]] = False
            triplets = np.column_stack([points, seen]) * seen[:, None]
            annotation = {"id": len(annotations), "image_id": 10 + frame, "category_id": 1}
            boxes = {"bbox": [0, 0, 60, 60], "bbox_head": [0, 0, 12, 16], "track_id": person}
            annotations.append({**annotation, **boxes, "keypoints": triplets.ravel().tolist()})
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK_17.keypoints)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def make_found(labels, seed=1):
    """One or two predictions near every person, and a false one in every frame."""
    rng = np.random.default_rng(seed)
    results = []
    for annotation in labels["annotations"]:
        truth = np.array(annotation["keypoints"]).reshape(17, 3)[:, :2]
        for spread in rng.choice([3.0, 8.0, 40.0], size=rng.integers(1, 3)):
            points = truth + rng.normal(size=(17, 2)) * spread
            results.append((annotation["image_id"], points))
    results += [(image["id"], rng.uniform(0, 300, (17, 2))) for image in labels["images"]]
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": np.column_stack([points, rng.random(17)]).ravel().tolist(),
            "score": float(rng.random()),
        }
        for image_id, points in results
    ]


def slow_map(labels, results):
    """AP keypoint by keypoint in plain loops, as PoseTrack's program goes through its frames."""
    tried = {k: [] for k in SCORED}
    total = dict.fromkeys(SCORED, 0)
    for image in labels["images"]:
        people = [a for a in labels["annotations"] if a["image_id"] == image["id"]]
        if not people:
            continue
        ignored = "ignore_regions_x" in image

        def is_out(x, y, ignored=ignored):
            return ignored and 0 < x < 50 and 0 < y < 300

        truth = [
            {k: t for k, t in enumerate(np.reshape(a["keypoints"], (17, 3)).tolist()) if k in total}
            for a in people
        ]
        truth = [{k: t for k, t in p.items() if any(t) and not is_out(*t[:2])} for p in truth]
        found = [
            np.reshape(r["keypoints"], (17, 3)) for r in results if r["image_id"] == image["id"]
        ]
        found = [{k: f[k] for k in SCORED if not is_out(*f[k, :2])} for f in found]
        hit = {}
        share = np.zeros((len(found), len(people)))
        for i, prediction in enumerate(found):
            for j, person in enumerate(truth):
                both = prediction.keys() & person.keys()
                near = {k for k in both if np.hypot(*(prediction[k][:2] - person[k][:2])) <= 6}
                hit[i, j] = near
                share[i, j] = len(near) / len(person) if person else 0
        owner = {}
        for j in range(len(people)):
            rivals = [i for i in range(len(found)) if share[i].argmax() == j and share[i, j] > 0]
            if rivals:
                owner[max(rivals, key=lambda i: (share[i, j], -i))] = j
        for i, prediction in enumerate(found):
            good = hit[i, owner[i]] if i in owner else set()
            for k, point in prediction.items():
                tried[k].append((point[2], k in good))
        for person in truth:
            for k in person:
                total[k] += 1
    values = {}
    for k in SCORED:
        ranked = [good for _, good in sorted(tried[k], reverse=True)]
        precision = [sum(ranked[: n + 1]) / (n + 1) for n in range(len(ranked))]
        gained = [max(precision[n:]) for n, good in enumerate(ranked) if good]
        values[POSETRACK_17.keypoints[k]] = sum(gained) / total[k]
    return values


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_the_definition(seed):
    labels = make_labels(seed)
    found = make_found(labels, seed)
    for annotation in labels["annotations"]:
        annotation["area"] = 3600
    figures = score_posetrack(found, ground_truth_from(labels, "labels"))
    expected = slow_map(labels, found)
    assert list(figures) == [*("mAP", "Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")]
    assert figures["mAP"] == pytest.approx(np.mean(list(expected.values())), abs=1e-12)
    head = np.mean([expected[name] for name in ("nose", "head_top", "head_bottom")])
    assert figures["Head"] == pytest.approx(head, abs=1e-12)
    ankles = np.mean([expected["left_ankle"], expected["right_ankle"]])
    assert figures["Ankle"] == pytest.approx(ankles, abs=1e-12)
    assert 0.02 < figures["mAP"] < 0.9


def test_average_precision_by_hand():
    assert average_precision(np.array([0.9, 0.8]), np.array([True, True]), 2) == 1
    assert average_precision(np.array([0.8, 0.9]), np.array([True, False]), 1) == 0.5
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
    assert np.isnan(average_precision(np.ones(1), np.zeros(1, bool), 0))


def test_inside_a_polygon():
    corner = np.array([[0.0, 0.0], [10, 0], [10, 10], [5, 5], [0, 10]])
    points = np.array([[5.0, 2], [5, 8], [2, 7], [11, 5], [-1, 5], [8, 7]])
    assert inside(points, corner).tolist() == [True, False, True, False, False, True]


def test_a_person_without_head_box_is_named():
    labels = make_labels()
    for annotation in labels["annotations"]:
        annotation["area"] = 3600
    del labels["annotations"][2]["bbox_head"]
    with pytest.raises(ValueError, match="labels: annotation 2: has no 'bbox_head'"):
        score_posetrack([], ground_truth_from(labels, "labels"))


def test_nothing_found_is_zero():
    labels = make_labels()
    for annotation in labels["annotations"]:
        annotation["area"] = 3600
    assert set(score_posetrack([], ground_truth_from(labels, "labels")).values()) == {0.0}


def test_results_are_one_file_a_sequence_with_all_frames(tmp_path, save, capsys):
    labels = make_labels()
    path = save(labels)
    cfg = load_config(
        "posetrack/hrnet_w32_256x192",
        [f"data.root={tmp_path}", "data.val_annotations=annotations.json", "test.nms_threshold=1"],
    )
    people = load_people(cfg, "val")
    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), people.keypoints, np.ones(people.visibility.shape))
    figures = evaluator.compute()
    assert next(iter(figures)) == "mAP"
    folder = write_results(cfg, evaluator, tmp_path / "evaluation")
    files = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    assert files.keys() == {"first_seq", "second_seq"}
    assert sum(len(file["images"]) for file in files.values()) == len(labels["images"])
    written = [entry for file in files.values() for entry in file["annotations"]]
    assert len(written) == len(people)
    for entry in written:
        assert len(entry["keypoints"]) == 51 and set(entry["keypoints"][2::3]) == {1}
        assert entry["scores"] == [1.0] * 17
    out = tmp_path / "figures.json"
    command = ["score", str(folder), "--annotations", str(path), "--format", "posetrack"]
    assert main([*command, "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == figures
    assert "mAP" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"holds no \.json of a sequence"):
        score_posetrack(tmp_path / "nowhere", evaluator.truth)


def test_the_real_labels_find_themselves(test_data, tmp_path):
    cfg = load_config("posetrack/hrnet_w32_256x192", [f"data.root={test_data / 'posetrack'}"])
    people = load_people(cfg, "val")
    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), people.keypoints, np.ones(people.visibility.shape))
    figures = evaluator.compute()
    boxes = test_data / "posetrack/annotations/test_posetrack18_human_detections.json"
    assert len(load_boxes(cfg, boxes)) == 278
    # an unlabelled keypoint lies at (0, 0) here, and is a false one wherever it is predicted
    assert figures["mAP"] > 0.7
    far = people.keypoints + np.float32(1000)
    evaluator.update(np.arange(len(people)), far, np.ones(people.visibility.shape))
    assert evaluator.compute()["mAP"] == 0
    written = sorted(write_results(cfg, evaluator, tmp_path).glob("*.json"))
    assert [file.name for file in written] == sorted(
        file.name for file in (test_data / "posetrack/annotations/val").glob("*.json")
    )
    assert FORMATS["posetrack"].results_name == "results"


def test_a_receipt_names_every_sequence_of_a_folder(test_data):
    folder = test_data / "posetrack/annotations/val"
    receipt = hashed(folder)
    assert receipt["file"] == "val" and len(receipt["sha256"]) == 3
    assert receipt["sha256"]["003418_mpii_test.json"] == sha256_of(folder / "003418_mpii_test.json")
