"""int8: what becomes of a graph when it is quantized, and what must not."""

import logging

import numpy as np
import pytest
import torch

from pose.export.calibration import batches, names_behind, nodes_before
from pose.export.quiet import quiet
from pose.export.writers import OPENERS
from pose.inference.openvino_file import openvino_core
from tests.export.networks import FLIP_INDEX, codec_called, images, need, tiny
from tests.export.test_writers import write

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """A quantized ONNX file that decodes, with the maps beside, and the codec."""
    codec = codec_called("dark")
    crops = images(40).numpy()  # those looked at below are among them
    folder = tmp_path_factory.mktemp("int8")
    return write(folder, "onnx", codec, precision="int8", crops=crops), codec


def test_only_the_layers_are_quantized_and_the_last_is_not(quantized):
    graph = onnx.load(quantized[0].files[0]).graph
    makers = {name: node for node in graph.node for name in node.output}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    from_integers = [
        all(makers[name].op_type == "DequantizeLinear" for name in node.input[:2] if name in makers)
        and node.input[1] in makers
        for node in convs
    ]
    # two of the trunk, the final layer, and two in which `dark` blurs
    assert from_integers == [True, True, False, False, False]
    behind = set(map(id, graph.node)) - set(map(id, nodes_before(graph_of(graph), "maps")))
    assert not any("Quantize" in node.op_type for node in graph.node if id(node) in behind)


def graph_of(graph):
    """What `nodes_before` takes: something with a graph."""
    return type("Model", (), {"graph": graph})


def test_it_still_finds_about_the_same(quantized):
    written, codec = quantized
    probe = OPENERS["onnx"](written.probe, CPU).run(images(6).numpy())
    model = tiny(codec)
    with torch.inference_mode():
        maps = model(torch.cat([images(6), images(6).flip(-1)])).numpy()
    difference = np.abs(probe["maps"] - maps)
    assert 0 < difference.max() < 0.1 * np.abs(maps).max()
    assert difference.mean() < 0.01 * np.abs(maps).max()
    looks = torch.from_numpy(probe["maps"]).split(6)
    mean = (looks[0] + codec.unflip(looks[1], FLIP_INDEX)) / 2
    decoded, scores = codec.decode(mean)
    assert np.median(np.abs(probe["keypoints"] - decoded.numpy())) < 1e-3
    assert probe["scores"] == pytest.approx(scores.numpy(), abs=1e-4)


def test_quantizing_leaves_no_trace_in_the_logs(tmp_path, capsys):
    root = logging.getLogger()
    before = list(root.handlers)
    with quiet():
        logging.warning("about its own affairs")  # would give the root logger a handler
        print("progress")
    assert root.handlers == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_quantizing_leaves_the_handlers_of_others_as_they_are(tmp_path):
    """nncf's own way to be quiet set the level of each handler on its logger: the caller's too."""
    need("openvino", "nncf")
    import nncf  # noqa: F401  (gives its logger a class of its own)

    logger, handler = logging.getLogger("nncf"), logging.NullHandler()
    before = logger.level
    logger.addHandler(handler)
    try:
        write(tmp_path, "openvino", codec_called("dark"), precision="int8", crops=images(2).numpy())
    finally:
        logger.removeHandler(handler)
    assert (handler.level, logger.level) == (logging.NOTSET, before)


def test_batches_hold_every_crop_once():
    crops = np.arange(70)
    assert [len(part) for part in batches(crops)] == [32, 32, 6]
    assert np.concatenate(list(batches(crops))).tolist() == crops.tolist()


@pytest.mark.slow
def test_openvino_is_quantized_up_to_the_maps(tmp_path):
    need("openvino", "nncf")
    codec = codec_called("dark")
    crops = images(40).numpy()  # those looked at below are among them
    written = write(tmp_path, "openvino", codec, precision="int8", crops=crops)
    network = openvino_core("a test").read_model(written.probe)
    behind = set(names_behind(network, "maps"))
    assert behind
    operations = [(op.get_type_name(), op.get_friendly_name()) for op in network.get_ops()]
    quantizing = [name for kind, name in operations if kind == "FakeQuantize"]
    assert len(quantizing) >= 3
    assert not behind & set(quantizing)
    outputs = OPENERS["openvino"](written.probe, CPU).run(images(6).numpy())
    with torch.inference_mode():
        maps = tiny(codec)(torch.cat([images(6), images(6).flip(-1)])).numpy()
    assert np.abs(outputs["maps"] - maps).mean() < 0.01 * np.abs(maps).max()


@pytest.mark.slow
def test_openvino_reads_ranges_off_each_crop_by_itself(tmp_path):
    need("openvino", "nncf")
    crops = images(40).numpy()
    crops[::2] //= 8  # every second one is dark, and has ranges of its own
    found = []
    for name, order in (("mixed", np.arange(40)), ("sorted", np.r_[0:40:2, 1:40:2])):
        folder = tmp_path / name
        folder.mkdir()
        of = {"precision": "int8", "crops": crops[order]}
        written = write(folder, "openvino", codec_called("dark"), **of)
        found.append(OPENERS["openvino"](written.probe, CPU).run(images(6).numpy())["maps"])
    assert np.abs(found[0] - found[1]).max() < 1e-4 * np.abs(found[0]).max()
