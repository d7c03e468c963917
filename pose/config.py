"""The configuration: files and overrides, layer over layer, into the values of `pose.schema`.

Layers, later over earlier: defaults, named recipe, YAML file, `key=value` of the command line. A
YAML holds only what differs from the layers below it. Nothing in it is executed, and after loading
nothing writes to it.
"""

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from easydict import EasyDict

from pose.layers import ConfigError, keys_of, merge, read_yaml, type_name
from pose.recipes import RECIPES
from pose.schema import Config
from pose.schema_network import LOSSES_OF


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> EasyDict:
    """The resolved configuration of a YAML file, or of a shipped one by name.

    `overrides` are `section.key=value`, the value in YAML. Raises ConfigError or
    FileNotFoundError with one line.
    """
    path = find_config(name)
    try:
        layer = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8") from None
    return resolve({} if layer is None else layer, str(path), overrides)


def resolve(layer: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> EasyDict:
    """The defaults, recipe, layer and overrides one over the other; every key is there."""
    layers = [(source, layer)]
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"command line: '{override}' is not of the form section.key=value")
        value: Any = read_yaml(text, f"command line: {key}")
        for part in reversed(key.split(".")):
            value = {part: value}
        layers.append(("command line", value))
    recipe = Config.recipe
    for _, given in layers:
        recipe = given.get("recipe", recipe) if isinstance(given, Mapping) else recipe
    if isinstance(recipe, str) and recipe in RECIPES:  # others are refused where they stand
        layers.insert(0, (f"recipe {recipe}", RECIPES[recipe]))
    resolved = _defaults(Config())
    for where, given in layers:
        merge(resolved, given, Config, where, "")
    _check_sizes(resolved, source)
    return EasyDict(resolved)


def plain(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as plain dicts and lists, to be written as JSON or YAML."""
    return json.loads(json.dumps(cfg))


def config_names() -> list[str]:
    """The names of the configs that ship with the package, such as coco/hrnet_w32_256x192."""
    root = config_folder()
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))


def config_folder() -> Path:
    """The folder of shipped configs: in the wheel pose/configs, in a clone configs/ beside it."""
    package = Path(str(resources.files("pose")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def find_config(name: str | Path) -> Path:
    """The YAML file `name`, or the shipped config of that name."""
    for path in (Path(name), config_folder() / f"{name}.yaml", config_folder() / name):
        if path.is_file():
            return path
    near = difflib.get_close_matches(str(name), config_names(), n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise FileNotFoundError(
        f"config '{name}': no such file or shipped config{hint} "
        f"(shipped: {', '.join(config_names())})"
    )


def document() -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, sentence) of every key, in the schema's order."""
    for name, hint, key in keys_of(Config):
        kind = " or ".join(key.metadata["choices"]) or type_name(hint)
        yield name, kind, _show(key.default), key.metadata["doc"]


def config_page() -> str:
    """docs/config.md: every key with its type, default and meaning."""
    rows = [
        f"| `{key}` | {kind} | {f'`{default}`' if default else 'empty'} | {sentence} |"
        for key, kind, default, sentence in document()
    ]
    return "\n".join([_PAGE_HEAD, *rows, ""])


_PAGE_HEAD = """\
# The keys of a configuration

A configuration is a YAML file that holds only what differs from the defaults below; `key=value` on
the command line, as in `train.lr=5e-4`, goes over the file. A key that is not listed here is an
error. Printed from `pose/schema.py` by

    python -c "from pose.config import config_page; print(config_page(), end='')" > docs/config.md

| key | type | default | meaning |
|---|---|---|---|"""


def _defaults(section: Any) -> dict[str, Any]:
    return {
        key.name: _defaults(value) if dataclasses.is_dataclass(value) else value
        for key in dataclasses.fields(section)
        for value in [getattr(section, key.name)]
    }


def _check_sizes(resolved: Mapping[str, Any], source: str) -> None:
    size = resolved["model"]["input_size"]
    if len(size) != 2 or any(side % 32 for side in size):
        raise ConfigError(
            f"{source}: model.input_size is {list(size)}; expected [width, height], each a "
            "multiple of 32"
        )
    for key in ("mean", "std"):
        if len(resolved["model"][key]) != 3:
            got = list(resolved["model"][key])
            raise ConfigError(f"{source}: model.{key} is {got}; expected three values, R, G, B")
    codec, loss = resolved["codec"]["name"], resolved["train"]["loss"]
    if loss not in ("auto", *LOSSES_OF[codec]):
        known = ", ".join(LOSSES_OF[codec])
        raise ConfigError(f"{source}: train.loss is {loss}; codec {codec} takes auto or {known}")
    kernel = resolved["codec"]["blur_kernel"]
    if kernel and kernel % 2 == 0:
        raise ConfigError(f"{source}: codec.blur_kernel is {kernel}; expected an odd number or 0")


def _show(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else f"{value}"
