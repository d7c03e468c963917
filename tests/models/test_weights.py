"""Weight files: what is read, what is refused and in which words, starting from others."""

import argparse
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pose.files import sha256_of
from pose.models.hrnet import hrnet_small
from pose.models.pose_model import PoseModel, build_model
from pose.models.resnet import resnet50
from pose.models.weights import (
    init_from,
    load_strict,
    load_weights,
    load_with_config,
    save_weights,
)

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """The weights of a small network with three keypoints, all different from a fresh one's."""
    torch.manual_seed(1)
    model = build_model("hrnet_small", channels=3)
    return {name: torch.rand_like(t.float()).to(t.dtype) for name, t in model.state_dict().items()}


@pytest.fixture()
def model() -> PoseModel:
    torch.manual_seed(2)
    return build_model("hrnet_small", channels=3)


def assert_equal(state: State, expected: State) -> None:
    assert state.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# Files


def test_save_and_load_return_the_same(tmp_path, state):
    path = tmp_path / "new" / "weights.safetensors"
    config = {"model": {"name": "hrnet_small"}, "lr": 1e-3, "steps": [1, 2], "none": None}
    save_weights(path, state, config, {"seed": "7"})
    assert_equal(load_weights(path), state)
    assert load_with_config(path)[1] == config
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_channels_last_weights_are_saved_as_they_are(tmp_path, state, model):
    load_strict(model, state, "test")
    path = tmp_path / "weights.safetensors"
    save_weights(path, model.to(memory_format=torch.channels_last).state_dict(), {}, None)
    assert_equal(load_weights(path), state)


def test_same_content_makes_the_same_bytes(tmp_path, state):
    paths = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for path in paths:
        save_weights(path, state, {"a": 1}, {"seed": "7", "command": "é", "epoch": "3"})
    assert len({sha256_of(path) for path in paths}) == 1


def test_a_failed_save_leaves_the_old_file(tmp_path, state):
    path = tmp_path / "weights.safetensors"
    save_weights(path, state, {"a": 1})
    with pytest.raises(TypeError):
        save_weights(path, state, {"a": object()})
    with pytest.raises(Exception, match=r"(?i)str"):
        save_weights(path, state, {}, {"a": 1})  # type: ignore[dict-item]
    assert load_with_config(path)[1] == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("nest", [None, "state_dict", "best_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_layouts_are_read(tmp_path, nest, prefix, zipped):
    tensors = {"conv1.weight": torch.rand(2, 3), "bn1.num_batches_tracked": torch.tensor(3)}
    renamed = {prefix + name: tensor for name, tensor in tensors.items()}
    content = {nest: renamed, "epoch": 3, "optimizer": {"state": {}}} if nest else renamed
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_equal(load_weights(path), tensors)


def test_config_of_a_run(tmp_path):
    path = tmp_path / "latest.pth"
    torch.save({"model": {"a": torch.ones(1)}, "config": {"train": {"lr": 0.1}}}, path)
    assert load_with_config(path)[1] == {"train": {"lr": 0.1}}
    torch.save({"a": torch.ones(1)}, path)
    assert load_with_config(path)[1] is None


def test_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_of(path).startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize("name", ["gone.pth", "gone.safetensors"])
@pytest.mark.parametrize("read", [load_weights, load_with_config])
def test_a_missing_file(tmp_path, name, read):
    with pytest.raises(FileNotFoundError) as error:
        read(tmp_path / name)
    assert name in one_line(error)


def damaged_file(folder: Path, kind: str) -> Path:
    path = folder / ("weights.safetensors" if kind.startswith("safe") else "weights.pth")
    if kind.endswith("html"):
        path.write_bytes(b"<!DOCTYPE html><html>not found</html>")
    elif kind.endswith("empty"):
        path.write_bytes(b"")
    elif kind == "safe cut":
        save_weights(path, {"a": torch.ones(100)}, {})
    else:
        zipped = kind != "old cut"
        torch.save({"a": torch.ones(100)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize(
    "kind", ["html", "empty", "cut", "old cut", "safe html", "safe empty", "safe cut"]
)
@pytest.mark.parametrize("read", [load_weights, load_with_config])
def test_a_file_that_is_not_weights(tmp_path, kind, read):
    path = damaged_file(tmp_path, kind)
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(path) in one_line(error)


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": torch.ones(1), "args": argparse.Namespace(lr=1)}, "never loaded"),
        (torch.nn.Linear(2, 2), "never loaded"),
        ({"a": torch.eye(3).to_sparse()}, "sparse"),
        ({"a": torch.ones(1), "epoch": 3}, "'epoch' is of type int"),
        (torch.ones(3), "a dict of tensors"),
        ({}, "no tensors"),
    ],
)
def test_refused_contents(tmp_path, content, words):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ValueError) as error:
        load_weights(path)
    assert words in one_line(error)


# Loading into a model


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".torchscript"])
def test_an_exported_network_is_no_weights_file(tmp_path, suffix):
    path = tmp_path / f"best{suffix}"
    path.write_bytes(b"PK\x03\x04 whatever it is")
    with pytest.raises(ValueError, match="exported for other programs; give the weights it was"):
        load_weights(path)


