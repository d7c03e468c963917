"""Codecs: keypoints in input pixels <-> the maps a network makes, batched, on any device.

A codec owns everything that depends on how a point becomes a map: targets, decoding, and the
alignment of mirrored maps. There is one dataclass a codec and one dict that chooses.
"""

from collections.abc import Callable
from typing import Protocol

import torch

from pose.codecs.dark import DarkCodec
from pose.codecs.gaussian import GaussianCodec
from pose.geometry import Size


class Codec(Protocol):
    """Both directions between B crops' keypoints (B, K, 2), input pixels, and maps."""

    @property
    def input_size(self) -> Size: ...

    def channels(self, num_keypoints: int) -> int:
        """How many channels the network's head needs."""
        ...

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keypoints (B, K, 2) and labelled (B, K) -> targets (B, C, h, w), weights (B, K)."""
        ...

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (B, C, h, w) -> keypoints (B, K, 2) in input pixels, scores (B, K)."""
        ...

    def unflip(self, maps: torch.Tensor, flip_index: torch.Tensor) -> torch.Tensor:
        """Maps of mirrored crops -> maps that lie over those of the crops themselves."""
        ...


CODECS: dict[str, Callable[..., Codec]] = {"gaussian": GaussianCodec, "dark": DarkCodec}


def build_codec(name: str, input_size: Size, sigma: float, stride: int) -> Codec:
    """Codec `name` for inputs of `input_size`; sigma in heatmap cells, stride in pixels a cell."""
    if name not in CODECS:
        raise ValueError(f"unknown codec '{name}' (known: {', '.join(CODECS)})")
    return CODECS[name](input_size=input_size, sigma=sigma, stride=stride)
