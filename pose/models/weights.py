"""Weight files: reading and writing them, and saying exactly what fits and what does not.

Published files and ours are a bare dict of tensors under the published names, which are those of
`PoseModel` (`conv1.weight`, ..., `final_layer.bias`). Files are data: torch files are read with
`weights_only=True` and never otherwise. Loading is strict: nothing is skipped in silence.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pose.files import replacing
from pose.models.layouts import CLASSIFIER, PARALLEL, State, shortened, tensors_of
from pose.seals import BLANK, KEY, check_safetensors, check_zip, sealed_safetensors

logger = logging.getLogger(__name__)

TORCH_MAGIC = (b"PK\x03\x04", b"\x80\x02")
"""How torch files open: a zip archive, and the pickle of before 2020."""

ARRAY_PARTS: tuple[Any, ...] = (
    *(
        (np.empty(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct")
        for core in ("core", "_core")
    ),
    *(np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.uint8))),
)
"""What the arrays are made of that MMPose 1.x saves beside its tensors (keypoint sigmas, colours),
the first of them under the name that numpy 1 wrote and under numpy 2's."""

FINAL_LAYERS = (
    ("final_layer.weight", "final_layer.bias"),
    ("head.3.weight", "head.3.bias"),
)
"""Of V1 and SimpleBaseline; of V2."""

VECTORS = "mlp_head_"
HEAD = ("final_layer.", "deconv_layers.", "head.", VECTORS)


@dataclass(frozen=True)
class InitReport:
    """Which keypoints of a head started from the weights of a file, and which afresh."""

    source: str
    copied: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        if not self.copied:
            return f"{self.source}: trunk taken over, head fresh ({', '.join(self.fresh)})"
        fresh = f"; fresh: {', '.join(self.fresh)}" if self.fresh else ""
        return f"{self.source}: trunk and {len(self.copied)} keypoints taken over{fresh}"


def load_weights(path: str | Path) -> State:
    """The tensors of a .safetensors or torch file, on the CPU, under their bare names.

    A torch file is a dict of tensors, or holds one under a name of `NESTS`; `module.`, which
    parallel training puts before every name, is taken off. FileNotFoundError or ValueError, of
    one line, for a file that is missing, damaged or something else.
    """
    return _bare(read_tensors(path))


def load_with_config(path: str | Path) -> tuple[State, dict[str, Any] | None]:
    """As `load_weights`, and the resolved config that this project writes beside the weights; None
    where there is none. The file is read once."""
    state, config = _read(Path(path))
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: its config is not JSON ({error})") from error
    if config is not None and not isinstance(config, dict):
        raise ValueError(f"{path}: its config is a {type(config).__name__}, expected a dict")
    return _bare(state), config


def read_tensors(path: str | Path, *, allow_arrays: bool = False) -> State:
    """As `load_weights`, under the names that the file has.

    `allow_arrays` reads past the numpy arrays that MMPose 1.x keeps beside its tensors; it is for
    converting such files and for nothing else.
    """
    return _read(Path(path), allow_arrays=allow_arrays)[0]


def save_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a .safetensors file, whole or not at all; the config goes along as JSON text.

    The same content makes the same bytes, so a hash names it; the file carries its own
    (`pose.seals`), which every reader here checks.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    texts = {**(metadata or {}), "format": "pt", "config": json.dumps(config), KEY: BLANK}
    content = _with_sorted_header(safetensors.torch.save(tensors, metadata=texts))
    with replacing(path) as temporary:
        temporary.write_bytes(sealed_safetensors(content))


