"""The package's metadata; the settings of the tools stand in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "pose/__init__.py").read_text(), re.M)
assert VERSION, "pose/__init__.py names no version"

TENSORBOARD = ["tensorboard"]
APP = ["gradio>=6.31", "fastapi", "starlette", "uvicorn"]
SCALE = ["ray[data]>=2.60", "numpy>=2"]  # pyarrow wants it and does not say so
FAST = ["hotcoco>=1.3"]
EXPORT = ["onnx", "onnxscript", "onnxruntime", "openvino", "nncf"]

setup(
    name="pose",
    version=VERSION[1],
    description="Top-down human pose estimation with HRNet: train, evaluate, predict",
    author="pose contributors",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # configs/ stands at the top of the repository and inside the package of a wheel.
    packages=[*find_packages(include=["pose", "pose.*"]), "pose.configs"],
    package_dir={"pose.configs": "configs"},
    package_data={
        "pose": ["py.typed", "weights/*.safetensors"],
        "pose.configs": ["**/*.yaml"],
    },
    entry_points={"console_scripts": ["pose = pose.commands.main:main"]},
    install_requires=[
        "torch>=2.10",
        "torchvision>=0.25",
        "numpy>=1.26",
        "scipy>=1.12",
        "opencv-python>=4.10,!=4.13.*",
        "pycocotools>=2.0.7",
        "json_tricks>=3.17",
        "easydict>=1.12",
        "pyyaml>=6.0.1",
        "tqdm>=4.66",
        "matplotlib>=3.8",
        "av>=17.1",  # 17.0 ends the process over some damaged videos
        "pillow>=10.4",
        "safetensors>=0.4.3",
    ],
    extras_require={
        "tensorboard": TENSORBOARD,
        "onnx": ["onnxruntime"],
        "openvino": ["openvino"],
        "export": EXPORT,
        "detectors": ["transformers>=5", "huggingface_hub"],
        "app": APP,
        "scale": SCALE,
        "fast": FAST,
        # The formatter is held to one version: another one formats otherwise.
        "test": [
            "pytest",
            "hypothesis",
            "motmetrics",
            "pandas",
            "psutil",
            "trackeval",
            "transformers>=5",
            "ruff==0.17.*",
            "mypy>=2.4",
            "selenium",
            "setuptools>=70",
            *TENSORBOARD,
            *APP,
            *SCALE,
            *EXPORT,
            *FAST,
        ],
    },
)
