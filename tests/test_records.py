"""JSON at the border: what is written reads back, what is wrong ends in one line."""

import json
import math

import numpy as np
import pytest

from pose.records import (
    finite,
    numbers,
    objects,
    read_json,
    read_mat,
    require,
    whole,
    write_json,
    write_mat,
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


# MATLAB files


def test_arrays_read_back(tmp_path):
    path = tmp_path / "new" / "a.mat"
    content = {"points": np.random.default_rng(0).random((3, 16, 2)), "none": np.zeros((0, 2))}
    write_mat(path, content)
    found = read_mat(path)
    assert list(found) == list(content) and list(path.parent.iterdir()) == [path]
    assert all(np.array_equal(found[name], content[name]) for name in content)


def test_a_suffix_is_not_added(tmp_path):
    write_mat(tmp_path / "a", {"x": np.ones((1, 1))})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert read_mat(tmp_path / "a")["x"].tolist() == [[1]]
    with pytest.raises(FileNotFoundError, match="b: no such file"):
        read_mat(tmp_path / "b")


V73 = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (V73, "is a MATLAB file of version 7.3 (HDF5), which is not read; save it with -v7"),
        (b"", "not a whole MATLAB file ("),
        (b"[1, 2]", "not a whole MATLAB file ("),
        (b"{" * 500, "not a whole MATLAB file ("),
        (bytes(range(256)) * 4, "not a whole MATLAB file ("),
    ],
)
def test_a_matlab_file_that_is_none_ends_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_mat(path)
    assert str(raised.value).startswith(f"{path}: {message}") and "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="is a folder, expected a MATLAB file"):
        read_mat(tmp_path)


@pytest.mark.parametrize("length", [4, 100, 130, 200, 1000, 3000])
def test_a_matlab_file_cut_short_or_changed_is_refused(tmp_path, length):
    path = tmp_path / "a.mat"
    write_mat(path, {"points": np.random.default_rng(0).random((30, 16, 2))})
    content = path.read_bytes()
    changed = bytearray(content)
    changed[max(length, 200)] ^= 255  # before that stand a remark and the byte order
    for damaged in (content[:length], bytes(changed)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a whole MATLAB file"):
            read_mat(path)