def test_strict_loading_takes_all(model, state):
    load_strict(model, state, "test")
    assert_equal(model.state_dict(), state)


def test_counts_of_batches_may_be_missing(model, state):
    part = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    load_strict(model, part, "test")
    assert_equal({name: model.state_dict()[name] for name in part}, part)


def test_strict_loading_names_every_fault_and_changes_nothing(model, state):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrong = dict(state) | {"extra.weight": torch.ones(1), "final_layer.bias": torch.ones(17)}
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean"):
        del wrong[name]
    with pytest.raises(ValueError) as error:
        load_strict(model, wrong, "other.pth")
    text = one_line(error)
    assert text.startswith("other.pth: ")
    assert "4 missing (conv1.weight, bn1.weight, bn1.bias, ...)" in text
    assert "1 left over (extra.weight)" in text
    assert "1 of another shape (final_layer.bias (17,), expected (3,))" in text
    assert_equal(model.state_dict(), before)


def imagenet_leftovers() -> State:
    """The 204 tensors that an ImageNet HRNet-W32 has beside the trunk, as published."""
    leftovers: State = {}

    def conv_bn(conv: str, bn: str, *, bias: bool = False) -> None:
        parts = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        names = [
            f"{conv}.weight",
            *([f"{conv}.bias"] if bias else []),
            *(f"{bn}.{p}" for p in parts),
        ]
        leftovers.update((name, torch.ones(1)) for name in names)

    for i in range(4):
        at = f"incre_modules.{i}.0"
        for c in (1, 2, 3):
            conv_bn(f"{at}.conv{c}", f"{at}.bn{c}")
        conv_bn(f"{at}.downsample.0", f"{at}.downsample.1")
    for i in range(3):
        conv_bn(f"downsamp_modules.{i}.0", f"downsamp_modules.{i}.1", bias=True)
    conv_bn("final_layer.0", "final_layer.1", bias=True)
    leftovers.update({"classifier.weight": torch.ones(1), "classifier.bias": torch.ones(1)})
    assert len(leftovers) == 126
    for i in (1, 2, 3):
        for j in (0, 1, 2, 3):
            at = f"stage4.2.fuse_layers.{i}.{j}"
            for k in range(i - j):
                conv_bn(f"{at}.{k}.0", f"{at}.{k}.1")
            if j > i:
                conv_bn(f"{at}.0", f"{at}.1")
    assert len(leftovers) == 204
    return leftovers


def trunk_of(state: State) -> State:
    return {n: t for n, t in state.items() if not n.startswith(("final_layer", "deconv_layers"))}


@pytest.mark.parametrize("kind", [torch.complex64, torch.int8, torch.bool])
def test_weights_of_no_floats_are_refused(model, state, kind):
    wrong = {**state, "conv1.weight": state["conv1.weight"].to(kind)}
    words = f"1 of no floats \\(conv1.weight {kind}\\)"
    with pytest.raises(ValueError, match=words):
        load_strict(model, wrong, "test")


