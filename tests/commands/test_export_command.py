"""`pose export` from end to end: the file, its certificate, what reads them, what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pose import build_export
from pose.build import load_network, model_of
from pose.build_runtime import runtime_of
from pose.commands import main as command_line
from pose.commands.main import main
from pose.config import resolve
from pose.export.writers import WRITERS
from pose.files import sha256_of
from pose.geometry import Crop
from pose.images import write_image
from pose.inference.predictor import Predictor
from pose.models.weights import save_weights
from pose.published import described
from pose.skeleton import COCO_17, Skeleton
from tests.export.networks import need

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

DOCS = Path(__file__).resolve().parents[2] / "docs"
SIZE = [64, 96]


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setitem(command_line.COMMANDS, "export", "Weights and export")
    monkeypatch.setattr("pose.export.certificate.SECONDS", 0.1)


def write_weights(folder, drawn, codec="udp", skeleton=COCO_17):
    """Fresh weights with batch norms and a final layer that let the picture through to the maps."""
    layer = {
        "model": {"name": "hrnet_small", "input_size": SIZE},
        "codec": {"name": codec},
        "data": {
            "root": str(drawn),
            "train_annotations": "annotations/person_keypoints_train.json",
            "train_images": "images/train",
            "val_annotations": "annotations/person_keypoints_val.json",
            "val_images": "images/val",
        },
    }
    cfg = resolve(layer, "a test")
    model, _ = model_of(cfg, skeleton)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (8, 3, 96, 64), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        model.get_parameter("final_layer.weight").normal_(std=0.02, generator=generator)
        model.train()(pictures)
    save_weights(folder / "best.safetensors", model.state_dict(), described(cfg, skeleton))
    return folder / "best.safetensors"


@pytest.fixture(scope="module")
def weights(drawn, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("run"), drawn)


@pytest.fixture(scope="module")
def exported(weights):
    """keypoints.onnx, with decoding."""
    out = weights.parent / "out" / "keypoints.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command_line.COMMANDS, "export", "Weights and export")
        patch.setattr("pose.export.certificate.SECONDS", 0.1)
        line = ["export", str(weights), "--to", "onnx", "--with-decode", "--out", str(out)]
        assert main(line) == 0
    return out


def certificate_of(path):
    return json.loads(path.with_name(f"{path.name}.certificate.json").read_text())


def test_the_file_its_certificate_and_nothing_else(exported, weights):
    assert {file.name for file in exported.parent.iterdir()} == {
        "keypoints.onnx",
        "keypoints.onnx.certificate.json",
    }
    text = certificate_of(exported)
    assert text["weights"]["sha256"] == sha256_of(weights)
    assert [file["sha256"] for file in text["files"]] == [sha256_of(exported)]
    assert text["files"][0]["file"] == "keypoints.onnx"
    assert text["maps"]["largest_difference"] < 1e-4
    assert text["keypoints"]["max_px"] <= text["bounds"]["keypoints"] == 0.01
    assert text["keypoints"]["points"] + text["keypoints"]["apart"] == 17 * text["crops"]["people"]
    assert text["figures"]["AP"].keys() == {"before", "after"}
    assert text["crops"]["annotations"]["file"] == "person_keypoints_val.json"
    assert text["crops"]["images"] == 2
    assert text["speed"]["batch 8"].keys() == {"before", "after"}
    assert {"torch", "onnx", "onnxruntime"} <= text["versions"].keys()
    assert text["export"]["with_decode"] is True


def test_it_predicts_as_the_weights_do(exported, weights):
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    boxes = np.array([[10, 10, 60, 100], [70, 5, 150, 118]], np.float32)
    ours, cfg = runtime_of(exported, device="cpu")
    theirs, _ = runtime_of(weights, device="cpu", overrides=["predict.precision=fp32"])
    assert cfg.model.name == "hrnet_small"
    assert ours.skeleton is COCO_17
    assert (ours.input_size, ours.pixel_grid) == (theirs.input_size, theirs.pixel_grid)
    found, expected = Predictor(ours)(image, boxes), Predictor(theirs)(image, boxes)
    close = np.linalg.norm(found.keypoints - expected.keypoints, axis=-1) < 0.05
    assert close.mean() > 0.9  # fresh weights: some points hang on the last bit
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)


def test_the_flip_test_inside_stays(exported):
    with pytest.raises(ValueError, match=r"test\.flip=true is inside its graph"):
        runtime_of(exported, device="cpu", overrides=["test.flip=false"])
    with pytest.raises(ValueError, match=r"codec\.name is dark, .* was trained with udp"):
        runtime_of(exported, device="cpu", overrides=["codec.name=dark"])


def test_damaged_metadata_is_one_line(exported, tmp_path):
    import onnx

    model = onnx.load(exported)
    for text in ("{", "[]", "{}"):
        onnx.helper.set_model_props(model, {"config": text})
        onnx.save(model, tmp_path / "a.onnx")
        with pytest.raises(ValueError, match="its metadata is damaged"):
            runtime_of(tmp_path / "a.onnx", device="cpu")


def test_the_program_of_the_page_needs_no_pose(exported, tmp_path):
    """docs/export.md: what it prints is what `pose` finds."""
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.S)
    (tmp_path / "program.py").write_text(f"{program}assert 'pose' not in sys.modules\n")
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 256, (15, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    write_image(tmp_path / "photo.png", image)
    box = ["12", "8", "71", "110.5"]
    line = [sys.executable, "program.py", str(exported), "photo.png", *box]
    printed = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    rows = [row.split() for row in printed.splitlines()]
    assert tuple(row[0] for row in rows) == COCO_17.keypoints
    runtime, _ = runtime_of(exported, device="cpu")
    poses = Predictor(runtime)(image, np.array([box], np.float32))
    found = np.array([row[1:] for row in rows], float)
    # printed with a digit; the crop's matrix is float64 here and there
    assert found[:, :2] == pytest.approx(poses.keypoints[0], abs=0.06)
    assert found[:, 2] == pytest.approx(poses.scores[0], abs=0.006)


def test_both_grids_have_the_crop_of_the_page():
    """The page's matrix is that of `Crop`, on either grid."""
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.S)
    lines = program[program.index("x1, y1, x2, y2 =") : program.index("image = cv2")]
    for grid in ("published", "udp"):
        names = {"np": np, "box": ["3", "5", "80", "60"], "texts": {"pixel_grid": grid}}
        names |= {"width": 64, "height": 96}
        exec(lines, names)
        expected = Crop.of_box(np.array([3, 5, 80, 60]), (64, 96), grid=grid)
        assert names["matrix"] == pytest.approx(expected.matrix, abs=1e-9)


