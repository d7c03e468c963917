"""Networks in .onnx files, run by onnxruntime on the CPU or on CUDA."""

from pathlib import Path

import numpy as np
import torch

from pose.inference.detectors.onnx_detector import KINDS, open_session
from pose.inference.network_file import TEXTS, NetworkFile, Values, checked_input, in_batches


def open_onnx(path: Path, device: torch.device) -> NetworkFile:
    """A network in an .onnx file, run by onnxruntime on the CPU or on CUDA.

    FileNotFoundError or ValueError of one line, also where `device` is one it cannot run on.
    """
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"{path}: onnxruntime does not run on {device} here; give --device cpu")
    session = open_session(path, device)
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise ValueError(
            f"{path}: the installed onnxruntime does not run on {device}; "
            "run: pip install onnxruntime-gpu, or give --device cpu"
        )
    entries = session.get_inputs()
    shape = checked_input(path, [(e.name, e.type, e.shape) for e in entries])
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> Values:
        return dict(zip(names, session.run(None, {entries[0].name: images}), strict=True))

    texts = session.get_modelmeta().custom_metadata_map
    texts = {key: texts[key] for key in TEXTS if key in texts}
    dtype = np.dtype(KINDS[entries[0].type])
    run = in_batches(run, shape[0])
    return NetworkFile(path, run, dtype, shape, texts, f"onnxruntime on {device}")
