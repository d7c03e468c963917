"""Two streams of OpenVINO share the images of a call, and give what one gives."""

import numpy as np
import pytest
import torch

from pose.inference.openvino_file import open_openvino
from tests.inference.test_runtimes import pictures, write_network

pytest.importorskip("openvino")

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_two_streams_give_what_one_gives(tmp_path, two_threads, number):
    path = write_network(tmp_path / "a.onnx", kind="uint8")
    images = pictures(number).numpy()
    one, two = (open_openvino(path, CPU, streams).run(images)["maps"] for streams in (1, 2))
    assert one.shape[0] == number
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("shape", "threads", "expected"),
    [(("batch", 3, 64, 64), 2, 2), (("batch", 3, 64, 64), 1, 1), ((1, 3, 64, 64), 2, 1)],
)
def test_streams_are_taken_where_they_pay(
    tmp_path, two_threads, monkeypatch, shape, threads, expected
):
    """Several threads, and several images in a call; a call of one image has all threads."""
    torch.set_num_threads(threads)
    asked = []

    class Core:
        def __init__(self, core):
            self.core = core

        def compile_model(self, model, device, settings):
            asked.append(settings["NUM_STREAMS"])
            return self.core.compile_model(model, device, settings)

        def __getattr__(self, name):
            return getattr(self.core, name)

    from pose.inference import openvino_file

    real = openvino_file.openvino_core("a test")
    monkeypatch.setattr(openvino_file, "openvino_core", lambda wanted_by: Core(real))
    network = open_openvino(write_network(tmp_path / "a.onnx", shape, kind="uint8"), CPU)
    assert asked == [expected]
    for number in (3, 1, 1, 2):
        assert len(network.run(pictures(number).numpy())["maps"]) == number
    assert asked == ([2, 1] if expected == 2 else [1])
