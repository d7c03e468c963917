"""Files named one by one, by folder, pattern or manifest: the same list, sorted, each once."""

from pathlib import Path

import pytest

from pose.inputs import list_inputs


def listed(*sources):
    return [Path(path).name for path in list_inputs([str(source) for source in sources])]


@pytest.fixture
def tree(tmp_path):
    for name in ("b.JPG", "a.png", "c.mp4", ".d.png", "e.txt", "below/f.webp", "below/g.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_inputs_are_files_folders_and_patterns(tree, monkeypatch):
    assert listed(tree) == ["a.png", "b.JPG", "c.mp4"]
    assert listed(tree / "b.JPG", tree, tree / "*.png") == ["a.png", "b.JPG", "c.mp4"]
    assert listed(tree / "**") == ["a.png", "b.JPG", "f.webp", "c.mp4"]
    assert listed(tree / "below/g.csv") == ["g.csv"], "what is named is tried, whatever its name"
    monkeypatch.chdir(tree)
    assert list_inputs(["."]) == list_inputs([str(tree)])


def test_inputs_of_manifests(tree):
    lines = f"a.png\n\nbelow/f.webp\r\n{tree / 'c.mp4'}\na.png\nnot there.png\n"
    (tree / "list.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    expected = ["a.png", "f.webp", "c.mp4", "not there.png"]
    assert listed(tree / "list.txt") == expected
    (tree / "list.jsonl").write_text('"a.png"\n{"path": "below/f.webp", "id": 3}\n\n"ä.png"\n')
    assert listed(tree / "list.jsonl") == ["a.png", "f.webp", "ä.png"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ('{"file": "a.png"}', "line 2: expected a text, or an object with 'path'; got {'file'"),
        ("7", "line 2: expected a text, or an object with 'path'; got 7"),
        ('""', "line 2: expected a text"),
    ],
)
def test_a_manifest_says_what_is_wrong(tree, line, says):
    (tree / "list.jsonl").write_text(f'"a.png"\n{line}\n')
    with pytest.raises(ValueError, match=f"list.jsonl: {says}"):
        listed(tree / "list.jsonl")


def test_inputs_that_are_none(tree):
    for missing in (tree / "x.png", tree / "*.gif", "camera:0", "https://example.org/a.mp4"):
        with pytest.raises(FileNotFoundError, match="no such file; expected images, videos, fold"):
            listed(tree, missing)
    (tree / "none").mkdir()
    with pytest.raises(ValueError, match="none: no image or video there"):
        listed(tree / "none")
    (tree / "list.txt").write_bytes("ä.png\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"udce4.png': the name is not UTF-8.*rename the file"):
        listed(tree / "list.txt")
