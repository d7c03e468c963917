"""Names and words of strangers reach the terminal as text: they move no cursor."""

import json
import logging
import sys

import pytest

from pose.commands.common import printable
from pose.commands.main import log_to_stderr, main
from pose.commands.tables import format_table

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r\npose: error: all is well\x9b1A"


def lines_are_text(text):
    return all(line.isprintable() for line in text.split("\n")) and "\r" not in text


@pytest.mark.parametrize("text", ["Zoë 东京 🙂 a b.jpg", "", "C:\\a"])
def test_what_is_printable_stays(text):
    assert printable(text) == text


def test_what_is_not_is_shown():
    assert printable("\x1b[2J\n\u202e\udcff") == "\\x1b[2J\\n\\u202e\\udcff"


def test_an_error_is_one_line_of_text(capsys, tmp_path):
    assert main(["predict", str(tmp_path / EVIL)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pose: error: ") and line.isprintable()


def test_the_log_is_text(capsys):
    with log_to_stderr(logging.INFO):
        logging.getLogger("pose.test").warning("%s: is odd", EVIL)
        logging.getLogger("pose.test").info("two\nlines")
    said = capsys.readouterr().err
    assert lines_are_text(said) and said.endswith("two\nlines\n")


def test_a_table_is_text():
    table = format_table([EVIL, "AP"], [[EVIL, 0.5], ["b", None]])
    assert lines_are_text(table) and len(table.split("\n")) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_receipts_of_strangers_are_compared_as_text(capsys, tmp_path):
    receipt = {
        "annotations": {"file": EVIL, "sha256": "0"},
        "boxes": {},
        "protocol": {EVIL: EVIL},
        "figures": {EVIL: 0.5},
        "weights": {"file": EVIL},
        "network": EVIL,
        "versions": {EVIL: EVIL},
    }
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        path.write_text(json.dumps(receipt))
        receipt = {**receipt, "versions": {EVIL: "other"}}
    assert main(["compare", *map(str, paths)]) == 0
    said = capsys.readouterr()
    assert "0.5" in said.out and lines_are_text(said.out) and lines_are_text(said.err)
    paths[1].write_text(json.dumps({**receipt, "protocol": {EVIL: 1}}))
    assert main(["compare", *map(str, paths)]) == 2
    assert lines_are_text(capsys.readouterr().err)
