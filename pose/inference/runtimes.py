"""Networks in files that other libraries run: ONNX by onnxruntime or OpenVINO, and OpenVINO's IR.

A file of ours (`pose export`) takes uint8 RGB, normalises it itself and says in its metadata what
it is. A file of others takes floats, which are normalised here.
"""

import functools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose.codecs import Codec
from pose.geometry import PixelGrid, Size
from pose.inference.detectors.onnx_detector import KINDS, open_session
from pose.inference.predict import Runtime, predict_keypoints
from pose.skeleton import Skeleton

Values = dict[str, np.ndarray]
"""What a network gives, by the names of its outputs."""

MAPS, POINTS = "maps", ("keypoints", "scores")
"""The outputs of a file of ours; of one that decodes (B, K, 2) in input pixels and (B, K)."""

TEXTS = ("config", "precision", "with_decode", "pixel_grid")
"""What a file of ours says of itself: the resolved config with the skeleton as JSON, the arithmetic
of the network, "true" where flip test and decoding are inside, and the crop's grid."""

INSTALL_OPENVINO = "pip install openvino"


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """A network ready to run; several threads may share one."""

    path: Path
    run: Callable[[np.ndarray], Values]
    """Images (B, 3, H, W) of `dtype`, any B -> the outputs."""
    dtype: np.dtype
    shape: tuple[int | None, ...]
    """Of the input; None where the file takes any."""
    texts: Mapping[str, str]
    """Those of `TEXTS` that are in the file."""
    name: str
    """What runs it and where."""


def open_onnx(path: Path, device: torch.device) -> NetworkFile:
    """A network in an .onnx file, run by onnxruntime on the CPU or on CUDA.

    FileNotFoundError or ValueError of one line, also where `device` is one it cannot run on.
    """
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"{path}: onnxruntime does not run on {device} here; give --device cpu")
    session = open_session(path, device)
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise ValueError(
            f"{path}: the installed onnxruntime does not run on {device}; "
            "run: pip install onnxruntime-gpu, or give --device cpu"
        )
    entries = session.get_inputs()
    shape = _checked_input(path, [(e.name, e.type, e.shape) for e in entries])
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> Values:
        return dict(zip(names, session.run(None, {entries[0].name: images}), strict=True))

    texts = session.get_modelmeta().custom_metadata_map
    texts = {key: texts[key] for key in TEXTS if key in texts}
    dtype = np.dtype(KINDS[entries[0].type])
    run = in_batches(run, shape[0])
    return NetworkFile(path, run, dtype, shape, texts, f"onnxruntime on {device}")


def open_openvino(path: Path, device: torch.device) -> NetworkFile:
    """A network in an .xml file with its .bin, or in an .onnx file, run by OpenVINO on the CPU.

    It computes in float32 unless the file says bf16. Errors are those of `open_onnx`.
    """
    if device.type != "cpu":
        raise ValueError(f"{path}: OpenVINO runs on the CPU here; give --device cpu")
    core = openvino_core(str(path))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of a network")
    try:
        model = core.read_model(path)
        # The metadata of an ONNX file comes here, and stays when it is saved as .xml.
        texts = {
            key: model.get_rt_info(["framework", key]).astype(str)
            for key in TEXTS
            if model.has_rt_info(["framework", key])
        }
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if texts.get("precision") == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise ValueError(f"{path}: OpenVINO cannot open it ({_reason(error)})") from None
    entries = [(_name(i), _KIND_OF.get(i.get_element_type().to_string(), "?"), _shape(i))
               for i in model.inputs]  # fmt: skip
    shape = _checked_input(path, entries)
    names = [_name(output) for output in compiled.outputs]
    own = threading.local()

    def run(images: np.ndarray) -> Values:
        if not hasattr(own, "request"):  # a request serves one caller at a time
            own.request = compiled.create_infer_request()
        results = own.request.infer([images])
        return {name: results[i] for i, name in enumerate(names)}

    dtype = np.dtype(KINDS[entries[0][1]])
    run = in_batches(run, shape[0])
    return NetworkFile(path, run, dtype, shape, texts, "openvino on cpu")


def import_openvino(wanted_by: str) -> Any:
    """The package, kept from reporting its use over the network; ValueError where it is missing."""
    # It and nncf do without the package that reports where that cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise ValueError(
            f"{wanted_by}: OpenVINO is not installed; run: {INSTALL_OPENVINO}"
        ) from None
    return openvino


def openvino_core(wanted_by: str) -> Any:
    """The one `openvino.Core` of this process; ValueError where the package is missing.

    Each further one brings a CPU plugin that puts a signal stack of its own in the place of the
    one before. Dropped in another order than they came, they leave one that is no longer mapped,
    and the next signal, be it the end of a child, kills the process without a word.
    """
    openvino = import_openvino(wanted_by)
    with _MAKING_CORE:
        return _core_of(openvino)


