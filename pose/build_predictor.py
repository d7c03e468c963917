"""`pose.load`: a name or file of weights becomes the call that finds poses."""

import copy
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict

from pose.build_detector import detector_of
from pose.build_runtime import runtime_of
from pose.config import resolve
from pose.devices import choose_device
from pose.files import cache_folder, sha256_of
from pose.inference.boxes import Boxes
from pose.inference.detectors import PersonDetector
from pose.inference.predict import Runtime, people_at_once
from pose.inference.predictor import Predictor
from pose.metrics.calibration import read_calibration
from pose.published import find_weights, shipped

logger = logging.getLogger(__name__)

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
    if path := calibration_of(weights, cfg.predict.calibration):
        runtime, cfg = with_calibration(runtime, cfg, path, weights, keys)
    person_threshold = cfg.predict.person_threshold
    if runtime.calibration:
        person_threshold = runtime.calibration.people.inverse(person_threshold)
    detect = lazy_detector(detector, chosen, cfg.predict.detector_threshold)
    predictor = Predictor(
        runtime,
        detect,
        batch_size=people_at_once(cfg.test.batch_size, chosen),
        person_threshold=person_threshold,
    )
    return predictor, cfg


def calibration_path(weights: Path) -> Path:
    """Where `pose calibrate` keeps what the scores of a weights file are worth: beside it; where
    that is inside this package, or nothing may be written, in the cache, by the file's content."""
    beside = weights.with_name(f"{weights.name}.calibration.json")
    packed = weights.resolve().parent == shipped("any").resolve().parent
    if not packed and (beside.exists() or os.access(weights.parent, os.W_OK)):
        return beside
    return cache_folder("calibrations") / f"{sha256_of(weights)}.json"


def calibration_of(weights: str | os.PathLike[str], choice: str) -> Path | None:
    """The file that `choice`, of predict.calibration, means; None where scores stay as they are."""
    if choice == "none":
        return None
    if choice != "auto":
        return Path(choice)
    kept = calibration_path(find_weights(os.fspath(weights)))
    return kept if kept.is_file() else None


def calibration_by_keys(weights: str, keys: Sequence[str]) -> Path | None:
    """The file that `load` would calibrate by, whole and looked into, by what keys say alone; None
    also for weights that are not here. ValueError or FileNotFoundError of one line."""
    of_it = [key for key in keys if key.startswith("predict.calibration=")]
    choice = resolve({}, "keys", of_it).predict.calibration
    try:
        path = calibration_of(weights, choice)
    except FileNotFoundError:  # whoever loads them will say so
        return None
    if path is not None:
        read_calibration(path)
    return path and path.absolute()


def with_calibration(
    runtime: Runtime,
    cfg: EasyDict,
    path: Path,
    weights: str | os.PathLike[str],
    keys: Sequence[str],
) -> tuple[Runtime, EasyDict]:
    """The runtime with what its scores are worth. A config's thresholds are of scores as they are
    handed out: those that no key sets become what they are worth, so that the same is shown.

    ValueError where the file says that it is of other weights.
    """
    calibration, sha256 = read_calibration(path)
    if sha256 is not None and sha256 != sha256_of(find_weights(os.fspath(weights))):
        raise ValueError(
            f"{path}: is of other weights than {weights}; run pose calibrate again, or give "
            "predict.calibration=none"
        )
    set_by_key = {key.partition("=")[0] for key in keys}
    curves = {"keypoint_threshold": calibration.keypoints, "person_threshold": calibration.people}
    worth = {
        name: float(curve(cfg.predict[name]))
        for name, curve in curves.items()
        if f"predict.{name}" not in set_by_key
    }
    logger.info(
        "scores: calibrated by %s%s",
        path,
        "".join(f"; {name} becomes {value:.3f}" for name, value in worth.items()),
    )
    cfg = copy.deepcopy(cfg)
    cfg.predict.update(worth)
    return replace(runtime, calibration=calibration), cfg


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
