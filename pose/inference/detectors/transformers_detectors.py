"""Detectors of the transformers library (RT-DETR, D-FINE and their kin), from a local folder.

Read are config.json, preprocessor_config.json and .safetensors files, and never code.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pose.inference.boxes import Boxes
from pose.inference.detectors import person_boxes
from pose.telemetry import forbid_telemetry

INSTALL = "pip install transformers"


@dataclass(frozen=True, eq=False)
class TransformersDetector:
    """A network with the processor that feeds it and reads its output."""

    model: nn.Module
    processor: Any
    people: frozenset[int]
    """The labels of people."""
    device: torch.device
    score_threshold: float

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """The people in each image (H, W, 3) uint8 RGB, all of which go through it together."""
        if not images:
            return []
        inputs = self.processor(
            images=list(images), input_data_format="channels_last", return_tensors="pt"
        )
        outputs = self.model(**inputs.to(self.device))
        found = self.processor.post_process_object_detection(
            outputs,
            threshold=self.score_threshold,
            target_sizes=[image.shape[:2] for image in images],
        )
        return [self._people_of(result, image) for result, image in zip(found, images, strict=True)]

    def _people_of(self, result: dict[str, torch.Tensor], image: np.ndarray) -> Boxes:
        kept = [i for i, label in enumerate(result["labels"].tolist()) if label in self.people]
        boxes, scores = (result[key][kept].float().cpu().numpy() for key in ("boxes", "scores"))
        return person_boxes(boxes, scores, image.shape[1::-1], self.score_threshold)


def load_transformers(
    folder: Path, device: torch.device, score_threshold: float
) -> TransformersDetector:
    """The detector that `save_pretrained` wrote, or that was fetched, into `folder`.

    ValueError, of one line, for a folder that holds something else, for missing weights and for a
    network that knows no people.
    """
    forbid_telemetry()
    try:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForObjectDetection
    except ImportError:
        raise ValueError(
            f"{folder}: transformers is not installed, which runs it; run: {INSTALL}"
        ) from None
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with without_bars(), without_network():
            config = AutoConfig.from_pretrained(folder, **local)
            check_plain(config)
            processor = AutoImageProcessor.from_pretrained(folder, **local)
            model, report = AutoModelForObjectDetection.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True, **local
            )
    except Exception as error:  # whatever a foreign file makes the library trip over
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{folder}: not a detector of transformers in safetensors ({reason:.200})"
        ) from None
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{folder}: {len(missing)} weights are missing ({missing[0]}, ...)")
    names = model.config.id2label
    people = frozenset(label for label, name in names.items() if name.lower() == "person")
    if not people:
        known = ", ".join(map(str, names.values()))
        raise ValueError(f"{folder}: no label is called 'person' (known: {known:.100})")
    return TransformersDetector(model.to(device).eval(), processor, people, device, score_threshold)


def check_plain(config: Any) -> None:
    """ValueError where a network's config, or one inside it, asks for more than its own tensors:
    for kernels, which are programs that the library fetches from a hub."""
    asked = getattr(config, "_attn_implementation", None)
    if asked not in (None, "eager", "sdpa"):
        raise ValueError(f"its config asks for the kernel {asked!r}, which is not fetched")
    for name in config.sub_configs:
        if (inner := getattr(config, name, None)) is not None:
            check_plain(inner)


@contextmanager
def without_network() -> Iterator[None]:
    """Meanwhile the hub's library fetches nothing, whatever a config names beside its folder, nor
    reads the user's key to the hub."""
    from huggingface_hub import constants

    names = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN")
    before = {name: getattr(constants, name) for name in names}
    try:
        for name in names:
            setattr(constants, name, True)
        yield
    finally:
        for name, value in before.items():
            setattr(constants, name, value)


@contextmanager
def without_bars() -> Iterator[None]:
    """Meanwhile the library shows no progress bars, which it does whether or not on a terminal."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
