"""The configuration: its schema, which is also its documentation, and its loader.

Layers, later over earlier: defaults, YAML file, `key=value` of the command line. A YAML holds only
what differs from the defaults. Nothing in it is executed, and after loading nothing writes to it.
"""

import dataclasses
import difflib
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from easydict import EasyDict

from pose.layers import ConfigError, merge, read_yaml, setting, type_name

MODELS = (
    *("hrnet_small", "hrnet_w18", "hrnet_w32", "hrnet_w48"),
    *("simplebaseline_r50", "simplebaseline_r101", "simplebaseline_r152"),
)


@dataclass(frozen=True)
class Data:
    """Where people and photographs come from. Relative paths start at `root`."""

    root: str = setting("data/coco", "Folder that the other paths of this section start from.")
    train_annotations: str = setting(
        "annotations/person_keypoints_train2017.json", "COCO keypoint file to train on."
    )
    train_images: str = setting("images/train2017", "Folder or zip file of its images.")
    val_annotations: str = setting(
        "annotations/person_keypoints_val2017.json", "COCO keypoint file to evaluate on."
    )
    val_images: str = setting("images/val2017", "Folder or zip file of its images.")
    val_boxes: str = setting(
        "gt",
        "Boxes of the evaluations during training: 'gt' (ground truth) or a detection file; "
        "`pose evaluate` asks for its own.",
    )
    workers: int = setting(
        2, "Processes that read images, for each training process; 0: none.", low=0
    )


@dataclass(frozen=True)
class Model:
    """The network."""

    name: str = setting("hrnet_w32", "Which network.", choices=MODELS)
    input_size: tuple[int, ...] = setting(
        (192, 256), "Width and height of the network's input in pixels, multiples of 32.", low=32
    )
    mean: tuple[float, ...] = setting(
        (0.485, 0.456, 0.406), "Mean of the input per channel, RGB in [0, 1] (ImageNet's).", low=0
    )
    std: tuple[float, ...] = setting(
        (0.229, 0.224, 0.225), "Standard deviation of the same.", low=1e-6
    )


@dataclass(frozen=True)
class Codec:
    """Keypoints <-> heatmaps."""

    name: str = setting(
        "gaussian",
        "gaussian: published targets and quarter offset; dark: unrounded targets, Newton step; "
        "udp: both on the unbiased pixel grid, with its own crop.",
        choices=("gaussian", "dark", "udp"),
    )
    sigma: float = setting(2.0, "Standard deviation of a target in heatmap cells.", low=0.1)
    blur_kernel: int = setting(
        0,
        "Side of the blur before dark and udp decode, odd, in cells; 0: 11 at sigma 2, 17 at 3 "
        "(MMPose 1.x configs keep 11 at sigma 3).",
        low=0,
    )


@dataclass(frozen=True)
class Augment:
    """How training crops are drawn (the published COCO recipe of HRNet)."""

    scale: float = setting(
        0.35, "Standard deviation of the scale factor, cut at one deviation.", low=0, high=0.9
    )
    rotation: float = setting(
        45.0, "Standard deviation of the rotation in degrees, cut at two deviations.", low=0
    )
    rotation_chance: float = setting(0.6, "Share of crops that are rotated.", low=0, high=1)
    flip_chance: float = setting(0.5, "Share of crops that are mirrored.", low=0, high=1)
    half_body_chance: float = setting(
        0.3, "Share of half-body crops among people with more than 8 keypoints.", low=0, high=1
    )


@dataclass(frozen=True)
class Train:
    """The training run."""

    epochs: int = setting(210, "Passes over the training people.", low=1)
    batch_size: int = setting(128, "People a step, over all processes together.", low=1)
    optimizer: str = setting("adam", "Which optimiser.", choices=("adam", "adamw"))
    lr: float = setting(1e-3, "Learning rate after warm-up.", low=0)
    weight_decay: float = setting(0.0, "Weight decay of adamw, on convolution weights only.", low=0)
    schedule: str = setting(
        "steps",
        "steps: times 0.1 after each of lr_steps; cosine: half a cosine, linear: a line down to 0.",
        choices=("steps", "cosine", "linear"),
    )
    lr_steps: tuple[int, ...] = setting(
        (170, 200), "Epochs after which the rate falls to a tenth.", low=1
    )
    warmup_steps: int = setting(0, "Steps over which the rate rises linearly from 0.", low=0)
    loss: str = setting(
        "mse",
        "mse: over all keypoints; ohkm: over each person's 8 hardest.",
        choices=("mse", "ohkm"),
    )
    amp: bool = setting(False, "Run the network in bfloat16 (weights and loss stay float32).")
    ema_decay: float = setting(
        0.0,
        "Decay a step of the averaged weights that are evaluated and kept; 0: no average.",
        low=0,
        high=0.99999,
    )
    clip_norm: float = setting(0.0, "Largest gradient norm; 0: no clipping.", low=0)
    evaluate_every: int = setting(5, "Epochs between evaluations (the last is always one).", low=1)
    sheet_every: int = setting(10, "Epochs between sheets of predictions; 0: none.", low=0)


