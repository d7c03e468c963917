"""`pose evaluate` of networks in files: ours by what they say, those of others as the config is."""

import json

import pytest

from pose.commands.main import main
from pose.files import sha256_of
from tests.export.networks import need

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CONFIG = "synthetic/hrnet_small"


@pytest.fixture(scope="module")
def files(drawn, tmp_path_factory):
    """The network that ships, as files of each kind."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pose.export.certificate.SECONDS", 0.1)
        for target, name in (("onnx", "a.onnx"), ("openvino", "a.xml")):
            if target == "openvino":
                need("openvino")
            line = ["export", "hrnet_small", "--to", target, "--out", str(folder / name)]
            assert main([*line, f"data.root={drawn}"]) == 0
    return folder


@pytest.fixture
def receipt(drawn, tmp_path, capsys):
    """Evaluates on the two pictures with the keys given; returns the receipt."""

    def run(weights, *keys):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        line = ["evaluate", CONFIG, "--weights", str(weights), "--boxes", "gt", "--out", str(out)]
        assert main([*line, f"data.root={drawn}", "data.workers=0", *keys]) == 0
        capsys.readouterr()
        return json.loads((out / "receipt.json").read_text())

    return run


@pytest.fixture
def refused(mistake, drawn):
    def run(weights, *keys):
        line = ["evaluate", CONFIG, "--weights", weights, "--boxes", "gt", f"data.root={drawn}"]
        return mistake(*line, *keys)

    return run


@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
def test_the_figures_are_those_of_the_weights(name, files, receipt, tmp_path, capsys):
    weights, file = receipt("hrnet_small"), receipt(files / name)
    assert weights["figures"]["AP"] > 0.3
    assert file["figures"] == pytest.approx(weights["figures"], abs=1e-3)
    engine = {"a.onnx": "onnxruntime", "a.xml": "openvino"}[name]
    expected = {"name": engine, "device": "cpu", "precision": "fp32", "compile": "none"}
    assert file["runtime"] == expected
    assert weights["runtime"] == {**expected, "name": "torch"}
    assert file["protocol"] == weights["protocol"] and file["recipe"] == weights["recipe"]
    assert main(["compare", *(str(tmp_path / folder) for folder in ("out0", "out1"))]) == 0
    assert f"runtime.name: torch, {engine}" in capsys.readouterr().err


def test_both_files_of_openvino_are_hashed(files, receipt):
    found = receipt(files / "a.xml")["weights"]
    assert found["sha256"] == {name: sha256_of(files / name) for name in ("a.xml", "a.bin")}


def stranger(files, path, **texts):
    """The same network, but for what it says of itself."""
    model = onnx.load(files / "a.onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)
    return path


def test_a_file_of_others_is_taken_for_the_network_of_the_config(files, receipt, tmp_path, refused):
    path = stranger(files, tmp_path / "b.onnx")
    found, ours = receipt(path), receipt(files / "a.onnx")
    assert found["figures"] == ours["figures"] and found["network"] is None
    assert found["runtime"]["precision"] == "as in the file" and found["recipe"] == {}
    # The file beside it has the last word, and the config must agree.
    path.with_suffix(".yaml").write_text("codec: {name: dark}\n")
    assert "codec.name is udp in the config, dark in the weights" in refused(path)
    path.with_suffix(".yaml").write_text("codec: {name: udp}\n")
    assert receipt(path)["figures"] == ours["figures"]


def test_a_config_of_another_network_is_refused(files, refused):
    said = refused(files / "a.onnx", "codec.sigma=3")
    assert said.startswith(f"{files / 'a.onnx'}: codec.sigma is 3.0 in the config, ")
    assert "model.input_size is [64, 64] in the config, " in refused(
        files / "a.onnx", "model.input_size=[64,64]"
    )


@pytest.mark.parametrize("key", ["test.precision=bf16", "test.compile=compile"])
def test_keys_that_only_weights_heed_are_refused(key, files, refused):
    name, value = key.split("=")
    assert f"{name}: is {value}, and {files / 'a.onnx'} is computed as it was made" in refused(
        files / "a.onnx", key
    )


def test_without_the_flip_test(files, receipt):
    found = receipt(files / "a.onnx", "test.flip=false")
    assert found["protocol"]["flip"] is False
    weights = receipt("hrnet_small", "test.flip=false")
    assert found["figures"] == pytest.approx(weights["figures"], abs=1e-3)
