"""Networks in files: ours and those of others, one by one or in batches, by either engine."""

import json
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from pose.build_runtime import runtime_of
from pose.inference.boxes import Boxes
from pose.inference.network_file import in_batches, maps_of
from pose.inference.onnx_file import open_onnx
from pose.inference.openvino_file import open_openvino
from pose.inference.predict import find_poses
from pose.inference.runtimes import network_in
from pose.metrics.oks import oks
from pose.models.weights import save_weights
from pose.published import described
from pose.skeleton import COCO_17
from tests.export.networks import need

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
OPENERS = {"onnxruntime": open_onnx, "openvino": open_openvino}
ULTRALIGHT = "models/ultralight_simplepose_256x192.onnx"
KINDS = {"float": 1, "uint8": 2, "int64": 7, "float16": 10}


@pytest.fixture(params=OPENERS)
def engine(request):
    if request.param == "openvino":
        need("openvino")
    return request.param


def write_network(path, shape=("batch", 3, 64, 64), kind="float", keypoints=17, outputs=None):
    """An .onnx file whose maps are what its input is in the red channel, k/8 for keypoint k.

    Every fourth pixel of it, as a network of stride 4 would give. outputs: others than `maps`.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((keypoints, 3, 1, 1), np.float32)
    weights[:, 0, 0, 0] = np.arange(keypoints) / 8
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "weights"], ["maps"], strides=[4, 4]),
        *(helper.make_node("Flatten", ["maps"], [name]) for name in outputs or ()),
    ]
    given = dict.fromkeys(outputs or (), (shape[0], None)) or {
        "maps": (shape[0], keypoints, None, None)
    }
    weights = numpy_helper.from_array(weights, "weights")
    return write_graph(path, nodes, {"images": (KINDS[kind], shape)}, given, [weights])


def write_graph(path, nodes, inputs, outputs, weights=()):
    """An .onnx file of these nodes; inputs are {name: (kind, shape)}, outputs {name: shape}."""
    from onnx import helper

    entries = [helper.make_tensor_value_info(n, *entry) for n, entry in inputs.items()]
    given = [helper.make_tensor_value_info(n, KINDS["float"], s) for n, s in outputs.items()]
    graph = helper.make_graph(nodes, "network", entries, given, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def pictures(number, size=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (number, 3, *size[::-1]), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["float", "uint8", "float16"])
@pytest.mark.parametrize("batch", [1, 4, "batch"])
def test_any_number_of_images_of_any_kind(tmp_path, engine, batch, kind):
    path = write_network(tmp_path / "a.onnx", (batch, 3, 64, 64), kind)
    file = OPENERS[engine](path, CPU)
    network = network_in(file, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    weights = torch.arange(17)[:, None, None] / 8
    for number in (1, 3, 9):
        images = pictures(number)
        red = images[:, 0, None, ::4, ::4].float()
        expected = weights * (red if kind == "uint8" else (red / 255 - 0.5) / 0.25)
        found = network(images)
        assert found.dtype == torch.float32
        tolerance = 5e-3 if kind == "float16" else 1e-5
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_a_fixed_batch_is_filled_up():
    seen = []

    def run(images):
        seen.append(images.tolist())
        return {"maps": images * 2}

    found = in_batches(run, 3)(np.arange(7))["maps"]
    assert found.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]


def test_threads_share_a_network(tmp_path, engine):
    file = OPENERS[engine](write_network(tmp_path / "a.onnx"), CPU)
    images = [
        pictures(number % 3 + 1, seed=number).numpy().astype(np.float32) for number in range(8)
    ]
    expected = [file.run(batch)["maps"] for batch in images]
    wrong = []

    def work(number):
        for _ in range(25):
            if not np.array_equal(file.run(images[number])["maps"], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_file_of_others_is_taken_for_the_usual_and_says_so(tmp_path, engine, caplog):
    path = write_network(tmp_path / "a.onnx", (1, 3, 64, 96))
    with caplog.at_level(logging.INFO, logger="pose"):
        runtime, cfg = runtime_of(path, engine=engine, device="cpu")
    (line,) = [r.getMessage() for r in caplog.records if "says nothing" in r.getMessage()]
    for word in ("coco_17", "gaussian", "model.mean", "[0.485, 0.456, 0.406]", "a.yaml"):
        assert word in line
    assert runtime.input_size == tuple(cfg.model.input_size) == (96, 64)
    assert runtime.skeleton is COCO_17
    assert engine in runtime.name
    keypoints, scores = runtime.find(pictures(3, (96, 64)))
    assert keypoints.shape == (3, 17, 2)
    assert scores.dtype == keypoints.dtype == torch.float32
    assert runtime.pixel_grid == "published"


def test_keys_and_the_file_beside_say_otherwise(tmp_path):
    path = write_network(tmp_path / "dog.onnx", keypoints=3)
    beside = {
        "codec": {"name": "udp", "sigma": 3},
        "model": {"mean": [0.5, 0.5, 0.5]},
        "skeleton": {"name": "dog", "keypoints": ["nose", "left_ear", "right_ear"]},
    }
    (tmp_path / "dog.yaml").write_text(json.dumps(beside))
    runtime, cfg = runtime_of(path, device="cpu", overrides=["codec.sigma=2", "test.flip=false"])
    assert runtime.skeleton.name == "dog"
    assert runtime.skeleton.flip_index.tolist() == [0, 2, 1]
    assert runtime.pixel_grid == "udp"
    assert (cfg.codec.sigma, cfg.test.flip) == (2, False)
    assert tuple(cfg.model.mean) == (0.5, 0.5, 0.5)


def test_any_size_is_that_of_the_keys(tmp_path):
    path = write_network(tmp_path / "a.onnx", ("batch", 3, "height", "width"))
    runtime, _ = runtime_of(path, device="cpu", overrides=["model.input_size=[96, 64]"])
    assert runtime.input_size == (96, 64)
    assert runtime.find(pictures(2, (96, 64)))[0].shape == (2, 17, 2)


def test_two_vectors_are_those_of_simcc(tmp_path):
    x, y = np.zeros((1, 17, 128), np.float32), np.ones((1, 17, 192), np.float32)
    assert maps_of({"x": x, "y": y}).shape == (1, 17, 320)
    assert maps_of({"x": x[0], "y": y}) is None
    assert maps_of({}) is None


BESIDE = {
    "text": ("just words", "expected keys of a config"),
    "latin": (b"skeleton: \xe9", "not a text file in UTF-8"),
    "unknown": ("modle: {}", "unknown key modle"),
    "no names": ("skeleton: {name: dog}", "no list of keypoint names"),
    "a word": ("skeleton: dog", "skeleton is 'dog'; expected name and keypoints"),
    "too few": ("skeleton: {keypoints: [nose]}", "names 1 keypoints, a.onnx gives 17"),
}


@pytest.mark.parametrize(("content", "words"), BESIDE.values(), ids=BESIDE)
def test_mistakes_in_the_file_beside_are_one_line(tmp_path, content, words):
    path = write_network(tmp_path / "a.onnx")
    (tmp_path / "a.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        runtime_of(path, device="cpu")
    assert words in str(error.value)
    assert "a.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_network_of_maps_is_one_line(tmp_path, engine):
    def refused(path, *words, **options):
        with pytest.raises(ValueError) as error:
            runtime_of(path, engine=engine, **{"device": "cpu", **options})
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        for word in words:
            assert word in str(error.value)

    path = tmp_path / "a.onnx"
    path.write_bytes(b"not a network")
    refused(path, "cannot open it")
    last = (1, 64, 64, 3)
    copy = [onnx.helper.make_node("Identity", ["images"], ["maps"])]
    write_graph(path, copy, {"images": (KINDS["float"], last)}, {"maps": last})
    refused(path, "takes images", "[1, 64, 64, 3]; expected one input of RGB images (B, 3, H, W)")
    refused(write_network(path, kind="int64"), "int64" if engine == "onnxruntime" else "takes")
    refused(write_network(path, outputs=["flat"]), "gives flat [2, 4352]; expected one output")
    refused(write_network(path, outputs=["a", "b"]), "gives a [2, 4352], b [2, 4352]")
    refused(write_network(path, keypoints=5), "5 keypoints that nobody names", "a.yaml")
    refused(write_network(path), "no maps of the codec simcc", overrides=["codec.name=simcc"])
    other = ["model.input_size=[64, 64]", "codec.name=gaussian"]
    refused(write_network(path, ("batch", 3, 66, 64)), "inputs of 64x66", overrides=other)


def test_two_inputs_are_one_too_many(tmp_path, engine):
    shape = (1, 3, 64, 64)
    add = [onnx.helper.make_node("Add", ["a", "b"], ["c"])]
    entries = dict.fromkeys("ab", (KINDS["float"], shape))
    path = write_graph(tmp_path / "a.onnx", add, entries, {"c": shape})
    with pytest.raises(ValueError, match="expected one input of RGB images"):
        runtime_of(path, engine=engine, device="cpu")


def test_engines_and_devices_that_do_not_fit_are_one_line(tmp_path):
    path = write_network(tmp_path / "a.onnx")
    for options, words in (
        ({"engine": "tensorrt"}, "expected one of auto, torch, onnxruntime, openvino"),
        ({"engine": "torch"}, "is run by onnxruntime or openvino, not by torch"),
        ({"device": torch.device("mps")}, "give --device cpu"),
        ({"device": torch.device("cuda"), "engine": "openvino"}, "give --device cpu"),
    ):
        with pytest.raises(ValueError, match=words):
            runtime_of(path, **options)
    with pytest.raises(ValueError, match="not by onnxruntime; pose export makes a file"):
        runtime_of("best.safetensors", engine="onnxruntime")
    with pytest.raises(ValueError, match="run by openvino, not by onnxruntime"):
        runtime_of("best.xml", engine="onnxruntime")
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx"):
        runtime_of("gone.onnx")
    need("openvino")
    with pytest.raises(FileNotFoundError, match=r"gone\.xml"):
        runtime_of("gone.xml")


def test_cuda_is_onnxruntimes_own_or_an_error(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    path = write_network(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="pip install onnxruntime-gpu, or give --device cpu"):
        runtime_of(path, device=torch.device("cuda"))
    assert runtime_of(path, device="auto")[0].name == "onnxruntime on cpu"


def test_a_missing_openvino_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    path = write_network(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"OpenVINO is not installed; run: pip install openvino"):
        runtime_of(path, engine="openvino")


def test_openvino_does_not_report_its_use(tmp_path):
    """The package does so when it is imported, and keeps a file in the home folder for it."""
    need("openvino")
    program = (
        "import sys\n"
        "from pose.inference.openvino_file import openvino_core\n"
        "assert openvino_core('a test').available_devices\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "assert not any(name.startswith('openvino_telemetry.') for name in sys.modules)\n"
    )
    home = {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **home}, check=True)
    assert not list(tmp_path.iterdir())


def test_networks_dropped_in_the_order_they_came_leave_a_process_that_survives_a_signal(tmp_path):
    """Each `openvino.Core` sets a signal stack and may leave one behind that is gone."""
    need("openvino")
    path = write_network(tmp_path / "a.onnx")
    program = (
        "import faulthandler, gc, os, signal, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from pose.inference.openvino_file import open_openvino\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('survived'))\n"
        "first, second = (open_openvino(Path(sys.argv[1]), torch.device('cpu')) for _ in '12')\n"
        "del first; gc.collect()\n"
        "del second; gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "survived\n")


@pytest.fixture
def weights(tmp_path):
    """A weights file of ours, and its config."""
    from pose.build import model_of
    from pose.config import resolve

    cfg = resolve({"model": {"name": "hrnet_small", "input_size": [64, 64]}}, "a test")
    model, _ = model_of(cfg, COCO_17)
    path = tmp_path / "best.safetensors"
    save_weights(path, model.state_dict(), described(cfg, COCO_17))
    return path


def test_weights_of_ours_are_run_by_torch(weights):
    keys = ["test.batch_size=3", "predict.precision=fp32"]
    runtime, cfg = runtime_of(weights, device="cpu", overrides=keys)
    assert runtime.name == "torch on cpu (fp32)"
    assert cfg.test.batch_size == 3
    assert runtime.find(pictures(2))[0].shape == (2, 17, 2)


@pytest.mark.parametrize(
    ("instructions", "precision", "reason"),
    [("amx_bf16", "bf16", "amx_bf16 multiplies"), ("avx2", "fp32", "nothing here multiplies")],
)
def test_the_precision_is_what_the_processor_is_fast_at(
    weights, monkeypatch, caplog, instructions, precision, reason
):
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True}, raising=False)
    runtime, _ = runtime_of(weights, device="cpu")
    assert runtime.name == f"torch on cpu ({precision})"
    assert reason in caplog.text
    exact, _ = runtime_of(weights, device="cpu", overrides=["predict.precision=fp32"])
    assert exact.name == "torch on cpu (fp32)"


@pytest.mark.parametrize("key", ["codec.name=udp", "model.input_size=[32, 32]"])
def test_what_the_weights_were_trained_with_stays(weights, key):
    with pytest.raises(ValueError, match=rf"{key.partition('=')[0]} is .*trained with"):
        runtime_of(weights, device="cpu", overrides=[key])


def test_a_trained_network_of_others_finds_the_people_of_photographs(test_data, engine):
    """The ultralight network, AP about 0.5, in annotated boxes of real photographs."""
    from pose.data.coco import load_coco
    from pose.images import ImageFolder

    runtime, _ = runtime_of(test_data / ULTRALIGHT, engine=engine, device="cpu")
    root = test_data / "coco"
    people = load_coco(root / "annotations/person_keypoints_val2017_gtbox.json")
    images = ImageFolder(root / "images/val2017")
    similarities = []
    for index in range(12):
        person = people[index]
        boxes = Boxes(person.box[None], np.ones(1, np.float32))
        (poses,) = find_poses(runtime, [images.read(person.image)], [boxes])
        sigmas, seen = COCO_17.oks_sigmas(), person.visibility
        similarities.append(oks(poses.keypoints[0], person.keypoints, person.area, sigmas, seen))
    assert np.mean(similarities) > 0.6
