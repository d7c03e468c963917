"""What torch says in many lines when something around a run breaks, in one that says what to do."""

import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.distributed import DistError
from torch.utils.data import DataLoader

SHARED_MEMORY = re.compile(r"shared memory|/torch_\d+|Bus error")
WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? (.*?)\) (.*?)(\. |\.?$)")
PEER = re.compile(r"gloo|NCCL", re.IGNORECASE)
SOURCE = re.compile(r"^.*?\[\S+:\d+\] ")
"""Where in torch's own source it was said."""


def batches_of(loader: DataLoader) -> Iterator[Any]:
    """The loader's batches; RuntimeError as torch has it also where the end of a process that reads
    first shows in the connection to it."""
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:
        raise RuntimeError("DataLoader worker (pid unknown) exited unexpectedly") from error


def forget_workers() -> None:
    """From now on the end of a loader's process is no news: torch would raise once more for each
    that ends with the run, where nobody can catch it."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def plain_line(error: RuntimeError) -> str:
    """What to say of an error; '' for one that is not known."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "the device's memory is full; lower the batch size, or in training raise train.parts"
    if SHARED_MEMORY.search(text):
        return (
            "no shared memory left for the processes that read data (/dev/shm on Linux); make it "
            "larger (docker: --shm-size), or lower data.workers; 0 needs none"
        )
    if found := WORKER.search(text):
        return (
            f"a process that reads data has died (pid {found[1]} {found[2]}); mostly memory is "
            "short: lower data.workers"
        )
    if isinstance(error, DistError) or PEER.search(text):
        reason = SOURCE.sub("", text.strip().splitlines()[-1]).partition(". ")[0]
        return f"another process of this run has ended or cannot be reached ({reason})"
    return ""
