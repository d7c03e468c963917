"""What every part of the benchmark is told."""

from dataclasses import dataclass
from pathlib import Path

import torch
from easydict import EasyDict


@dataclass(frozen=True, eq=False)
class Settings:
    """The experiment that is measured and where."""

    cfg: EasyDict
    """The network and, where `data.root` is given, the data; a drawn set stands in otherwise."""
    device: torch.device
    folder: Path
    """For what has to be written to be measured: drawn pictures, caches, results."""
