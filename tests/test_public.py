"""What `import pose` gives is a promise: names and signatures are frozen here, listed in
docs/python.md, and every change of them stands in CHANGELOG.md."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pose

ROOT = Path(__file__).resolve().parents[1]

CLASSES = ("Boxes", "Poses", "Predictor", "Skeleton", "VideoWriter")
CONSTANTS = ("COCO_17", "MPII_16", "__version__")
PARAMETERS = {
    "load": ["weights", "detector", "device", "engine", "keys"],
    "draw_poses": ["image", "poses", "score_threshold", "draw_boxes", "draw_scores"],
    "read_frames": ["source"],
    "read_image": ["path", "apply_exif"],
    "write_image": ["path", "image", "quality"],
}
METHODS = {
    "Poses": {"from_coco", "person_scores", "to_coco", "to_dataframe", "to_json"},
    "Predictor": {"detect", "look_at"},
}
FIELDS = {
    "Boxes": ["boxes", "scores"],
    "Poses": [
        *("keypoints", "scores", "boxes", "skeleton", "box_scores", "track_ids"),
        "expected_oks",
    ],
}


def test_the_names_are_these():
    assert sorted(pose.__all__) == sorted([*CLASSES, *CONSTANTS, *PARAMETERS])
    assert set(dir(pose)) == set(pose.__all__)
    for name in pose.__all__:
        assert getattr(pose, name) is not None
    with pytest.raises(AttributeError, match="module 'pose' has no attribute 'laod'"):
        pose.laod  # noqa: B018


@pytest.mark.parametrize("name", PARAMETERS)
def test_functions_take_these_arguments(name):
    assert list(inspect.signature(getattr(pose, name)).parameters) == PARAMETERS[name]


@pytest.mark.parametrize("name", METHODS)
def test_classes_have_these_methods(name):
    public = {m for m in vars(getattr(pose, name)) if not m.startswith("_") and m not in FIELDS}
    assert {m for m in public if callable(getattr(getattr(pose, name), m))} == METHODS[name]


@pytest.mark.parametrize("name", FIELDS)
def test_records_hold_these_fields(name):
    assert list(getattr(pose, name).__dataclass_fields__) == FIELDS[name]


def test_type_checkers_see_what_python_sees():
    """Each name is imported for type checkers from the very module it is fetched from."""
    tree = ast.parse((ROOT / "pose/__init__.py").read_text())
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == pose._MODULES
    assert {*seen, "__version__"} == set(pose.__all__)


def test_the_page_lists_every_name():
    page = (ROOT / "docs/python.md").read_text()
    assert [name for name in pose.__all__ if f"`{name}" not in page] == []


def test_a_star_import_fetches_everything():
    program = "from pose import *; print(load.__name__, COCO_17.num_keypoints)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["load", "17"]
