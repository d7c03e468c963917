"""Training: an epoch that is read on one screen, and the run around it.

A run's position is one number, the step. Checkpoints hold all that a step depends on, and samples
depend on (seed, epoch, index) alone, so a run that goes on ends where one left alone would.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pose.codecs import Codec
from pose.data.dataset import TrainingOrder
from pose.engine.checkpoints import BEST, LATEST, load_checkpoint, save_checkpoint
from pose.engine.distributed import Ranks
from pose.engine.logging import History, tensorboard_writer, write_history, write_scalars
from pose.engine.optim import update_average
from pose.interrupts import on_interrupt
from pose.structures import PoseBatch

logger = logging.getLogger(__name__)

Figures = dict[str, float]

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps, targets, weights -> a scalar."""


@dataclass
class Run:
    """One training run: its parts, which stay, and its state, which a checkpoint holds."""

    model: nn.Module
    codec: Codec
    loss: Loss
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    """Step -> learning rate."""
    loader: DataLoader
    order: TrainingOrder
    ranks: Ranks
    folder: Path
    identity: dict[str, Any]
    """What the checkpoint tells of the experiment: config, skeleton, versions."""
    epochs: int
    average: nn.Module | None = None
    ema_decay: float = 0.0
    clip_norm: float = 0.0
    amp: bool = False
    parts: int = 1
    """Into which a process takes its share of a batch, to need less memory."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of the unfinished epoch."""
    waited: float = 0.0
    """Seconds of this epoch in which the next batch was not there yet."""
    best: float = -math.inf
    history: History = field(default_factory=list)
    stop_requested: bool = False

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are evaluated and kept: averaged ones where there are any."""
        return self.average if self.average is not None else self.model

    @property
    def epoch(self) -> int:
        return self.step // len(self.order)

    def request_stop(self) -> None:
        """Leave after the step at hand, as Ctrl-C asks."""
        self.stop_requested = True
        logger.warning("stopping after this step; --resume goes on from here")


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
    total = torch.tensor(run.loss_sum, device=device)
    for batch in bar:
        if not batch.labelled.any():
            raise ValueError(
                "a training batch holds no labelled keypoint; look at the annotations' visibility "
                f"and at {run.folder / 'sheets'}"
            )
        batch = batch.to(device)
        for group in run.optimizer.param_groups:
            group["lr"] = run.rate(run.step)
        run.optimizer.zero_grad()
        total += add_gradients(run, network, batch)
        if run.clip_norm:
            nn.utils.clip_grad_norm_(run.model.parameters(), run.clip_norm)
        run.optimizer.step()
        if run.average is not None:
            update_average(run.average, run.model, run.ema_decay, run.step)
        run.step += 1
        if stops_here(run):
            break
    run.loss_sum = total.item()


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
            loss.backward()
        total += loss.detach()
    return total


def timed(run: Run) -> Iterator[PoseBatch]:
    """The loader's batches; what the step waits for them is added to `run.waited`."""
    batches = iter(run.loader)
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
    are the best. Returns the last figures.
    """
    network = distribute(run)
    writer = tensorboard_writer(run.folder) if run.ranks.is_main else None
    with on_interrupt(run.request_stop):
        while run.epoch < run.epochs:
            epoch, started, run.waited = run.epoch, time.perf_counter(), 0.0
            train_epoch(run, network)
            seconds = time.perf_counter() - started
            if run.epoch == epoch:
                save(run, LATEST)
                raise KeyboardInterrupt
            entry: dict[str, Any] = {
                "epoch": run.epoch,
                "loss": run.ranks.sum(torch.tensor(run.loss_sum)).item()
                / (run.ranks.world_size * len(run.order)),
                "lr": run.rate(run.step - 1),
                "seconds": round(seconds, 3),
                "waiting": round(run.waited / seconds, 3),
                "metrics": None,
            }
            run.loss_sum = 0.0
            last = run.epoch == run.epochs
            share_statistics(run)
            if evaluate is not None and (run.epoch % evaluate_every == 0 or last):
                entry["metrics"] = evaluate(run.evaluated)
            after_epoch(run.epoch, run.evaluated)
            run.history.append(entry)
            keep(run, entry["metrics"], save_best, decided_by_figures=evaluate is not None)
            if run.ranks.is_main:
                write_scalars(writer, entry)
                logger.info("%s", describe(entry, run.epochs))
            if stops_here(run) and not last:
                raise KeyboardInterrupt
    return run.history[-1]["metrics"] if run.history else None


def keep(
    run: Run,
    figures: Figures | None,
    save_best: Callable[[nn.Module], None],
    *,
    decided_by_figures: bool,
) -> None:
    """Save the state after an epoch; the best is kept by the first figure, and NaN never wins."""
    figure = next(iter(figures.values())) if figures else -math.inf
    better = figure > run.best if decided_by_figures else True
    if better and decided_by_figures:
        run.best = figure
    save(run, LATEST)
    if not run.ranks.is_main:
        return
    if better:
        save(run, BEST)
        save_best(run.evaluated)
    write_history(run.folder, run.history)


def save(run: Run, name: str) -> None:
    """Write a checkpoint from the first process."""
    if not run.ranks.is_main:
        return
    content = {
        **run.identity,
        "model": run.evaluated.state_dict(),
        "trained": run.model.state_dict() if run.average is not None else None,
        "optimizer": run.optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "step": run.step,
        "loss_sum": run.loss_sum,
        "best": run.best,
        "history": run.history,
    }
    save_checkpoint(run.folder / name, content)


def restore(run: Run) -> None:
    """Take up the run folder's latest checkpoint."""
    content = load_checkpoint(run.folder / LATEST)
    if run.average is None:
        run.model.load_state_dict(content["model"])
    else:
        run.average.load_state_dict(content["model"])
        run.model.load_state_dict(content["trained"])
    run.optimizer.load_state_dict(content["optimizer"])
    torch.set_rng_state(content["rng"])
    run.step, run.best = content["step"], content["best"]
    run.loss_sum, run.history = content["loss_sum"], content["history"]


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


def describe(entry: dict[str, Any], epochs: int) -> str:
    """One line on an epoch."""
    text = f"epoch {entry['epoch']}/{epochs}  loss {entry['loss']:.3g}  lr {entry['lr']:.2g}"
    if entry["metrics"]:
        name, value = next(iter(entry["metrics"].items()))
        text += f"  {name} {'n/a' if math.isnan(value) else f'{value:.3f}'}"
    return f"{text}  {entry['seconds']:.0f} s, {entry['waiting']:.0%} of it waiting for data"
