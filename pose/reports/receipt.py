"""The receipt of an evaluation: everything that its figures depend on, beside the figures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pose.files import sha256_of
from pose.schema import OPERATIONAL

ELSEWHERE = ("flip", "compile")
"""Keys of `test` that stand elsewhere in the receipt."""


def evaluation_receipt(
    *,
    config: Mapping[str, Any],
    weights: Path,
    annotations: Path,
    truth: Path,
    boxes: str,
    num_boxes: int,
    figures: Mapping[str, float] | None,
    intervals: Mapping[str, Sequence[float]] | None,
    recipe: Mapping[str, Any],
    versions: Mapping[str, str],
    execution: Mapping[str, str],
) -> dict[str, Any]:
    """A plain dict; `truth` is what the figures are taken against, where that is another file than
    the annotations (MPII). `recipe` is the config that the network was trained with, or is taken
    for, empty where nobody knows; `execution` what ran it, in which precision. Files come with
    their SHA-256, figures without members are None."""
    from_file = boxes != "gt"
    return {
        "figures": figures and {k: _known(v) for k, v in figures.items()},
        "intervals": intervals and {k: [_known(v) for v in pair] for k, pair in intervals.items()},
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
            **{
                key: value
                for key, value in config["test"].items()
                if key not in ELSEWHERE and f"test.{key}" not in OPERATIONAL
            },
            "precision": execution["precision"],
        },
        "network": config["model"]["name"] if recipe else None,
        "runtime": dict(execution),
        "versions": dict(versions),
        "config": config,
        "recipe": recipe,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def hashed(path: Path) -> dict[str, Any]:
    """A file's name and SHA-256; of a folder of annotations, and of OpenVINO's two files of a
    network, that of each file."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
    elif path.suffix.lower() == ".xml":
        files = [file for file in (path, path.with_suffix(".bin")) if file.exists()]
    else:
        return {"file": path.name, "sha256": sha256_of(path)}
    return {"file": path.name, "sha256": {file.name: sha256_of(file) for file in files}}