def load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Gives `model` the tensors of `state`, all of them and no others.

    ValueError, naming `source`, where one is missing, left over or of another shape, and then
    nothing was changed. A missing count of batches keeps its value; the leftovers of a network
    trained on ImageNet are said in the log.
    """
    fitting = fitting_tensors(model.state_dict(), state, source)
    model.load_state_dict(fitting, strict=False)


def init_from(
    model: nn.Module,
    state: Mapping[str, Tensor],
    keypoints: Sequence[str],
    source_keypoints: Sequence[str] | None,
    source: str,
) -> InitReport:
    """Starts `model`, whose maps are `keypoints`, from the weights of another set of keypoints.

    The trunk, and the deconvolutions where there are any, strictly as in `load_strict`; the final
    layer row by row by keypoint name. Names that the file lacks stay fresh, as do the vectors of
    `simcc` where the file is of heatmaps. So does the whole head where the file has none of ours
    (a classifier), and the final layer where nobody knows the names of its rows
    (`source_keypoints` None).
    """
    own = model.state_dict()
    final_layer = next(names for names in FINAL_LAYERS if names[0] in own)
    num_rows = own[final_layer[0]].shape[0]
    if num_rows != len(keypoints):
        raise ValueError(
            f"the model's final layer has {num_rows} channels, for {len(keypoints)} keypoints"
        )
    expected = {n: own[n] for n in own if n in state or not n.startswith(VECTORS)}
    has_head = final_layer[0] in state
    if has_head:
        known = state[final_layer[0]] if source_keypoints is None else source_keypoints
        for name in final_layer:
            expected[name] = own[name].new_empty((len(known), *own[name].shape[1:]))
    else:
        expected = {name: own[name] for name in own if not name.startswith(HEAD)}
        source_keypoints = None
    fitting = fitting_tensors(expected, state, source)

    rows = {name: row for row, name in enumerate(source_keypoints or ())}
    for name in final_layer if has_head else ():
        layer = own[name].clone()
        for row, keypoint in enumerate(keypoints):
            if keypoint in rows:
                layer[row] = fitting[name][rows[keypoint]]
        fitting[name] = layer
    model.load_state_dict(fitting, strict=False)

    copied = tuple(name for name in keypoints if name in rows)
    report = InitReport(source, copied, tuple(name for name in keypoints if name not in rows))
    logger.info("%s", report)
    return report


def fitting_tensors(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> State:
    """The part of `state` that is `expected`, which must be all of both; see `load_strict`."""
    missing = [
        name for name in expected if name not in state and not name.endswith("num_batches_tracked")
    ]
    left_over = [name for name in state if name not in expected]
    classifier = [name for name in left_over if CLASSIFIER.match(name)]
    unknown = [name for name in left_over if not CLASSIFIER.match(name)]
    fitting = {name: state[name] for name in expected if name in state}
    misshapen = [
        f"{name} {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
        for name, tensor in fitting.items()
        if tensor.shape != expected[name].shape
    ]
    # copied into float weights, the imaginary part of a complex one would be lost
    no_floats = [
        f"{name} {tensor.dtype}"
        for name, tensor in fitting.items()
        if expected[name].is_floating_point() and not tensor.is_floating_point()
    ]
    kinds = {
        "missing": missing,
        "left over": unknown,
        "of another shape": misshapen,
        "of no floats": no_floats,
    }
    faults = [f"{len(found)} {kind} ({shortened(found)})" for kind, found in kinds.items() if found]
    if faults:
        raise ValueError(
            f"{source}: not the weights of this network: of {len(expected)} tensors "
            f"{'; '.join(faults)}"
        )
    if classifier:
        logger.info("%s: left out %d tensors of a classifier", source, len(classifier))
    return fitting


def _with_sorted_header(content: bytes) -> bytes:
    """The same safetensors file (header's length, JSON header, data) with the header's keys sorted.

    The library writes metadata in an order that differs from run to run.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # tensors start at multiples of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


NETWORK_SUFFIXES = (".onnx", ".xml", ".torchscript")
"""Of files that `pose export` writes; the first two can predict, none can be trained on."""


def _bare(state: State) -> State:
    return {name.removeprefix(PARALLEL): tensor for name, tensor in state.items()}


def _read(path: Path, *, allow_arrays: bool = False) -> tuple[State, Any]:
    """The tensors under the names that the file has; what it holds as its config, None for none."""
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path, allow_arrays=allow_arrays)
    return tensors_of(content, str(path))[0], content.get("config")


def _read_safetensors(path: Path) -> tuple[State, str | None]:
    _check_file(path)
    check_safetensors(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names, texts = file.keys(), file.metadata() or {}
            return {name: file.get_tensor(name) for name in names}, texts.get("config")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or a damaged one ({error})") from error


def _read_torch(path: Path, *, allow_arrays: bool = False) -> Mapping[str, Any]:
    """The dict in a torch file; tensors and plain values only, never other objects."""
    _check_file(path)
    if path.suffix.lower() in NETWORK_SUFFIXES:
        raise ValueError(
            f"{path}: a network exported for other programs; give the weights it was made of"
        )
    with path.open("rb") as file:
        opening = file.read(16)
    if not opening.startswith(TORCH_MAGIC):
        raise ValueError(f"{path}: not a torch or .safetensors file (it begins {opening!r})")
    if opening.startswith(TORCH_MAGIC[0]):
        check_zip(path)
    content = unpickled(path, allow_arrays=allow_arrays)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected a dict of tensors, it holds a {type(content).__name__}")
    return content


def unpickled(path: Path, *, allow_arrays: bool = False) -> Any:
    """What torch saved, on the CPU; ValueError where it is more than tensors and plain values, is
    damaged or something else."""
    try:
        with torch.serialization.safe_globals(list(ARRAY_PARTS) if allow_arrays else []):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser fed with foreign bytes may end in any of a dozen
        reason = "damaged, or of another kind"
        if type(error).__name__ == "UnpicklingError":
            reason = "it holds objects beside tensors and plain values, which are never loaded"
        raise ValueError(f"{path}: cannot be read ({reason})") from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
