"""Small training runs to break: drawn people, seconds long, each a process that may be killed.

The processes are forked by a server that has imported torch and ours, so they start at once; what
they run is `pose train`, from its command line on.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pose import build_training
from pose.commands.main import main
from pose.config import load_config
from pose.data.synthetic import write_synthetic
from pose.engine import trainer
from pose.engine.checkpoints import BEST, LATEST, load_checkpoint, newest
from tests.patience import HANG_SECONDS

WORDS = (
    *("data.workers=0", "model.input_size=[64, 64]", "train.batch_size=4", "train.warmup_steps=2"),
    *("train.epochs=3", "train.evaluate_every=1", "train.sheet_every=0", "test.batch_size=3"),
    "train.save_minutes=1e-9",
)
"""Processes that `start` begins save after every step."""

CONTEXT = None if os.name == "nt" else multiprocessing.get_context("forkserver")
if CONTEXT is not None:
    CONTEXT.set_forkserver_preload(
        ["tests.trust.runs", "matplotlib.backends.backend_agg", "torch.utils.tensorboard"]
    )


def draw(folder: Path, **numbers: int) -> Path:
    """Eight pictures to train on and four to evaluate on."""
    write_synthetic(folder, {"train": 8, "val": 4} | numbers, seed=1, num_processes=1)
    return folder


def config_of(data: Path, *words: str):
    return load_config("synthetic/quickstart", [f"data.root={data}", *WORDS, *words])


def arguments_of(data: Path, out: Path, *words: str) -> list[str]:
    """The command line that begins the run of `out`, or goes on with it."""
    resume = ["--resume"] if newest(out) else []
    overrides = [f"data.root={data}", *WORDS, *words]
    return ["train", "synthetic/quickstart", *overrides, "--out", str(out), *resume, *CPU]


CPU = ("--device", "cpu")


def start(arguments: list[str], log: Path, before: Callable[[], None] | None = None, **environment):
    """A process that runs the command line; what it says goes to `log`."""
    process = CONTEXT.Process(target=_work, args=(arguments, str(log), before, environment))
    process.start()
    return process


def _work(
    arguments: list[str], log: str, before: Callable[[], None] | None, environment: dict[str, str]
) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= environment
    # Else the loader's processes would come from the server too, and know nothing of `before`.
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    build_training.figures_during_training = lambda *_: figure_of_weights
    trainer.SAVE_STEPS = 1
    if before is not None:
        before()
    sys.exit(main(arguments))


def figure_of_weights(model: torch.nn.Module) -> dict[str, float]:
    """An evaluation of no time, now better, now worse, whose figure depends on the last bit."""
    tensors = [tensor.double().sum() for tensor in model.state_dict().values()]
    return {"AP": float(torch.stack(tensors).sum() * 1e6 % 1)}


def ended(process) -> int | None:
    """The exit status; None for a process that hung, which is then killed."""
    process.join(HANG_SECONDS)
    status = process.exitcode
    if status is None:
        process.kill()
        process.join()
    return status


def begun(process, log: Path, before: int = 0) -> None:
    """Waits until a run has begun its steps, or has ended; `before`: those that `log` told of."""
    while process.is_alive() and number_begun(log) == before:
        time.sleep(0.01)


def number_begun(log: Path) -> int:
    return log.read_text().count("steps an epoch") if log.exists() else 0


def finish(data: Path, out: Path, *words: str) -> float:
    """Runs to the end what `out` holds; the seconds that it took."""
    began, log = time.monotonic(), out.with_suffix(".log")
    process = start(arguments_of(data, out, *words), log)
    assert ended(process) == 0, log.read_text()
    return time.monotonic() - began


def end_of(out: Path) -> dict[str, object]:
    """All that a run must end with whatever happened to it: tensors as bytes, figures, files."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["waiting"]
    hidden = [path.name for path in out.iterdir() if path.name.startswith(".")]
    return {
        "best.safetensors": (out / "best.safetensors").read_bytes(),
        "metrics": lines,
        "hidden": hidden,
        **{name: _bits(load_checkpoint(out / name)) for name in (LATEST, BEST)},
    }


def _bits(value: object) -> object:
    """A checkpoint without what depends on the clock; tensors as bytes, which NaN does not part."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {k: _bits(v) for k, v in value.items() if k not in ("seconds", "waiting", "config")}
    if isinstance(value, list | tuple):
        return [_bits(item) for item in value]
    return value


def same_end(out: Path, straight: Path) -> None:
    ours, theirs = end_of(out), end_of(straight)
    different = [name for name in theirs if ours[name] != theirs[name]]
    assert not different, different
