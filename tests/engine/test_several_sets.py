"""Training on several sets at once, from the config to a finished run."""

import json
import logging
import shutil

import numpy as np
import pytest

from pose.build_data import FORMATS, load_people
from pose.build_training import training_dataset
from pose.codecs import build_codec
from pose.commands.main import main
from pose.config import load_config
from pose.data.coco import load_coco
from pose.data.synthetic import write_synthetic
from pose.schema import FORMATS as CHOICES
from pose.skeleton import MPII_16
from tests.engine.test_mpii_run import in_mpii_form

SMALL = ["model.name=hrnet_small", "model.input_size=[64, 64]", "data.workers=0"]
QUICK = ["train.epochs=1", "train.batch_size=4", "train.sheet_every=0"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A drawn COCO set, and an MPII one of two of its images, with the same file names."""
    folder = tmp_path_factory.mktemp("sets")
    write_synthetic(folder, {"train": 4, "val": 2}, seed=3, num_processes=1)
    people = load_coco(folder / "annotations/person_keypoints_train.json")
    (folder / "mpii.json").write_text(json.dumps(in_mpii_form(people)[:3]))
    shutil.copytree(folder / "images/train", folder / "mpii_images")
    return folder


def config(folder, *more):
    paths = [
        "data.train_annotations=annotations/person_keypoints_train.json",
        "data.train_images=images/train",
        "data.val_annotations=annotations/person_keypoints_val.json",
        "data.val_images=images/val",
    ]
    return ["coco/hrnet_w32_256x192", f"data.root={folder}", *paths, *SMALL, *QUICK, *more]


FURTHER = ["data.more_annotations=[mpii.json]", "data.more_images=[mpii_images]"]
AS_MPII = "data.more_formats=[mpii]"


def load(folder, *more):
    name, *rest = config(folder, *more)
    return load_config(name, rest)


def test_the_schema_names_the_formats():
    assert tuple(FORMATS) == CHOICES


def test_people_of_both_sets_are_there(sets, caplog):
    alone = load_people(load(sets), "train")
    with caplog.at_level(logging.INFO):
        people = load_people(load(sets, *FURTHER, AS_MPII), "train")
    assert people.skeleton == alone.skeleton and len(people) == len(alone) + 3
    said = [record.getMessage() for record in caplog.records]
    assert f"{len(alone)} people, all 17 keypoints" in said[0]
    assert "mpii.json: 3 people, 12 of the 17 keypoints (of its own 16)" in said[1]
    for person, same in zip(list(people)[len(alone) :], alone, strict=False):
        shared = [k for k, n in enumerate(people.skeleton.keypoints) if n in MPII_16.keypoints]
        labelled = same.visibility[shared] > 0
        assert ((person.visibility[shared] > 0) == labelled).all()
        difference = person.keypoints[shared][labelled] - same.keypoints[shared][labelled]
        assert np.abs(difference).max() < 1e-3
        assert person.image == f"1/{same.image}"
    assert load_people(load(sets, *FURTHER, AS_MPII), "val").images[0][1] != "/"


def test_every_person_can_be_cropped(sets):
    cfg = load(sets, *FURTHER, AS_MPII)
    people = load_people(cfg, "train")
    dataset = training_dataset(cfg, people, build_codec("gaussian", (64, 64), 2.0, 4))
    last = dataset[0, len(people) - 1]
    face = [people.skeleton.index(name) for name in ("left_eye", "right_ear")]
    assert last.labelled.any() and not last.labelled[face].any()
    assert sum(dataset[0, i].images.float().std() > 1 for i in range(len(people))) == len(people)


def test_a_run_trains_on_both(sets, tmp_path):
    command = ["train", *config(sets, *FURTHER, AS_MPII), "--out", str(tmp_path / "run")]
    assert main([*command, "--device", "cpu"]) == 0
    assert (tmp_path / "run/best.safetensors").is_file()


def test_without_formats_they_are_those_of_the_first(sets):
    same = "annotations/person_keypoints_train.json"
    again = [f"data.more_annotations=[{same}]", "data.more_images=[images/train]"]
    assert len(load_people(load(sets, *again), "train")) == 2 * len(
        load_people(load(sets), "train")
    )


def fault(cfg):
    with pytest.raises(ValueError) as raised:
        load_people(cfg, "train")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_lists_of_different_lengths_are_refused(sets):
    assert fault(load(sets, FURTHER[0])) == (
        "data.more_annotations, more_images and more_formats list 1, 0 and 1; give one of each "
        "for a further set"
    )


def test_a_set_that_shares_nothing_is_refused_with_both_lists(sets):
    content = json.loads((sets / "annotations/person_keypoints_val.json").read_text())
    content["categories"][0] |= {"keypoints": [f"tip_{i}" for i in range(17)], "skeleton": []}
    (sets / "hands.json").write_text(json.dumps(content))
    hands = ["data.more_annotations=[hands.json]", "data.more_images=[images/val]"]
    line = fault(load(sets, *hands))
    assert line.startswith(f"{sets / 'hands.json'}: none of its keypoints (tip_0, tip_1, ")
    assert "(nose, left_eye, " in line


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match=r"data.more_formats is 'cocoa'; did you mean 'coco'\?"):
        load_config("coco/hrnet_w32_256x192", ["data.more_formats=[cocoa]"])
