"""`pose.load`: a name or file of weights becomes the call that finds poses."""

import os
import threading
from collections.abc import Sequence

import numpy as np
import torch
from easydict import EasyDict

from pose.build_detector import detector_of
from pose.build_runtime import runtime_of
from pose.devices import choose_device
from pose.inference.boxes import Boxes
from pose.inference.detectors import PersonDetector
from pose.inference.predict import CPU_BATCH
from pose.inference.predictor import Predictor

DEFAULT_WEIGHTS = "hrnet_w32"
DEFAULT_DETECTOR = "default"


def load(
    weights: str | os.PathLike[str] = DEFAULT_WEIGHTS,
    *,
    detector: str | os.PathLike[str] | PersonDetector | None = DEFAULT_DETECTOR,
    device: str = "auto",
    engine: str = "auto",
    keys: Sequence[str] = (),
) -> Predictor:
    """The network of `weights`, ready for pictures.

    weights is a file (of a run, .onnx or .xml) or a published name, detector a name or file of
    `docs/detectors.md`, a function images -> boxes, or None for calls that bring their boxes. What
    is not in the cache is fetched, after a line that says what, whence and how large: weights at
    once, the detector when first a picture comes without boxes. device is auto, cpu, cuda, cuda:N
    or mps; engine what executes the network: auto, torch, onnxruntime or openvino. `keys` are
    those of the command line, as "predict.person_threshold=0.5". ValueError or FileNotFoundError
    of one line.
    """
    predictor, _ = build_predictor(
        weights, detector=detector, device=device, engine=engine, keys=keys
    )
    return predictor


def build_predictor(
    weights: str | os.PathLike[str],
    *,
    detector: str | os.PathLike[str] | PersonDetector | None,
    device: str,
    engine: str,
    keys: Sequence[str],
) -> tuple[Predictor, EasyDict]:
    """What `load` gives, and the resolved config it was made by."""
    chosen = choose_device(device)
    runtime, cfg = runtime_of(weights, device=device, overrides=keys, engine=engine)
    detect = lazy_detector(detector, chosen, cfg.predict.detector_threshold)
    batch_size = cfg.test.batch_size
    predictor = Predictor(
        runtime,
        detect,
        batch_size=min(batch_size, CPU_BATCH) if chosen.type == "cpu" else batch_size,
        person_threshold=cfg.predict.person_threshold,
    )
    return predictor, cfg


def lazy_detector(
    detector: str | os.PathLike[str] | PersonDetector | None, device: torch.device, threshold: float
) -> PersonDetector | None:
    """The detector that a name, file or function means, fetched and built when first it is used."""
    if detector is None:
        return None
    if callable(detector):
        return detector
    name, lock = os.fspath(detector), threading.Lock()
    built: list[PersonDetector] = []

    def detect(images: Sequence[np.ndarray]) -> list[Boxes]:
        with lock:
            if not built:
                built.append(detector_of(name, device, threshold))
        return built[0](images)

    return detect
