"""The network alone: crops -> maps, by everything that can run it on this machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.settings import Settings
from pose.build import model_of
from pose.codecs import Codec
from pose.devices import native_bf16
from pose.export.writers import OPENERS, SUFFIXES, WRITERS, Order
from pose.inference.network_file import MAPS, NetworkFile
from pose.inference.openvino_file import open_openvino
from pose.models.compiling import Compiled, Graphs, can_compile
from pose.models.folding import DTYPES, for_inference
from pose.models.pose_model import PoseModel
from pose.references.network import look, normalised
from pose.skeleton import COCO_17

BATCHES = (8, 1)
CALIBRATION = 32
"""Crops for int8: enough to time it, too few to judge it by."""

EXPORTS = {
    "onnxruntime fp32": ("onnx", "fp32", ("onnx", "onnxscript", "onnxruntime")),
    "openvino fp32": ("openvino", "fp32", ("onnx", "onnxscript", "openvino")),
    "openvino bf16": ("openvino", "bf16", ("onnx", "onnxscript", "openvino")),
    "openvino int8": ("openvino", "int8", ("onnx", "onnxscript", "openvino", "nncf")),
}
"""Kind and precision of a file, and what has to be installed to make and run it."""

Way = Callable[[torch.Tensor], torch.Tensor]
"""uint8 crops (B, 3, H, W) on the device -> maps."""


def measure(settings: Settings) -> list[Row]:
    """The network of the config with weights at random, at each batch size."""
    model, codec = model_of(settings.cfg, COCO_17)
    crops = made_crops(codec, max(*BATCHES, CALIBRATION))
    wake(model, crops[: BATCHES[0]])
    network, device = model.to(settings.device), settings.device
    mean, std = network.mean, network.std
    ways = dict(our_ways(settings, network, codec, crops))
    width, height = codec.input_size
    rows = []
    for batch in BATCHES:
        images = crops[:batch].to(device)
        inputs = normalised(images, mean, std)
        timed: dict[str, Callable[[], object]] = {PUBLISHED: partial(look, network, inputs)}
        timed |= {name: partial(way, images) for name, way in ways.items()}
        expected = look(network, inputs).float()
        top = expected.abs().max()
        work = f"{settings.cfg.model.name} {height}x{width}, batches of {batch}"
        for row in side_by_side(work, "person", finished(timed, device), count=batch):
            agreement = "" if row.way == PUBLISHED else "its certificate tells"
            if row.way.endswith("fp32"):  # random weights magnify rounding as trained ones do not
                apart = (ways[row.way](images).to(device) - expected).abs().max() / top
                agreement = f"maps within {float(apart):.1g}"
            rows.append(replace(row, agreement=agreement))
    return rows


def made_crops(codec: Codec, number: int) -> torch.Tensor:
    """(number, 3, H, W) uint8: broad waves, as smooth as photographs."""
    width, height = codec.input_size
    torch.manual_seed(0)
    coarse = torch.rand(number, 3, height // 16, width // 16) * 255
    fine = nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return fine.clamp(0, 255).round().to(torch.uint8)


@torch.no_grad()
def wake(model: PoseModel, images: torch.Tensor) -> None:
    """Weights that let the image through: fresh ones are so small that their products are
    denormal numbers, with which a processor is many times slower than with a trained network's."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(images)
    model.eval()


def our_ways(
    settings: Settings, model: PoseModel, codec: Codec, crops: torch.Tensor
) -> Iterator[tuple[str, Way]]:
    """What `pose predict` runs weights with, and on a CPU the files of `pose export`."""
    device, bf16 = settings.device, bool(native_bf16(settings.device))
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        network = for_inference(model, DTYPES[precision])
        yield f"torch {precision}", torch.inference_mode()(network)
    if can_compile(device):
        yield f"torch {precision}, test.compile=compile", Compiled(network)
    if device.type == "cuda":
        yield f"torch {precision}, test.compile=cudagraphs", Graphs(network)
    if device.type != "cpu":
        return
    for name, (target, precision, packages) in tqdm(
        EXPORTS.items(), desc="export", disable=None, leave=False
    ):
        if can_export(precision, packages, bf16=bf16):
            yield name, run_of(exported(settings, model, codec, target, precision, crops))
    path = settings.folder / f"int8{SUFFIXES['openvino']}"
    if path.exists() and torch.get_num_threads() > 1:
        yield "openvino int8, one stream", run_of(open_openvino(path, device, streams=1))


def can_export(precision: str, packages: Sequence[str], *, bf16: bool) -> bool:
    """Whether the packages are here, and `bf16` where it is asked for."""
    return all(find_spec(package) for package in packages) and (bf16 or precision != "bf16")


def exported(
    settings: Settings,
    model: PoseModel,
    codec: Codec,
    target: str,
    precision: str,
    crops: torch.Tensor | None = None,
) -> NetworkFile:
    """A file of `pose export`, opened as `pose predict` opens it; int8 is calibrated with some of
    the crops."""
    path = settings.folder / f"{precision}{SUFFIXES[target]}"
    calibration = None
    if precision == "int8":
        assert crops is not None
        calibration = crops[:CALIBRATION].numpy()
    texts = {"precision": precision}
    order = Order(model.cpu(), codec, None, precision, False, texts, calibration)
    return OPENERS[target](WRITERS[target](order, path).files[0], settings.device)


def run_of(file: NetworkFile) -> Way:
    return lambda images: torch.from_numpy(np.asarray(file.run(images.numpy())[MAPS]))


def finished(
    ways: dict[str, Callable[[], object]], device: torch.device
) -> dict[str, Callable[[], object]]:
    """The same ways, each of which waits until the device has done what it was told."""
    if device.type != "cuda":
        return ways

    def waiting(way: Callable[[], object]) -> None:
        way()
        torch.cuda.synchronize(device)

    return {name: partial(waiting, way) for name, way in ways.items()}
