"""A file that grew says what `write_json` would have said, and appears whole or not at all."""

import json

import numpy as np
import pytest

from pose.growing_json import growing_list, growing_object

ENTRIES = [{"score": 0.1 + 0.2, "name": 'a "b"\n'}, [1, 2], "Ж"]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_list(tmp_path, number):
    with growing_list(tmp_path / "a.json") as append:
        for entry in ENTRIES[:number]:
            append(entry)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == ENTRIES[:number]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_an_object_of_lists_and_others(tmp_path, number):
    others = {"categories": [{"id": 1}], "info": "x"}
    with growing_object(tmp_path / "a.json", ("images", "annotations"), others) as append:
        for entry in ENTRIES[:number]:
            append["annotations"](entry)
            append["images"](7)
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content == {"images": [7] * number, "annotations": ENTRIES[:number], **others}


@pytest.mark.parametrize("open_file", [growing_list, lambda p: growing_object(p, ("a",), {"b": 1})])
def test_an_error_leaves_what_was_there(tmp_path, open_file):
    path = tmp_path / "a.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), open_file(path):
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    path = tmp_path / "a.json"
    message = r"a\.json: not written, a number is not finite"
    with pytest.raises(ValueError, match=message), growing_list(path) as append:
        append(np.nan)
    assert not path.exists()
