"""One process or several: who we are, and how results come together.

Under torchrun there is one process a device; without it the same code runs with one. Rows of people
merge by index, so no result depends on who made it.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

LOOK_SECONDS = 0.1
"""Between two looks of a process that waits for the first."""


@dataclass(frozen=True)
class Ranks:
    """This process among `world_size`, working on `device`."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    store: "dist.Store | None" = None
    """What the processes tell each other without a collective; None for one that is alone."""
    turns: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)
    """Numbers of what the first process does before the others: the same in all of them."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.world_size > 1

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' tensors, on the CPU; of tensors that lie there nobody waits for
        the device."""
        if not self.several:
            return values.cpu()
        total = values.detach().clone()
        dist.all_reduce(total)
        return total.cpu()

    def barrier(self) -> None:
        if self.several:
            dist.barrier()

    def main_first(self, action: Callable[[], T]) -> T:
        """What `action` gives, in every process; the others begin when the first is done."""
        if self.store is None:
            return action()
        done = f"the first is done with {next(self.turns)}"
        # No collective, which would end the wait after minutes; asleep, so that Ctrl-C is heard.
        while not self.is_main and not self.store.check([done]):
            time.sleep(LOOK_SECONDS)
        result = action()
        if self.is_main:
            self.store.set(done, "")
        return result


@contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """The process group that torchrun's environment describes, or this process alone.

    With CUDA each local rank takes its own device, and nccl for what lies there; all else goes by
    gloo.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Ranks(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # torchrun may keep its store when it starts the processes again (--max-restarts), and in it the
    # addresses of those that are gone.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store, rank, _ = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
    )
    try:
        yield Ranks(device, rank, world_size, store)
        dist.barrier()  # nobody takes the group down while another still works
    finally:
        dist.destroy_process_group()
