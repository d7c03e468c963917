"""What setup.py declares agrees with the code, and a built wheel holds what the package needs."""

import ast
import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pose

ROOT = Path(__file__).resolve().parents[1]

DISTRIBUTION_OF = {"cv2": "opencv-python", "yaml": "pyyaml", "PIL": "pillow"}
"""Where the name to import is not the name to install."""


@pytest.fixture
def metadata(monkeypatch):
    """The arguments that setup.py gives to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: given.update(kwargs))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def names(requirements):
    """opencv-python>=4.10 -> opencv-python."""
    return {re.split(r"[<>=!~ ;\[]", requirement)[0] for requirement in requirements}


def test_version_is_the_packages(metadata):
    assert metadata["version"] == pose.__version__


def test_entry_point_is_a_function_of_the_package(metadata):
    (script,) = metadata["entry_points"]["console_scripts"]
    name, target = script.split(" = ")
    module, function = target.split(":")
    assert name == "pose"
    assert callable(getattr(importlib.import_module(module), function))


def test_every_library_that_is_imported_is_required(metadata):
    imported = set()
    for path in (ROOT / "pose").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"pose"}
    extras = [name for extra in metadata["extras_require"].values() for name in extra]
    required = names([*metadata["install_requires"], *extras])
    assert {DISTRIBUTION_OF.get(name, name) for name in foreign} <= required


def test_opencv_is_kept_from_the_releases_that_do_not_serve(metadata):
    assert "opencv-python>=4.10,!=4.13.*" in metadata["install_requires"]


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory):
    """A wheel built from a copy of the sources (building writes beside them), unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("pose", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("pose-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_wheel_holds_all_that_the_package_needs(unpacked_wheel):
    assert (unpacked_wheel / "pose/py.typed").is_file()
    for folder, pattern in (("pose", "*.py"), ("pose/weights", "*.safetensors")):
        for path in (ROOT / folder).rglob(pattern):
            assert (unpacked_wheel / path.relative_to(ROOT)).is_file()
    shipped = {p.relative_to(ROOT) for p in (ROOT / "configs").rglob("*.yaml")}
    inside = {p.relative_to(unpacked_wheel / "pose") for p in unpacked_wheel.rglob("*.yaml")}
    assert inside == shipped
    assert shipped


@pytest.mark.slow
def test_wheel_runs_and_finds_the_configs_away_from_the_clone(unpacked_wheel, tmp_path):
    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(unpacked_wheel)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    where = python("-c", "import pose; print(pose.__file__)")
    assert Path(where.strip()).is_relative_to(unpacked_wheel)
    assert "usage: pose" in python("-m", "pose", "--help")
    listed = python("-c", "from pose.config import config_names; print(*config_names())").split()
    expected = (p.relative_to(ROOT / "configs") for p in (ROOT / "configs").rglob("*.yaml"))
    assert listed == sorted(p.with_suffix("").as_posix() for p in expected)


def test_make_test_runs_every_test():
    """It names them group by group; a new folder has to join one."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    groups = re.search(r"^TESTS := (.*?)$\n\n", text, re.MULTILINE | re.DOTALL)[1]
    named = {
        path for pattern in re.findall(r"[\w/*.\[\]-]+", groups) for path in ROOT.glob(pattern)
    }
    tests = set((ROOT / "tests").rglob("test_*.py"))
    assert {test for test in tests if not named & {test, *test.parents}} == set()
