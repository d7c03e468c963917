"""The keys of a network and of its codec: what weights were trained with."""

from dataclasses import dataclass

from pose.layers import setting

MODELS = (
    *("hrnet_small", "hrnet_small_deep", "hrnet_w18", "hrnet_w32", "hrnet_w48"),
    *("hrnetv2_w32", "hrnetv2_w48"),
    *("simplebaseline_r50", "simplebaseline_r101", "simplebaseline_r152"),
)

BRANCHES = ("1x", "2x", "4x")
"""Of an HRNet, the finest first."""

LOSSES_OF = {
    **dict.fromkeys(("gaussian", "dark", "udp"), ("mse", "ohkm")),
    "simcc": ("kl",),
    "integral": ("l1",),
}
"""Codec -> the losses that make sense with its maps, the default first."""


@dataclass(frozen=True)
class Model:
    """The network."""

    name: str = setting("hrnet_w32", "Which network.", choices=MODELS)
    input_size: tuple[int, ...] = setting(
        (192, 256), "Width and height of the network's input in pixels, multiples of 32.", low=32
    )
    mean: tuple[float, ...] = setting(
        (0.485, 0.456, 0.406), "Mean of the input per channel, RGB in [0, 1] (ImageNet's).", low=0
    )
    std: tuple[float, ...] = setting(
        (0.229, 0.224, 0.225), "Standard deviation of the same.", low=1e-6
    )
    branch: str = setting(
        "1x",
        "Which branch of a V1 HRNet carries the head: at stride 4 (1x), 8 (2x) or 16 (4x).",
        choices=BRANCHES,
    )
    exchange: str = setting(
        "everywhere",
        "Where the branches of a V1 HRNet exchange: after every module, only after the last of "
        "each stage (across), or only once (end).",
        choices=("everywhere", "across", "end"),
    )
    fusion: str = setting(
        "sum",
        "How an exchange of a V1 HRNet joins the maps of its branches.",
        choices=("sum", "product"),
    )
    downsampling: str = setting(
        "strided",
        "How an exchange of a V1 HRNet goes down: strided convolutions, or bilinear halvings and "
        "one 1x1.",
        choices=("strided", "bilinear"),
    )


@dataclass(frozen=True)
class Codec:
    """Keypoints <-> the network's maps; docs/codecs.md compares them."""

    name: str = setting(
        "gaussian",
        "gaussian: published targets and quarter offset; dark: unrounded targets, Newton step; "
        "udp: both on the unbiased pixel grid, with its own crop; simcc: two classifications, over "
        "columns and rows; integral: the expectation of a map.",
        choices=tuple(LOSSES_OF),
    )
    sigma: float = setting(
        2.0,
        "Standard deviation of a target in heatmap cells (simcc: in bins of half a pixel, 4 to 6 "
        "are published; integral: how near to the point probability counts for the score).",
        low=0.1,
    )
    offset_gate: str = setting(
        "both",
        "Where gaussian takes its quarter offset: both: where neither axis is at a border; each: "
        "axis by axis.",
        choices=("both", "each"),
    )
    blur_kernel: int = setting(
        0,
        "Side of the blur before dark and udp decode, odd, in cells; 0: 11 at sigma 2, 17 at 3 "
        "(MMPose 1.x configs keep 11 at sigma 3).",
        low=0,
    )
