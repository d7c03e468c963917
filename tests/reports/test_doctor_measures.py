"""The doctor's arithmetic: sides by geometry, twins by hash, sigmas, recall, counts; and that what
it lets pass the loaders take."""

import json
import math

import cv2
import numpy as np
import pytest

from pose.data.coco import load_coco, load_detections
from pose.geometry import box_iou, xywh_to_xyxy
from pose.images import ImageFolder, write_image
from pose.reports.doctor import Set, examine
from pose.reports.doctor_cards import cards
from pose.reports.doctor_counts import counts_of, distributions_of, keypoint_rows
from pose.reports.doctor_detections import THRESHOLDS, detection_study
from pose.reports.doctor_file import read_labels
from pose.reports.doctor_images import (
    CORRELATION,
    DISTANCE,
    Look,
    hashes_of,
    look_at,
    shared,
    twins,
)
from pose.reports.doctor_kinds import KINDS
from pose.reports.doctor_page import doctor_page
from pose.reports.doctor_sides import swapped_sides
from pose.reports.doctor_sigmas import suggested_sigmas
from pose.skeleton import COCO_17, skeleton_to_category
from tests.reports.planted import STANDING, add_person, detections_of, write_set
from tests.trust.mutations import damaged

SEEN = np.full((1, 17), 2)


def sides(points, visibility=SEEN, skeleton=COCO_17):
    return [text for _, text in swapped_sides(skeleton, points[None], visibility)]


def exchanged(*parts):
    """The standing person with the labels of these parts exchanged."""
    points = STANDING.copy()
    for part in parts:
        pair = [COCO_17.index(f"left_{part}"), COCO_17.index(f"right_{part}")]
        points[pair] = points[pair[::-1]]
    return points


EVERYTHING = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


@pytest.mark.parametrize("angle", [0, 35, 90, 180, 250])
def test_a_person_as_it_is_has_its_sides(angle):
    """Upright, lying and upside down, from the front, from behind, and crossing hands and feet."""
    turn = np.array([[math.cos(math.radians(angle)), -math.sin(math.radians(angle))],
                     [math.sin(math.radians(angle)), math.cos(math.radians(angle))]])  # fmt: skip
    behind = exchanged(*EVERYTHING)
    unseen = SEEN.copy()
    unseen[:, :5] = 0
    assert sides(STANDING @ turn.T) == []
    assert sides(behind @ turn.T, unseen) == []
    assert sides(exchanged("wrist", "ankle") @ turn.T) == []
    assert sides(STANDING @ turn.T * [0.1, 1]) == []


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("shoulder",), "the face is seen from the front, the shoulders from behind"),
        (("hip",), "shoulders and hips face opposite ways"),
        (("hip", "knee", "ankle"), "shoulders and hips face opposite ways"),
        (("elbow",), "elbows are exchanged against all that they are joined to"),
        (("knee",), "knees are exchanged against all that they are joined to"),
        (("ear",), "ears are exchanged against all that they are joined to"),
        (("eye",), "the face is seen from the front, its left eye on the viewer's left"),
        (EVERYTHING, "the face is seen from the front, its left eye on the viewer's left"),
        (EVERYTHING[2:], "the face is seen from the front, the shoulders from behind"),
    ],
)
def test_exchanged_parts_are_seen(parts, said):
    assert sides(exchanged(*parts)) == [said]


def test_real_people_have_their_sides(test_data):
    """Of 6,352 people of COCO hardly any is suspected, and of those exchanged most of the wide."""
    people = load_coco(test_data / "coco_scale" / "person_keypoints_val2017.json")
    points, visibility = people.keypoints.astype(float), people.visibility
    assert sum(1 for _ in swapped_sides(COCO_17, points, visibility)) <= 0.002 * len(people)
    pair = [COCO_17.index("left_hip"), COCO_17.index("right_hip")]
    points[:, pair] = points[:, pair[::-1]]
    both = (visibility[:, [5, 6, 11, 12]] > 0).all(axis=1)
    found = [i for i, _ in swapped_sides(COCO_17, points, visibility)]
    assert np.isin(np.flatnonzero(both), found).mean() > 0.75


def photograph(rng, size=(320, 240)):
    return cv2.resize(rng.integers(0, 255, (9, 12, 3)).astype(np.uint8), size,
                      interpolation=cv2.INTER_CUBIC)  # fmt: skip