def test_a_file_that_is_another_network_is_not_written(weights, tmp_path, monkeypatch, capsys):
    def write(order, path):
        bias = order.model.get_parameter("final_layer.bias")
        with torch.no_grad():
            bias += 0.05
            try:
                return WRITERS["torchscript"](order, path)
            finally:
                bias -= 0.05

    monkeypatch.setattr(build_export, "WRITERS", {"torchscript": write})
    out = tmp_path / "a.torchscript"
    out.write_bytes(b"an older one")
    line = ["export", str(weights), "--to", "torchscript", "--out", str(out), "--overwrite"]
    assert main(line) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"pose: error: {out}: not written: its maps differ by up to 0.05 ")
    assert "(allowed 0.0001)" in error
    assert out.read_bytes() == b"an older one"
    assert list(tmp_path.iterdir()) == [out]


def test_a_coarser_file_is_judged_by_ap(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "a.torchscript"
    line = ["export", str(weights), "--to", "torchscript", "--precision", "bf16"]
    line += ["--out", str(out), "test.flip=false"]
    assert main([*line, "--max-ap-loss", "-0.5"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"AP falls from 0\.\d+ to 0\.\d+ \(allowed -0\.5\); take another", error)
    assert not list(tmp_path.iterdir())
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "torch fp32  this file" in printed
    assert f"certificate: {out}.certificate.json" in printed
    text = certificate_of(out)
    assert (text["export"]["flip"], text["bounds"]["loss"]) == (False, 0.003)


def test_the_default_name_lies_beside_the_weights(weights, capsys):
    assert main(["export", str(weights), "--to", "torchscript"]) == 0
    assert (weights.parent / "best.torchscript").is_file()
    assert f"file: {weights.parent / 'best.torchscript'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--to onnx --precision bf16", "take --precision fp16, which is as small"),
        ("--to torchscript --precision int8", "take --to onnx or --to openvino"),
        ("--to torchscript --precision fp16", "take --precision bf16"),
        ("--to onnx --calibration crops", "only --precision int8 is calibrated"),
        ("--to onnx --max-ap-loss 0.1", "fp32 must be the same network"),
        ("--to onnx --out a.xml", "writes a file that ends in .onnx"),
        ("--to caffe", "invalid choice: 'caffe'"),
        ("", "the following arguments are required: --to"),
        ("--to onnx codec.name=dark", "codec.name is dark"),
        ("--to onnx data.root=nowhere", "person_keypoints_val.json: no such file of a validation"),
        ("--to onnx --precision int8 --calibration nowhere", "nowhere: no such folder of images"),
    ],
)
def test_mistakes_are_one_line(weights, line, words, capsys):
    assert main(["export", str(weights), *line.split()]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_weights_that_are_none_are_one_line(tmp_path, capsys):
    (tmp_path / "a.onnx").write_bytes(b"abc")
    assert main(["export", str(tmp_path / "a.onnx"), "--to", "onnx"]) == 2
    assert "exported for other programs" in capsys.readouterr().err
    assert main(["export", "hrnet_w99", "--to", "onnx"]) == 2
    assert "hrnet_w99: no such weights file" in capsys.readouterr().err


def test_without_a_set_pictures_are_drawn(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pose.build_small_set.NUM_IMAGES", 2)
    weights = write_weights(tmp_path, tmp_path / "gone")
    assert main(["export", str(weights), "--to", "torchscript"]) == 0
    assert "is compared on 2 drawn pictures; name yours with data.root" in capsys.readouterr().err
    assert certificate_of(tmp_path / "best.torchscript")["crops"]["drawn"] is True


def test_another_skeleton_has_no_ap_on_drawn_people(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pose.build_small_set.NUM_IMAGES", 2)
    dog = Skeleton("dog", ("nose", "tail"))
    weights = write_weights(tmp_path, tmp_path / "gone", skeleton=dog)
    line = ["export", str(weights), "--to", "torchscript"]
    assert main([*line, "--precision", "bf16"]) == 2
    assert "is judged by AP, and there are no people here labelled" in capsys.readouterr().err
    assert main(line) == 0
    assert certificate_of(tmp_path / "best.torchscript")["figures"] is None
    assert load_network(weights).skeleton.keypoints == ("nose", "tail")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_int8_from_a_folder_and_from_the_training_set(weights, drawn, tmp_path, target, capsys):
    if target == "openvino":
        need("openvino", "nncf")
    out = tmp_path / ("a.onnx" if target == "onnx" else "a.xml")
    line = ["export", str(weights), "--to", target, "--precision", "int8", "--out", str(out)]
    assert main([*line, "--calibration", str(drawn / "images/train")]) == 0
    assert certificate_of(out)["calibration"] == {"folder": "train", "crops": 4}
    assert main([*line, "--with-decode", "--overwrite"]) == 0
    text = certificate_of(out)
    assert text["calibration"]["annotations"]["file"] == "person_keypoints_train.json"
    assert len(text["files"]) == (1 if target == "onnx" else 2)
    runtime, _ = runtime_of(out, device="cpu")
    pictures = torch.zeros(3, 3, SIZE[1], SIZE[0], dtype=torch.uint8)
    assert runtime.find(pictures)[0].shape == (3, 17, 2)
