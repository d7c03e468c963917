"""Networks in .onnx and .xml files, run by OpenVINO on the CPU."""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose.inference.detectors.onnx_detector import KINDS
from pose.inference.network_file import (
    MAPS,
    POINTS,
    TEXTS,
    NetworkFile,
    Values,
    checked_input,
    in_batches,
    reason,
)
from pose.telemetry import forbid_telemetry

INSTALL = "pip install openvino"

_KIND_OF = {"f32": "tensor(float)", "f16": "tensor(float16)", "u8": "tensor(uint8)"}
"""OpenVINO's names of types -> onnxruntime's."""


def open_openvino(path: Path, device: torch.device, streams: int | None = None) -> NetworkFile:
    """A network in an .xml file with its .bin, or in an .onnx file, run by OpenVINO on the CPU.

    It computes in float32 unless the file says bf16. So many `streams` share out the images of a
    call, and the threads (None: as many as are faster); fewer images than that have one stream and
    all threads, for which the network is compiled when they first come. Errors are those of
    `open_onnx`.
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
        streams = streams or _fast_streams(_shape(model.inputs[0]), texts)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if texts.get("precision") == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }

        @functools.cache
        def compiled(number: int) -> Any:
            return core.compile_model(model, "CPU", {**settings, "NUM_STREAMS": number})

        compiled(streams)
    except RuntimeError as error:
        raise ValueError(f"{path}: OpenVINO cannot open it ({reason(error)})") from None
    entries = [(_name(i), _KIND_OF.get(i.get_element_type().to_string(), "?"), _shape(i))
               for i in model.inputs]  # fmt: skip
    shape = checked_input(path, entries)
    dtype = np.dtype(KINDS[entries[0][1]])
    run = in_batches(_in_streams(compiled, streams), shape[0])
    return NetworkFile(path, run, dtype, shape, texts, "openvino on cpu")


def _fast_streams(shape: Sequence[int | None], texts: Mapping[str, str]) -> int:
    """Two, of half the threads each, where a call brings several images: they wait for less."""
    several = shape[:1] == [None] and texts.get("with_decode") != "true"
    return 2 if several and torch.get_num_threads() > 1 else 1


def _in_streams(compiled: Callable[[int], Any], streams: int) -> Callable[[np.ndarray], Values]:
    """Runs images on the model that OpenVINO compiled for so many streams, an equal part of them in
    each."""
    own = threading.local()
    compiling = threading.Lock()

    def requests_of(number: int) -> list[Any]:
        """This thread's: a request serves one caller at a time."""
        kept = own.__dict__.setdefault("requests", {})
        if number not in kept:
            with compiling:
                model = compiled(number)
            kept[number] = [model.create_infer_request() for _ in range(number)]
        return kept[number]

    def run(images: np.ndarray) -> Values:
        requests = requests_of(streams if len(images) >= streams else 1)
        for request, part in zip(requests, np.array_split(images, len(requests)), strict=True):
            request.start_async([part])
        for request in requests:
            request.wait()
        outputs = requests[0].get_compiled_model().outputs
        return {
            _name(port): np.concatenate([r.get_output_tensor(i).data for r in requests])
            for i, port in enumerate(outputs)
        }

    return run


def import_openvino(wanted_by: str) -> Any:
    """The package, kept from reporting its use over the network; ValueError where it is missing."""
    forbid_telemetry()
    try:
        import openvino
    except ImportError:
        raise ValueError(f"{wanted_by}: OpenVINO is not installed; run: {INSTALL}") from None
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


def _name(port: Any) -> str:
    """Of OpenVINO's port, which may have several names or none."""
    names = port.get_names()
    ours = [name for name in (MAPS, *POINTS) if name in names]
    return min(ours or names or {port.get_node().get_friendly_name()})


def _shape(port: Any) -> list[int | None]:
    return [None if side.is_dynamic else side.get_length() for side in port.get_partial_shape()]