def test_twins_are_those_of_comparing_all():
    """By the hashes and greys of all pairs, one after the other; in one set, and in two."""
    rng = np.random.default_rng(3)
    greys = [rng.integers(0, 255, (32, 32)).astype(np.uint8) for _ in range(60)]
    soft = [cv2.normalize(cv2.GaussianBlur(grey, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
            for grey in greys]  # fmt: skip
    close = [np.clip(grey.astype(float) + rng.normal(0, 1 + i / 3, grey.shape), 0, 255)
             .astype(np.uint8) for _ in range(2) for i, grey in enumerate(soft)]  # fmt: skip
    looks = [Look(None, grey=g, digest=bytes([i])) for i, g in enumerate(soft + close)]
    hashes = np.unpackbits(hashes_of(np.array([look.grey for look in looks], np.float32)), axis=1)

    def expected(start, candidates):
        for j in range(start, len(looks)):
            rows = [
                (np.corrcoef(looks[i].grey.ravel(), looks[j].grey.ravel())[0, 1], i)
                for i in candidates(j)
                if (hashes[i] != hashes[j]).sum() <= DISTANCE
            ]
            if rows and max(rows)[0] >= CORRELATION:
                yield max(rows)[1], j

    inside = set(expected(1, range))
    assert 30 < len(inside) < 120
    assert set(twins(looks)) == {(i, j, False) for i, j in inside}
    across = set(expected(60, lambda _: range(60)))
    assert 30 < len(across) < 120
    assert set(shared(looks[60:], looks[:60])) == {(j - 60, i, False) for i, j in across}


def test_equal_files_are_pairs_with_the_first():
    grey = np.arange(1024, dtype=np.uint8).reshape(32, 32)
    looks = [Look(None, grey=grey, digest=b"a")] * 3 + [Look("missing image"), Look(None)]
    assert list(twins(looks)) == [(0, 1, True), (0, 2, True)]
    assert list(shared(looks, looks[2:])) == [(0, 0, True), (1, 0, True), (2, 0, True)]
    assert list(shared(looks, looks[3:])) == []


def test_frames_of_one_scene_are_told_once_each():
    grey = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8), (0, 0), 2
    )
    looks = [Look(None, grey=grey, digest=bytes([i])) for i in range(50)]
    assert sorted(j for _, j, _ in twins(looks)) == list(range(1, 50))


def test_real_photographs_are_no_twins_and_their_copies_are(test_data, tmp_path):
    folder = test_data / "coco" / "images" / "train2017"
    names = sorted(path.name for path in folder.iterdir())[:25]
    for i, name in enumerate(names):
        picture = ImageFolder(folder).read(name)
        width, height = picture.shape[1] * (3 + i % 4) // 5, picture.shape[0] * (3 + i % 4) // 5
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        write_image(tmp_path / f"a{i:02}.jpg", picture)
        write_image(tmp_path / f"b{i:02}.jpg", small, quality=40)
    images = [{"id": i, "file_name": p.name} for i, p in enumerate(sorted(tmp_path.iterdir()))]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"images": images, "categories": [skeleton_to_category(COCO_17)]}))
    looks = look_at(read_labels(path), ImageFolder(tmp_path))
    assert set(twins(looks)) == {(i, i + 25, False) for i in range(25)}


@pytest.fixture
def small(tmp_path):
    """Six images of two people each, and how to write them."""
    dataset = write_set(tmp_path / "images")

    def write():
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(dataset))
        return read_labels(path)

    return dataset, write


def test_sigmas_come_back_from_repeated_annotations(small):
    """Labels that err by known parts of the root of the area, twice each."""
    dataset, write = small
    del dataset["categories"][0]["sigmas"]
    dataset["categories"][0]["keypoints"][0] = "snout"
    rng = np.random.default_rng(1)
    sigmas = np.linspace(0.01, 0.08, 17)
    dataset["annotations"] = []
    for number in range(600):
        dataset["images"].append({"id": 100 + number, "file_name": f"{number}.jpg"})
        for _ in range(2):
            spread = sigmas[:, None] * math.sqrt(5000) / math.sqrt(2)
            points = STANDING + 300 + rng.normal(0, 1, (17, 2)) * spread
            add_person(dataset, 100 + number, points)["area"] = 5000
    labels = write()
    assert labels.skeleton.sigmas is None
    study = suggested_sigmas(labels)
    assert study["from"] == "repeated annotations"
    assert study["repeated annotations"] == pytest.approx(sigmas, rel=0.12)
    assert study["sigmas"] == pytest.approx(study["repeated annotations"], abs=1e-4)
    assert study["set"] == [None] * 17


def test_sigmas_come_back_from_residuals(small):
    """A tenth of them far away, where a network was elsewhere."""
    labels = small[1]()
    rng = np.random.default_rng(2)
    sigmas = np.linspace(0.01, 0.08, 17)
    steps = rng.normal(0, 1, (4000, 17, 2)) * sigmas[:, None] / math.sqrt(2)
    residuals = np.linalg.norm(steps, axis=-1)
    residuals[rng.random(residuals.shape) < 0.1] = np.nan
    study = suggested_sigmas(labels, residuals)
    assert study["from"] == "network residuals"
    assert study["network residuals"] == pytest.approx(sigmas, rel=0.06)
    residuals[rng.random(residuals.shape) < 0.1] = 2.0
    assert suggested_sigmas(labels, residuals)["network residuals"] == pytest.approx(
        sigmas, rel=0.2
    )


