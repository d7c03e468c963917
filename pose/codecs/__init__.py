"""Codecs: keypoints in input pixels <-> the maps a network makes, batched, on any device.

A codec owns everything that depends on how a point becomes a map: targets, decoding, and the
alignment of mirrored maps. There is one dataclass a codec and one dict that chooses.
"""

from collections.abc import Callable
from typing import Protocol

import torch

from pose.codecs.dark import DarkCodec
from pose.codecs.gaussian import GaussianCodec
from pose.codecs.udp import UdpCodec
from pose.geometry import PixelGrid, Size


class Codec(Protocol):
    """Both directions between B crops' keypoints (B, K, 2), input pixels, and maps."""

    @property
    def input_size(self) -> Size: ...

    @property
    def pixel_grid(self) -> PixelGrid:
        """What `Crop` needs to know: where the crop's borders lie on the input."""
        ...

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


CODECS: dict[str, Callable[..., Codec]] = {
    "gaussian": GaussianCodec,
    "dark": DarkCodec,
    "udp": UdpCodec,
}

BLURRED = ("dark", "udp")
"""Codecs that blur a map before they read it."""


def build_codec(
    name: str, input_size: Size, sigma: float, stride: int, blur_kernel: int = 0
) -> Codec:
    """Codec `name` for inputs of `input_size`; sigma in heatmap cells, stride in pixels a cell.

    blur_kernel is the side of the blur before decoding, in cells; 0 follows sigma. ValueError for
    an unknown name, or a blur for a codec that has none.
    """
    if name not in CODECS:
        raise ValueError(f"unknown codec '{name}' (known: {', '.join(CODECS)})")
    if blur_kernel and name not in BLURRED:
        raise ValueError(f"codec '{name}' does not blur; blur_kernel is for {', '.join(BLURRED)}")
    more = {"blur_kernel": blur_kernel} if blur_kernel else {}
    return CODECS[name](input_size=input_size, sigma=sigma, stride=stride, **more)
