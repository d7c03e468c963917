"""What goes wrong in people's hands, through the whole command: one line that says what and where,
exit status 2, nothing half-written."""

import json

import pytest

from pose.build import model_of
from pose.config import load_config
from pose.models.weights import save_weights
from pose.published import described
from pose.skeleton import COCO_17, skeleton_from_category
from tests.commands.quick import QUICK, untrained

TRAIN = "annotations/person_keypoints_train.json"


def train(data, out, *overrides):
    given = [f"data.root={data}", *QUICK, *overrides, "--device", "cpu", "--out", out]
    return ["train", "synthetic/quickstart", *given]


def test_a_misspelt_key_on_the_command_line(mistake, data, tmp_path):
    line = mistake(*train(data, tmp_path / "out", "train.epoch=3"))
    assert line.startswith("command line: unknown key train.epoch; did you mean 'epochs'?")
    assert not (tmp_path / "out").exists()


def test_a_misspelt_key_in_a_file(mistake, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("train: {learning_rate: 0.1}\n")
    line = mistake("train", config, "--out", tmp_path / "out")
    assert line.startswith(f"{config}: ") and "learning_rate" in line
    assert not (tmp_path / "out").exists()


def test_a_missing_annotation_file(mistake, data, tmp_path):
    (data / TRAIN).unlink()
    assert mistake(*train(data, tmp_path / "out")) == f"{data / TRAIN}: no such file"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_jpeg(mistake, data, tmp_path, workers):
    for image in (data / "images/train").iterdir():
        image.write_bytes(image.read_bytes()[:2000])
    line = mistake(*train(data, tmp_path / "out", f"data.workers={workers}"))
    assert line.startswith(str(data / "images/train")) and "truncated" in line


def test_an_annotation_without_keypoints(mistake, data, tmp_path):
    content = json.loads((data / TRAIN).read_text())
    del content["annotations"][1]["keypoints"]
    (data / TRAIN).write_text(json.dumps(content))
    line = mistake(*train(data, tmp_path / "out"))
    number = content["annotations"][1]["id"]
    assert line.startswith(f"{data / TRAIN}: annotation {number}: has no 'keypoints'")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network(mistake, data, tmp_path):
    file = untrained(tmp_path / "w18.safetensors", "model.name=hrnet_w18")
    evaluate = ["evaluate", "synthetic/quickstart", f"data.root={data}", "--boxes", "gt"]
    line = mistake(*evaluate, "--weights", file, "--out", tmp_path / "out")
    assert line.startswith(f"{file}: model.name is hrnet_small in the config, hrnet_w18 in the wei")
    line = mistake(*train(data, tmp_path / "out", f"init={file}"))
    assert line.startswith(f"{file}: not the weights of this network")
    assert not (tmp_path / "out").exists()


def test_weights_of_other_keypoints(mistake, data, tmp_path):
    category = {"name": "hand", "keypoints": ["wrist", "thumb", "nose"], "skeleton": [[1, 2]]}
    skeleton = skeleton_from_category(category, "here")
    file = untrained(tmp_path / "hand.safetensors", skeleton=skeleton)
    evaluate = ["evaluate", "synthetic/quickstart", f"data.root={data}", "--boxes", "gt"]
    line = mistake(*evaluate, "--weights", file, "--out", tmp_path / "out")
    assert "the annotations have 17 keypoints, the weights 3" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"not weights at all", b"PK\x03\x04 cut off"])
def test_weights_that_are_none(mistake, data, tmp_path, content):
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)
    image = data / "images/val/000000000001.jpg"
    line = mistake(
        "predict", image, "--weights", file, "--boxes", "1,1,50,90", "--out", tmp_path / "o"
    )
    assert line.startswith(f"{file}: ") and not (tmp_path / "o").exists()


def test_a_config_inside_weights_is_checked_like_one_of_a_file(mistake, data, tmp_path):
    cfg = load_config("synthetic/quickstart")
    model, _ = model_of(cfg, COCO_17)
    inside = described(cfg, COCO_17)
    inside["model"]["input_size"] = [100, 128]
    file = tmp_path / "odd.safetensors"
    save_weights(file, model.state_dict(), inside)
    image = data / "images/val/000000000001.jpg"
    line = mistake(
        "predict", image, "--weights", file, "--boxes", "1,1,50,90", "--out", tmp_path / "o"
    )
    assert line.startswith(f"{file}: config: model.input_size is [100, 128]; expected [width, ")


def test_a_missing_detection_file(mistake, data, tmp_path):
    file = untrained(tmp_path / "small.safetensors")
    evaluate = ["evaluate", "synthetic/quickstart", f"data.root={data}", "--weights", file]
    missing = tmp_path / "detections.json"
    line = mistake(*evaluate, "--boxes", missing, "--out", tmp_path / "out")
    assert line == f"{missing}: no such file" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, "[1, 2", '{"a": 1}'])
def test_a_result_file_that_is_none(mistake, data, tmp_path, content):
    file = tmp_path / "results.json"
    if content is not None:
        file.write_text(content)
    truth = data / "annotations/person_keypoints_val.json"
    line = mistake("score", file, "--annotations", truth, "--json", tmp_path / "figures.json")
    assert line.startswith(f"{file}: ") and not (tmp_path / "figures.json").exists()


def test_training_data_without_a_labelled_keypoint_stops_at_once(mistake, data, tmp_path):
    """Nobody trains for hours on nothing."""
    content = json.loads((data / TRAIN).read_text())
    for annotation in content["annotations"]:
        annotation["keypoints"] = [0] * 51
        annotation["num_keypoints"] = 0
    (data / TRAIN).write_text(json.dumps(content))
    line = mistake(*train(data, tmp_path / "out"))
    assert line.startswith(f"{data / TRAIN}: no person with labelled keypoints")
    assert not (tmp_path / "out").exists()
