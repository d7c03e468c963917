"""Published weights by name: where each file lies, what is in it, and on what terms.

A name is the network, what it was trained on, the input as height x width as the papers write it,
the way of its targets where they are not the plain ones, and the publisher where it is not the
authors. Addresses and hashes were taken from the publishers' model tables. Nobody here could open
one, so all are marked unverified: a wrong one shows itself when the hash of what came is compared.
"""

import difflib
from dataclasses import dataclass

HRNET_PAGE = "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch"
SIMPLEBASELINE_PAGE = "https://github.com/microsoft/human-pose-estimation.pytorch"

HRNET = "Sun et al., CVPR 2019 (arXiv:1902.09212)"
HRNET_V2 = "Wang et al., TPAMI 2020 (arXiv:1908.07919)"
SIMPLEBASELINE = "Xiao et al., ECCV 2018 (arXiv:1804.06208)"
DARK = "Zhang et al., CVPR 2020 (arXiv:1910.06278)"
UDP = "Huang et al., CVPR 2020 (arXiv:1911.07524)"
RESNET = "He et al., CVPR 2016 (arXiv:1512.03385)"

SKELETONS = {"coco": "coco_17", "mpii": "mpii_16"}
TRAINED_ON = {"coco": "COCO train2017", "mpii": "MPII train"}


@dataclass(frozen=True)
class Weights:
    """One published file: how to build the network it fits, where it comes from, its terms.

    input_size is (width, height) in pixels, sigma the targets' in heatmap cells, recipe that of
    the config. skeleton None: a trunk alone, trained on ImageNet, without codec. bgr: trained on
    BGR images with the statistics in RGB order. address is https, or None where there is only a
    `page` to click through; sha256 whole, or the 8 digits in the file's name, or '' where unknown.
    """

    name: str
    model: str
    input_size: tuple[int, int]
    codec: str | None
    sigma: float
    skeleton: str | None
    data: str
    licence: str
    paper: str
    reported: str | None
    bgr: bool = False
    recipe: str = "hrnet"
    address: str | None = None
    page: str | None = None
    sha256: str = ""
    verified: bool = False


def _pose(
    model: str,
    data: str,
    size: str,
    score: float,
    publisher: str = "",
    codec: str = "gaussian",
    address: str | None = None,
    **others,
) -> Weights:
    """The row of a pose network; `size` is height x width, `score` a percentage."""
    parts = [model, data, size, "" if codec == "gaussian" else codec, publisher]
    height, width = map(int, size.split("x"))
    terms = {"paper": {"dark": DARK, "udp": UDP}.get(codec, HRNET)}
    if model.startswith("simplebaseline"):
        terms = {"paper": SIMPLEBASELINE, "recipe": "simplebaseline"}
    return Weights(
        name="_".join(part for part in parts if part),
        model=model,
        input_size=(width, height),
        codec=codec,
        sigma=3.0 if height == 384 else 2.0,
        skeleton=SKELETONS[data],
        data=TRAINED_ON[data],
        reported=f"AP {score}, AP-56.4 boxes" if data == "coco" else f"PCKh@0.5 {score}",
        address=address,
        **{**terms, **others},
    )


def _by_authors(model: str, data: str, size: str, score: float) -> Weights:
    """A row of the authors' own releases, which lie on drives behind their pages."""
    if model.startswith("hrnet"):
        return _pose(model, data, size, score, page=HRNET_PAGE, licence="MIT")
    licence = "MIT; models for research"
    return _pose(model, data, size, score, page=SIMPLEBASELINE_PAGE, licence=licence, bgr=True)


OPENMMLAB = "https://download.openmmlab.com/mmpose/"
V0 = OPENMMLAB + "top_down/"
V1 = OPENMMLAB + "v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_"


def _by_mmpose0(
    model: str, data: str, size: str, codec: str, score: float, digits: str, date: str
) -> Weights:
    """A row of MMPose 0.x, whose file names hold the network, the hash and a date."""
    short = model.replace("simplebaseline_r", "res")
    folder = {"udp": "udp"}.get(codec, "hrnet" if model.startswith("hrnet") else "resnet")
    suffix = "" if codec == "gaussian" else f"_{codec}"
    address = f"{V0}{folder}/{short}_{data}_{size}{suffix}-{digits}_{date}.pth"
    terms = {"licence": "Apache-2.0", "sha256": digits}
    return _pose(model, data, size, score, "mmpose0", codec, address, **terms)


