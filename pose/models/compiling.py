"""A network that a warm-up makes faster, on request: compiled by torch, or recorded as CUDA graphs.

Both pay by the call: what is saved is the time between the network's steps and, where they are
compiled, that of writing down what only the next step reads.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pose.geometry import Size

logger = logging.getLogger(__name__)


def warmed_up(
    network: nn.Module,
    how: str,
    device: torch.device,
    size: Size,
    numbers: Sequence[int],
) -> nn.Module:
    """`network` (uint8 images -> maps), in evaluation mode, by one of `WAYS` or "none".

    `size` is that of the images, and `numbers` says how many come at once: the fewest and the
    most. ValueError of one line where this machine cannot do it.
    """
    if how == "none":
        return network
    if how == "cudagraphs" and device.type != "cuda":
        raise ValueError(f"test.compile=cudagraphs: needs a CUDA GPU, this runs on {device}")
    started = time.perf_counter()
    warm = WAYS[how](network.to(device))
    try:
        for number in numbers:
            images = torch.zeros(number, 3, size[1], size[0], dtype=torch.uint8, device=device)
            warm(images)
    except RuntimeError as error:  # torch's own for what a compilation lacks are such
        reason = " ".join(str(error).split())
        raise ValueError(
            f"test.compile={how}: torch cannot do it here ({reason:.120}); install a C++ compiler "
            "(g++ or clang), or leave the key out"
        ) from None
    logger.info("network: %s, warmed up in %.1f s", how, time.perf_counter() - started)
    return warm


def can_compile(device: torch.device) -> bool:
    """Whether torch finds what it needs to compile for `device`, tried on the least there is."""
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=device))
    except RuntimeError:
        return False
    return True


class Compiled(nn.Module):
    """A network whose steps torch joins and compiles, for any number of images.

    Torch compiles anew for one image, and where a library takes more of them by another way.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = torch.compile(network, fullgraph=True)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        # a copy: torch would compile again for images that lie otherwise or came with gradients
        images = images.clone(memory_format=torch.channels_last)
        torch._dynamo.maybe_mark_dynamic(images, 0)
        return self.network(images)


class Graphs(nn.Module):
    """A network whose steps a CUDA GPU repeats by itself, for each power of two of images.

    The first call of a power records it. Several threads may share one.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._records: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._turn = threading.Lock()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """As the network's, on up to twice the images: those that are missing are old ones."""
        number = 1 << (len(images) - 1).bit_length()
        with self._turn:
            if number not in self._records:
                self._records[number] = self._record(images, number)
            graph, given, maps = self._records[number]
            given[: len(images)].copy_(images)
            graph.replay()
            return maps[: len(images)].clone()  # the next replay writes into the same maps

    def _record(self, images: Tensor, number: int) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        """The steps on `number` images, with the tensors they read and write."""
        given = images.new_zeros((number, *images.shape[1:]))
        given = given.contiguous(memory_format=torch.channels_last)
        with torch.cuda.device(images.device):
            aside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries choose and allocate before it is recorded
                for _ in range(3):
                    self.network(given)
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                maps = self.network(given)
        return graph, given, maps


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {"compile": Compiled, "cudagraphs": Graphs}
