"""A training run: its parts, which stay, and its state, which a checkpoint holds."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from pose.codecs import Codec
from pose.data.dataset import TrainingOrder
from pose.engine.distributed import Ranks
from pose.engine.logging import History
from pose.structures import People

logger = logging.getLogger(__name__)

Figures = dict[str, float]

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps, targets, weights -> a scalar."""


@dataclass
class Run:
    """One training run."""

    model: nn.Module
    codec: Codec
    loss: Loss
    optimizer: torch.optim.Optimizer
    """Of torch's fused ones, which skip a step where their `found_inf` says so."""
    rate: Callable[[int], float]
    """Step -> learning rate."""
    loader: DataLoader
    order: TrainingOrder
    ranks: Ranks
    folder: Path
    identity: dict[str, Any]
    """What the checkpoint tells of the experiment: config, skeleton, versions."""
    epochs: int
    people: People | None = None
    """Whom the loader's batches show; None where nobody is to be named or counted."""
    average: nn.Module | None = None
    ema_decay: float = 0.0
    clip_norm: float = 0.0
    amp: bool = False
    parts: int = 1
    """Into which a process takes its share of a batch, to need less memory."""
    max_skipped: int = 10
    """Skipped steps in a row that stop the run."""
    save_seconds: float = math.inf
    """After which a checkpoint is written within an epoch too."""
    failed_save: str = "go_on"
    """Or "stop": what follows where a file of the run cannot be written."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of the unfinished epoch that were not skipped: the mean of all processes."""
    skipped: int = 0
    """Steps of the unfinished epoch whose loss or gradients were not finite."""
    left_out: float = 0.0
    """People of the unfinished epoch whose image cannot be read: the mean of all processes."""
    skipped_in_a_row: int = 0
    waited: float = 0.0
    """Seconds of this epoch in which the next batch was not there yet."""
    saved_at: float = field(default_factory=time.monotonic)
    best: float = -math.inf
    history: History = field(default_factory=list)
    stop_requested: bool = False
    failure: str = ""
    """Why the run asked itself to stop."""

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

    def stopped(self) -> BaseException:
        """What a run that was asked to stop ends with."""
        return ValueError(self.failure) if self.failure else KeyboardInterrupt()
