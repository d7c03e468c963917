"""Columns that are kept: the people of the file itself, whole or not taken, shared, not copied."""

import json
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest

from pose.build_data import FORMATS
from pose.data import columns
from pose.data.coco import load_coco
from pose.data.columns import META, NAMES, MappedPeople, kept_people, open_columns, write_columns
from pose.skeleton import COCO_17
from tests.data.test_coco import HAND, annotation, dataset


@pytest.fixture
def path(save, monkeypatch):
    """A file that counts as large."""
    monkeypatch.setattr(columns, "LARGE", 1)
    return save(dataset(annotation(1), annotation(2, image_id=9), annotation(3)))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def assert_same(found, expected):
    assert found.skeleton == expected.skeleton
    for name in NAMES:
        column, right = getattr(found, name), getattr(expected, name)
        assert column.dtype == right.dtype
        np.testing.assert_array_equal(column, right)


def refuse():
    pytest.fail("was parsed again")


def test_a_large_file_is_parsed_once(path, folder):
    parsed = load_coco(path)
    first = kept_people(path, folder, "coco", lambda: load_coco(path))
    second = kept_people(path, folder, "coco", refuse)
    for found in (first, second):
        assert_same(found, parsed)
        assert isinstance(found, MappedPeople) and found.skeleton is COCO_17
        assert not found.keypoints.flags.writeable
    assert second[1].image == "other.jpg"


def test_what_the_reading_depends_on_makes_other_columns(path, folder):
    for reading in ("coco published", "coco mmpose"):
        kept_people(path, folder, reading, lambda: load_coco(path))
    path.write_text(json.dumps(dataset(annotation(1))))
    assert len(kept_people(path, folder, "coco published", lambda: load_coco(path))) == 1
    assert len(list(folder.iterdir())) == 3


def test_formats_keep_by_reader_rule_and_skeleton(path, folder, monkeypatch):
    monkeypatch.setenv("POSE_CACHE", str(folder))
    for rule in ("published", "mmpose"):
        found = FORMATS["coco"].load(path, None, rule)
        assert_same(found, load_coco(path, box_rule=rule))
        assert_same(FORMATS["coco"].load(path, COCO_17, rule), found)
    assert len(list((folder / "annotations").iterdir())) == 4


def test_small_files_and_folders_are_parsed_each_time(save, folder, tmp_path):
    path = save(dataset(annotation()))
    for given in (path, tmp_path, tmp_path / "none.json"):
        kept_people(given, folder, "coco", lambda: load_coco(path))
    assert not folder.exists()


def test_a_skeleton_of_its_own_comes_back(folder):
    parsed = load_coco_of(HAND)
    write_columns(folder, parsed)
    assert_same(open_columns(folder), parsed)


def load_coco_of(skeleton):
    k = skeleton.num_keypoints
    n = 3
    return columns.People(
        skeleton=skeleton,
        images=np.array(["a.jpg", "图.jpg"]),
        image_sizes=np.zeros((2, 2), np.int32),
        image_index=np.array([0, 1, 1]),
        image_ids=np.arange(n),
        boxes=np.ones((n, 4), np.float32),
        keypoints=np.ones((n, k, 2), np.float32),
        visibility=np.ones((n, k), np.uint8),
        areas=np.ones(n),
        scores=np.ones(n),
        annotation_ids=np.arange(n),
    )


@pytest.mark.parametrize("name", [*NAMES])
@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "lost"])
def test_damaged_columns_are_not_taken(path, folder, name, damage):
    kept_people(path, folder, "coco", lambda: load_coco(path))
    [place] = folder.iterdir()
    file = place / f"{name}.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    content = {"bit": bytes(data), "cut": bytes(data[:-3]), "empty": b""}
    file.unlink()
    if damage in content:
        file.write_bytes(content[damage])
    with pytest.raises(ValueError, match=r"damaged; delete the folder, it is made again") as raised:
        kept_people(path, folder, "coco", refuse)
    assert str(raised.value).startswith(f"{place}: ") and "\n" not in str(raised.value)


def test_what_was_half_written_is_made_again(path, folder):
    kept_people(path, folder, "coco", lambda: load_coco(path))
    [place] = folder.iterdir()
    (place / META).unlink()
    (place / "boxes.npy").write_bytes(b"half")
    assert_same(kept_people(path, folder, "coco", lambda: load_coco(path)), load_coco(path))


def test_nobody_is_kept_too(save, folder, monkeypatch):
    monkeypatch.setattr(columns, "LARGE", 1)
    path = save(dataset())
    for _ in range(2):
        assert len(kept_people(path, folder, "coco", lambda: load_coco(path))) == 0


def test_where_nothing_can_be_kept_the_people_are_still_there(path, tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        people = kept_people(path, tmp_path / "file", "coco", lambda: load_coco(path))
    assert_same(people, load_coco(path)) and "cannot keep the columns" in caplog.text


def test_another_process_is_sent_where_they_lie(path, folder):
    people = kept_people(path, folder, "coco", lambda: load_coco(path))
    sent = pickle.dumps(people)
    assert len(sent) < 500
    assert_same(pickle.loads(sent), people)
    for changed in (
        replace(people, boxes=people.boxes + 1),
        replace(people, boxes=people.boxes[::-1]),
    ):
        assert_same(pickle.loads(pickle.dumps(changed)), changed)