_MAKING_CORE = threading.Lock()


@functools.cache
def _core_of(openvino: Any) -> Any:
    return openvino.Core()


def in_batches(run: Callable[[np.ndarray], Values], size: int | None) -> Callable:
    """The same for any number of images, where `run` takes `size` at a time (None: any).

    What is missing in the last batch repeats its last image.
    """
    if size is None:
        return run

    def run_all(images: np.ndarray) -> Values:
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            rows = np.arange(size).clip(max=len(part) - 1)
            parts.append({name: v[: len(part)] for name, v in run(part[rows]).items()})
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    return run_all


def tried(file: NetworkFile, size: Size) -> Values:
    """What the network gives for one black input of `size`; ValueError where it does not run."""
    width, height = size
    try:
        return file.run(np.zeros((1, 3, height, width), file.dtype))
    except Exception as error:  # onnxruntime's errors share no base class
        raise ValueError(f"{file.path}: does not run ({_reason(error)})") from None


def maps_of(outputs: Values) -> np.ndarray | None:
    """The maps among the outputs of a network: (B, K, h, w), or vectors (B, K, X + Y), which may
    come as two, those over columns first. None where there are none."""
    values = list(outputs.values())
    if [v.ndim for v in values] in ([4], [3]):
        return values[0]
    if [v.ndim for v in values] == [3, 3] and values[0].shape[:2] == values[1].shape[:2]:
        return np.concatenate(values, axis=-1)
    return None


def network_in(
    file: NetworkFile, mean: Sequence[float], std: Sequence[float]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Crops (B, 3, H, W) uint8 -> maps float32, as `predict_keypoints` takes a model.

    mean and std, RGB in [0, 1], are for a file that takes floats.
    """
    statistics = [255 * np.array(v, np.float32).reshape(3, 1, 1) for v in (mean, std)]

    def network(images: torch.Tensor) -> torch.Tensor:
        pictures = images.contiguous().numpy()
        if file.dtype != np.uint8:
            pictures = ((pictures - statistics[0]) / statistics[1]).astype(file.dtype)
        maps = maps_of(file.run(pictures))
        assert maps is not None  # looked at when the file was opened
        return torch.from_numpy(np.asarray(maps, np.float32))

    return network


def maps_runtime(
    file: NetworkFile,
    codec: Codec,
    skeleton: Skeleton,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    flip: bool,
) -> Runtime:
    """A file that gives maps; flip test and decoding happen here."""
    network = network_in(file, mean, std)
    flip_index = torch.from_numpy(skeleton.flip_index) if flip else None

    def find(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return predict_keypoints(network, codec, images, flip_index)

    return Runtime(find, codec.input_size, codec.pixel_grid, skeleton, file.name)


def points_runtime(
    file: NetworkFile, input_size: Size, pixel_grid: PixelGrid, skeleton: Skeleton
) -> Runtime:
    """A file of ours in which flip test and decoding are inside."""

    def find(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = file.run(images.contiguous().numpy())
        keypoints, scores = (torch.from_numpy(found[name]) for name in POINTS)
        return keypoints, scores

    return Runtime(find, input_size, pixel_grid, skeleton, file.name)


_KIND_OF = {"f32": "tensor(float)", "f16": "tensor(float16)", "u8": "tensor(uint8)"}
"""OpenVINO's names of types -> onnxruntime's."""


def _checked_input(
    path: Path, entries: Sequence[tuple[str, str, Sequence[Any]]]
) -> tuple[int | None, ...]:
    """The shape of the one input, from (name, type, shape) of all; ValueError for another kind."""
    shape = [side if isinstance(side, int) else None for side in entries[0][2]] if entries else []
    fits = len(shape) == 4 and shape[1] in (3, None)
    if len(entries) != 1 or not fits or entries[0][1] not in KINDS:
        given = ", ".join(f"{name} {kind} {list(sides)}" for name, kind, sides in entries)
        raise ValueError(
            f"{path}: takes {given or 'nothing'}; expected one input of RGB images (B, 3, H, W), "
            "uint8 or float"
        )
    return tuple(shape)


def _name(port: Any) -> str:
    """Of OpenVINO's port, which may have several names or none."""
    names = port.get_names()
    ours = [name for name in (MAPS, *POINTS) if name in names]
    return min(ours or names or {port.get_node().get_friendly_name()})


def _shape(port: Any) -> list[int | None]:
    return [None if side.is_dynamic else side.get_length() for side in port.get_partial_shape()]


def _reason(error: Exception) -> str:
    """What the library says, in one line; not where in its sources it says so."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from")]
    return " ".join(" ".join(lines).split())[:200]
