"""Configurations: the layers, and every known trap ending in one line."""

import pytest

from pose.config import Config, config_names, config_page, document, load_config, plain, resolve
from pose.layers import ConfigError


@pytest.fixture
def yaml_file(tmp_path):
    def write(text):
        path = tmp_path / "runs.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_layers_lie_over_each_other(yaml_file):
    path = yaml_file("train: {lr: 5e-4, epochs: 7}\nmodel: {input_size: [96, 128]}\n")
    cfg = load_config(path, ["train.epochs=3", "data.root=/x", "train.lr_steps=[1, 2]"])
    assert cfg.train.lr == 5e-4 and cfg.train.epochs == 3
    assert cfg.model.input_size == (96, 128) and cfg.train.lr_steps == (1, 2)
    assert cfg.data.root == "/x" and cfg.test.flip is True


def test_an_empty_file_is_the_defaults(yaml_file):
    assert plain(load_config(yaml_file(""))) == plain(resolve({}, "defaults"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train: {lr_step: [3]}",
            r"runs\.yaml: unknown key train\.lr_step; did you mean 'lr_steps'\? \(known here",
        ),
        ("items: 3", r"runs\.yaml: unknown key items"),
        ("keys: {a: 1}", r"runs\.yaml: unknown key keys"),
        ("train: 3", r"runs\.yaml: train is 3; expected a section of keys"),
        ("train:\n  lr: 1\n  lr: 2\n", r"key 'lr' stands twice"),
        ("train: {epochs: many}", r"train\.epochs is 'many'; expected whole number"),
        ("train: {epochs: true}", r"train\.epochs is True; expected whole number"),
        ("train: {epochs: 0}", r"train\.epochs is 0; expected at least 1"),
        ("model: {name: hrnet_w33}", r"model\.name is 'hrnet_w33'; did you mean 'hrnet_w32'\?"),
        ("model: {input_size: [100, 128]}", r"each a multiple of 32"),
        ("train: [", r"not valid YAML"),
        ("train: !!python/object/apply:os.system [ls]", r"not valid YAML"),
    ],
)
def test_what_is_wrong_is_one_line(yaml_file, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(yaml_file(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("override", ["epochs", "=3", "train.epoch=3", "train=3"])
def test_a_wrong_override_names_the_command_line(yaml_file, override):
    with pytest.raises(ConfigError, match="command line"):
        load_config(yaml_file(""), [override])


def test_an_unknown_config_names_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean 'coco/hrnet_w32_256x192'"):
        load_config("coco/hrnet_w32_256x19")


def test_every_key_is_documented():
    rows = list(document())
    assert len(rows) == len({key for key, *_ in rows}) > 30
    assert all(sentence.endswith(".") for *_, sentence in rows)
    assert Config().train.lr == 1e-3


def test_the_page_is_the_schema():
    from pathlib import Path

    page = Path(__file__).parent.parent / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == config_page()


@pytest.mark.parametrize("name", config_names())
def test_a_shipped_config_is_short_and_builds(name):
    import torch

    from pose.build import codec_of
    from pose.config import find_config
    from pose.models.pose_model import build_model

    lines = find_config(name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25 and lines[0].startswith("# pose ")
    cfg = load_config(name)
    with torch.device("meta"):
        model = build_model(cfg.model.name, 17)
    assert codec_of(cfg, model.stride).channels(17) == 17
