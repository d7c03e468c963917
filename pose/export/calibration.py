"""int8: weights and the maps between layers in 8 bits, their ranges read off calibration crops.

Only the network itself is quantized; normalisation, flip test and decoding stay float32.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose.export.graph import INPUT
from pose.export.quiet import only_errors_of, quiet
from pose.inference.detectors.onnx_detector import import_onnxruntime
from pose.inference.network_file import MAPS
from pose.inference.openvino_file import import_openvino

BATCH = 32
"""Calibration crops that ONNX Runtime looks at at a time."""

INSTALL_NNCF = "pip install nncf"


def quantize_onnx(model: Any, crops: np.ndarray, path: Path) -> None:
    """Writes an `onnx.ModelProto` to `path` with QuantizeLinear and DequantizeLinear in it.

    Weights are signed and scaled channel by channel, activations unsigned, for which processors
    have instructions. The last convolution stays in float: maps of 256 levels are flat in places,
    and a decoding that divides by their curvature goes astray there.
    """
    import_onnxruntime("--precision int8")
    from onnxruntime import quantization

    class Crops(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.parts = batches(crops)

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self.parts, None)
            return None if part is None else {INPUT: part}

    layers = nodes_before(model, MAPS)
    last = [node.name for node in layers if node.op_type == "Conv"][-1]
    with quiet():
        quantization.quantize_static(
            model,
            path,
            Crops(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=[node.name for node in layers if node.name != last],
        )


def nodes_before(model: Any, value: str) -> list[Any]:
    """The nodes of an `onnx.ModelProto` by which `value` is made, in the graph's order."""
    wanted, found = {value}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def quantize_openvino(network: Any, crops: np.ndarray) -> Any:
    """An `openvino.Model` quantized by nncf as it does by default: it corrects each layer's bias,
    and the last layer gives floats.

    A range is the mean of what each call showed, so each brings one crop: the extremes of many
    at a time widen all ranges, and what lies within is told apart less finely.
    """
    import_openvino("--precision int8")
    try:
        import nncf
    except ImportError:
        raise ValueError(f"nncf is not installed, which quantizes; run: {INSTALL_NNCF}") from None
    parts = list(crops[:, None])
    behind = nncf.IgnoredScope(names=names_behind(network, MAPS), validate=False)
    with quiet(), only_errors_of("nncf"):
        return nncf.quantize(
            network, nncf.Dataset(parts), subset_size=len(parts), ignored_scope=behind
        )


def names_behind(network: Any, output: str) -> list[str]:
    """The names of the operations of an `openvino.Model` that read what `output` gives, or what is
    made of it."""
    source = network.output(output).get_node().input_value(0)
    found: dict[str, None] = {}
    waiting = [reader.get_node() for reader in source.get_target_inputs()]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in found:
            found[node.get_friendly_name()] = None
            waiting += [r.get_node() for port in node.outputs() for r in port.get_target_inputs()]
    return list(found)


def batches(crops: np.ndarray) -> Iterator[np.ndarray]:
    """Crops (N, 3, H, W) in parts of `BATCH`."""
    for start in range(0, len(crops), BATCH):
        yield crops[start : start + BATCH]
