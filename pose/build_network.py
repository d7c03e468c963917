"""What a configuration says of the network and its codec, as their arguments, and of its use."""

import dataclasses
from typing import Any

import torch
from easydict import EasyDict
from torch import nn

from pose.codecs import Codec, build_codec
from pose.devices import ieee_float32
from pose.engine.evaluation import BatchDecoder, network_decoder
from pose.inference.predict import people_at_once
from pose.models.compiling import warmed_up
from pose.models.exchange import ExchangeRules
from pose.models.folding import DTYPES, for_inference
from pose.models.pose_model import PoseModel
from pose.schema_network import BRANCHES
from pose.skeleton import Skeleton

ABLATIONS = ("branch", "exchange", "fusion", "downsampling")
"""Keys of `model` in which HRNet's paper varies the network."""


def codec_of(cfg: EasyDict, stride: int) -> Codec:
    size = tuple(cfg.model.input_size)
    return build_codec(
        cfg.codec.name,
        size,
        cfg.codec.sigma,
        stride,
        blur_kernel=cfg.codec.blur_kernel,
        offset_gate=cfg.codec.offset_gate,
    )


def ablation_of(cfg: EasyDict) -> dict[str, Any]:
    """`branch` and `rules` of `build_model`."""
    rules = {key: cfg.model[key] for key in ABLATIONS if key != "branch"}
    return {"branch": BRANCHES.index(cfg.model.branch), "rules": ExchangeRules(**rules)}


def settings_of(cfg: EasyDict) -> dict[str, Any]:
    """What network and codec of a config are made of; keys that its codec does not read are not
    among them.
    """
    codec = dataclasses.asdict(codec_of(cfg, stride=1))  # type: ignore[call-overload]
    size = list(codec.pop("input_size"))
    del codec["stride"]  # follows from the network
    return {
        "model.name": cfg.model.name,
        "model.input_size": size,
        **{f"model.{key}": cfg.model[key] for key in ABLATIONS},
        "codec.name": cfg.codec.name,
        **{f"codec.{key}": value for key, value in codec.items()},
    }


def in_use(cfg: EasyDict, model: PoseModel, precision: str, device: torch.device) -> nn.Module:
    """A trained network in the form that looks at people, warmed up if `test.compile` says so."""
    looks = 2 if cfg.test.flip else 1
    most = looks * people_at_once(cfg.test.batch_size, device)
    network = for_inference(model, DTYPES[precision])
    size = tuple(cfg.model.input_size)
    return warmed_up(network, cfg.test.compile, device, size, (looks, most))


def decoder_of(
    cfg: EasyDict, model: PoseModel, codec: Codec, skeleton: Skeleton, device: torch.device
) -> BatchDecoder:
    """A trained network ready for evaluation as the keys of `test` say."""
    with ieee_float32():
        network = in_use(cfg, model, cfg.test.precision, device)
    return network_decoder(network, codec, device, skeleton.flip_index if cfg.test.flip else None)
