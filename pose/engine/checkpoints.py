"""The run folder's checkpoints: everything that a run needs to go on as if never interrupted.

`latest.pt` and `best.pt` hold weights, averaged weights, optimiser, position, best figure, resolved
config and skeleton; `best.safetensors` holds what is needed to predict.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pose.files import replacing

LATEST = "latest.pt"
BEST = "best.pt"
BEST_WEIGHTS = "best.safetensors"


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint; a crash or a power cut leaves the old file or the new one."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(dict(content), file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, on the CPU; ValueError with one line where it is not one."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for a file it cannot read
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: cannot be read as a checkpoint ({reason[:200]})") from None
    if not isinstance(content, dict) or not {"model", "optimizer", "step"} <= content.keys():
        raise ValueError(f"{path}: not a checkpoint of a training run")
    return content
