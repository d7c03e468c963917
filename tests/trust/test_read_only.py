"""The folder of a data set is only read; output goes where nothing lies, or where --overwrite says
so; and nothing is deleted but what a run itself began and left half done."""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pose
from pose.commands.common import check_new
from pose.commands.main import COMMANDS, Parser, load_command, main
from pose.data.synthetic import write_synthetic
from tests.commands.quick import QUICK, untrained
from tests.patience import HANG_SECONDS

LABELS = "annotations/person_keypoints_val.json"
CPU = ["--device", "cpu"]


def tree(folder: Path) -> dict[str, tuple]:
    """What stands in a folder and when each entry was last changed, down to the nanosecond: time
    and size of the content, time of any change at all, the entry itself, the bytes."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.stat()
        bytes_of = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        times = status.st_mtime_ns, status.st_ctime_ns
        found[str(path)] = (*times, status.st_size, status.st_ino, status.st_mode, bytes_of)
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read_only") / "set"
    write_synthetic(folder, {"train": 4, "val": 2}, seed=1, num_processes=1)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are run: what they write by default lands here, the cache too."""
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def commands_on(data: Path, out: Path) -> dict[str, list[str]]:
    """Every command that reads a data set, as one after the other would be called."""
    train = [f"data.root={data}", *QUICK, "--out", f"{out}/run"]
    weights, truth = f"{out}/run/best.safetensors", f"{data}/{LABELS}"
    config = f"{out}/run/config.yaml"
    evaluate = ["evaluate", config, f"data.root={data}", "--weights", weights]
    detections = next((data / "person_detection_results").iterdir(), None)
    results = f"{out}/gt/results.json"
    folder = f"{data}/images/val"
    return {
        "train": ["train", "synthetic/quickstart", *train, *CPU],
        "train with a cache": [
            *["train", "synthetic/quickstart", f"data.root={data}", *QUICK],
            *["data.cache=true", "--out", f"{out}/cached", *CPU],
        ],
        "evaluate": [*evaluate, "--boxes", "gt", "--out", f"{out}/gt", *CPU],
        "evaluate detections": [*evaluate, "--boxes", str(detections), "--out", f"{out}/d", *CPU],
        "score": ["score", results, "--annotations", truth, "--json", f"{out}/figures.json"],
        "diagnose": [
            *["diagnose", results, "--annotations", truth, "--images", folder],
            *["--out", f"{out}/diagnosis", *CPU],
        ],
        "predict": [
            *["predict", folder, "--weights", weights, "--boxes", truth],
            *["--out", f"{out}/poses", *CPU],
        ],
        "suggest": [
            *["suggest", folder, "--weights", weights, "--boxes", truth, "--number", "2"],
            *["--out", f"{out}/next", *CPU],
        ],
        "doctor": ["doctor", truth, "--images", folder, "--out", f"{out}/doctor"],
        "predict into poses": ["predict", folder, "--weights", weights, "--boxes", truth, *CPU],
        "export": [
            *["export", weights, "--to", "torchscript", f"data.root={data}", "test.flip=false"],
            *["--out", f"{out}/mine.torchscript"],
        ],
    }


QUICKEST = ("train", "evaluate", "score", "predict into poses")


@pytest.mark.parametrize("names", [QUICKEST, pytest.param(None, marks=pytest.mark.slow)])
def test_a_data_set_is_only_read(drawn: Path, elsewhere: Path, names: tuple | None) -> None:
    before = tree(drawn)
    for name, line in commands_on(drawn, elsewhere / "out").items():
        if names is None or name in names:
            assert main(line) == 0, name
            assert tree(drawn) == before, name
    assert (elsewhere / "poses/poses.json").is_file()


