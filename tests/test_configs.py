"""Every shipped config: short, opens with its command, repeats no default, and its parts fit."""

import functools
import shlex

import pytest
import torch

from pose.build import codec_of
from pose.config import config_names, find_config, load_config, resolve
from pose.layers import read_yaml
from pose.models.pose_model import build_model

NAMES = config_names()


@functools.cache
def meta_model(name):
    with torch.device("meta"):
        return build_model(name, 17)


def leaves(section, prefix=""):
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


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
    defaults, cfg = dict(leaves(resolve({}, "defaults"))), dict(leaves(load_config(name)))
    assert [key for key in written(name) if cfg[key] == defaults[key]] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_maps_are_the_codecs(name):
    cfg = load_config(name)
    model = meta_model(cfg.model.name)
    codec = codec_of(cfg, model.stride)
    width, height = codec.input_size
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8, device="meta")
    targets, _ = codec.encode(torch.zeros(1, 17, 2), torch.ones(1, 17).bool())
    assert model(images).shape == targets.shape


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("coco/")])
def test_the_published_recipes(name):
    """As in the authors' code: sigma by input, SimpleBaseline's own augmentation."""
    cfg = load_config(name)
    large, baseline = "384x288" in name, "simplebaseline" in name
    assert cfg.model.input_size == ((288, 384) if large else (192, 256))
    assert cfg.codec.sigma == (3 if large else 2)
    assert cfg.codec.name == ("dark" if name.endswith("_dark") else "gaussian")
    assert name.split("/")[1].startswith(cfg.model.name)
    assert cfg.train.batch_size == (96 if large and "w48" in name else 128)
    assert (cfg.train.optimizer, cfg.train.lr, cfg.train.schedule) == ("adam", 1e-3, "steps")
    drawn = (cfg.augment.scale, cfg.augment.rotation, cfg.augment.half_body_chance)
    assert drawn == ((0.3, 40, 0) if baseline else (0.35, 45, 0.3))
    steps = (cfg.train.epochs, *cfg.train.lr_steps)
    assert steps == ((140, 90, 120) if baseline else (210, 170, 200))
