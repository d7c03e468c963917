"""Configurations: the layers, and every known trap ending in one line."""

import pytest

from pose.config import Config, config_page, document, load_config, plain, resolve
from pose.layers import ConfigError, read_yaml
from pose.recipes import RECIPES
from pose.schema import OPERATIONAL


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
        (
            "codec: {name: simcc}\ntrain: {loss: mse}",
            r"runs\.yaml: train\.loss is mse; codec simcc takes auto or kl$",
        ),
        ("train: {loss: l1}", r"train\.loss is l1; codec gaussian takes auto or mse, ohkm$"),
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


def test_what_does_not_tell_one_experiment_from_another():
    assert sorted(OPERATIONAL) == [
        *("data.root", "data.unreadable", "data.workers"),
        *("expected.boxes", "expected.digits", "expected.figure"),
        *("expected.source", "expected.value", "test.batch_size", "test.compile"),
        *("train.failed_save", "train.max_skipped", "train.save_minutes", "train.sheet_every"),
    ]


def test_the_page_is_the_schema():
    from pathlib import Path

    page = Path(__file__).parent.parent / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == config_page()


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "+1e-3", "0.1e-2", ".001e0", "1.e-3"])
def test_every_spelling_of_a_float_is_a_number(text):
    """Bare PyYAML reads most of these as text."""
    assert read_yaml(text, "x") == 1e-3


@pytest.mark.parametrize("text", ["e-3", "1e", "1e-3s", "hrnet_w32", "0x1e3x"])
def test_what_is_no_float_stays_text(text):
    assert read_yaml(text, "x") == text


def test_nothing_is_nothing():
    assert read_yaml("", "x") is None
    assert read_yaml("# only a comment", "x") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed: 1\nseed: 1\n", "not valid YAML: key 'seed' stands twice"),
        (b"train:\n  amp: true\n  lr: 1\n  amp: true", "key 'amp' stands twice in the section at"),
        (b"seed: \x00", "not valid YAML: unacceptable character"),
        (b"seed: 1\n---\nseed: 2", "not valid YAML"),
        (b"data: {root: caf\xe9}", "not a text file in UTF-8"),
        (b"- seed", r"the file is \['seed'\]; expected a section of keys"),
        (b"false", "the file is False; expected a section of keys"),
        (b"train: null", "train is None; expected a section of keys"),
        (b"train: {lr_steps: 170}", "train.lr_steps is 170; expected list of whole numbers"),
        (b"train: {lr_steps: [1.5]}", "train.lr_steps is 1.5; expected whole number"),
        (b"train: {lr: fast}", "train.lr is 'fast'; expected number"),
        (b"train: {lr: .nan}", "train.lr is nan; expected at least 0"),
        (b"train: {amp: 1}", "train.amp is 1; expected true or false"),
        (b"augment: {flip_chance: 2}", "augment.flip_chance is 2.0; expected from 0 to 1"),
        (b"codec: {name: drak}", r"did you mean 'dark'\? \(choices: gaussian, dark"),
        (b"model: {input_size: [192]}", r"model.input_size is \[192\]; expected \[width, height\]"),
        (
            b"optimiser: adam",
            r"unknown key optimiser \(known here: recipe, seed, init, data, model",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(tmp_path, content, message):
    path = tmp_path / "runs.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        load_config(path)
    assert "runs.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_number_is_a_number_too(tmp_path):
    path = tmp_path / "runs.yaml"
    path.write_text("train: {lr: 1}\ninit: ''\n")
    cfg = load_config(path)
    assert isinstance(cfg.train.lr, float)
    assert cfg.init is None


def test_a_recipe_lies_over_the_defaults_and_under_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: simplebaseline\ntrain: {epochs: 7}\n")
    cfg = load_config(path)
    assert (cfg.recipe, cfg.train.epochs, cfg.augment.scale) == ("simplebaseline", 7, 0.3)
    assert cfg.train.lr_steps == (90, 120) or list(cfg.train.lr_steps) == [90, 120]
    other = load_config(path, ["recipe=mmpose", "train.lr=0.1"])
    assert (other.train.epochs, other.train.batch_size, other.train.lr) == (7, 512, 0.1)
    assert (other.augment.scale, other.augment.rotation) == (0.5, 80)


def test_what_was_resolved_resolves_to_itself():
    cfg = load_config("coco/simplebaseline_r50_256x192", ["train.epochs=3"])
    assert plain(resolve(plain(cfg), "again")) == plain(cfg)


def test_every_recipe_says_only_what_differs():
    defaults = dict(leaves(plain(resolve({}, "defaults"))))
    for name, recipe in RECIPES.items():
        resolved = dict(leaves(plain(resolve({"recipe": name}, "recipe"))))
        differing = {key for key in resolved if resolved[key] != defaults[key]} - {"recipe"}
        assert differing == set(dict(leaves(recipe)))


def leaves(section, prefix=""):
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("value", ["hrnett", "[1]", "{a: 1}"])
def test_an_unknown_recipe_is_refused_where_it_stands(tmp_path, value):
    path = tmp_path / "mine.yaml"
    path.write_text(f"recipe: {value}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: recipe is .*(hrnet|text)"):
        load_config(path)


def test_an_empty_text_is_a_text():
    assert (
        load_config("coco/hrnet_w32_256x192", ["data.val_annotations="]).data.val_annotations == ""
    )
    with pytest.raises(ConfigError, match=r"model\.name is ''"):
        load_config("coco/hrnet_w32_256x192", ["model.name="])
