"""The composition root's part for evaluation: what looks at the people, whatever executes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from easydict import EasyDict

from pose.build import evaluation_loader, load_network
from pose.build_network import codec_of, decoder_of, settings_of
from pose.build_runtime import FIXED, Usual, open_network, runtime_in
from pose.config import plain
from pose.devices import ieee_float32
from pose.engine.distributed import Ranks
from pose.engine.evaluation import BatchDecoder, Predictions, predict_people
from pose.inference.network_file import NetworkFile
from pose.inference.predict import Runtime
from pose.skeleton import COCO_17, Skeleton
from pose.structures import People

FOR_WEIGHTS = {"precision": "fp32", "compile": "none"}
"""Keys of `test` that only weights heed; for a network's file they must have these values."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network to be evaluated."""

    decode: BatchDecoder
    skeleton: Skeleton
    recipe: dict[str, Any]
    """The config that it was trained with, or is taken for; empty where nobody knows."""
    execution: dict[str, str]
    """What runs it, on which device, in which precision, compiled how."""


def candidate_of(
    cfg: EasyDict, weights: Path, skeleton: Skeleton | None, device: torch.device
) -> Candidate:
    """The network of a weights file, or of an .onnx or .xml file, as the config's `test` says.

    What a file does not say of itself, it is taken for as the config and `skeleton` say. ValueError
    where it says something else than they do.
    """
    file = open_network(weights, device)
    if file is not None:
        return _in_file(cfg, file, skeleton, device)
    network = load_network(weights, cfg, skeleton)
    check_same_network(cfg, network.cfg, skeleton, network.skeleton, network.source)
    return Candidate(
        decoder_of(cfg, network.model, network.codec, network.skeleton, device),
        network.skeleton,
        plain(network.cfg),
        {"name": "torch", "device": str(device), **{key: cfg.test[key] for key in FOR_WEIGHTS}},
    )


def _in_file(
    cfg: EasyDict, file: NetworkFile, skeleton: Skeleton | None, device: torch.device
) -> Candidate:
    for key, value in FOR_WEIGHTS.items():
        if cfg.test[key] != value:
            raise ValueError(
                f"test.{key}: is {cfg.test[key]}, and {file.path} is computed as it was made; "
                "leave the key out"
            )
    usual = Usual(skeleton or COCO_17, {section: plain(cfg)[section] for section in FIXED})
    runtime, own = runtime_in(file, [f"test.flip={str(cfg.test.flip).lower()}"], usual)
    check_same_network(cfg, own, skeleton, runtime.skeleton, str(file.path))
    return Candidate(
        decoder_in(runtime),
        runtime.skeleton,
        plain(own) if "config" in file.texts else {},
        {
            "name": file.name.partition(" ")[0],
            "device": str(device),
            "precision": file.texts.get("precision", "as in the file"),
            "compile": FOR_WEIGHTS["compile"],
        },
    )


def decoder_in(runtime: Runtime) -> BatchDecoder:
    """What a runtime finds in a batch."""
    return lambda batch: runtime.find(batch.images)


def check_same_network(
    cfg: EasyDict, own: EasyDict, skeleton: Skeleton | None, keypoints: Skeleton, source: str
) -> None:
    """ValueError that says in what a config and the annotations' skeleton differ from the config
    and the skeleton of the weights given with them."""
    ours, theirs = settings_of(cfg), settings_of(own)
    differences = [
        f"{key} is {ours.get(key)} in the config, {theirs.get(key)} in the weights"
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]
    if skeleton is not None and skeleton.keypoints != keypoints.keypoints:
        missing = sorted(set(skeleton.keypoints) ^ set(keypoints.keypoints))
        differences.append(
            f"the annotations have {skeleton.num_keypoints} keypoints, the weights "
            f"{keypoints.num_keypoints} (different: {', '.join(missing) or 'their order'})"
        )
    if differences:
        raise ValueError(f"{source}: {'; '.join(differences)}")


def found_people(cfg: EasyDict, decode: BatchDecoder, people: People, ranks: Ranks) -> Predictions:
    """What a network of the config finds in the boxes of `people`; every process gets all of it."""
    loader = evaluation_loader(cfg, people, codec_of(cfg, stride=1), ranks)
    with ieee_float32():
        return predict_people(decode, loader, people, ranks)
