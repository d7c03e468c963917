"""What a configuration says of the network and its codec, as their arguments."""

import dataclasses
from typing import Any

from easydict import EasyDict

from pose.codecs import Codec, build_codec
from pose.models.exchange import ExchangeRules
from pose.schema_network import BRANCHES

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
