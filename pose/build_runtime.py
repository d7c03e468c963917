"""The composition root's part for use: weights, or a network in a file, become a `Runtime`."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as shortly
from typing import Any

import numpy as np
import torch
from easydict import EasyDict

from pose.build import load_network
from pose.build_network import codec_of, in_use
from pose.codecs import Codec
from pose.codecs.simcc import SimccCodec
from pose.config import plain, resolve
from pose.devices import choose_device, native_bf16
from pose.inference.detectors.onnx_description import description_beside
from pose.inference.detectors.onnx_detector import import_onnxruntime
from pose.inference.network_file import NetworkFile, Values, maps_of, tried
from pose.inference.onnx_file import open_onnx
from pose.inference.openvino_file import open_openvino
from pose.inference.predict import Runtime, torch_runtime
from pose.inference.runtimes import maps_runtime, points_runtime
from pose.layers import read_yaml
from pose.skeleton import COCO_17, Skeleton, skeleton_from_category

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "onnxruntime", "openvino")
OPENERS: dict[str, Callable[[Path, torch.device], NetworkFile]] = {
    "onnxruntime": open_onnx,
    "openvino": open_openvino,
}
ENGINES_OF = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}
"""Suffix of a network's file -> what runs it, the default first; torch runs all other files."""

FIXED = ("model", "codec")
"""Sections that weights were trained with: keys cannot change these."""


@dataclass(frozen=True)
class Usual:
    """What a file of others is taken for where it does not say what it is."""

    skeleton: Skeleton = COCO_17
    layer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Sections of a config, by name."""


def runtime_of(
    weights: str | os.PathLike[str],
    *,
    device: str | torch.device = "auto",
    overrides: Sequence[str] = (),
    engine: str = "auto",
) -> tuple[Runtime, EasyDict]:
    """What runs the network of a weights file, published name, .onnx or .xml file, and its config.

    overrides are `section.key=value` over the config in the file. The device "auto" is the best
    that the engine runs on here. FileNotFoundError or ValueError of one line.
    """
    path = Path(weights)
    engines = engines_of(path)
    if engine not in ENGINES:
        raise ValueError(f"engine '{engine}': expected one of {', '.join(ENGINES)}")
    if engine not in ("auto", *engines):
        remedy = "; pose export makes a file that it runs" if engines == ("torch",) else ""
        raise ValueError(f"{path}: is run by {' or '.join(engines)}, not by {engine}{remedy}")
    engine = engines[0] if engine == "auto" else engine
    chosen = device_for(engine, device)
    if engine == "torch":
        return _torch_runtime(path, chosen, overrides)
    return runtime_in(OPENERS[engine](path, chosen), overrides)


def engines_of(weights: Path) -> tuple[str, ...]:
    """What runs weights or a network's file, the default first."""
    return ENGINES_OF.get(weights.suffix.lower(), ("torch",))


def device_for(engine: str, device: str | torch.device) -> torch.device:
    """What `device` means for an engine: "auto" is the best that it runs on here."""
    if isinstance(device, torch.device):
        return device
    if device != "auto" or engine == "torch":
        return choose_device(device)
    if engine == "onnxruntime" and torch.cuda.is_available():
        onnxruntime = import_onnxruntime("--engine onnxruntime")
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            return torch.device("cuda")
    return torch.device("cpu")


def open_network(path: Path, device: torch.device) -> NetworkFile | None:
    """An .onnx or .xml file, opened by its default engine; None for weights, which torch runs."""
    engine = engines_of(path)[0]
    return None if engine == "torch" else OPENERS[engine](path, device)


def runtime_in(
    file: NetworkFile, overrides: Sequence[str], usual: Usual | None = None
) -> tuple[Runtime, EasyDict]:
    """What runs a network's file, and its config; `usual` is what a file of others that does not
    say otherwise is taken for."""
    if "config" in file.texts:
        return _own_runtime(file, overrides)
    return _foreign_runtime(file, overrides, usual or Usual())


def _torch_runtime(
    path: Path, device: torch.device, overrides: Sequence[str]
) -> tuple[Runtime, EasyDict]:
    network = load_network(path)
    cfg = overridden(network.cfg, overrides, str(path))
    precision, reason = precision_of(cfg.predict.precision, device)
    model = in_use(cfg, network.model, precision, device)
    codec, skeleton, flip = network.codec, network.skeleton, cfg.test.flip
    note = precision if cfg.test.compile == "none" else f"{precision}, {cfg.test.compile}"
    runtime = torch_runtime(model, codec, skeleton, device, flip=flip, note=note)
    logger.info("network: %s: %s", runtime.name, reason)
    return runtime, cfg


def precision_of(name: str, device: torch.device) -> tuple[str, str]:
    """The precision that `predict.precision` means on `device`, and why."""
    if name != "auto":
        return name, "as predict.precision says"
    native = native_bf16(device)
    if native:
        return "bf16", f"{native} multiplies it faster than fp32"
    return "fp32", f"nothing here multiplies bf16 faster on {device.type}"


def overridden(cfg: EasyDict, overrides: Sequence[str], source: str) -> EasyDict:
    """The config that weights bring with other keys over it.

    ValueError where these would change what the network was trained with.
    """
    changed = resolve(plain(cfg), f"{source}: config", overrides)
    for section in FIXED:
        for key, value in cfg[section].items():
            if changed[section][key] != value:
                raise ValueError(
                    f"command line: {section}.{key} is {changed[section][key]}, {source} was "
                    f"trained with {value}; leave the key out"
                )
    return changed