@dataclass(frozen=True)
class Test:
    """Evaluation and prediction."""

    batch_size: int = setting(64, "People at a time, for each process.", low=1)
    flip: bool = setting(True, "Average with the maps of the mirrored crop.")
    box_score_threshold: float = setting(0.0, "Detections below this score are left out.")
    keypoint_score_threshold: float = setting(
        0.2, "Keypoints above this score count in a person's score."
    )
    nms_threshold: float = setting(
        0.9, "Of two poses in an image with a higher OKS the better one stays.", low=0, high=1
    )
    soft_nms: bool = setting(False, "Lower the score of such a pose instead of removing it.")


@dataclass(frozen=True)
class Config:
    """Everything that describes an experiment."""

    seed: int = setting(0, "Of initial weights, order and augmentation.", low=0)
    init: str | None = setting(
        None,
        "Weights to start from: the trunk strictly, the head by keypoint name; empty: none.",
    )
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    codec: Codec = field(default_factory=Codec)
    augment: Augment = field(default_factory=Augment)
    train: Train = field(default_factory=Train)
    test: Test = field(default_factory=Test)


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> EasyDict:
    """The resolved configuration of a YAML file, or of a shipped one by name.

    `overrides` are `section.key=value`, the value in YAML. Raises ConfigError or
    FileNotFoundError with one line.
    """
    path = find_config(name)
    try:
        layer = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8") from None
    return resolve({} if layer is None else layer, str(path), overrides)


def resolve(layer: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> EasyDict:
    """The defaults, a layer and overrides one over the other; every key of the schema is there."""
    resolved = _defaults(Config())
    merge(resolved, layer, Config, source, "")
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"command line: '{override}' is not of the form section.key=value")
        value: Any = read_yaml(text, f"command line: {key}")
        for part in reversed(key.split(".")):
            value = {part: value}
        merge(resolved, value, Config, "command line", "")
    _check_sizes(resolved, source)
    return EasyDict(resolved)


def plain(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as plain dicts and lists, to be written as JSON or YAML."""
    return json.loads(json.dumps(cfg))


def config_names() -> list[str]:
    """The names of the configs that ship with the package, such as coco/hrnet_w32_256x192."""
    root = config_folder()
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))


def config_folder() -> Path:
    """The folder of shipped configs: in the wheel pose/configs, in a clone configs/ beside it."""
    package = Path(str(resources.files("pose")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def find_config(name: str | Path) -> Path:
    """The YAML file `name`, or the shipped config of that name."""
    for path in (Path(name), config_folder() / f"{name}.yaml", config_folder() / name):
        if path.is_file():
            return path
    near = difflib.get_close_matches(str(name), config_names(), n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise FileNotFoundError(
        f"config '{name}': no such file or shipped config{hint} "
        f"(shipped: {', '.join(config_names())})"
    )


def document() -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, sentence) of every key, in the schema's order."""

    def walk(schema: type, prefix: str) -> Iterator[tuple[str, str, str, str]]:
        hints = typing.get_type_hints(schema)
        for key in dataclasses.fields(schema):
            if dataclasses.is_dataclass(hints[key.name]):
                yield from walk(hints[key.name], f"{prefix}{key.name}.")
                continue
            kind = " or ".join(key.metadata["choices"]) or type_name(hints[key.name])
            yield prefix + key.name, kind, _show(key.default), key.metadata["doc"]

    return walk(Config, "")


def config_page() -> str:
    """docs/config.md: every key with its type, default and meaning."""
    rows = [
        f"| `{key}` | {kind} | {f'`{default}`' if default else 'empty'} | {sentence} |"
        for key, kind, default, sentence in document()
    ]
    return "\n".join([_PAGE_HEAD, *rows, ""])


_PAGE_HEAD = """\
# The keys of a configuration

A configuration is a YAML file that holds only what differs from the defaults below; `key=value` on
the command line, as in `train.lr=5e-4`, goes over the file. A key that is not listed here is an
error. Printed from `pose/config.py` by

    python -c "from pose.config import config_page; print(config_page(), end='')" > docs/config.md

| key | type | default | meaning |
|---|---|---|---|"""


def _defaults(section: Any) -> dict[str, Any]:
    return {
        key.name: _defaults(value) if dataclasses.is_dataclass(value) else value
        for key in dataclasses.fields(section)
        for value in [getattr(section, key.name)]
    }


def _check_sizes(resolved: Mapping[str, Any], source: str) -> None:
    size = resolved["model"]["input_size"]
    if len(size) != 2 or any(side % 32 for side in size):
        raise ConfigError(
            f"{source}: model.input_size is {list(size)}; expected [width, height], each a "
            "multiple of 32"
        )
    for key in ("mean", "std"):
        if len(resolved["model"][key]) != 3:
            got = list(resolved["model"][key])
            raise ConfigError(f"{source}: model.{key} is {got}; expected three values, R, G, B")
    kernel = resolved["codec"]["blur_kernel"]
    if kernel and kernel % 2 == 0:
        raise ConfigError(f"{source}: codec.blur_kernel is {kernel}; expected an odd number or 0")


def _show(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else f"{value}"
