"""`pose train`: starting from other weights, images from a zip file, going on."""

import json
import shutil
import zipfile

import pytest
import torch

from pose.build import model_of
from pose.commands.main import main
from pose.config import load_config
from pose.engine.checkpoints import load_checkpoint
from pose.engine.distributed import Ranks
from pose.models.weights import load_weights, save_weights
from pose.published import described
from pose.skeleton import COCO_17
from pose.structures import People
from tests.commands.quick import untrained

NAMES = ("left_wrist", "right_wrist", "nose", "hat")


@pytest.fixture
def train(drawn, capsys):
    """Runs a tiny training; returns its status and what it said."""

    def run(out, *overrides, data=drawn):
        arguments = ["train", "synthetic/quickstart", f"data.root={data}", "--out", str(out)]
        arguments += ["data.workers=0", "model.input_size=[64, 64]", "train.batch_size=4"]
        arguments += ["train.epochs=1", "--device", "cpu", *overrides]
        return main(arguments), capsys.readouterr().err

    return run


def losses(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_init_takes_the_trunk_and_the_keypoints_of_the_same_name(train, drawn, tmp_path):
    cfg = load_config("synthetic/quickstart", ["model.input_size=[64, 64]"])
    torch.manual_seed(5)
    model, _ = model_of(cfg, COCO_17)
    source = tmp_path / "start.safetensors"
    save_weights(source, model.state_dict(), described(cfg, COCO_17))
    data = shutil.copytree(drawn, tmp_path / "set")
    rows = [COCO_17.keypoints.index(name) for name in NAMES[:3]]
    for path in (data / "annotations").iterdir():
        content = json.loads(path.read_text())
        content["categories"][0].update(keypoints=NAMES, skeleton=[[1, 3], [2, 3], [3, 4]])
        for annotation in content["annotations"]:
            old = annotation["keypoints"]
            kept = [value for row in rows for value in old[3 * row : 3 * row + 3]]
            annotation["keypoints"] = [*kept, 0, 0, 0]
        path.write_text(json.dumps(content))
    # A rate of nothing: what is written at the end is what the run began with.
    still = ("train.lr=1e-12", "train.weight_decay=0", "train.warmup_steps=0")
    status, said = train(tmp_path / "out", f"init={source}", *still, data=data)
    assert status == 0 and f"{source}: trunk and 3 keypoints taken over; fresh: hat" in said
    before, after = load_weights(source), load_weights(tmp_path / "out/best.safetensors")
    learnt = [name for name, _ in model.named_parameters() if not name.startswith("final_layer")]
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in learnt)
    head = "final_layer.weight"
    assert after[head].shape[0] == 4
    assert torch.allclose(after[head][:3], before[head][rows], atol=1e-9)


def test_images_from_a_zip_file_train_the_same(train, drawn, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "set")
    with zipfile.ZipFile(data / "images/train.zip", "w") as archive:
        for image in sorted((data / "images/train").iterdir()):
            archive.write(image, image.name)
    shutil.rmtree(data / "images/train")
    assert train(tmp_path / "folder")[0] == 0
    assert train(tmp_path / "zip", "data.train_images=images/train.zip", data=data)[0] == 0
    assert losses(tmp_path / "zip") == losses(tmp_path / "folder")


def test_a_finished_run_gone_on_with_stays_as_it_is(train, tmp_path):
    assert train(tmp_path)[0] == 0
    before = load_checkpoint(tmp_path / "latest.pt")
    assert train(tmp_path, "--resume")[0] == 0
    after = load_checkpoint(tmp_path / "latest.pt")
    assert after["step"] == before["step"] and len(losses(tmp_path)) == 1
    assert all(torch.equal(before["model"][name], after["model"][name]) for name in before["model"])
    status, said = train(tmp_path)
    assert status == 2 and "already holds a run; add --resume" in said


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_gone_on_with_says_so_and_writes_nothing(train, tmp_path):
    assert train(tmp_path)[0] == 0
    before = contents(tmp_path)
    status, said = train(tmp_path, "--resume")
    assert status == 0 and contents(tmp_path) == before
    # Whatever the words, they tell a finished run from one that trains on.
    assert "finished" in said or "nothing to do" in said


def test_a_refused_run_leaves_the_folder_alone(train, tmp_path):
    assert train(tmp_path)[0] == 0
    before = contents(tmp_path)
    status, said = train(tmp_path)
    lines = [line for line in said.splitlines() if line.startswith("pose: error: ")]
    assert status == 2 and len(lines) == 1 and str(tmp_path) in lines[0]
    assert contents(tmp_path) == before


def test_init_of_another_network_is_refused(train, tmp_path):
    source = untrained(tmp_path / "other.safetensors", "model.name=hrnet_w18")
    status, said = train(tmp_path / "out", f"init={source}")
    assert status == 2 and f"{source}: not the weights of this network" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def crops(tmp_path, monkeypatch):
    """Where the crop cache would be made."""
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/crops"


def test_another_config_is_refused_before_the_cache_is_made(train, crops, tmp_path):
    assert train(tmp_path / "run")[0] == 0
    status, said = train(tmp_path / "run", "--resume", "data.cache=true", "train.save_minutes=3")
    assert status == 2 and said.rstrip().endswith("another config: data.cache was False, is True")
    assert not crops.exists()


def test_a_finished_run_makes_no_cache(train, crops, tmp_path):
    assert train(tmp_path / "run", "data.cache=true")[0] == 0
    shutil.rmtree(crops)
    status, said = train(tmp_path / "run", "--resume", "data.cache=true", "train.save_minutes=3")
    assert status == 0 and "the run is finished; nothing to do" in said
    assert not crops.exists()


def test_validation_data_is_read_before_the_cache_is_made(train, crops, data, tmp_path):
    path = data / "annotations/person_keypoints_val.json"
    path.write_text("{")
    status, said = train(tmp_path / "run", "data.cache=true", data=data)
    assert status == 2 and f"pose: error: {path}: " in said
    assert not crops.exists() and not (tmp_path / "run").exists()


def test_the_first_process_reads_the_annotations_before_the_others(train, monkeypatch, tmp_path):
    """What it leaves in the user's cache folder they map."""
    given = []

    def noted(self, action):
        given.append(action())
        return given[-1]

    monkeypatch.setattr(Ranks, "main_first", noted)
    assert train(tmp_path / "run")[0] == 0
    assert any(isinstance(result, People) for result in given)
