"""What start-up loads, told by the modules: seconds would depend on the machine."""

import subprocess
import sys
from pathlib import Path

from pose.commands.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]

HEAVY = ("torch", "torchvision", "numpy", "scipy", "cv2", "av", "yaml", "PIL", "pandas", "easydict")
OPTIONAL = (
    *("torchvision", "pycocotools", "hotcoco", "json_tricks", "av", "PIL", "pandas", "tensorboard"),
    *("onnx", "onnxruntime", "openvino", "nncf", "transformers", "gradio", "pyarrow", "ray"),
)


def loaded(program: str, among: tuple[str, ...]) -> list[str]:
    """Which packages of `among` a fresh Python has after `program`."""
    program += f"\nimport sys; print('loaded', *({set(among)!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()[-1].split()[1:]


def test_importing_the_package_loads_nothing_but_python():
    assert loaded("import pose", HEAVY) == []


def test_no_command_loads_anything_heavy_to_tell_its_options():
    program = (
        "from pose.commands.main import main\n"
        f"for name in {list(COMMANDS)!r}:\n    assert main([name, '--help']) == 0\n"
        "main(['--version'])"
    )
    assert loaded(program, HEAVY) == []


def test_the_public_names_load_nothing_that_may_be_missing():
    assert loaded("from pose import *", OPTIONAL) == []


def test_what_is_looked_for_would_be_found():
    assert set(loaded("import numpy, yaml", HEAVY)) == {"numpy", "yaml"}
