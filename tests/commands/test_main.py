"""The command line's frame: help, errors in one line, exit statuses, shared arguments."""

import argparse
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pose
from pose import devices
from pose.commands import common
from pose.commands import main as cli
from tests.patience import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class Unreadable:
    """A data set whose every sample is a mistake of the user's."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError("photos/1.jpg: the file is truncated; copy it again")


@pytest.fixture
def command(monkeypatch):
    """Makes `pose train` run the given function on the parsed arguments."""

    def install(run, add_arguments=lambda parser: None):
        module = types.SimpleNamespace(HELP="does it", run=run, add_arguments=add_arguments)
        monkeypatch.setattr(cli, "load_command", lambda name: module)

    return install


@pytest.fixture
def raises(command):
    """Makes `pose train` raise the given error."""

    def install(error):
        def run(args):
            raise error

        command(run)

    return install


def run_config_command(command, line):
    """The arguments as `pose train` gets them from the shared helpers."""
    seen = []

    def add_arguments(parser):
        common.add_config_arguments(parser)
        common.add_out_argument(parser)
        common.add_device_argument(parser)

    command(lambda args: seen.append(args) or 0, add_arguments)
    return cli.main(["train", *line.split()]), seen


def test_the_commands_are_these():
    assert list(cli.COMMANDS) == [
        *("quickstart", "train", "evaluate", "score", "compare"),
        *("predict", "detect", "app", "weights", "export", "benchmark"),
        *("doctor", "diagnose", "calibrate", "suggest"),
    ]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_one_line_of_help_and_a_parser(name, capsys):
    module = cli.load_command(name)
    assert module.HELP
    assert "\n" not in module.HELP
    assert len(module.HELP) <= 80
    assert cli.main([name, "--help"]) == 0
    assert f"usage: pose {name}" in capsys.readouterr().out


def test_help_lists_every_command_and_loads_nothing_heavy():
    program = (
        "import sys\nfrom pose.commands.main import main\nmain(['--help'])\n"
        "print('loaded', *({'torch', 'cv2', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *text, loaded = result.stdout.splitlines()
    listed = [line.split()[0] for line in text if line.startswith("  ")]
    assert listed == list(cli.COMMANDS)
    assert loaded == "loaded"


def test_python_m_pose_is_pose():
    result = subprocess.run(
        [sys.executable, "-m", "pose", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, f"pose {pose.__version__}\n")


def test_without_a_command_the_help_appears(command, capsys):
    command(lambda args: 0)
    assert cli.main([]) == 0
    assert "usage: pose COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("line", [["trian"], ["--debgu", "train"], ["frobnicate"]])
def test_unknown_command_is_one_line(line, capsys):
    assert cli.main(line) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ("did you mean 'train'?" in said) == (line == ["trian"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a.yaml: unknown key\n  did you mean b?"), "a.yaml: unknown key did you mean"),
        (FileNotFoundError("a.json: no such file"), "a.json: no such file"),
        (FileNotFoundError(2, "No such file or directory", "a"), "a: no such file or directory"),
        (PermissionError(13, "Permission denied", "/a"), "/a: permission denied"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(raises, capsys, error, line):
    raises(error)
    assert cli.main(["train"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"pose: error: {line}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("line", [["--debug", "train"], ["train", "--debug"]])
def test_debug_shows_the_traceback(raises, line):
    raises(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        cli.main(line)


@pytest.mark.parametrize("error", [TypeError("a bug"), ModuleNotFoundError("No module named 'x'")])
def test_a_bug_keeps_its_traceback(raises, error):
    raises(error)
    with pytest.raises(type(error)):
        cli.main(["train"])


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libGL.so.1", "libgl1"),
        ("libxcb.so.1", "libxcb1"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
    ],
)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_a_missing_system_library_is_named_with_its_package(raises, capsys, library, package, kind):
    raises(kind(f"{library}: cannot open shared object file: No such file or directory"))
    assert cli.main(["train"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert library in said
    assert said.endswith(f"apt-get install {package}\n")


def test_a_mistake_found_by_a_data_loaders_worker_is_one_line_too(command, capsys):
    from torch.utils.data import DataLoader

    command(lambda args: len(list(DataLoader(Unreadable(), num_workers=1))))
    assert cli.main(["train"]) == 2
    expected = "pose: error: photos/1.jpg: the file is truncated; copy it again\n"
    assert capsys.readouterr().err == expected


def test_an_interrupt_is_one_line_and_exit_130(raises, capsys):
    raises(KeyboardInterrupt())
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "pose: interrupted\n"


def test_a_reader_that_goes_away_is_no_error():
    program = (
        "import sys, types\nfrom pose.commands import main as cli\n"
        "def run(args):\n    print('line\\n' * 100000)\n    return 0\n"
        "module = types.SimpleNamespace(HELP='', run=run, add_arguments=lambda parser: None)\n"
        "cli.load_command = lambda name: module\n"
        "sys.exit(cli.main(['train']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=HANG_SECONDS) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_the_log_goes_to_stderr_and_warnings_say_so(command, capsys):
    def run(args):
        logging.getLogger("pose.data").info("1,629 photos")
        logging.getLogger("pose.data").warning("2 unread")
        return 0

    command(run)
    assert cli.main(["train"]) == 0
    assert capsys.readouterr().err == "1,629 photos\nwarning: 2 unread\n"


def test_the_log_is_left_as_it_was_found(raises):
    logger = logging.getLogger("pose")
    before = logger.level, list(logger.handlers)
    raises(ValueError("no"))
    cli.main(["train"])
    assert (logger.level, logger.handlers) == before


def test_only_the_first_of_several_processes_informs(command, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    command(lambda args: logging.getLogger("pose.data").info("once") or 0)
    assert cli.main(["train"]) == 0
    assert capsys.readouterr().err == ""


def test_overrides_and_options_may_be_interleaved(command):
    status, (args,) = run_config_command(
        command, "coco/a train.epochs=2 --out runs/a train.lr=1e-3 --device cpu x.y="
    )
    assert status == 0
    assert (args.config, args.device, args.out) == ("coco/a", "cpu", Path("runs/a"))
    assert args.overrides == ["train.epochs=2", "train.lr=1e-3", "x.y="]


def test_no_override_is_an_empty_list(command):
    _, (args,) = run_config_command(command, "--out runs/a coco/a")
    assert (args.config, args.overrides, args.device) == ("coco/a", [], "auto")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("coco/a epochs", "'epochs' has no '='; expected key=value"),
        ("coco/a --out runs/a epochs", "'epochs' has no '='; expected key=value"),
        ("coco/a =3", "expected key=value"),
        ("", "CONFIG"),
        ("coco/a --weihgts x", "--weihgts"),
        ("coco/a --dev cpu", "--dev"),
    ],
)
def test_a_wrong_command_line_is_one_line(command, capsys, line, part):
    status, seen = run_config_command(command, line)
    assert (status, seen) == (2, [])
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1


def test_output_folder_is_made_and_a_file_in_its_place_is_said(tmp_path):
    folder = tmp_path / "runs" / "a"
    assert common.output_folder(folder, what="the run") == folder
    assert folder.is_dir()
    common.output_folder(folder, what="the run")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(ValueError, match="cannot hold the run"):
            common.output_folder(path, what="the run")


def test_auto_takes_a_device_that_works_and_says_which(caplog):
    import torch

    with caplog.at_level(logging.INFO, logger="pose"):
        device = devices.choose_device("auto")
    assert torch.ones(1, device=device).item() == 1
    assert f"device: {device}" in caplog.text


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, True, "cuda")],
)
def test_auto_prefers_cuda_then_mps(monkeypatch, cuda, mps, expected):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.choose_device("auto").type == expected


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:x", "cpu:0", "Auto", "cuda:99", "cuda", "mps"]
)
def test_a_device_that_is_not_there_is_said(monkeypatch, name):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device {name}: "):
        devices.choose_device(name)


def test_a_cuda_number_beyond_the_last_is_said(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="there are 2 CUDA devices"):
        devices.choose_device("cuda:2")


@pytest.mark.parametrize(
    ("door", "name"),
    [
        ("tools/train.py", "train"),
        ("tools/evaluate.py", "evaluate"),
        ("demo/quickstart.py", "quickstart"),
        ("demo/predict.py", "predict"),
    ],
)
def test_a_door_leads_to_its_command(door, name):
    result = subprocess.run(
        [sys.executable, str(ROOT / door), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith(f"usage: pose {name}"), result.stderr


def test_out_names_its_default_in_the_help():
    parser = argparse.ArgumentParser()
    common.add_out_argument(parser, default=Path("runs/quickstart"))
    assert "runs/quickstart" in parser.format_help()
    assert parser.parse_args([]).out == Path("runs/quickstart")
