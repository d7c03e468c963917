"""Layers of configuration: YAML read without surprises, values checked against a schema.

A schema is a frozen dataclass whose fields come from `setting`; sections nest. This file knows how
to check one, `pose.config` says what is in ours.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import field
from reprlib import repr as shortly
from typing import Any

import yaml


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line for its author."""


def setting(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    moves_nothing: bool = False,
) -> Any:
    """A configuration key: its default, one sentence with the unit, what it may be, and whether an
    experiment is the same whatever it is."""
    metadata = {"doc": doc, "choices": choices, "low": low, "high": high}
    return field(default=default, metadata=metadata | {"moves_nothing": moves_nothing})


def keys_of(schema: type, prefix: str = "") -> Iterator[tuple[str, Any, dataclasses.Field]]:
    """(section.key, type, field) of every key, in the schema's order."""
    hints = typing.get_type_hints(schema)
    for key in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[key.name]):
            inner = typing.cast(type, hints[key.name])
            yield from keys_of(inner, f"{prefix}{key.name}.")
        else:
            yield prefix + key.name, hints[key.name], key


def read_yaml(text: str, source: str) -> Any:
    """YAML without surprises: safe, 1e-3 is a number, a repeated key is an error."""
    try:
        return _Loader(text).get_single_data()
    except RecursionError:
        raise ConfigError(f"{source}: not valid YAML: nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number or date that is none
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with YAML 1.2's floats and no repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        # a key that cannot be one, such as a list, is refused below
        for name, number in Counter(n for n in names if isinstance(n, Hashable)).items():
            if number > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"key '{name}' stands twice in the section at line {line}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def merge(resolved: dict[str, Any], layer: Any, schema: type, source: str, prefix: str) -> None:
    """Write a checked layer over resolved values."""
    if not isinstance(layer, Mapping):
        where = prefix.rstrip(".") or "the file"
        raise ConfigError(f"{source}: {where} is {shortly(layer)}; expected a section of keys")
    hints = typing.get_type_hints(schema)
    fields = {key.name: key for key in dataclasses.fields(schema)}
    for name, value in layer.items():
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            known = ", ".join(fields)
            raise ConfigError(f"{source}: unknown key {prefix}{name}{hint} (known here: {known})")
        if dataclasses.is_dataclass(hints[name]):
            inner = typing.cast(type, hints[name])
            merge(resolved[name], value, inner, source, f"{prefix}{name}.")
        else:
            where = f"{source}: {prefix}{name}"
            resolved[name] = _checked(value, hints[name], fields[name].metadata, where)


def _checked(value: Any, hint: Any, metadata: Mapping[str, Any], where: str) -> Any:
    """The value as the schema's type, or ConfigError."""
    kind = typing.get_origin(hint) or hint
    if kind is types.UnionType:
        if value is None or value == "":
            return None
        kind = next(t for t in typing.get_args(hint) if t is not type(None))
        hint = kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is str and value is None:  # `key=` of a command line, `key:` of a file
        value = ""
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(_checked(v, typing.get_args(hint)[0], metadata, where) for v in value)
    if not isinstance(value, kind) or (kind in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{where} is {shortly(value)}; expected {type_name(hint)}")
    choices, low, high = metadata["choices"], metadata["low"], metadata["high"]
    if choices and value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        hint_text = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{where} is '{value}'{hint_text} (choices: {', '.join(choices)})")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bound = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{where} is {value}; expected {bound}")
    return value


def type_name(hint: Any) -> str:
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    if typing.get_origin(hint) is tuple:
        return f"list of {names[typing.get_args(hint)[0]]}s"
    if typing.get_origin(hint) is types.UnionType:
        return f"{names[typing.get_args(hint)[0]]} or empty"
    return names[hint]
