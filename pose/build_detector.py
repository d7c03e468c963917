"""A detector by name or file: found, fetched where need be, and made ready.

What is fetched comes as the weights of `pose.published` do: after a line that says what, whence,
how large and under which licence, into a cache, and not at all where POSE_OFFLINE is set.
"""

import difflib
import logging
import os
import re
from pathlib import Path

import torch

from pose.download import OFFLINE, download
from pose.files import cache_folder
from pose.inference.detectors import PersonDetector
from pose.inference.detectors.onnx_description import DESCRIPTIONS, read_description
from pose.inference.detectors.onnx_description import SUFFIXES as DESCRIPTION_SUFFIXES
from pose.inference.detectors.onnx_detector import load_onnx
from pose.inference.detectors.torchvision_detectors import (
    LICENCE,
    NETWORKS,
    load_torchvision,
    published_file,
)
from pose.inference.detectors.transformers_detectors import INSTALL, load_transformers
from pose.telemetry import forbid_telemetry

logger = logging.getLogger(__name__)

DEFAULT_DETECTORS = {
    "cpu": "fasterrcnn_mobilenet_v3_large_fpn",
    "cuda": "fasterrcnn_resnet50_fpn_v2",
}
"""The detector of each kind of device, those of the CPU on every other; they need no extra."""

FILE_SUFFIXES = (".onnx", ".pth", ".pt", ".safetensors")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILES = ["config.json", "preprocessor_config.json", "*.safetensors"]


def detector_of(
    text: str | os.PathLike[str], device: torch.device, score_threshold: float
) -> PersonDetector:
    """The detector that `text` means; boxes of a lower score than the threshold are left out.

    "default"; a name of `NETWORKS`; an .onnx file; NAME=FILE, with NAME one of `NETWORKS` or
    `DESCRIPTIONS` or a file that describes FILE; a folder of transformers, or a hub's OWNER/MODEL.
    FileNotFoundError, ValueError or OSError of one line.
    """
    text = os.fspath(text)
    if text == "default":
        text = default_detector(device)
        logger.info("detector: %s", text)
    path = Path(text)
    if path.is_dir():
        return load_transformers(path, device, score_threshold)
    if path.is_file():
        if path.suffix.lower() == ".onnx":
            return load_onnx(path, device, score_threshold)
        raise ValueError(
            f"{path}: say whose weights they are: NAME={path}, NAME one of {', '.join(NETWORKS)}"
        )
    if text in NETWORKS:
        return load_torchvision(text, fetched_weights(text), device, score_threshold)
    if "=" in text:
        return _named_file(text, device, score_threshold)
    if HUB_NAME.fullmatch(text) and path.suffix.lower() not in FILE_SUFFIXES:
        return load_transformers(fetched_folder(text), device, score_threshold)
    raise FileNotFoundError(f"{text}: no such detector{_hint(text)}")


def default_detector(device: torch.device) -> str:
    """The name of the detector that runs where nobody says which."""
    return DEFAULT_DETECTORS.get(device.type, DEFAULT_DETECTORS["cpu"])


def _named_file(text: str, device: torch.device, score_threshold: float) -> PersonDetector:
    """The detector of NAME=FILE."""
    name, _, file = text.partition("=")
    if name in NETWORKS:
        return load_torchvision(name, Path(file), device, score_threshold)
    if name in DESCRIPTIONS:
        description = DESCRIPTIONS[name]
    elif Path(name).suffix.lower() in DESCRIPTION_SUFFIXES and Path(name).is_file():
        description = read_description(Path(name))
    else:
        raise ValueError(f"{text}: '{name}' is no file that describes another{_hint(name)}")
    return load_onnx(Path(file), device, score_threshold, description)


def _hint(text: str) -> str:
    """ "; did you mean ...? (known: ...)"."""
    known = [*NETWORKS, *DESCRIPTIONS]
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    nearest = f"; did you mean '{close[0]}'?" if close else ""
    return (
        f"{nearest} (names: {', '.join(NETWORKS)}; for NAME=FILE.onnx: {', '.join(DESCRIPTIONS)})"
    )


def fetched_weights(name: str) -> Path:
    """The published weights of one of `NETWORKS` in the cache, brought there if need be."""
    address, digits = published_file(name)
    path = cache_folder("weights") / Path(address).name
    if not path.is_file():
        download(
            address,
            path,
            digits,
            title=f"{name} (licence {LICENCE})",
            remedy=f"unset it, or download {address} elsewhere and give {name}=FILE",
        )
    return path


def fetched_folder(name: str) -> Path:
    """The files of a hub's model in the hub library's own cache, brought there if need be.

    ValueError where that is forbidden or there is no such model, OSError for what went wrong.
    """
    forbid_telemetry()
    try:
        import huggingface_hub as hub
    except ImportError:
        raise ValueError(
            f"{name}: transformers is not installed, which runs it; run: {INSTALL}"
        ) from None
    try:
        return Path(hub.snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=True))
    except FileNotFoundError:
        pass
    offline = os.environ.get(OFFLINE, "0") not in ("", "0")
    if offline or hub.constants.HF_HUB_OFFLINE:
        forbids = OFFLINE if offline else "HF_HUB_OFFLINE"
        raise ValueError(
            f"{name}: no such folder, not in the hub's cache, and {forbids} forbids fetching it; "
            "unset it, or give a folder with its files"
        )
    page = f"{hub.constants.ENDPOINT}/{name}"
    logger.info("%s is no folder here; asking %s", name, page)
    try:
        info = hub.model_info(name)
        licence = getattr(info.card_data, "license", None) or "unknown"
        files = hub.snapshot_download(
            name, revision=info.sha, allow_patterns=HUB_FILES, dry_run=True
        )
        size = sum(file.file_size or 0 for file in files) / 1e6
        logger.info("fetching %s (licence %s), %.1f MB, from %s", name, licence, size, page)
        return Path(hub.snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:
        # The errors of the library, of its transport (which depends on its version) and of its
        # storage's client share no base class.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"{name}: cannot be fetched from {page} ({reason:.200})") from None
