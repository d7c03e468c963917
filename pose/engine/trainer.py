"""Training: an epoch that is read on one screen, and the run around it.

A run's position is one number, the step. Checkpoints hold all that a step depends on, and samples
depend on (seed, epoch, index) alone, so a run that goes on ends where one left alone would.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pose.engine.checkpoints import BEST, LATEST, save
from pose.engine.failures import batches_of
from pose.engine.logging import tensorboard_writer, write_history, write_scalars
from pose.engine.optim import update_average
from pose.engine.run import Figures, Run
from pose.engine.skipping import StepGuard, backward
from pose.interrupts import on_interrupt
from pose.structures import PoseBatch

logger = logging.getLogger(__name__)

SAVE_STEPS = 20
"""Steps after which the clock is looked at."""


def train_epoch(run: Run, network: nn.Module) -> None:
    """The steps of run.epoch that are still to do; `network` is the model, DDP-wrapped or not."""
    network.train()
    device = run.ranks.device
    run.order.epoch, run.order.first_batch = run.epoch, run.step % len(run.order)
    bar = tqdm(
        timed(run),
        desc=f"epoch {run.epoch + 1}/{run.epochs}",
        initial=run.order.first_batch,
        total=len(run.order),
        unit="step",
        disable=None if run.ranks.is_main else True,
        leave=False,
    )
    total = losses_so_far(run)
    guard = StepGuard(run)
    for batch in bar:
        check_labelled(run, batch)
        batch = batch.to(device)
        for group in run.optimizer.param_groups:
            group["lr"] = run.rate(run.step)
        run.optimizer.zero_grad()
        loss = add_gradients(run, network, batch)
        skipped = guard.step(batch.index)
        total += torch.where(skipped > 0, 0, loss)
        if run.average is not None:
            update_average(run.average, run.model, run.ema_decay, run.step)
        run.step += 1
        if stops_here(run):
            break
        if save_due(run):
            settle(run, guard, total)
            with written(run, needed=False):
                save(run, LATEST)
    settle(run, guard, total)


def add_gradients(run: Run, network: nn.Module, batch: PoseBatch) -> torch.Tensor:
    """The gradients of a batch's loss, taken in `run.parts` one after the other; the loss."""
    parts = batch.split(run.parts)
    total = torch.zeros((), device=batch.images.device)
    for number, part in enumerate(parts, 1):
        # Several processes exchange their gradients once, with the last part's.
        waits = number < len(parts) and isinstance(network, nn.parallel.DistributedDataParallel)
        with network.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
            targets, weights = run.codec.encode(part.keypoints, part.labelled)
            with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=run.amp):
                maps = network(part.images)
            share = len(part.images) / len(batch.images)
            loss = run.loss(maps, targets, weights) * share
            backward(loss)
        total += loss.detach()
    return total


def losses_so_far(run: Run) -> torch.Tensor:
    """The sum of the epoch's losses, a scalar on the device.

    In double precision, in which losses sum up to the same in any order: a run that goes on begins
    in every process with the mean of all. MPS has float32 alone, and one process.
    """
    device = run.ranks.device
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.tensor(run.loss_sum, dtype=dtype, device=device)


def settle(run: Run, guard: StepGuard, total: torch.Tensor) -> None:
    """What the epoch has come to so far, as a checkpoint holds it: the means of all processes."""
    guard.look()
    sums = torch.stack([total.cpu(), torch.tensor(run.left_out, dtype=total.dtype)])
    run.loss_sum, run.left_out = (run.ranks.sum(sums) / run.ranks.world_size).tolist()


def check_labelled(run: Run, batch: PoseBatch) -> None:
    """Counts the people who were left out; ValueError where nobody else has a keypoint either."""
    left_out = 0
    if run.people is not None:
        has_any = run.people.visibility[batch.index.numpy()].any(axis=1)
        left_out = int((has_any & ~batch.labelled.any(dim=1).numpy()).sum())
    run.left_out += left_out
    if not left_out and not batch.labelled.any():
        raise ValueError(
            "a training batch holds no labelled keypoint; look at the annotations' visibility "
            f"and at {run.folder / 'sheets'}"
        )


def timed(run: Run) -> Iterator[PoseBatch]:
    """The loader's batches; what the step waits for them is added to `run.waited`."""
    batches = batches_of(run.loader)
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        run.waited += time.perf_counter() - started
        if batch is None:
            return
        yield batch


