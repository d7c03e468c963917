"""A trained HRNet made deeper: new blocks and modules that, to begin with, do nothing.

What ends in a sum and a ReLU passes on what it got as long as the last batch norm before the sum
multiplies by zero, for maps between the blocks are never negative. So the deeper network starts
with the maps of the shallower one and learns on from there. Source of the idea: Chen et al.,
"Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from pose.models.blocks import BasicBlock
from pose.models.exchange import ExchangeRow
from pose.models.layouts import State
from pose.models.pose_model import build_model
from pose.models.weights import fitting_tensors, load_with_config, save_weights


def deepen(source: str | Path, name: str, out: str | Path) -> None:
    """Writes weights of the network `name` that makes the maps of the shallower one in `source`.

    `source` is a weights file of ours; the rest of its config stays. ValueError where it is not,
    or where the networks differ in more than the number of blocks or modules.
    """
    state, config = load_with_config(source)
    if config is None:
        raise ValueError(f"{source}: holds no config; give a weights file that `pose train` wrote")
    model = build_model(name, channels=len(state["final_layer.bias"]))
    grown = deepened(state, model, str(source))
    save_weights(out, grown, {**config, "model": {**config["model"], "name": name}})


def deepened(state: Mapping[str, Tensor], deeper: nn.Module, source: str) -> State:
    """The tensors of `deeper`, freshly built, that make the maps of the network of `state`.

    ValueError, as of `load_strict`, where `state` has tensors that `deeper` has not.
    """
    for norm in _last_norms(deeper, state):
        nn.init.zeros_(norm.weight)
    own = deeper.state_dict()
    shared = {name: tensor for name, tensor in own.items() if name in state}
    return {**own, **fitting_tensors(shared, state, source)}


def _last_norms(deeper: nn.Module, state: Mapping[str, Tensor]) -> Iterator[nn.BatchNorm2d]:
    """The batch norms right before a sum, of the blocks and exchanges that `state` has not."""
    for name, module in deeper.named_modules():
        if any(tensor.startswith(f"{name}.") for tensor in state):
            continue
        if isinstance(module, BasicBlock):
            yield module.bn2
        elif isinstance(module, ExchangeRow):
            for layer in module:
                norms = [part for part in layer.modules() if isinstance(part, nn.BatchNorm2d)]
                yield from norms[-1:]
