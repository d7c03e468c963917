"""Files that other programs run give what the network gives: maps, and keypoints of every codec."""

import json
import sys

import numpy as np
import pytest
import torch

from pose.codecs import CODECS
from pose.export.parity import compare, graph_look, network_look
from pose.export.writers import OPENERS, SUFFIXES, WRITERS, Order, Written
from pose.inference.runtimes import network_in, points_runtime
from pose.skeleton import COCO_17
from pose.structures import PoseBatch
from tests.export.networks import FLIP_INDEX, SIZE, codec_called, images, need, tiny

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
RUN_BY = {"onnx": (), "openvino": ("openvino",), "torchscript": ()}
STATISTICS = ((0, 0, 0), (1, 1, 1))
TEXTS = {"config": '{"a": "<\\"&>"}', "precision": "fp32", "with_decode": "true"}


def write(folder, target, codec, **others) -> Written:
    order = Order(
        **{
            "model": tiny(codec),
            "codec": codec,
            "flip_index": FLIP_INDEX,
            "precision": "fp32",
            "with_decode": True,
            "texts": TEXTS,
            **others,
        }
    )
    return WRITERS[target](order, folder / f"network{SUFFIXES[target]}")


def batches(*sizes):
    """Batches of these sizes, as an evaluation's loader makes them."""
    for seed, size in enumerate(sizes):
        empty = torch.zeros(size, 17)
        matrices = torch.eye(3, dtype=torch.float64)[:2].expand(size, 2, 3)
        yield PoseBatch(images(size, seed), empty, empty, matrices, torch.arange(size))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(target, name, marks=() if quick else pytest.mark.slow)
        for target in WRITERS
        for name in CODECS
        for quick in [target == "torchscript" or (target, name) == ("onnx", "dark")]
    ],
)
def test_keypoints_from_pixels_with_every_codec(tmp_path, target, name):
    need(*RUN_BY[target])
    codec = codec_called(name)
    written = write(tmp_path, target, codec)
    file, probe = (OPENERS[target](path, CPU) for path in (written.files[0], written.probe))
    find = points_runtime(file, SIZE, codec.pixel_grid, COCO_17).find
    parity = compare(
        network_look(tiny(codec), codec, FLIP_INDEX),
        graph_look(probe, find),
        batches(1, 5, 8),
        codec,
        FLIP_INDEX,
        apart=0.01,
    )
    assert parity.people == 14
    assert parity.maps < 1e-4
    assert parity.scores < 1e-4
    assert parity.distances.max() < 0.01
    assert len(parity.apart) < 0.03 * 14 * 17
    assert set(file.run(images(1).numpy())) == {"keypoints", "scores"}


@pytest.mark.parametrize("target", WRITERS)
def test_maps_of_any_number_of_images(tmp_path, target):
    need(*RUN_BY[target])
    codec = codec_called("gaussian")
    written = write(tmp_path, target, codec, with_decode=False)
    assert written.probe == written.files[0]
    network = network_in(OPENERS[target](written.files[0], CPU), *STATISTICS)
    model = tiny(codec)
    for number in (1, 2, 7):
        with torch.inference_mode():
            expected = model(images(number))
        assert network(images(number)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("target", "precision", "most"),
    [
        pytest.param("onnx", "fp16", 0.02, marks=pytest.mark.slow),
        pytest.param("openvino", "bf16", 0.1, marks=pytest.mark.slow),
        ("torchscript", "bf16", 0.1),
    ],
)
def test_half_the_bits_make_half_the_file_and_nearly_the_maps(tmp_path, target, precision, most):
    need(*RUN_BY[target])
    codec = codec_called("simcc")  # most of its weights are in the linear layers
    model = tiny(codec)
    sizes = []
    for bits in ("fp32", precision):
        texts = {**TEXTS, "precision": bits}
        written = write(tmp_path, target, codec, precision=bits, texts=texts, with_decode=False)
        sizes.append(sum(file.stat().st_size for file in written.files))
    file = OPENERS[target](written.files[0], CPU)
    with torch.inference_mode():
        difference = network_in(file, *STATISTICS)(images(4)) - model(images(4))
    assert difference.abs().max() < most
    assert sizes[1] < 0.75 * sizes[0]


def test_what_a_file_says_of_itself_comes_back_in_both_engines(tmp_path):
    codec = codec_called("gaussian")
    (path,) = write(tmp_path, "onnx", codec).files
    assert OPENERS["onnx"](path, CPU).texts == TEXTS
    need("openvino")
    assert OPENERS["openvino"](path, CPU).texts == TEXTS
    path, weights = write(tmp_path, "openvino", codec).files
    assert OPENERS["openvino"](path, CPU).texts == TEXTS
    assert weights == path.with_suffix(".bin")
    assert weights.is_file()


@pytest.mark.slow
def test_a_file_names_no_folder_of_the_machine_that_wrote_it_and_is_the_same_each_time(tmp_path):
    (path,) = write(tmp_path, "onnx", codec_called("gaussian")).files
    first = path.read_bytes()
    assert b"/pose/" not in first
    assert b".py" not in first
    (path,) = write(tmp_path, "onnx", codec_called("gaussian")).files
    assert path.read_bytes() == first


def test_a_graph_without_the_flip_test_sees_each_image_once(tmp_path):
    codec = codec_called("gaussian")
    written = write(tmp_path, "torchscript", codec, flip_index=None)
    outputs = OPENERS["torchscript"](written.probe, CPU).run(images(3).numpy())
    assert outputs["maps"].shape == (3, 17, 24, 16)
    expected, _ = codec.decode(torch.from_numpy(outputs["maps"]))
    assert np.array_equal(outputs["keypoints"], expected)


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match="onnxscript is not installed; to export run: pip install"):
        write(tmp_path, "onnx", codec_called("gaussian"))


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_the_texts_are_beside_a_torchscript_graph(tmp_path):
    (path,) = write(tmp_path, "torchscript", codec_called("gaussian")).files
    found = {"config": ""}
    torch.jit.load(str(path), _extra_files=found)
    assert json.loads(found["config"]) == json.loads(TEXTS["config"])
