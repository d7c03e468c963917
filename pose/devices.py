"""Which of the machine's processors a network runs on, by the names torch gives them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pose.once import say_once

if TYPE_CHECKING:  # torch is loaded by whoever asks for a device, not by `pose --help`
    import torch

logger = logging.getLogger(__name__)

DEVICE_PATTERN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Of CPUs, as torch names them, the fastest first."""


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, else MPS, else the CPU, and the log says which.

    ValueError for a name that is none, or a device that this machine lacks.
    """
    import torch

    if not DEVICE_PATTERN.fullmatch(name):
        raise ValueError(f"device {name}: expected auto, cpu, cuda, cuda:N or mps")
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        check_cuda(device)
    if device.type == "mps" and not has_mps:
        raise ValueError(f"device {name}: this machine or this torch has no MPS; try auto or cpu")
    label = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device
    say_once(logger, logging.INFO, f"device: {label}")
    return device


def check_cuda(device: torch.device) -> None:
    """ValueError if CUDA, or the device of that number, is not there."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            f"device {device}: torch {torch.__version__} finds no CUDA here; try auto or cpu"
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise ValueError(f"device {device}: there are {count} CUDA devices, numbered from 0")


def native_bf16(device: torch.device) -> str:
    """What multiplies bfloat16 on `device` faster than float32, in words; "" for nothing."""
    import torch

    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_name(device) if fast else ""
    if device.type == "cpu":
        has: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return next((name for name in BF16_INSTRUCTIONS if has.get(name)), "")
    return ""


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Within, float32 is float32 on a GPU too: torch would round what convolutions multiply to 10
    bits (TF32), and figures would move with the machine."""
    import torch

    settings: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
