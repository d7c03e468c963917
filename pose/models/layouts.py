"""How other code bases lay out the tensors of these networks, and the way from there to our names.

Ours are the published ones (see `PoseModel`). Others nest the dict, prefix the names, keep a
classifier or averaged copies, or were trained on BGR; nothing else changes, so renaming is all.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

NESTS = ("state_dict", "best_state_dict", "model")
"""Under which a torch file may hold its tensors. Published training files have the first two, of
which `best_state_dict` is, its name apart, of the last epoch too; this project's runs the third.
MMPose's files have the first beside `meta`."""

PARALLEL = "module."
"""What parallel training puts before every name."""

PARTS = ("backbone.", "keypoint_head.", "head.")
"""What MMPose puts before the names of the trunk and, in 0.x and 1.x, of the head."""

CLASSIFIER = re.compile(
    r"(incre_modules|downsamp_modules|final_layer\.\d+|classifier|fc"
    r"|stage4\.\d+\.fuse_layers\.[123])\."
)
"""What a network trained on ImageNet has and a pose network has no use for: 204 tensors of an
HRNet (126 of its head, 78 of the exchanges that feed it), 2 of a ResNet."""

AVERAGES = re.compile(r"ema_")
"""Under which MMPose keeps running averages of the weights beside the weights."""

FIRST_LAYER = "conv1.weight"
NUM_SHOWN = 3


@dataclass(frozen=True)
class Report:
    """What became of the names of a file: kept, renamed (old, new), left over."""

    matched: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    left_over: tuple[str, ...]

    def __str__(self) -> str:
        renamed = [f"{old} -> {new}" for old, new in self.renamed]
        counts = {"matched": self.matched, "renamed": renamed, "left over": self.left_over}
        return "\n".join(
            f"{kind}: {len(names)}{f' ({shortened(names)})' if names else ''}"
            for kind, names in counts.items()
        )


def tensors_of(content: Mapping[Any, Any], source: str) -> tuple[State, str]:
    """The dense tensors that a file's dict is or holds under a name of `NESTS`, and where.

    ValueError of one line for anything else among them, or where there are none.
    """
    nest = next((name for name in NESTS if isinstance(content.get(name), Mapping)), None)
    where = f"{source}: {nest}" if nest else source
    state = dict(content[nest] if nest else content)
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"{where}: expected a dict of tensors (bare or under {', '.join(NESTS)}); "
                f"{name!r} is of type {type(tensor).__name__}"
            )
        kind = _odd_kind(tensor)
        if kind is not None:
            raise ValueError(f"{where}: {name!r} is a {kind} tensor; only dense ones are read")
    if not state:
        raise ValueError(f"{where}: holds no tensors")
    return {str(name): tensor for name, tensor in state.items()}, where


def _odd_kind(tensor: Tensor) -> str | None:
    """What keeps a tensor from being a network's: that its numbers are not there, or no numbers."""
    kinds = {
        "sparse": tensor.layout != torch.strided,
        "quantized": tensor.is_quantized,
        "complex": tensor.is_complex(),
        "missing": tensor.is_meta,
    }
    return next((kind for kind, is_so in kinds.items() if is_so), None)


def bare_names(
    tensors: Mapping[str, Tensor], expected: Collection[str], source: str
) -> tuple[State, Report]:
    """The tensors under the names that a network expects, and what became of each name.

    What a classifier or an average leaves over stays out; any other name that is not `expected`
    goes along, for the strict check to refuse. ValueError where two names become one.
    """
    state: State = {}
    matched, renamed, left_over = [], [], []
    for old, tensor in tensors.items():
        new = _bare_name(old, expected)
        if new not in expected and (CLASSIFIER.match(new) or AVERAGES.match(new)):
            left_over.append(old)
            continue
        if new in state:
            raise ValueError(f"{source}: two of its tensors are {new!r}, one of them as {old!r}")
        state[new] = tensor
        if new == old:
            matched.append(old)
        else:
            renamed.append((old, new))
    return state, Report(tuple(matched), tuple(renamed), tuple(left_over))


def turned_to_rgb(state: Mapping[str, Tensor]) -> State:
    """The weights of a network for BGR as those of one for RGB: the first layer's input reversed.

    Its statistics turn with it: what stood for blue, the first channel, now stands last.
    """
    return {**state, FIRST_LAYER: state[FIRST_LAYER].flip(1)}


def shortened(names: Sequence[str]) -> str:
    """The first few names of many, in one line."""
    return ", ".join(names[:NUM_SHOWN]) + (", ..." if len(names) > NUM_SHOWN else "")


def _bare_name(name: str, expected: Collection[str]) -> str:
    name = name.removeprefix(PARALLEL)
    if name in expected:  # V2's own head is called `head.` too
        return name
    part = next((part for part in PARTS if name.startswith(part)), "")
    return name.removeprefix(part)
