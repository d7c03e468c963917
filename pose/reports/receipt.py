"""The receipt of an evaluation: everything that its figures depend on, beside the figures."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pose.files import sha256_of


def evaluation_receipt(
    *,
    config: Mapping[str, Any],
    weights: Path,
    annotations: Path,
    truth: Path,
    boxes: str,
    num_boxes: int,
    figures: Mapping[str, float] | None,
    versions: Mapping[str, str],
    device: str,
) -> dict[str, Any]:
    """A plain dict; `truth` is what the figures are taken against, where that is another file than
    the annotations (MPII). Files come with their SHA-256, figures without members are None."""
    from_file = boxes != "gt"
    return {
        "figures": None
        if figures is None
        else {k: None if math.isnan(v) else v for k, v in figures.items()},
        "weights": hashed(weights),
        "annotations": {
            **hashed(annotations),
            **({} if truth == annotations else {"truth": hashed(truth)}),
        },
        "boxes": {
            "source": "detections" if from_file else "ground truth",
            **(hashed(Path(boxes)) if from_file else {}),
            "number": num_boxes,
        },
        "protocol": {
            "flip": config["test"]["flip"],
            "codec": config["codec"],
            "input_size": config["model"]["input_size"],
            **({} if from_file else {"box_rule": config["data"]["box_rule"]}),
            **{k: v for k, v in config["test"].items() if k not in ("flip", "batch_size")},
        },
        "network": config["model"]["name"],
        "runtime": {"name": "torch", "precision": config["test"]["precision"], "device": device},
        "versions": dict(versions),
        "config": config,
    }


def hashed(path: Path) -> dict[str, Any]:
    """A file's name and SHA-256; of a folder of annotations that of each file in it."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        return {"file": path.name, "sha256": {file.name: sha256_of(file) for file in files}}
    return {"file": path.name, "sha256": sha256_of(path)}
