"""The run folder's checkpoints: everything that a run needs to go on as if never interrupted.

`latest.pt`, `previous.pt` (the latest before it) and `best.pt` hold weights, averaged weights,
optimiser, position, best figure, resolved config and skeleton; `best.safetensors` holds what is
needed to predict. The position is the step, which says epoch, place in it and learning rate; there
is no scaler (bfloat16 needs none), and no random number but torch's own depends on what was drawn
before. Each file carries its SHA-256.
"""

import io
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pose.engine.run import Run
from pose.files import replacing
from pose.models.weights import unpickled
from pose.seals import check_zip, seal_zip

logger = logging.getLogger(__name__)

LATEST = "latest.pt"
PREVIOUS = "previous.pt"
BEST = "best.pt"
BEST_WEIGHTS = "best.safetensors"

NEEDED = {"model", "optimizer", "step"}


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint; a crash or a power cut leaves the old file or the new one.

    A `LATEST` that was there becomes `PREVIOUS`, once the new one is on the disk and its hash is
    right. OSError where the disk is full, and then all is as it was.
    """
    buffer = io.BytesIO()  # torch's own writer hides what the system says of a full disk
    torch.save(dict(content), buffer)
    seal_zip(buffer)
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        check_zip(temporary)
        if path.name == LATEST and path.is_file():
            os.replace(path, path.with_name(PREVIOUS))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, on the CPU; ValueError of one line where it is damaged or is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    sealed = check_zip(path)
    content = unpickled(path)
    if not isinstance(content, dict) or not content.keys() >= NEEDED:
        raise ValueError(f"{path}: not a checkpoint of a training run")
    if not sealed:
        logger.info("%s: carries no hash, damage would go unnoticed; the next one has it", path)
    return content


def newest(folder: Path) -> Path | None:
    """The checkpoint that a run goes on from: the latest; the one before it where a power cut fell
    between the two; None where there is neither."""
    paths = (folder / name for name in (LATEST, PREVIOUS))
    return next((path for path in paths if path.is_file()), None)


def load_newest(folder: Path) -> dict[str, Any]:
    """The newest checkpoint; where it is damaged ValueError, which offers an older one."""
    path = newest(folder)
    if path is None:
        raise FileNotFoundError(f"{folder}: holds no checkpoint")
    try:
        return load_checkpoint(path)
    except ValueError as error:
        raise ValueError(f"{error}; {_older(folder, path)}") from None


def _older(folder: Path, damaged: Path) -> str:
    """What to do without the newest checkpoint."""
    for name in (PREVIOUS, BEST):
        path = folder / name
        if path == damaged or not path.is_file():
            continue
        try:
            step = load_checkpoint(path)["step"]
        except ValueError:
            continue
        return f"{name} beside it is whole, of step {step}: to go on from there put it in its place"
    return "no older checkpoint beside it is whole"


def save(run: Run, name: str) -> None:
    """Write a checkpoint from the first process."""
    if not run.ranks.is_main:
        return
    run.saved_at = time.monotonic()
    content = {
        **run.identity,
        "model": run.evaluated.state_dict(),
        "trained": run.model.state_dict() if run.average is not None else None,
        "optimizer": run.optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "step": run.step,
        "epoch": run.epoch,
        "loss_sum": run.loss_sum,
        "skipped": run.skipped,
        "left_out": run.left_out,
        "best": run.best,
        "history": run.history,
    }
    save_checkpoint(run.folder / name, content)


def restore(run: Run, content: Mapping[str, Any]) -> None:
    """Take up a checkpoint of the run, as `load_newest` gives it."""
    if run.average is None:
        run.model.load_state_dict(content["model"])
    else:
        run.average.load_state_dict(content["model"])
        run.model.load_state_dict(content["trained"])
    run.optimizer.load_state_dict(content["optimizer"])
    torch.set_rng_state(content["rng"])
    run.step, run.history = content["step"], content["history"]
    run.loss_sum = content["loss_sum"]
    run.skipped, run.left_out = content.get("skipped", 0), content.get("left_out", 0.0)
    run.best = max(content["best"], best_figure(run.folder))


def best_figure(folder: Path) -> float:
    """Of the folder's best checkpoint, which a run that was killed may have written before the
    latest; nothing worse takes its place."""
    try:
        return load_checkpoint(folder / BEST)["best"]
    except FileNotFoundError:
        return -math.inf
    except ValueError as error:
        logger.warning("%s; the next better epoch writes it anew", error)
        return -math.inf
