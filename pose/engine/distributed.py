"""One process or several: who we are, and how results come together.

Under torchrun there is one process a device; without it the same code runs with one. Rows of people
merge by index, so no result depends on who made it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among `world_size`, working on `device`."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.world_size > 1

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' tensors, on the CPU."""
        if not self.several:
            return values.cpu()
        total = values.to(self.device) if dist.get_backend() == "nccl" else values.cpu().clone()
        dist.all_reduce(total)
        return total.cpu()

    def barrier(self) -> None:
        if self.several:
            dist.barrier()

    def main_first(self, action: Callable[[], T]) -> T:
        """What `action` gives, in every process; the others begin when the first is done."""
        if not self.is_main:
            self.barrier()
        result = action()
        if self.is_main:
            self.barrier()
        return result


@contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """The process group that torchrun's environment describes, or this process alone.

    With CUDA each local rank takes its own device and nccl, otherwise gloo.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Ranks(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(device, dist.get_rank(), world_size)
        dist.barrier()  # nobody takes the group down while another still works
    finally:
        dist.destroy_process_group()