def test_leftovers_of_a_classifier_are_said_not_refused(state, caplog):
    caplog.set_level(logging.INFO, logger="pose")
    trunk = hrnet_small()
    load_strict(trunk, trunk_of(state) | imagenet_leftovers(), "imagenet.pth")
    assert_equal(trunk.state_dict(), trunk_of(state))
    assert "204" in caplog.text


# Starting from other weights


def test_head_starts_row_by_row_by_name(model, state, caplog):
    caplog.set_level(logging.INFO, logger="pose")
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = init_from(model, state, ("tail", "nose", "neck"), ("neck", "hip", "nose"), "w.pth")
    loaded = model.state_dict()
    for name in ("final_layer.weight", "final_layer.bias"):
        assert torch.equal(loaded[name][0], fresh[name][0])
        assert torch.equal(loaded[name][1], state[name][2])
        assert torch.equal(loaded[name][2], state[name][0])
    assert_equal(trunk_of(loaded), trunk_of(state))
    assert (report.copied, report.fresh) == (("nose", "neck"), ("tail",))
    assert "tail" in caplog.text


def test_another_number_of_keypoints(state):
    model = build_model("hrnet_small", channels=5)
    report = init_from(model, state, tuple("abcde"), tuple("bxd"), "w.pth")
    assert report.copied == ("b", "d")
    rows = model.state_dict()["final_layer.weight"]
    assert torch.equal(rows[[1, 3]], state["final_layer.weight"][[0, 2]])


def test_without_names_the_final_layer_stays_fresh(model, state):
    fresh = model.state_dict()["final_layer.weight"].clone()
    report = init_from(model, state, tuple("abc"), None, "w.pth")
    assert report.fresh == tuple("abc")
    assert torch.equal(model.state_dict()["final_layer.weight"], fresh)
    assert_equal(trunk_of(model.state_dict()), trunk_of(state))


def test_a_classifier_gives_its_trunk_alone(model, state):
    fresh = model.state_dict()["final_layer.weight"].clone()
    classifier = trunk_of(state) | imagenet_leftovers()
    report = init_from(model, classifier, tuple("abc"), tuple("abc"), "imagenet.pth")
    assert (report.copied, report.fresh) == ((), tuple("abc"))
    assert torch.equal(model.state_dict()["final_layer.weight"], fresh)
    assert_equal(trunk_of(model.state_dict()), trunk_of(state))


def test_a_resnet_classifier_gives_its_trunk_and_no_deconvolution():
    trunk = resnet50().state_dict()
    classifier = {**trunk, "fc.weight": torch.ones(1), "fc.bias": torch.ones(1)}
    model = build_model("simplebaseline_r50", channels=2)
    report = init_from(model, classifier, ("a", "b"), None, "r50.pth")
    assert report.fresh == ("a", "b")
    assert_equal(trunk_of(model.state_dict()), dict(trunk))


def test_deconvolutions_are_strict_where_there_is_a_head():
    source = build_model("simplebaseline_r50", channels=2).state_dict()
    model = build_model("simplebaseline_r50", channels=3)
    init_from(model, source, ("a", "b", "c"), ("c", "b"), "r50.pth")
    name = "deconv_layers.3.weight"
    assert torch.equal(model.state_dict()[name], source[name])
    del source[name]
    with pytest.raises(ValueError, match=r"1 missing \(deconv_layers.3.weight\)"):
        init_from(model, source, ("a", "b", "c"), ("c", "b"), "r50.pth")


@pytest.mark.parametrize(
    ("keypoints", "source_keypoints", "words"),
    [
        (tuple("abcd"), tuple("abc"), "final layer has 3 channels, for 4 keypoints"),
        (tuple("abc"), tuple("abcd"), r"final_layer.weight \(3, 24, 1, 1\), expected \(4, "),
    ],
)
def test_numbers_of_names_and_rows_must_agree(model, state, keypoints, source_keypoints, words):
    with pytest.raises(ValueError, match=words):
        init_from(model, state, keypoints, source_keypoints, "w.pth")


def test_another_trunk_is_refused(model):
    other = build_model("hrnet_w18", channels=3)
    with pytest.raises(ValueError, match="another shape"):
        init_from(model, other.state_dict(), tuple("abc"), tuple("abc"), "w18.pth")
