"""What a figure was measured on: machine, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from pose import __version__

FEATURES = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx512f", "avx2", "fma")
"""What decides how fast a CPU multiplies, as Linux spells it."""

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "opencv-python", "pycocotools"),
    *("hotcoco", "onnxruntime", "openvino", "nncf"),
)


def describe_machine(device: torch.device) -> dict[str, str]:
    """Processor, cores, memory, GPU, system, versions and commit, each as text."""
    facts = {
        "processor": _processor(),
        "cores": f"{_cores()} usable, torch on {torch.get_num_threads()} threads",
        "features": " ".join(_features()) or "unknown",
        "device": str(device),
    }
    if device.type == "cuda":
        facts["device"] = f"{device}: {torch.cuda.get_device_name(device)}"
    facts["system"] = (
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    facts["versions"] = ", ".join(f"{name} {v}" for name, v in _versions().items())
    facts["commit"] = _commit()
    return facts


def _processor() -> str:
    for line in _cpu_lines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _features() -> list[str]:
    flags = next((line.split() for line in _cpu_lines() if line.startswith("flags")), [])
    return [name for name in FEATURES if name in flags]


def _cpu_lines() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found = {"pose": __version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """Of the clone that this runs from, with a mark where files differ from it."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        ended = subprocess.run(  # noqa: S603 its words are those above
            command, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return "none: not run from a clone"
    return ended.stdout.strip()
