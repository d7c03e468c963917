"""HRNets for other tasks than pose: one trunk, four small heads, uint8 RGB in.

Widths are those of the finest branch: 18, 30, 32, 40, 44, 48 or 64. Where a published trunk was
trained, and with which `align_corners`, is told in docs/heads.md.
"""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pose.models.exchange import V2
from pose.models.hrnet import NUM_BRANCHES, STRIDE, TRUNKS
from pose.models.layouts import PARALLEL, State
from pose.models.pose_model import PoseModel, hrnetv2_model
from pose.models.representations import classification_head, v2_head, v2p_neck
from pose.models.trunk import Trunk, initialise_by_fan_out
from pose.models.weights import fitting_tensors, load_strict, load_weights, read_tensors

BEFORE = re.compile(r"(model|backbone|neck)\.")
"""What files for segmentation and detection put before the names of trunk and head."""

BESIDE = re.compile(r"(loss|rpn_head|bbox_head|mask_head)\.")
"""What they hold beside these."""

OWN_HEADS = ("last_layer.", "head.", "reduction_conv.", "fpn_conv.")


def hrnet_v2(width: int, classes: int, *, align_corners: bool = False) -> PoseModel:
    """V2 for segmentation: (B,3,H,W) of any size to logits (B,classes,H/4,W/4), rounded up."""
    trunk = v2_trunk(width, align_corners=align_corners)
    head = v2_head(trunk.channels, classes, align_corners=align_corners)
    return PoseModel(trunk, head, stride=STRIDE, multiple=1)


def hrnet_v2_landmarks(width: int, keypoints: int) -> PoseModel:
    """V2 for the landmarks of faces: (B,3,H,W) to heatmaps (B,keypoints,H/4,W/4)."""
    return hrnetv2_model(v2_trunk(width), keypoints)


def hrnet_v2p(width: int) -> PoseModel:
    """V2p for detectors: (B,3,H,W) to a list of five maps (B,256,H/s,W/s).

    The strides s are 4, 8, 16, 32 and 64; H and W are multiples of 32, the last map rounds down.
    """
    trunk = all_branches(width)
    return PoseModel(trunk, v2p_neck(trunk.channels), stride=STRIDE)


def hrnet_classifier(variant: int | str, classes: int = 1000) -> PoseModel:
    """The network that a trunk is pretrained in: (B,3,H,W) to logits (B,classes).

    `variant` is a width, `w18_small_v1` or `w18_small_v2`. It starts as for training from nothing.
    """
    trunk = all_branches(variant)
    head = classification_head(trunk.channels, classes)
    model = PoseModel(trunk, head, stride=STRIDE * 2 ** (NUM_BRANCHES - 1))
    initialise_by_fan_out(model)
    return model


def v2_trunk(width: int, *, align_corners: bool = False) -> Trunk:
    """Upsamples bilinearly in its exchanges and gives the maps of all four branches."""
    return all_branches(width, rules=replace(V2, align_corners=align_corners))


def all_branches(variant: int | str, **options) -> Trunk:
    """A published trunk that gives the list of all four maps; ValueError for one unknown."""
    if variant not in TRUNKS:
        raise ValueError(f"unknown HRNet {variant!r}; known are {', '.join(map(str, TRUNKS))}")
    return TRUNKS[variant](branch=None, **options)


def load_published(model: PoseModel, path: str | Path, *, inplace_abn: bool = False) -> None:
    """Gives `model` the tensors of a file of its publisher, all of them and no others.

    What stands before their names is taken off; the loss of a segmentation file and the heads of
    a detector, which this network has not, stay out. `inplace_abn`: the file is of the first
    release for segmentation, whose batch norms multiply by |weight| + 1e-5.
    """
    state: State = {}
    for name, tensor in read_tensors(path).items():
        bare = name.removeprefix(PARALLEL)
        if not BESIDE.match(bare):
            state[BEFORE.sub("", bare)] = tensor
    if inplace_abn:
        state = {n: t.abs() + 1e-5 if is_scale(n, t) else t for n, t in state.items()}
    load_strict(model, state, str(path))


def start_trunk(model: PoseModel, path: str | Path) -> None:
    """Gives the trunk of `model` the tensors of a classifier's file; the head stays as it is."""
    state = load_weights(path)
    trunk = {n: t for n, t in model.state_dict().items() if not n.startswith(OWN_HEADS)}
    model.load_state_dict(fitting_tensors(trunk, state, str(path)), strict=False)


def is_scale(name: str, tensor: Tensor) -> bool:
    """Whether it is a batch norm's weight (C,)."""
    return name.endswith(".weight") and tensor.ndim == 1
