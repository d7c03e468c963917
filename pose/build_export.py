"""The composition root's part for export: a network becomes a file and its certificate."""

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from easydict import EasyDict
from tqdm import tqdm

from pose.build import Network, versions
from pose.build_small_set import SmallSet
from pose.config import plain
from pose.export.certificate import Bounds, certificate, faults_of, speeds
from pose.export.parity import Find, Look, compare, graph_look, network_look
from pose.export.writers import OPENERS, WRITERS, Order, Written
from pose.inference.predict import Runtime, torch_runtime
from pose.inference.runtimes import maps_runtime, network_in, points_runtime
from pose.published import described

CPU = torch.device("cpu")

LIBRARIES = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "torchscript": (),
}
"""Beside those of `versions`, what a kind of file is made and run with."""


@dataclass(frozen=True, eq=False)
class Request:
    """What kind of file is asked for."""

    target: str
    precision: str
    with_decode: bool
    bounds: Bounds
    crops: np.ndarray | None = None
    """(N, 3, H, W) uint8 to calibrate int8 with, and what the certificate says of them."""
    calibration: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Export:
    """A file, not yet where it was asked for."""

    files: tuple[Path, ...]
    certificate: dict[str, Any]
    faults: list[str]
    """In what it is worse than the bounds: then it is not to be used."""


def export_network(
    network: Network, cfg: EasyDict, small: SmallSet, request: Request, path: Path
) -> Export:
    """Writes `path`, in a folder of its own, and compares it with the network on the small set.

    cfg is the network's with the keys of this run over it. ValueError of one line for a package
    that is missing, or where a coarser precision cannot be judged.
    """
    codec, skeleton, flip = network.codec, network.skeleton, cfg.test.flip
    model = network.model.to(CPU).eval()
    people = small.people()
    evaluators = small.evaluators(people, skeleton)
    if evaluators is None and request.bounds.loss is not None:
        raise ValueError(
            f"--precision {request.precision} is judged by AP, and there are no people here "
            "labelled with this network's keypoints; name a set with data.root=... "
            "data.val_annotations=..."
        )
    swap = torch.from_numpy(skeleton.flip_index) if flip else None
    texts = texts_of(network, cfg, request)
    order = Order(model, codec, swap, request.precision, request.with_decode, texts, request.crops)
    written = WRITERS[request.target](order, path)
    after, runtime = _opened(network, cfg, request, written)
    before = network_look(model, codec, swap)
    batches = tqdm(small.loader(people, codec), desc="compare", unit="batch", disable=None)
    parity = compare(before, after, batches, codec, swap, request.bounds.apart, evaluators)
    finds = {
        "before": torch_runtime(model, codec, skeleton, CPU, flip=flip).find,
        "after": runtime.find,
    }
    text = certificate(
        parity,
        request.bounds,
        export={
            "to": request.target,
            "precision": request.precision,
            "with_decode": request.with_decode,
            "flip": flip,
            "codec": plain(cfg.codec),
        },
        weights=Path(network.source),
        files=written.files,
        crops=small.about,
        calibration=request.calibration,
        speed=_speed(finds, next(iter(small.loader(people, codec))).images),
        versions={**versions(), **_library_versions(request.target)},
    )
    return Export(written.files, text, faults_of(parity, request.bounds))


def _speed(finds: Mapping[str, Find], pictures: torch.Tensor) -> dict[str, Any]:
    return {
        "unit": "people a second, crops to keypoints, by the median of interleaved rounds",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        **speeds(finds, pictures),
    }


def _library_versions(target: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES[target]}


def texts_of(network: Network, cfg: EasyDict, request: Request) -> dict[str, str]:
    """What the file says of itself: the weights' own config, with this run's flip test."""
    content = described(network.cfg, network.skeleton)
    content["test"]["flip"] = cfg.test.flip
    return {
        "config": json.dumps(content),
        "precision": request.precision,
        "with_decode": json.dumps(request.with_decode),
        "pixel_grid": network.codec.pixel_grid,
    }


def _opened(
    network: Network, cfg: EasyDict, request: Request, written: Written
) -> tuple[Look, Runtime]:
    """The file as the certificate looks at it, and as it is used."""
    codec, skeleton, open_file = network.codec, network.skeleton, OPENERS[request.target]
    file = open_file(written.files[0], CPU)
    if request.with_decode:
        runtime = points_runtime(file, codec.input_size, codec.pixel_grid, skeleton)
        return graph_look(open_file(written.probe, CPU), runtime.find), runtime
    statistics = {"mean": cfg.model.mean, "std": cfg.model.std}
    runtime = maps_runtime(file, codec, skeleton, flip=cfg.test.flip, **statistics)
    swap = torch.from_numpy(skeleton.flip_index) if cfg.test.flip else None
    return network_look(network_in(file, **statistics), codec, swap), runtime
