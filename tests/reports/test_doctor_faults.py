"""The doctor finds every planted fault where it was planted, alone and among all others, and none
in a clean set."""

import json
import re
import shutil

import numpy as np
import pytest

from pose.data.coco import load_coco
from pose.images import ImageFolder
from pose.reports import doctor_network
from pose.reports.doctor import Set, examine
from pose.reports.doctor_file import read_labels
from pose.reports.doctor_kinds import KINDS, SEVERITIES
from pose.reports.doctor_labels import CHECKS
from tests.reports.planted import PLANTS, Garden, write_set

ELSEWHERE = {
    "no left and right",
    "no sigmas",
    "nobody has keypoints",
    "detections of another split",
    "detections overlap nobody",
    "network sees left and right exchanged",
    "network disputes the label",
}
"""Kinds that are of a file as a whole, or a network's: each has a test of its own."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return write_set(folder / "images"), folder / "images"


@pytest.fixture
def garden(clean, tmp_path):
    return planted_in(*clean, tmp_path)


def planted_in(dataset, images, tmp_path):
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "other").mkdir()
    return Garden(json.loads(json.dumps(dataset)), tmp_path / "images", tmp_path / "other")


def findings_of(garden, **more):
    labels, others, detections = garden.save()
    content, findings = examine(
        Set(read_labels(labels), ImageFolder(garden.images)),
        against=Set(read_labels(others), ImageFolder(garden.other)),
        detections=detections,
        **more,
    )
    assert sum(content["severities"].values()) == len(findings)
    assert sum(row["number"] for row in content["verdicts"]) == len(findings)
    return findings


def found_at(findings, kind, where):
    """Whether a finding of the kind begins with that place."""
    pattern = re.compile(re.escape(where) + r"(\D|$)")
    return any(f.kind == kind and pattern.match(f.where) for f in findings)


def test_a_clean_set_has_nothing_to_be_found(garden):
    garden.others["images"] = [{"id": 1, "file_name": garden.picture()}]
    shutil.move(garden.images / garden.others["images"][0]["file_name"], garden.other)
    assert findings_of(garden) == []


@pytest.mark.parametrize("kind", PLANTS)
def test_a_fault_is_found_where_it_is(garden, kind):
    """And only kinds that follow from it are found besides: none of them where nothing was done."""
    untouched = json.loads(json.dumps(garden.dataset))
    where = PLANTS[kind](garden)
    findings = findings_of(garden)
    assert found_at(findings, kind, where), [(f.kind, f.where) for f in findings]
    for finding in findings:
        for row, annotation in enumerate(untouched["annotations"]):
            if finding.where.startswith(f"annotation {row},") and " and " not in finding.where:
                assert garden.dataset["annotations"][row] != annotation or finding.kind == kind


def test_all_faults_at_once_are_all_found(tmp_path):
    """More than thirty, in one set."""
    dataset = write_set(tmp_path / "clean", num_images=40)
    garden = planted_in(dataset, tmp_path / "clean", tmp_path)
    places = {kind: function(garden) for kind, function in PLANTS.items()}
    assert len(places) >= 30
    findings = findings_of(garden)
    lost = [kind for kind, where in places.items() if not found_at(findings, kind, where)]
    assert not lost


def test_all_faults_are_found_in_real_data(test_data, tmp_path):
    """Planted in photographs and labels of COCO, in which there is no error before."""
    path = test_data / "coco" / "annotations" / "person_keypoints_train2017.json"
    dataset = json.loads(path.read_text())
    garden = planted_in(dataset, test_data / "coco" / "images" / "train2017", tmp_path)
    before = findings_of(garden)
    assert not [f for f in before if KINDS[f.kind].severity == "error"]
    assert len(garden.free) > 30
    places = {kind: function(garden) for kind, function in PLANTS.items()}
    findings = findings_of(garden)
    lost = [kind for kind, where in places.items() if not found_at(findings, kind, where)]
    assert not lost


def test_every_kind_is_planted_somewhere():
    assert set(PLANTS) | ELSEWHERE == set(KINDS)
    assert set(CHECKS) <= set(KINDS)
    assert {kind.severity for kind in KINDS.values()} == set(SEVERITIES)
    order = [SEVERITIES.index(kind.severity) for kind in KINDS.values()]
    assert order == sorted(order)


LOADERS_STOP = ("malformed entry", "wrong number of keypoint values", "visibility not 0, 1 or 2",
                "duplicate category id", "duplicate image id")  # fmt: skip


@pytest.mark.parametrize("kind", LOADERS_STOP)
def test_what_stops_the_loaders_is_an_error(garden, kind):
    PLANTS[kind](garden)
    labels, *_ = garden.save()
    with pytest.raises(ValueError):
        load_coco(labels)
    assert KINDS[kind].severity == "error"


LOST = ("box without size", "box outside the image", "area 0 or below",
        "annotation of an unknown image", "annotation of an unknown category")  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_whom_the_loaders_leave_out_is_an_error(garden, kind):
    PLANTS[kind](garden)
    labels, *_ = garden.save()
    assert len(load_coco(labels)) == len(garden.dataset["annotations"]) - 1
    assert KINDS[kind].severity == "error"


@pytest.mark.parametrize(
    ("categories", "kind"),
    [
        (None, "category mistake"),
        ([], "category mistake"),
        ([{"id": 1, "name": "person"}], "category mistake"),
        (["person"], "category mistake"),
        ([{"name": "x", "keypoints": ["a", "b"]}], "category mistake"),
        ([{"id": 1, "keypoints": ["a", "a"]}], "category mistake"),
        ([{"id": 1, "keypoints": [1, 2]}], "category mistake"),
        ([{"id": 1, "keypoints": ["a", "b"], "sigmas": [1]}], "category mistake"),
        ([{"id": 1, "keypoints": ["a", "b"]}], "no left and right"),
        ([{"id": 1, "keypoints": ["left_a", "right_a"]}], "no sigmas"),
        ([{"id": 3}, {"id": 1, "keypoints": ["left_a", "right_a"]}], "category mistake"),
    ],
)
def test_mistakes_in_categories(garden, categories, kind):
    garden.dataset["categories"] = categories
    assert kind in {finding.kind for finding in findings_of(garden)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("id", "x"), ("image_id", None), ("category_id", [1]), ("iscrowd", "no"), ("iscrowd", 3)),
        *(("bbox", [1, 2, 3]), ("bbox", "1 2 3 4"), ("bbox", [0, 0, 1e300, 1])),
        *(("area", "large"), ("num_keypoints", 1.5), ("keypoints", {}), ("keypoints", ["a"] * 51)),
    ],
)
def test_odd_fields_are_told_and_the_rest_is_read(garden, field, value):
    garden.dataset["annotations"][3][field] = value
    findings = findings_of(garden)
    told = {f.where.partition(",")[0] for f in findings if f.kind == "malformed entry"}
    assert told == {"annotation 3"}


@pytest.mark.parametrize("entry", [None, 3, "x", []])
def test_entries_that_are_no_objects_are_told(garden, entry):
    garden.dataset["annotations"].append(entry)
    garden.dataset["images"].append(entry)
    garden.detections.append(entry)
    told = {finding.kind for finding in findings_of(garden)}
    assert told == {"malformed entry", "malformed detection"}


def test_nobody_with_keypoints_is_told(garden):
    for annotation in garden.dataset["annotations"]:
        annotation |= {"keypoints": [0] * 51, "num_keypoints": 0}
    assert "nobody has keypoints" in {finding.kind for finding in findings_of(garden)}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda d: d | {"image_id": d["image_id"] + 5000}, "detections of another split"),
        (lambda d: d | {"category_id": 2}, "detections of another split"),
        (lambda d: d | {"bbox": [v / 3 for v in d["bbox"]]}, "detections overlap nobody"),
    ],
)
def test_detections_that_belong_elsewhere(garden, change, kind):
    garden.detections = list(map(change, garden.detections))
    kinds = [finding.kind for finding in findings_of(garden)]
    assert kinds.count(kind) == 1
    assert "detections in unknown images" not in kinds


def test_a_network_disputes_what_it_sees_otherwise(garden, monkeypatch):
    """One that sees what was labelled, before two labels were changed."""
    labels = read_labels(garden.save()[0])
    sides, elsewhere = garden.person(), garden.person()
    values = garden.points(sides[0])[labels.skeleton.flip_index]
    sides[0]["keypoints"] = values.ravel().tolist()
    values = garden.points(elsewhere[0])
    values[:, :2] = values[::-1, :2]
    elsewhere[0]["keypoints"] = values.ravel().tolist()
    runtime = StandIn(labels.skeleton)

    def find_poses(runtime, images, boxes, batch_size):
        """The labels of whose box it is."""
        rows = [np.abs(labels.boxes - box).sum(axis=1).argmin() for box in boxes[0].boxes]
        return [StandIn(None, labels.keypoints[rows], np.full((len(rows), 17), 0.9))]

    monkeypatch.setattr(doctor_network, "find_poses", find_poses)
    findings = findings_of(garden, runtime=runtime)
    assert found_at(findings, "network sees left and right exchanged", sides[1])
    assert found_at(findings, "network disputes the label", elsewhere[1])
    assert sum(f.kind.startswith("network") for f in findings) == 2


class StandIn:
    """What is asked of a network, and of what it finds."""

    def __init__(self, skeleton, keypoints=None, scores=None):
        self.skeleton, self.keypoints, self.scores = skeleton, keypoints, scores


def test_labels_alone_are_examined_without_pictures(tmp_path):
    dataset = write_set(tmp_path / "clean", num_images=30)
    garden = planted_in(dataset, tmp_path / "clean", tmp_path)
    places = {kind: PLANTS[kind](garden) for kind in CHECKS}
    _, findings = examine(Set(read_labels(garden.save()[0])))
    assert all(found_at(findings, kind, where) for kind, where in places.items())
