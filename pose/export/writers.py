"""The graph in files: ONNX, OpenVINO's IR, which is made from it, and TorchScript.

`WRITERS` chooses. Each writes the network to keep and, for the certificate, the same one with its
maps among the outputs; without decoding they are one file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose.codecs import Codec
from pose.export.calibration import quantize_onnx, quantize_openvino
from pose.export.graph import INPUT, OUTPUTS, Graph
from pose.export.quiet import quiet
from pose.geometry import Size
from pose.inference.network_file import MAPS, NetworkFile, Values
from pose.inference.onnx_file import open_onnx
from pose.inference.openvino_file import import_openvino, open_openvino, openvino_core
from pose.models.pose_model import PoseModel

INSTALL = "pip install onnx onnxscript"

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}

PRECISIONS = ("fp32", "bf16", "fp16", "int8")

LAYERS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the layers are stored in; int8 starts from float32."""

REFUSED = {
    ("onnx", "bf16"): "onnxruntime has no convolution in bf16 for processors; take --precision "
    "fp16, which is as small, or --to openvino",
    ("torchscript", "fp16"): "torch computes fp16 on processors many times slower than fp32; take "
    "--precision bf16, which is as small",
    ("torchscript", "int8"): "TorchScript is not quantized here; take --to onnx or --to openvino",
}
"""What makes no sense, and what to take."""


@dataclass(frozen=True, eq=False)
class Order:
    """What to export, and how."""

    model: PoseModel
    codec: Codec
    flip_index: Tensor | None
    """(K,); None: no flip test."""
    precision: str
    with_decode: bool
    texts: Mapping[str, str]
    """What the file will say of itself: `network_file.TEXTS`."""
    crops: np.ndarray | None = None
    """(N, 3, H, W) uint8 to calibrate int8 with."""

    def graph(self, layers: torch.dtype) -> Graph:
        if not self.with_decode:
            return Graph(self.model, dtype=layers)
        return Graph(self.model, self.codec, self.flip_index, layers)


@dataclass(frozen=True, eq=False)
class Written:
    """What a writer made."""

    files: tuple[Path, ...]
    """The network's; with OpenVINO its weights are the second."""
    probe: Path
    """The same network with the maps as its first output."""


Writer = Callable[[Order, Path], Written]
"""(order, the file to write, with the suffix of `SUFFIXES`): other files appear beside it."""


def write_onnx(order: Order, path: Path) -> Written:
    """One .onnx file."""
    model = onnx_model(order, LAYERS.get(order.precision, torch.float32))
    import onnx

    probe = probe_of(path)
    if order.precision == "int8":
        assert order.crops is not None
        quantize_onnx(model, order.crops, path)
        model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(order.texts))
    if not order.with_decode:
        onnx.save(model, path)
        return Written((path,), path)
    onnx.save(model, probe)
    del model.graph.output[0]
    onnx.save(model, path)
    return Written((path,), probe)


def write_openvino(order: Order, path: Path) -> Written:
    """An .xml and a .bin file, by way of ONNX. What is computed in bf16 is stored in fp16."""
    openvino = import_openvino("--to openvino")
    half = order.precision in ("bf16", "fp16")
    model = onnx_model(order, torch.float16 if half else torch.float32)
    import onnx

    onnx.helper.set_model_props(model, dict(order.texts))
    passing = path.with_suffix(".onnx")
    onnx.save(model, passing)
    network = openvino_core("--to openvino").read_model(passing)
    if order.precision == "int8":
        assert order.crops is not None
        network = quantize_openvino(network, order.crops)
    files = (path, path.with_suffix(".bin"))
    if not order.with_decode:
        openvino.save_model(network, path, compress_to_fp16=False)
        return Written(files, path)
    probe = probe_of(path)
    openvino.save_model(network, probe, compress_to_fp16=False)
    network.remove_result(network.output(MAPS).get_node())
    openvino.save_model(network, path, compress_to_fp16=False)
    return Written(files, probe)


def write_torchscript(order: Order, path: Path) -> Written:
    """One .torchscript file: a trace on the CPU, its weights constants of the graph."""
    graph = order.graph(LAYERS[order.precision])
    if not order.with_decode:
        trace(Part(graph, 0, 1), path, order)
        return Written((path,), path)
    probe = probe_of(path)
    trace(Part(graph, 0, 3), probe, order)
    trace(Part(graph, 1, 3), path, order)
    return Written((path,), probe)


WRITERS: dict[str, Writer] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "torchscript": write_torchscript,
}


def probe_of(path: Path) -> Path:
    return path.with_name(f"probe-{path.name}")


def onnx_model(order: Order, layers: torch.dtype) -> Any:
    """The graph as an `onnx.ModelProto`, for any number of images."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed; to export run: {INSTALL}") from None
    graph = order.graph(layers)
    with quiet():
        program = torch.onnx.export(
            graph,
            (example(order.codec.input_size),),
            input_names=[INPUT],
            output_names=list(graph.outputs),
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # The exporter writes down where in the sources each node comes from, folders included.
    graph_proto = model.graph
    for part in (graph_proto, *graph_proto.node, *graph_proto.value_info, *graph_proto.input):
        del part.metadata_props[:]
    return model


def example(size: Size) -> Tensor:
    """Two images: one alone would be taken for the only number that there can be."""
    return torch.zeros(2, 3, size[1], size[0], dtype=torch.uint8)


class Part(nn.Module):
    """The outputs of a graph from `first` to before `end`; a single one comes without a tuple."""

    def __init__(self, graph: Graph, first: int, end: int) -> None:
        super().__init__()
        self.graph, self.first, self.end = graph, first, end

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs = self.graph(images)[self.first : self.end]
        return outputs[0] if len(outputs) == 1 else outputs


def trace(network: Part, path: Path, order: Order) -> None:
    """Writes a TorchScript file, its texts beside the graph."""
    with torch.no_grad(), quiet():
        traced = torch.jit.trace(network, example(order.codec.input_size), check_trace=False)
        torch.jit.freeze(traced.eval()).save(str(path), _extra_files=dict(order.texts))


def open_torchscript(path: Path, device: torch.device) -> NetworkFile:
    """A file that `trace` has written; none of others, since such a file is a program."""
    with quiet():
        network = torch.jit.load(str(path), map_location=device)

    def run(images: np.ndarray) -> Values:
        with torch.inference_mode():
            found = network(torch.from_numpy(images).to(device))
        found = found if isinstance(found, tuple) else (found,)
        names = OUTPUTS[1:] if len(found) == 2 else OUTPUTS[: len(found)]
        return {name: v.cpu().numpy() for name, v in zip(names, found, strict=True)}

    return NetworkFile(
        path, run, np.dtype(np.uint8), (None, 3, None, None), {}, f"torch on {device}"
    )


OPENERS: dict[str, Callable[[Path, torch.device], NetworkFile]] = {
    "onnx": open_onnx,
    "openvino": open_openvino,
    "torchscript": open_torchscript,
}
"""What runs a file here, to certify it."""
