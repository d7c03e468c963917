"""Receipts side by side: only what was measured alike may be ranked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pose.records import read_json
from pose.schema import OPERATIONAL

PROTOCOL = ("annotations", "boxes", "protocol")
"""The parts of a receipt that decide what a figure means. The rest, such as versions and device,
tells where it was measured."""


def read_receipt(path: Path) -> dict[str, Any]:
    """The receipt of a file, or of the folder of an evaluation; ValueError where it is none."""
    path = Path(path)
    path = path / "receipt.json" if path.is_dir() else path
    receipt = read_json(path)
    if not isinstance(receipt, dict) or not all(
        isinstance(receipt.get(part), dict) for part in PROTOCOL
    ):
        raise ValueError(f"{path}: no receipt of `pose evaluate` (it has no {', '.join(PROTOCOL)})")
    figures = receipt.get("figures")
    if not isinstance(figures, dict) or not figures:
        raise ValueError(f"{path}: holds no figures; its split has no labels")
    return receipt


def protocol_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Where two receipts were not measured alike, as "codec.name: gaussian, udp"."""
    before, after = (
        {key: value for part in PROTOCOL for key, value in _leaves(receipt[part], part)}
        for receipt in (first, second)
    )
    return [
        f"{key.removeprefix('protocol.')}: {_shown(before.get(key))}, {_shown(after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        # A file's hash says whether it is another one; its name may differ.
        if before.get(key) != after.get(key) and not key.endswith(".file")
    ]


def circumstances(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What else differs that may move the last digits: versions, runtime."""
    return [
        f"{key}: {_shown(a)}, {_shown(b)}"
        for part in ("runtime", "versions")
        for key, a in _leaves(first.get(part, {}), part)
        for b in [dict(_leaves(second.get(part, {}), part)).get(key)]
        if a != b
    ]


NOT_RECIPE = (*OPERATIONAL, "seed", "predict", "test")
"""Keys, or sections, of the config that a network was trained with which do not tell one recipe
from another. What of `test` decides the figures at hand is their own protocol."""


def recipe_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """In what beside the seed two receipts' networks were trained otherwise."""
    before, after = (
        {
            key: value
            for key, value in _leaves(receipt.get("recipe", {}), "")
            if not any(f"{key}.".startswith(f".{name}.") for name in NOT_RECIPE)
        }
        for receipt in (first, second)
    )
    if not before or not after:
        return ["a receipt does not say how its network was trained; evaluate again"]
    same = first["weights"].get("sha256") == second["weights"].get("sha256")
    return [
        f"{key.removeprefix('.')}: {_shown(before.get(key))}, {_shown(after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ] or ["the weights are the same"] * same


def seed_of(receipt: Mapping[str, Any]) -> Any:
    """The seed that the network was trained with."""
    return receipt["recipe"].get("seed")


def over_seeds(figures: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Figure -> mean, standard deviation (of the networks one would train, not of these few),
    lowest and highest; None where one of them has no members."""
    rows: dict[str, list[float | None]] = {}
    for name in dict.fromkeys(name for one in figures for name in one):
        values = [one.get(name) for one in figures]
        known = [float(value) for value in values if value is not None]
        if len(known) < len(values):
            rows[name] = [None] * 4
        else:
            rows[name] = [mean(known), stdev(known), min(known), max(known)]
    return rows


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key in value for leaf in _leaves(value[key], f"{name}.{key}")]
    return [(name, value)]


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:8]}..."
    return "none" if value is None else f"{value}"
