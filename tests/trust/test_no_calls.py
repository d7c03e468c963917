"""Nobody is called: not by the tests, and not by libraries that would report their use."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pose.telemetry import VARIABLES
from tests.serving import serving

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("host", ["example.com", "192.0.2.1", "2001:db8::1", b"example.com"])
def test_tests_reach_this_machine_alone(host):
    with pytest.raises(PermissionError, match="another machine"):
        socket.getaddrinfo(host, 80)
    with pytest.raises(PermissionError, match="another machine"):
        socket.create_connection((host, 80), timeout=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for act in (other.connect, other.connect_ex, lambda place: other.sendto(b"", place)):
            with pytest.raises(PermissionError, match="another machine"):
                act((host, 80))


def test_tests_may_talk_to_themselves():
    with serving() as server:
        port = int(server.address.rpartition(":")[2])
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, port), timeout=5).close()


# Each asks the library itself whether it would report, after what starts it here.
QUESTIONS = {
    "onnxruntime": """
import onnx
from onnx import TensorProto as T, helper as h
place = h.make_tensor_value_info("images", T.FLOAT, (1, 3, 8, 8))
graph = h.make_graph([h.make_node("Identity", ["images"], ["maps"])], "g", [place],
                     [h.make_tensor_value_info("maps", T.FLOAT, (1, 3, 8, 8))])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)])
model.ir_version = 9
onnx.save(model, sys.argv[1] + "/net.onnx")
import torch
from pathlib import Path
from pose.inference.network_file import tried
from pose.inference.onnx_file import open_onnx
tried(open_onnx(Path(sys.argv[1]) / "net.onnx", torch.device("cpu")), (8, 8))
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
# where it reports it keeps a number of this machine, and what is not sent yet
assert not [path for path in Path(os.environ["HOME"]).rglob("*") if "onnxruntime" in path.name]
""",
    "openvino": """
from pose.inference.openvino_file import openvino_core
openvino_core("a test")
from openvino.tools.ovc.telemetry_utils import init_ovc_telemetry
assert type(init_ovc_telemetry()).__module__.endswith("telemetry_stub")
""",
    "nncf": """
from pose.inference.openvino_file import import_openvino
import_openvino("a test")
import nncf.telemetry.wrapper as wrapper
assert type(wrapper.telemetry).__name__ == "MagicMock"
""",
    "huggingface_hub": """
import torch
from pathlib import Path
from pose.inference.detectors.transformers_detectors import load_transformers
try:
    load_transformers(Path(sys.argv[1]), torch.device("cpu"), 0.5)
except ValueError:
    pass
from huggingface_hub import constants
assert constants.HF_HUB_DISABLE_TELEMETRY and not constants.HF_HUB_OFFLINE
""",
    "ray": """
from unittest import mock
import ray, ray.data
from pose.scale import _cluster
with mock.patch("ray.init"), mock.patch("ray.shutdown"), _cluster():
    from ray._common.usage import usage_lib
    assert not usage_lib.usage_stats_enabled()
""",
    "gradio": """
from pathlib import Path
from pose.commands.app_server import keep_private
keep_private(Path(sys.argv[1]))
import gradio
from gradio import analytics
assert not analytics.analytics_enabled()
from huggingface_hub import constants
assert constants.HF_HUB_DISABLE_TELEMETRY
""",
}


def asked(library: str, folder: Path, *before: str) -> None:
    """Runs the question in a process of its own, which has the user's environment."""
    home = folder / "home"
    home.mkdir()
    unset = {*VARIABLES, "XDG_CACHE_HOME", "CI", "ORT_RUNNING_UNIT_TESTS"}
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    program = (
        f"import os, sys\nfrom tests.sockets import keep_here\nkeep_here()\n{QUESTIONS[library]}"
    )
    ran = subprocess.run(
        [*before, sys.executable, "-c", program, str(folder)],
        env={**environment, "HOME": str(home), "MPLCONFIGDIR": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("library", QUESTIONS)
def test_no_library_reports_its_use(library, tmp_path):
    pytest.importorskip(library)
    log = tmp_path / "calls"
    strace = ["strace", "-fqq", "-e", "trace=%network", "-o", str(log)]
    asked(library, tmp_path, *(strace if shutil.which("strace") else []))
    calls = log.read_text(errors="replace").splitlines() if log.exists() else []
    calls = [line for line in calls if "AF_INET" in line and "socket(" not in line]
    assert not [line for line in calls if "127.0.0.1" not in line and '"::1"' not in line]


def test_what_the_user_wants_stays():
    program = "import os; from pose.telemetry import forbid_telemetry as f; f()"
    program += "\nassert os.environ['RAY_USAGE_STATS_ENABLED'] == '1'"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, check=True)
