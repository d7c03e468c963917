"""JSON at the border: what is written reads back, what is wrong ends in one line."""

import json
import math

import numpy as np
import pytest

from pose.records import (
    MAX_NAME,
    category_ids,
    file_name,
    finite,
    named_images,
    numbers,
    objects,
    read_json,
    require,
    shown,
    shown_text,
    whole,
    write_json,
)

CONTENT = {"name": "größe 图", "rows": [0.1, 1 / 3, 5e-324, 2**53 + 1], "none": None, "yes": True}


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_written_reads_back(tmp_path, indent):
    path = tmp_path / "new" / "a.json"
    write_json(path, CONTENT, indent=indent)
    assert read_json(path) == CONTENT
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(CONTENT, indent=indent, ensure_ascii="\\u" in text) + "\n"
    assert list(path.parent.iterdir()) == [path]


def test_arrays_become_lists(tmp_path):
    write_json(
        tmp_path / "a.json", {"a": np.arange(3), "b": np.float64(0.5), "c": np.ones((2, 1), bool)}
    )
    assert read_json(tmp_path / "a.json") == {"a": [0, 1, 2], "b": 0.5, "c": [[True], [True]]}


@pytest.mark.parametrize("bad", [math.nan, -math.inf, np.array([math.nan]), [np.float64("inf")]])
def test_nan_is_refused_and_the_old_file_stands(tmp_path, bad):
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(ValueError, match=r"a\.json: not written, a number is not finite"):
        write_json(path, {"x": bad})
    assert read_json(path) == [1] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (whole, 7, 7),
        (whole, 7.0, 7),
        (whole, np.int32(7), 7),
        (whole, -(2**63), -(2**63)),
        (finite, 7, 7.0),
        (finite, np.float32(0.5), 0.5),
        (finite, 10**300, 1e300),
    ],
)
def test_good_fields_pass(check, value, result):
    found = check(value, "here")
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize("value", ["7", None, [7], {}, 7.5, math.nan, math.inf, 2**63, "x" * 999])
def test_what_is_no_integer_is_refused(value):
    with pytest.raises(ValueError, match=r"a\.json: id is .{1,40}, expected an integer"):
        whole(value, "a.json: id")


@pytest.mark.parametrize("value", ["7", None, [7], True, math.nan, math.inf, 10**400, "x" * 999])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"a\.json: area is .{1,40}, expected a finite number"):
        finite(value, "a.json: area")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is None, expected a list of 3 numbers"),
        ("123", "is '123', expected a list of 3 numbers"),
        ([1, 2], "has 2 values, expected 3"),
        ([1, 2, "3"], "is not a flat list of numbers"),
        ([1, 2, None], "is not a flat list of numbers"),
        ([1, 2, [3]], "is not a flat list of numbers"),
        ([[1], [2], [3]], "is not a flat list of numbers"),
        ([True, False, True], "is not a flat list of numbers"),
        ([1, 2, 10**400], "is not a flat list of numbers"),
        ([1, math.nan, 3], r"\[1\] is nan, expected a finite number"),
        ([1, 2, -math.inf], r"\[2\] is -inf, expected a finite number"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(value, message):
    with pytest.raises(ValueError, match=rf"here:? ?{message}"):
        numbers(value, 3, "here")


def test_numbers_are_float64():
    for good in ([1, 2.5, 3], (1, 2, 3), np.array([1, 2, 3], np.float32)):
        assert numbers(good, 3, "here").tolist() == list(good)
        assert numbers(good, 3, "here").dtype == np.float64


def test_objects_and_their_keys():
    assert objects({"a": []}, "a", "here") == []
    for content in ({}, [], None, {"a": None}, {"a": {}}, {"a": [1]}):
        with pytest.raises(ValueError, match="here: 'a' is missing or not a list of objects"):
            objects(content, "a", "here")
    require({"a": 1, "b": None}, ("a", "b"), "here")
    with pytest.raises(ValueError, match=r"here: has no 'c' \(it has: a, b\)"):
        require({"a": 1, "b": 2}, ("a", "c"), "here")
    with pytest.raises(ValueError, match="here: is a list, expected an object"):
        require([], ("a",), "here")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", ["x" * 10**6, "a\nb", nested(900), {"a": nested(500)}, np.zeros((9, 9)), 10**400]
)
def test_whatever_stands_in_a_file_is_shown_in_one_short_line(value):
    assert len(shown(value)) <= 40 and shown(value).isprintable()
    for check in (whole, finite, lambda v, where: numbers(v, 3, where)):
        if check is numbers and isinstance(value, list | np.ndarray):
            continue
        with pytest.raises(ValueError) as raised:
            check(value, "here")
        assert str(raised.value).isprintable() and len(str(raised.value)) < 120


def test_keys_of_a_stranger_are_shown_in_one_short_line():
    entry = {f"{i}\n\x1b[31m": 1 for i in range(1000)}
    with pytest.raises(ValueError) as raised:
        require(entry, ("id",), "here")
    assert str(raised.value).isprintable() and len(str(raised.value)) < 300
    assert shown_text("a\nb\x1b图") == "a?b?图"


def test_truths_and_texts_are_no_numbers():
    for values in ([1, True, 2], [1.0, 2.0, False], [1, 2, "x" * 10**8]):
        with pytest.raises(ValueError, match="is not a flat list of numbers"):
            numbers(values, 3, "here")
    assert numbers([np.float64(1), 2, np.int32(3)], 3, "here").tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["a.jpg", "图/é.png", "x" * MAX_NAME])
def test_names_that_files_can_have(name):
    assert file_name(name, "here") == name


@pytest.mark.parametrize("name", ["", None, 5, "a\0b", "\ud800.jpg", "x" * (MAX_NAME + 1), ["a"]])
def test_names_that_no_file_has(name):
    with pytest.raises(
        ValueError, match=r"here: file_name is .*, expected a file's name"
    ) as raised:
        file_name(name, "here: file_name")
    assert str(raised.value).isprintable()


def test_ids_of_categories():
    assert category_ids({"categories": [{"id": 3}, {"id": 1.0}]}, "here") == [3, 1]
    for categories, line in [
        ([], "'categories' is empty"),
        ([{"name": "a"}], r"categories\[0\]: has no 'id'"),
        ([{"id": 1}, {"id": "2"}], r"categories\[1\]: id is '2', expected an integer"),
        ([{"id": 1}, {"id": 2}, {"id": 1}], r"categories\[2\]: id 1 is that of categories\[0\]"),
    ]:
        with pytest.raises(ValueError, match=f"^here: {line}"):
            category_ids({"categories": categories}, "here")


def test_names_of_images():
    images = [{"id": 3, "file_name": "a.jpg"}, {"id": 4}, {"id": 3.0, "file_name": "a.jpg"}]
    assert named_images({"images": images}, "here", all_named=False) == {3: "a.jpg"}
    with pytest.raises(ValueError, match=r"^here: images\[1\]: has no 'file_name'"):
        named_images({"images": images}, "here", all_named=True)
    images[2]["file_name"] = "b.jpg"
    with pytest.raises(ValueError, match=r"^here: images\[2\]: id 3 is that of a.jpg too"):
        named_images({"images": images}, "here", all_named=False)