def _own_runtime(file: NetworkFile, overrides: Sequence[str]) -> tuple[Runtime, EasyDict]:
    """A file that `pose export` wrote."""
    try:
        content = json.loads(file.texts["config"])
        category = content.pop("skeleton")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(
            f"{file.path}: its metadata is damaged; export the network again"
        ) from None
    inside = resolve(content, f"{file.path}: config")
    skeleton = skeleton_from_category(category, f"{file.path}: skeleton")
    cfg = overridden(inside, overrides, str(file.path))
    size = tuple(cfg.model.input_size)
    outputs = tried(file, size)
    if file.texts.get("with_decode") != "true":
        return _maps_runtime(file, outputs, skeleton, cfg), cfg
    if cfg.test.flip != inside.test.flip:
        raise ValueError(
            f"{file.path}: test.flip={str(inside.test.flip).lower()} is inside its graph; "
            "export the network again to change it"
        )
    return points_runtime(file, size, codec_of(cfg, stride=1).pixel_grid, skeleton), cfg


def _foreign_runtime(
    file: NetworkFile, overrides: Sequence[str], usual: Usual
) -> tuple[Runtime, EasyDict]:
    """A file of others: what it does not say comes from keys and from the file beside it."""
    content, source = _content_beside(file.path)
    category = content.pop("skeleton", None)
    for section, keys in usual.layer.items():
        given = content.get(section, {})
        content[section] = {**keys, **given} if isinstance(given, Mapping) else given
    cfg = resolve(content, source, overrides)
    height, width = file.shape[2:]
    if height and width:
        cfg.model.input_size = (width, height)
    outputs = tried(file, tuple(cfg.model.input_size))
    skeleton = _skeleton(file.path, category, outputs, source, usual.skeleton)
    runtime = _maps_runtime(file, outputs, skeleton, cfg)
    if source == str(file.path):
        logger.info(
            "%s: says nothing of itself; taken for %s's %d keypoints, %s maps (codec.name, "
            "codec.sigma) and RGB of mean %s and deviation %s (model.mean, model.std); keys or %s "
            "beside it say otherwise",
            *(file.path, skeleton.name, skeleton.num_keypoints, cfg.codec.name),
            *(list(cfg.model.mean), list(cfg.model.std), file.path.with_suffix(".yaml").name),
        )
    return runtime, cfg


def _content_beside(path: Path) -> tuple[dict[str, Any], str]:
    """The keys of a config, and `skeleton`, in the file beside a network's, with that file's name;
    none, and the network's, where it stands alone."""
    beside = description_beside(path)
    if beside is None:
        return {}, str(path)
    try:
        content = read_yaml(beside.read_text(encoding="utf-8"), str(beside))
    except UnicodeDecodeError:
        raise ValueError(f"{beside}: not a text file in UTF-8") from None
    if not isinstance(content, dict):
        raise ValueError(f"{beside}: expected keys of a config and a skeleton")
    logger.info("%s: read as %s says", path, beside)
    return content, str(beside)


def _skeleton(path: Path, category: Any, outputs: Values, source: str, usual: Skeleton) -> Skeleton:
    """Of a file of others: that of the COCO category given, or the usual one where it fits."""
    maps = maps_of(outputs)
    if maps is None:
        raise ValueError(
            f"{path}: gives {_shapes(outputs)}; expected one output of heatmaps (B, K, h, w)"
        )
    num_keypoints = maps.shape[1]
    if category is None:
        if num_keypoints == usual.num_keypoints:
            return usual
        raise ValueError(
            f"{path}: gives {num_keypoints} keypoints that nobody names; name them in "
            f"{path.with_suffix('.yaml').name} beside it, as in "
            "skeleton: {name: dog, keypoints: [nose, left_ear, ...]} (docs/runtimes.md)"
        )
    if not isinstance(category, Mapping):
        raise ValueError(f"{source}: skeleton is {shortly(category)}; expected name and keypoints")
    skeleton = skeleton_from_category(category, f"{source}: skeleton")
    if skeleton.num_keypoints != num_keypoints:
        raise ValueError(
            f"{source}: skeleton names {skeleton.num_keypoints} keypoints, {path.name} gives "
            f"{num_keypoints}"
        )
    return skeleton


def _maps_runtime(file: NetworkFile, outputs: Values, skeleton: Skeleton, cfg: EasyDict) -> Runtime:
    """That of a file which gave `outputs`, if they are maps of the config's codec."""
    codec = _codec_for(maps_of(outputs), cfg)
    if codec is None:
        width, height = cfg.model.input_size
        raise ValueError(
            f"{file.path}: gives {_shapes(outputs)} for two inputs of {width}x{height}, which are "
            f"no maps of the codec {cfg.codec.name} (docs/codecs.md); say which with codec.name=..."
        )
    mean, std = cfg.model.mean, cfg.model.std
    return maps_runtime(file, codec, skeleton, mean=mean, std=std, flip=cfg.test.flip)


def _codec_for(maps: np.ndarray | None, cfg: EasyDict) -> Codec | None:
    """The config's codec at the stride of the maps; None where it makes no such maps."""
    codec = codec_of(cfg, stride=1)
    if maps is None:
        return None
    if isinstance(codec, SimccCodec):
        return codec if maps.shape[2:] == (sum(codec.bins),) else None
    width, height = cfg.model.input_size
    stride = max(width // maps.shape[-1], 1)
    fits = maps.ndim == 4 and (height, width) == (maps.shape[2] * stride, maps.shape[3] * stride)
    return codec_of(cfg, stride) if fits else None


def _shapes(outputs: Values) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