def train(
    run: Run,
    evaluate: Callable[[nn.Module], Figures] | None,
    evaluate_every: int,
    after_epoch: Callable[[int, nn.Module], None] = lambda epoch, model: None,
    save_best: Callable[[nn.Module], None] = lambda model: None,
) -> Figures | None:
    """Run to the end, or to a request to stop, which saves first and raises KeyboardInterrupt.

    evaluate gives figures of which the first decides what is best; without it the last weights
    are the best. Returns the last figures. ValueError, saved first, where the run stops itself.
    """
    network = distribute(run)
    writer = tensorboard_writer(run.folder, run.epoch + 1) if run.ranks.is_main else None
    with on_interrupt(run.request_stop):
        while run.epoch < run.epochs:
            epoch, started, run.waited = run.epoch, time.perf_counter(), 0.0
            train_epoch(run, network)
            seconds = time.perf_counter() - started
            if run.epoch == epoch:
                save(run, LATEST)
                raise run.stopped()
            entry = entry_of(run, seconds)
            run.loss_sum = run.left_out = 0.0
            run.skipped = 0
            last = run.epoch == run.epochs
            share_statistics(run)
            if evaluate is not None and (run.epoch % evaluate_every == 0 or last):
                entry["metrics"] = evaluate(run.evaluated)
            run.history.append(entry)
            if run.ranks.is_main:
                logger.info("%s", describe(entry, run.epochs))
            stops = stops_here(run)
            with written(run, needed=last or stops):
                after_epoch(run.epoch, run.evaluated)
                keep(run, entry["metrics"], save_best, decided_by_figures=evaluate is not None)
                write_scalars(writer, entry)
            if stops and (run.failure or not last):
                raise run.stopped()
    return run.history[-1]["metrics"] if run.history else None


def entry_of(run: Run, seconds: float) -> dict[str, Any]:
    """The history's entry for the epoch that has just ended."""
    taken = len(run.order) - run.skipped
    return {
        "epoch": run.epoch,
        "loss": run.loss_sum / taken if taken else math.nan,
        "lr": run.rate(run.step - 1),
        "seconds": round(seconds, 3),
        "waiting": round(run.waited / seconds, 3),
        "skipped": run.skipped,
        "left_out": round(run.left_out * run.ranks.world_size),
        "metrics": None,
    }


@contextlib.contextmanager
def written(run: Run, *, needed: bool) -> Iterator[None]:
    """Meanwhile files that cannot be written end the run if they are needed or run.failed_save
    says so; else the log says it, and the next epoch tries again."""
    try:
        yield
    except OSError as error:
        if needed or run.failed_save == "stop":
            raise
        said = f"{error.filename}: {error.strerror}" if error.strerror else error
        logger.warning("%s; training goes on", said)


def keep(
    run: Run,
    figures: Figures | None,
    save_best: Callable[[nn.Module], None],
    *,
    decided_by_figures: bool,
) -> None:
    """Save the state after an epoch; the best is kept by the first figure, and NaN never wins.

    The latest checkpoint comes last: a run that is killed before it does the epoch again and
    writes the same files, one that is killed after it lacks none.
    """
    figure = next(iter(figures.values())) if figures else -math.inf
    better, former = figure > run.best if decided_by_figures else True, run.best
    if run.ranks.is_main:
        write_history(run.folder, run.history)
    if better:
        run.best = figure
        try:
            if run.ranks.is_main:
                save_best(run.evaluated)
            save(run, BEST)
        except OSError:
            run.best = former  # what is not on the disk is not the best that there is
            raise
    save(run, LATEST)


def distribute(run: Run) -> nn.Module:
    """The model as several processes train it together, or as it is for one."""
    if not run.ranks.several:
        return run.model
    return nn.parallel.DistributedDataParallel(run.model)


def share_statistics(run: Run) -> None:
    """Give every process the first one's batch-norm statistics: they see different crops."""
    if run.ranks.several:
        for module in {run.model, run.evaluated}:
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, src=0)


def stops_here(run: Run) -> bool:
    """Whether any process was asked to stop: all of them leave after the same step."""
    if not run.ranks.several:
        return run.stop_requested
    return bool(run.ranks.sum(torch.tensor(float(run.stop_requested))).item())


def save_due(run: Run) -> bool:
    """Whether the first process has waited long enough for its next checkpoint within the epoch;
    the clock is looked at every few steps, for the processes must agree."""
    if run.step % SAVE_STEPS or run.save_seconds == math.inf or not run.step % len(run.order):
        return False
    due = run.ranks.is_main and time.monotonic() - run.saved_at >= run.save_seconds
    return bool(run.ranks.sum(torch.tensor(float(due))).item())


def describe(entry: dict[str, Any], epochs: int) -> str:
    """One line on an epoch."""
    text = f"epoch {entry['epoch']}/{epochs}  loss {entry['loss']:.3g}  lr {entry['lr']:.2g}"
    if entry["metrics"]:
        name, value = next(iter(entry["metrics"].items()))
        text += f"  {name} {'n/a' if math.isnan(value) else f'{value:.3f}'}"
    text += f"  {entry['seconds']:.0f} s, {entry['waiting']:.0%} of it waiting for data"
    if entry.get("skipped"):
        text += f"; {entry['skipped']} steps skipped"
    if entry.get("left_out"):
        text += f"; {entry['left_out']} people left out, their images cannot be read"
    return text
