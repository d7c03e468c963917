"""Codecs: keypoints in input pixels <-> the maps a network makes, batched, on any device.

A codec owns everything that depends on how a point becomes a map: targets, decoding, and the
alignment of mirrored maps. "Maps" (B, C, ...) are what the network makes, of whatever shape a codec
asks for: heatmaps (B, K, h, w), or vectors (B, K, X + Y) of `simcc`. Targets are the maps of a
perfect network. There is one dataclass a codec and one dict that chooses.
"""

from collections.abc import Callable
from typing import Protocol

import torch

from pose.codecs.blur import kernel_of
from pose.codecs.dark import DarkCodec
from pose.codecs.gaussian import GaussianCodec
from pose.codecs.integral import IntegralCodec
from pose.codecs.simcc import SimccCodec
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
        """How many channels the network's final layer needs."""
        ...

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keypoints (B, K, 2) and labelled (B, K) -> targets (B, C, ...), weights (B, K)."""
        ...

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (B, C, ...) -> keypoints (B, K, 2) in input pixels, scores (B, K)."""
        ...

    def unflip(self, maps: torch.Tensor, flip_index: torch.Tensor) -> torch.Tensor:
        """Maps of mirrored crops -> maps that lie over those of the crops themselves, in memory of
        their own."""
        ...

    def heat(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, ...) -> (B, K, rows, columns) over the whole input, about 0 to 1, to see."""
        ...


CODECS: dict[str, Callable[..., Codec]] = {
    "gaussian": GaussianCodec,
    "dark": DarkCodec,
    "udp": UdpCodec,
    "simcc": SimccCodec,
    "integral": IntegralCodec,
}


def build_codec(
    name: str,
    input_size: Size,
    sigma: float,
    stride: int,
    *,
    blur_kernel: int = 0,
    offset_gate: str = "both",
) -> Codec:
    """Codec `name` for inputs of `input_size`; sigma in heatmap cells (simcc: in bins), stride in
    pixels a cell.

    blur_kernel matters to those that blur (dark, udp; 0: as sigma asks), offset_gate to gaussian.
    ValueError for an unknown name.
    """
    if name not in CODECS:
        raise ValueError(f"unknown codec '{name}' (known: {', '.join(CODECS)})")
    own: dict[str, str | int] = {}
    if name == "gaussian":
        own = {"offset_gate": offset_gate}
    elif name in ("dark", "udp"):
        own = {"blur_kernel": blur_kernel or kernel_of(sigma)}
    return CODECS[name](input_size=input_size, sigma=sigma, stride=stride, **own)