def mounted(folder: Path, line: list[str]) -> list[str]:
    """A command line in a world of its own, where `folder` cannot be written to by anybody."""
    text = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", text, "sh", *line]


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["sh", "-c", f'! touch "{folder}/probe" 2>/dev/null']
    return subprocess.run(mounted(folder, probe), capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_mount_that_cannot_be_written_to_is_enough(drawn: Path, elsewhere: Path) -> None:
    if not may_mount(drawn):
        pytest.skip("no right to mount a folder read-only")
    environment = os.environ | {"PYTHONPATH": str(Path(pose.__file__).parents[1])}
    for line in commands_on(drawn, elsewhere / "out").values():
        run = mounted(drawn, [sys.executable, "-m", "pose", *line])
        done = subprocess.run(
            run, capture_output=True, text=True, timeout=HANG_SECONDS, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr


# Where output goes


def test_every_command_with_output_has_the_one_rule() -> None:
    """--out goes with --overwrite; a run is never written over, so `train` and `quickstart`, which
    go on with what is theirs, have none."""
    for name in COMMANDS:
        parser = Parser(name, "")
        load_command(name).add_arguments(parser)
        options = {text for action in parser._actions for text in action.option_strings}
        writes = bool(options & {"--out", "--json"})
        assert ("--overwrite" in options) == (writes and name not in ("train", "quickstart")), name


def refused_lines(data: Path, out: Path) -> dict[str, list[str]]:
    """A command for each rule, all of which look before they begin; `out` holds something."""
    photo = f"{data}/images/val/000000000001.jpg"
    none, file = f"{out.parent}/none.safetensors", f"{out}/kept.txt"
    predict = ["predict", photo, "--weights", "hrnet_small", "--boxes", "1,1,50,90"]
    evaluate = ["evaluate", "synthetic/quickstart", f"data.root={data}", "--boxes", "gt"]
    score = ["score", f"{data}/{LABELS}", "--annotations", f"{data}/{LABELS}"]
    shutil.copyfile(file, f"{out}/kept.onnx")
    return {
        "predict": [*predict, "--out", str(out)],
        "evaluate": [*evaluate, "--weights", none, "--out", str(out)],
        "benchmark": ["benchmark", "post", "--out", str(out)],
        "doctor": ["doctor", f"{data}/{LABELS}", "--out", str(out)],
        "calibrate": ["calibrate", none, "--annotations", none, "--out", str(out)],
        "suggest": ["suggest", *predict[1:], "--out", str(out)],
        "diagnose": ["diagnose", none, "--annotations", none, "--out", str(out)],
        "detect": ["detect", photo, "--out", file],
        "score": [*score, "--json", file],
        "export": ["export", none, "--to", "onnx", "--out", f"{out}/kept.onnx"],
        "weights": ["weights", "convert", none, "--like", "hrnet_w32", "--out", file],
        "train": ["train", "synthetic/quickstart", f"data.root={data}", "--out", str(out)],
        "quickstart": ["quickstart", "--out", str(out)],
    }


@pytest.mark.parametrize(
    "name",
    [
        *("predict", "evaluate", "benchmark", "doctor", "diagnose", "calibrate", "suggest"),
        *("detect", "score", "export", "weights", "train", "quickstart"),
    ],
)
def test_what_is_there_is_not_written_over(
    drawn: Path, elsewhere: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    out = elsewhere / "mine"
    out.mkdir()
    (out / "kept.txt").write_text("weeks of work")
    line = refused_lines(drawn, out)[name]
    before = tree(elsewhere)
    assert main(line) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("pose: error: --") and str(out) in said
    assert "name another" in said
    assert ("add --overwrite" in said) == (name not in ("train", "quickstart"))
    assert tree(elsewhere) == before


def test_with_overwrite_what_has_other_names_stays(drawn: Path, elsewhere: Path) -> None:
    weights = untrained(elsewhere / "w.safetensors", "model.input_size=[64, 64]")
    out, photo = elsewhere / "mine", drawn / "images/val/000000000001.jpg"
    predict = ["predict", str(photo), "--weights", str(weights), "--boxes", "1,1,50,90", *CPU]
    evaluate = [
        "evaluate",
        "synthetic/quickstart",
        f"data.root={drawn}",
        "model.input_size=[64,64]",
    ]
    evaluate += ["--weights", str(weights), "--boxes", "gt", *CPU]
    for name, line in {"poses.json": predict, "results.json": evaluate}.items():
        (out / "deep").mkdir(parents=True, exist_ok=True)
        for kept in ("kept.txt", "deep/kept.txt", name):
            (out / kept).write_text("weeks of work")
        assert main([*line, "--out", str(out)]) == 2
        assert main([*line, "--out", str(out), "--overwrite"]) == 0
        assert (out / "kept.txt").read_text() == (out / "deep/kept.txt").read_text()
        assert (out / "kept.txt").read_text() == "weeks of work" != (out / name).read_text()


def test_a_run_that_ended_before_its_first_save_begins_again(drawn: Path, elsewhere: Path) -> None:
    """What it left is its own; with another config it is not."""
    line = ["train", "synthetic/quickstart", f"data.root={drawn}", *QUICK, *CPU, "--out", "run"]
    assert main(line) == 0
    for path in [*Path("run").rglob("*")]:
        if path.is_file() and path.name not in ("config.yaml", "training.jpg"):
            path.unlink()
    assert main([*line, "train.seed=5"]) == 2
    assert main(line) == 0


def test_hidden_files_pipes_and_empty_folders_are_no_output(tmp_path: Path) -> None:
    (tmp_path / "empty/inner").mkdir(parents=True)
    (tmp_path / "empty/.DS_Store").touch()
    fifo = tmp_path / "pipe"
    if hasattr(os, "mkfifo"):
        os.mkfifo(fifo)
    check_new(tmp_path / "empty", tmp_path / "none", fifo, overwrite=False)
    (tmp_path / "empty/inner/a").touch()
    for path in (tmp_path / "empty", tmp_path / "empty/inner/a"):
        with pytest.raises(ValueError, match=r"^--out .*; name another .*, or add --overwrite"):
            check_new(path, overwrite=False)
        check_new(path, overwrite=True)


DELETING = {
    "commands/app_decoding": "what the page's own decoder wrote",
    "commands/evaluate": "the matches of an evaluation that this one replaces",
    "data/crop_cache": "a cache that nobody completed",
    "data/synthetic/writing": "the half-drawn set beside the folder",
    "download": "a download that is not what was promised",
    "files": "the temporary file beside the one to be",
    "published": "the download that was converted",
    "shards": "what a worker that died had begun",
}
"""Modules that delete -> what: their own and half done."""


def test_nothing_else_deletes() -> None:
    root = Path(pose.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in (
                *("unlink", "rmtree", "rmdir", "remove", "removedirs"),
            ):
                owner = ast.unparse(node.value)
                if node.attr != "remove" or owner == "os":
                    found.add(path.relative_to(root).with_suffix("").as_posix())
    assert found == set(DELETING)


def test_the_options_parse() -> None:
    """`args.overwrite` is there wherever `check_new` asks for it."""
    parser = argparse.ArgumentParser()
    load_command("predict").add_arguments(parser)
    assert parser.parse_args(["a.jpg", "--overwrite"]).overwrite is True
