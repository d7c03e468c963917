"""Every shipped config: short, opens with its command, repeats no default, and its parts fit."""

import shlex

import pytest
import torch

from pose.build import model_of
from pose.codecs import CODECS
from pose.config import config_names, find_config, load_config, resolve
from pose.layers import read_yaml
from pose.skeleton import COCO_17
from tests.test_config import leaves

NAMES = config_names()


def written(name):
    return dict(leaves(read_yaml(find_config(name).read_text(encoding="utf-8"), name) or {}))


@pytest.mark.parametrize("name", NAMES)
def test_opens_with_the_command_that_runs_it(name):
    lines = find_config(name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25
    assert lines[0].startswith("# pose ")
    command, *arguments = shlex.split(lines[0])[2:]
    assert command == "quickstart" or (command == "train" and arguments[0] == name)


@pytest.mark.parametrize("name", NAMES)
def test_holds_only_what_differs_from_the_defaults(name):
    cfg = load_config(name)
    below = {**dict(leaves(resolve({"recipe": cfg.recipe}, "defaults"))), "recipe": "hrnet"}
    said = dict(leaves(cfg))
    assert [key for key in written(name) if said[key] == below[key]] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_maps_are_the_codecs(name):
    cfg = load_config(name)
    with torch.device("meta"):
        model, codec = model_of(cfg, COCO_17)
    width, height = codec.input_size
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8, device="meta")
    targets, _ = codec.encode(torch.zeros(1, 17, 2), torch.ones(1, 17).bool())
    assert model(images).shape == targets.shape


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("coco/")])
def test_the_published_recipes(name):
    """What the name says, and what the authors of each line of networks say of their training."""
    cfg = load_config(name)
    large, mmpose = "384x288" in name, "mmpose" in name
    recipe = "mmpose" if mmpose else "simplebaseline" if "simplebaseline" in name else "hrnet"
    assert cfg.recipe == recipe
    assert cfg.model.input_size == ((288, 384) if large else (192, 256))
    codec = next((c for c in CODECS if name.endswith(c)), "gaussian")
    assert cfg.codec.sigma == (6 if codec == "simcc" else 3 if large else 2)
    assert cfg.codec.name == codec
    assert name.split("/")[-1].removeprefix("mmpose_").startswith(cfg.model.name)
    batch_size = 96 if large and "w48" in name else 128
    assert cfg.train.batch_size == (512 if mmpose else batch_size)
    rate = 5e-4 if mmpose else 1e-3
    assert (cfg.train.optimizer, cfg.train.lr, cfg.train.schedule) == ("adam", rate, "steps")
    assert (cfg.augment.scale, cfg.augment.rotation, cfg.augment.half_body_chance) == {
        "hrnet": (0.35, 45, 0.3),
        "simplebaseline": (0.3, 40, 0),
        "mmpose": (0.5, 80, 0.3),
    }[recipe]
    steps = (cfg.train.epochs, *cfg.train.lr_steps)
    assert steps == ((140, 90, 120) if recipe == "simplebaseline" else (210, 170, 200))


@pytest.mark.parametrize("name", NAMES)
def test_an_expected_figure_comes_with_its_boxes_and_its_source(name):
    expected = load_config(name).expected
    if expected.value is None:
        assert "expected" not in {key.partition(".")[0] for key in written(name)}
    else:
        assert 0.5 < expected.value < 1 and expected.boxes and expected.source
        assert round(expected.value, expected.digits) == expected.value
