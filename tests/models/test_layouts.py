"""Layouts of others: every one ends in our names, and what is left over is said."""

import argparse

import numpy as np
import pytest
import torch
from torch import Tensor

from pose.models.layouts import NESTS, bare_names, tensors_of, turned_to_rgb
from pose.models.pose_model import IMAGENET_MEAN, IMAGENET_STD, build_model
from pose.models.weights import ARRAY_PARTS, load_weights, read_tensors
from pose.models.zoo import SHORT_NAMES, WEIGHTS, find_row
from pose.published import config_of, expected_tensors
from tests.models.test_weights import imagenet_leftovers

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(1)
    return build_model("hrnet_small", channels=3).state_dict()


def as_mmpose(state: State, head: str) -> State:
    """The names that MMPose gives the tensors of a pose network."""
    heads = ("final_layer.", "deconv_layers.")
    return {(head if n.startswith(heads) else "backbone.") + n: t for n, t in state.items()}


LAYOUTS = {
    "bare": lambda s: s,
    "parallel": lambda s: {f"module.{n}": t for n, t in s.items()},
    "mmpose 0.x": lambda s: as_mmpose(s, "keypoint_head."),
    "mmpose 1.x": lambda s: as_mmpose(s, "head."),
    "mmpose 1.x parallel": lambda s: {f"module.{n}": t for n, t in as_mmpose(s, "head.").items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("nest", [None, *NESTS])
def test_every_layout_ends_in_our_names(state, layout, nest):
    theirs = LAYOUTS[layout](state)
    tensors, where = tensors_of({nest: theirs, "meta": {}} if nest else theirs, "w.pth")
    found, report = bare_names(tensors, state, "w.pth")
    assert where == (f"w.pth: {nest}" if nest else "w.pth")
    assert found.keys() == state.keys()
    assert all(found[name] is state[name] for name in state)
    assert len(report.matched) == (len(state) if layout == "bare" else 0)
    assert len(report.renamed) == (0 if layout == "bare" else len(state))
    assert report.left_over == ()


def test_what_is_left_over_is_said_and_stays_out(state):
    extras = {"ema_backbone_conv1_weight": torch.ones(1), **imagenet_leftovers()}
    found, report = bare_names({**state, **extras}, state, "w.pth")
    assert found.keys() == state.keys()
    assert report.left_over == tuple(extras)
    lines = str(report).splitlines()
    assert lines[0].startswith(f"matched: {len(state)} (conv1.weight, ")
    assert lines[1] == "renamed: 0"
    assert lines[2].startswith("left over: 205 (ema_backbone_conv1_weight, ")


def test_a_renamed_tensor_is_said_with_both_names(state):
    _, report = bare_names(as_mmpose(state, "head."), state, "w.pth")
    renamed = f"renamed: {len(state)} (backbone.conv1.weight -> conv1.weight, "
    assert str(report).splitlines()[1].startswith(renamed)


def test_names_that_nobody_knows_go_along_to_be_refused(state):
    found, report = bare_names({**state, "neck.weight": torch.ones(1)}, state, "w.pth")
    assert found.keys() - state.keys() == {"neck.weight"}
    assert report.left_over == ()


def test_two_names_that_become_one_are_refused(state):
    both = {"conv1.weight": torch.ones(1), "backbone.conv1.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"w.pth: two of its tensors are 'conv1.weight'"):
        bare_names(both, state, "w.pth")


def test_turned_weights_on_rgb_equal_the_old_ones_on_bgr():
    torch.manual_seed(3)
    theirs = build_model("hrnet_small", channels=3).eval()
    ours = build_model("hrnet_small", 3, IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]).eval()
    ours.load_state_dict(turned_to_rgb(theirs.state_dict()))
    rgb = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        # The release reads BGR and takes the statistics in RGB order, channel by channel.
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        x = (rgb.flip(1) / 255 - mean) / std
        for step in theirs.children():
            x = step(x)
        assert (ours(rgb) - x).abs().max() < 1e-5


# The arrays of MMPose 1.x


def save_with_arrays(path, state, **extras) -> None:
    meta = {
        "dataset_meta": {
            "sigmas": np.full(17, 0.05, np.float32),
            "colors": np.zeros((17, 3), np.uint8),
            "names": ["nose"],
        }
    }
    torch.save({"meta": meta, "state_dict": state, **extras}, path)


def test_arrays_are_read_past_where_that_is_asked_for_and_nowhere_else(tmp_path, state):
    path = tmp_path / "w.pth"
    save_with_arrays(path, state)
    assert read_tensors(path, allow_arrays=True).keys() == state.keys()
    for read in (load_weights, read_tensors):  # the allowance ends with the call
        with pytest.raises(ValueError, match="holds objects beside tensors"):
            read(path)


def test_numpy_1_and_2_are_both_known():
    names = {part[1] for part in ARRAY_PARTS if isinstance(part, tuple)}
    assert names == {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}


@pytest.mark.parametrize("extra", [argparse.Namespace(a=1), np.array([1, "a"], object)])
def test_other_objects_are_refused_all_the_same(tmp_path, state, extra):
    save_with_arrays(tmp_path / "w.pth", state, extra=extra)
    with pytest.raises(ValueError, match="holds objects beside tensors"):
        read_tensors(tmp_path / "w.pth", allow_arrays=True)


# The table


def test_every_row_is_whole():
    for name, row in WEIGHTS.items():
        assert row.name == name
        assert (row.address is None) != (row.page is None), name
        assert (row.address or row.page).startswith("https://"), name
        assert row.licence, name
        assert row.paper, name
        assert row.data, name
        assert not row.sha256 or f"-{row.sha256}" in row.address, name
        assert (row.skeleton is None) == (row.codec is None) == (row.reported is None), name
        assert not row.verified, f"{name}: nobody has opened it yet"
    assert find_row("hrnet_w32_coco_384x288").input_size == (288, 384)
    assert find_row("hrnet_w32_coco_384x288").sigma == 3
    bgr = {name for name, row in WEIGHTS.items() if row.bgr}
    assert bgr == {n for n, r in WEIGHTS.items() if r.page and n.startswith("simplebaseline")}


def test_a_short_name_is_the_best_row_that_can_be_fetched():
    for short, name in SHORT_NAMES.items():
        row = find_row(short)
        assert row.name == name and row.address
        rivals = [
            other
            for other in WEIGHTS.values()
            if (other.model, other.input_size, other.skeleton) == (row.model, (192, 256), "coco_17")
            and other.address
        ]
        assert row.reported == max(rival.reported for rival in rivals)


def test_every_row_has_a_config():
    for row in WEIGHTS.values():
        config = config_of(row)
        if row.skeleton is None:
            assert config == {"trunk_of": row.model, "data": "ImageNet-1k"}
            continue
        assert config["model"]["name"] == row.model
        assert config["codec"]["name"] == row.codec
        assert len(config["skeleton"]["keypoints"]) == {"coco_17": 17, "mpii_16": 16}[row.skeleton]
        assert (config["model"]["mean"][0] == 0.406) == row.bgr
        assert (config["codec"]["blur_kernel"] == 11) == row.name.endswith("_mmpose1")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hrnet_w32_imagenet", 1752),
        ("hrnetv2_w32_imagenet", 1830),
        ("hrnet_w32_coco_256x192", 1754),
        ("simplebaseline_r50_mpii_256x256", 338),
        ("resnet50_imagenet", 318),
    ],
)
def test_a_row_names_a_network(name, count):
    tensors = expected_tensors(WEIGHTS[name])
    assert len(tensors) == count
    assert all(tensor.is_meta for tensor in tensors.values())


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'hrnet_w32_coco_256x192'"):
        find_row("hrnet_w32_coco_256x129")
    with pytest.raises(ValueError, match="pose weights list"):
        find_row("zzz")