def _by_mmpose1(
    model: str, size: str, codec: str, batch: int, score: float, digits: str, date: str
) -> Weights:
    """A row of MMPose 1.x, COCO, whose decoding is that of its recipe."""
    short = model.replace("simplebaseline_r", "res").replace("_", "-")
    suffix = "_" if codec == "gaussian" else f"_{codec}-"
    address = f"{V1}{short}{suffix}8xb{batch}-210e_coco-{size}-{digits}_{date}.pth"
    terms = {"licence": "Apache-2.0", "sha256": digits, "recipe": "mmpose"}
    return _pose(model, "coco", size, score, "mmpose1", codec, address, **terms)


def _trunk(name: str, model: str, **others) -> Weights:
    """The row of a classifier trained on ImageNet-1k, of which only the trunk is of use."""
    return Weights(
        name=f"{name}_imagenet",
        model=model,
        input_size=(224, 224),
        codec=None,
        sigma=0.0,
        skeleton=None,
        data="ImageNet-1k",
        reported=None,
        **others,
    )


def _by_timm(name: str) -> Weights:
    file = name.replace("hrnetv2", "hrnet")  # of which V2 keeps more
    address = f"https://huggingface.co/timm/{file}.ms_in1k/resolve/main/model.safetensors"
    return _trunk(name, name, address=address, licence="MIT", paper=HRNET_V2)


def _by_torchvision(depth: int, digits: str) -> Weights:
    address = f"https://download.pytorch.org/models/resnet{depth}-{digits}.pth"
    terms = {"licence": "BSD-3-Clause", "paper": RESNET, "sha256": digits}
    return _trunk(f"resnet{depth}", f"simplebaseline_r{depth}", address=address, **terms)


W32, W48 = "hrnet_w32", "hrnet_w48"
R50, R101, R152 = (f"simplebaseline_r{depth}" for depth in (50, 101, 152))
SMALL, LARGE, SQUARE = "256x192", "384x288", "256x256"

