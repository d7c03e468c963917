"""MPII from its files to `pred.mat`: drawn people written in the published layout, trained on and
evaluated by the commands.
"""

import json
import shutil

import numpy as np
import pytest

from pose.build_data import load_boxes, load_people
from pose.commands.main import main
from pose.config import load_config
from pose.data.coco import load_coco
from pose.data.synthetic import write_synthetic
from pose.files import sha256_of
from pose.mat_files import write_mat
from pose.metrics.mpii_files import NAMES, read_predictions, read_truth
from pose.skeleton import MPII_16

SMALL = ["model.name=hrnet_small", "model.input_size=[64, 64]", "data.workers=0"]
QUICK = ["train.epochs=1", "train.batch_size=4", "train.sheet_every=1", "test.flip=true"]


def in_mpii_form(people):
    """Entries of the published json: counted from 1, one square of 200 * scale a person."""
    entries = []
    for person in people:
        size = max(person.box[2:] - person.box[:2])
        points, seen = np.zeros((16, 2)), np.zeros(16, int)
        for row, name in enumerate(MPII_16.keypoints):
            if name in people.skeleton.keypoints:
                column = people.skeleton.index(name)
                seen[row] = person.visibility[column] > 0
                points[row] = (person.keypoints[column] + 1) * seen[row]
        scale = size / 200
        center = (person.box[:2] + person.box[2:]) / 2 + 1 - (0, 15 * scale)
        entries.append(
            {
                "image": person.image,
                "center": center.tolist(),
                "scale": float(scale),
                "joints": points.tolist(),
                "joints_vis": seen.tolist(),
            }
        )
    return entries


def truth_of(entries):
    """gt_valid.mat, with heads of 30 x 40 pixels."""
    joints = np.array([entry["joints"] for entry in entries])
    heads = np.tile(np.array([[0.0, 0.0], [30.0, 40.0]])[..., None], len(entries))
    return {
        "jnt_missing": 1 - np.array([entry["joints_vis"] for entry in entries]).T,
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": heads,
        "dataset_joints": np.array([list(NAMES)], dtype=object),
    }


@pytest.fixture(scope="module")
def mpii(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpii")
    write_synthetic(folder / "drawn", {"train": 6, "val": 4}, seed=3, num_processes=1)
    for split, name in (("train", "train"), ("val", "valid")):
        people = load_coco(folder / f"drawn/annotations/person_keypoints_{split}.json")
        entries = in_mpii_form(people)
        write_split(folder, name, entries, folder / f"drawn/images/{split}")
    return folder, entries


@pytest.fixture(scope="module")
def photos(tmp_path_factory, test_data):
    """MPII's own photographs and entries, with a ground truth of these five people."""
    folder = tmp_path_factory.mktemp("photos")
    entries = json.loads((test_data / "mpii/test_mpii.json").read_text())
    for name in ("train", "valid"):
        write_split(folder, name, entries, test_data / "mpii/images")
    return folder, entries


def write_split(folder, name, entries, images):
    (folder / "annot").mkdir(exist_ok=True)
    (folder / f"annot/{name}.json").write_text(json.dumps(entries))
    write_mat(folder / f"annot/gt_{name}.mat", truth_of(entries))
    shutil.copytree(images, folder / "images", dirs_exist_ok=True)


@pytest.mark.parametrize("people", ["mpii", "photos"])
def test_train_evaluate_and_score_give_one_figure(people, request, tmp_path, capsys):
    folder, entries = request.getfixturevalue(people)
    run, found = tmp_path / "run", tmp_path / "found"
    config = ["mpii/hrnet_w32_256x256", f"data.root={folder}", *SMALL, *QUICK]
    assert main(["train", *config, "--out", str(run), "--device", "cpu"]) == 0
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["metrics"]
    weights = str(run / "best.safetensors")
    command = ["evaluate", *config, "--weights", weights, "--boxes", "gt", "--out", str(found)]
    assert main([*command, "--device", "cpu"]) == 0
    receipt = json.loads((found / "receipt.json").read_text())
    assert next(iter(receipt["figures"])) == "PCKh@0.5" and receipt["figures"] == last
    assert read_predictions(found / "pred.mat").shape == (len(entries), 16, 2)
    capsys.readouterr()
    truth = folder / "annot/gt_valid.mat"
    assert receipt["annotations"]["truth"] == {"file": "gt_valid.mat", "sha256": sha256_of(truth)}
    out = tmp_path / "figures.json"
    scored = ["score", str(found / "pred.mat"), "--annotations", str(truth), "--json", str(out)]
    assert main(scored) == 0
    assert json.loads(out.read_text()) == receipt["figures"]
    assert "PCKh@0.11 (published as 0.1)" in capsys.readouterr().out


def test_boxes_of_a_detector_are_refused(mpii):
    folder, _ = mpii
    cfg = load_config("mpii/hrnet_w32_256x256", [f"data.root={folder}"])
    with pytest.raises(ValueError, match="annotated centres and scales; give gt as the boxes"):
        load_boxes(cfg, "boxes.json")


def test_the_labels_themselves_are_found_wholly(mpii):
    """Loader and ground truth agree on where the keypoints are: 0-based and 1-based."""
    folder, _ = mpii
    people = load_people(load_config("mpii/hrnet_w32_256x256", [f"data.root={folder}"]), "val")
    truth = read_truth(folder / "annot/gt_valid.mat")
    assert ((people.visibility > 0) == truth.labelled).all() and truth.labelled.any()
    difference = people.keypoints[truth.labelled] + 1 - truth.keypoints[truth.labelled]
    assert np.abs(difference).max() < 1e-4