def test_few_labels_give_no_sigmas(small):
    dataset, write = small
    assert suggested_sigmas(write()) is None
    dataset["annotations"] += [a | {"id": 500 + i} for i, a in enumerate(dataset["annotations"])]
    assert suggested_sigmas(write()) is None
    assert suggested_sigmas(write(), np.full((5, 17), 0.1)) is None
    only = np.full((20, 17), np.nan)
    only[:, 0] = 0.05
    study = suggested_sigmas(write(), only)
    assert len(set(study["sigmas"])) == 1 and study["labels"] == [20] + [0] * 16


def test_recall_is_that_of_counting(small, tmp_path):
    dataset, write = small
    rng = np.random.default_rng(0)
    detections = detections_of(dataset)
    for detection in detections:
        detection["bbox"] = (np.array(detection["bbox"]) * rng.uniform(0.7, 1.3, 4)).tolist()
    (tmp_path / "boxes.json").write_text(json.dumps(detections))
    study, _ = detection_study(write(), tmp_path / "boxes.json")
    for threshold in THRESHOLDS:
        found = 0
        for annotation in dataset["annotations"]:
            own = xywh_to_xyxy(np.array([annotation["bbox"]]))
            best = max(
                float(box_iou(own, xywh_to_xyxy(np.array([d["bbox"]])))[0, 0])
                for d in detections
                if d["image_id"] == annotation["image_id"]
            )
            found += best >= threshold
        assert study["recall"][f"{threshold:.2f}"] == pytest.approx(found / 12)
    assert study["people"] == 12 and study["images"] == 6


def test_counts_are_those_of_the_set(small):
    dataset, write = small
    dataset["annotations"][0]["keypoints"][2] = 1
    dataset["annotations"][1] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    dataset["annotations"][2] |= {"iscrowd": 1}
    dataset["annotations"][3]["bbox"][0] = 0.0
    labels = write()
    counts = counts_of(labels)
    assert counts == {"images": 6, "annotations": 12, "people": 10, "images with people": 6,
                      "without keypoints": 1, "crowds": 1, "labelled keypoints": 170}  # fmt: skip
    shares = distributions_of(labels)
    for title, rows in shares.items():
        total = 6 if "images" in title or "in an image" in title else 10
        assert sum(row["number"] for row in rows) == total, title
        assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    per_image = {row["group"]: row["number"] for row in shares["People in an image"]}
    assert (per_image["1"], per_image["2"]) == (2, 4)
    cut = {row["group"]: row["number"] for row in shares["Cut by the image's border"]}
    assert cut == {"at no side": 9, "at one side": 1, "at two or more": 0}
    assert keypoint_rows(labels)[0] == {
        "keypoint": "nose", "seen": 0.9, "hidden": 0.1, "unlabelled": 0.0
    }  # fmt: skip


COUNTS = [60, pytest.param(600, marks=pytest.mark.slow), pytest.param(3000, marks=pytest.mark.soak)]


@pytest.mark.parametrize("count", COUNTS)
def test_what_passes_the_loaders_take(small, tmp_path, count):
    """Of files damaged at random: where the doctor finds no error, the loader reads everyone; and
    whatever it finds, the page can be made."""
    dataset, _ = small
    path = tmp_path / "damaged.json"
    refused = 0
    for seed in range(count):
        path.write_bytes(damaged(np.random.default_rng(seed), dataset).data)
        try:
            labels = read_labels(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            refused += 1
            continue
        content, findings = examine(Set(labels))
        text = doctor_page(content, cards(findings, labels, None))
        assert text.endswith("</html>\n")
        if not any(KINDS[finding.kind].severity == "error" for finding in findings):
            assert len(load_coco(path)) == content["counts"]["people"], seed
    assert refused < count / 2


@pytest.mark.parametrize("count", COUNTS[:2])
def test_detections_that_pass_the_loaders_take(small, tmp_path, count):
    dataset, write = small
    labels, path = write(), tmp_path / "boxes.json"
    detections = detections_of(dataset)
    for seed in range(count):
        path.write_bytes(damaged(np.random.default_rng(seed), detections).data)
        try:
            study, findings = detection_study(labels, path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            continue
        if not any(KINDS[finding.kind].severity == "error" for finding in findings):
            flat = sum(finding.kind == "detection without size" for finding in findings)
            people = load_detections(path, labels.path)
            assert len(people) == study["of people in listed images"] - flat, seed