_ROWS = (
    _by_authors(W32, "coco", SMALL, 74.4),
    _by_authors(W32, "coco", LARGE, 75.8),
    _by_authors(W48, "coco", SMALL, 75.1),
    _by_authors(W48, "coco", LARGE, 76.3),
    _by_authors(W32, "mpii", SQUARE, 90.3),
    _by_authors(R50, "coco", SMALL, 70.4),
    _by_authors(R50, "coco", LARGE, 72.2),
    _by_authors(R101, "coco", SMALL, 71.4),
    _by_authors(R101, "coco", LARGE, 73.6),
    _by_authors(R152, "coco", SMALL, 72.0),
    _by_authors(R152, "coco", LARGE, 74.3),
    _by_authors(R50, "mpii", SQUARE, 88.5),
    _by_authors(R101, "mpii", SQUARE, 89.1),
    _by_authors(R152, "mpii", SQUARE, 89.6),
    _by_mmpose0(W32, "coco", SMALL, "gaussian", 74.6, "c78dce93", "20200708"),
    _by_mmpose0(W32, "coco", LARGE, "gaussian", 76.0, "d9f0d786", "20200708"),
    _by_mmpose0(W48, "coco", SMALL, "gaussian", 75.6, "b9e0b3ab", "20200708"),
    _by_mmpose0(W48, "coco", LARGE, "gaussian", 76.7, "314c8528", "20200708"),
    _by_mmpose0(W32, "coco", SMALL, "dark", 75.7, "07f147eb", "20200812"),
    _by_mmpose0(W32, "coco", LARGE, "dark", 76.6, "307dafc2", "20210203"),
    _by_mmpose0(W48, "coco", SMALL, "dark", 76.4, "8cba3197", "20200812"),
    _by_mmpose0(W48, "coco", LARGE, "dark", 77.2, "e881a4b6", "20210203"),
    _by_mmpose0(W32, "coco", SMALL, "udp", 76.0, "aba0be42", "20210220"),
    _by_mmpose0(W32, "coco", LARGE, "udp", 76.9, "e97c1a0f", "20210223"),
    _by_mmpose0(W48, "coco", SMALL, "udp", 76.7, "2554c524", "20210223"),
    _by_mmpose0(W48, "coco", LARGE, "udp", 77.2, "0f89c63e", "20210223"),
    _by_mmpose0(R50, "coco", SMALL, "gaussian", 71.8, "ec54d7f3", "20200709"),
    _by_mmpose0(R50, "coco", LARGE, "gaussian", 73.1, "e6f795e9", "20200709"),
    _by_mmpose0(R101, "coco", SMALL, "gaussian", 72.6, "6e6babf0", "20200708"),
    _by_mmpose0(R101, "coco", LARGE, "gaussian", 74.8, "8c71bdc9", "20200709"),
    _by_mmpose0(R152, "coco", SMALL, "gaussian", 73.5, "f6e307c2", "20200709"),
    _by_mmpose0(R152, "coco", LARGE, "gaussian", 75.0, "3860d4c9", "20200709"),
    _by_mmpose0(W32, "mpii", SQUARE, "gaussian", 90.0, "6c4f923f", "20200812"),
    _by_mmpose0(W48, "mpii", SQUARE, "gaussian", 90.1, "92cab7bd", "20200812"),
    _by_mmpose0(W32, "mpii", SQUARE, "dark", 90.4, "f1601c5b", "20200927"),
    _by_mmpose0(W48, "mpii", SQUARE, "dark", 90.5, "0decd39f", "20200927"),
    _by_mmpose0(R50, "mpii", SQUARE, "gaussian", 88.2, "418ffc88", "20200812"),
    _by_mmpose0(R101, "mpii", SQUARE, "gaussian", 88.8, "416f5d71", "20200812"),
    _by_mmpose0(R152, "mpii", SQUARE, "gaussian", 88.9, "3ecba29d", "20200812"),
    _by_mmpose1(W32, SMALL, "gaussian", 64, 74.9, "81c58e40", "20220909"),
    _by_mmpose1(W32, LARGE, "gaussian", 64, 76.1, "ca5956af", "20220909"),
    _by_mmpose1(W48, SMALL, "gaussian", 32, 75.6, "0e67c616", "20220913"),
    _by_mmpose1(W48, LARGE, "gaussian", 32, 76.7, "c161b7de", "20220915"),
    _by_mmpose1(W32, SMALL, "dark", 64, 75.7, "0e00bf12", "20220914"),
    _by_mmpose1(W32, LARGE, "dark", 64, 76.6, "9bab4c9b", "20220917"),
    _by_mmpose1(W48, SMALL, "dark", 32, 76.4, "e1ebdd6f", "20220913"),
    _by_mmpose1(W48, LARGE, "dark", 32, 77.2, "39c3c381", "20220916"),
    _by_mmpose1(W32, SMALL, "udp", 64, 76.2, "73ede547", "20220914"),
    _by_mmpose1(W32, LARGE, "udp", 64, 76.8, "9a3f7c85", "20220914"),
    _by_mmpose1(W48, SMALL, "udp", 32, 76.8, "3feaef8f", "20220913"),
    _by_mmpose1(W48, LARGE, "udp", 32, 77.3, "70d7ab01", "20220913"),
    _by_mmpose1(R50, SMALL, "gaussian", 64, 71.8, "04af38ce", "20220923"),
    _by_mmpose1(R50, LARGE, "gaussian", 64, 73.1, "7b8db90e", "20220923"),
    _by_mmpose1(R101, SMALL, "gaussian", 64, 72.8, "065d3625", "20220926"),
    _by_mmpose1(R152, SMALL, "gaussian", 32, 73.6, "0345f330", "20220928"),
    _by_mmpose1(R152, LARGE, "gaussian", 32, 75.0, "7fbb906f", "20220927"),
    _by_timm(W32),
    _by_timm(W48),
    _by_timm("hrnetv2_w32"),
    _by_timm("hrnetv2_w48"),
    _by_torchvision(50, "0676ba61"),
    _by_torchvision(101, "63fe2227"),
    _by_torchvision(152, "394f9c45"),
)

WEIGHTS = {row.name: row for row in _ROWS}
"""Every published file by its name, in the order of `pose weights list`."""

SHORT_NAMES = {
    "hrnet_w32": "hrnet_w32_coco_256x192_udp_mmpose1",
    "hrnet_w48": "hrnet_w48_coco_256x192_udp_mmpose1",
}
"""Of the best published row that can be fetched for 256x192, COCO."""


def find_row(name: str) -> Weights:
    """The row of that name, or of that short one; ValueError that names the nearest one."""
    name = SHORT_NAMES.get(name, name)
    if name not in WEIGHTS:
        raise ValueError(f"no published weights are called '{name}'{hint(name)}")
    return WEIGHTS[name]


def hint(name: str) -> str:
    """What to add to an error about a name that is not in the table."""
    near = difflib.get_close_matches(name, WEIGHTS, n=1)
    return f"; did you mean '{near[0]}'?" if near else "; `pose weights list` shows the names"
