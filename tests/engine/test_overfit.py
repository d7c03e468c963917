"""Eight figures trained to death: what a network, its loss, codec and evaluation must manage."""

import json

import pytest
import torch

from pose.build import model_of
from pose.build_data import load_people
from pose.build_training import figures_during_training, run_of
from pose.commands.quickstart import ceiling
from pose.config import load_config
from pose.data.synthetic import write_synthetic
from pose.engine.distributed import Ranks
from pose.engine.trainer import train_epoch
from pose.records import read_json

CPU = Ranks(torch.device("cpu"))
NUM_STEPS = 400


SIGMAS = {"dark": 1, "simcc": 4, "integral": 1}


@pytest.mark.slow
@pytest.mark.parametrize("codec", SIGMAS)
def test_eight_figures_are_learnt_by_heart(tmp_path, codec):
    data = tmp_path / "set"
    write_synthetic(data, {"train": 8}, seed=1)
    annotations = data / "annotations/person_keypoints_train.json"
    content = read_json(annotations)
    content["annotations"] = content["annotations"][:8]
    annotations.write_text(json.dumps(content))
    same = {
        "val_annotations": "annotations/person_keypoints_train.json",
        "val_images": "images/train",
    }
    cfg = load_config(
        "synthetic/quickstart",
        [
            *(f"data.{key}={value}" for key, value in same.items()),
            *(f"data.root={data}", "data.val_boxes=gt", "data.workers=0"),
            *(f"codec.name={codec}", f"codec.sigma={SIGMAS[codec]}"),
            *("augment.scale=0", "augment.flip_chance=0", "test.flip=false"),
            *(f"train.epochs={NUM_STEPS}", "train.batch_size=8", "train.amp=false"),
            *("train.ema_decay=0", "train.warmup_steps=20"),
        ],
    )
    people = load_people(cfg, "train")
    run = run_of(cfg, people, CPU, tmp_path)
    losses = []
    for _ in range(NUM_STEPS):  # one step is an epoch
        run.loss_sum = 0.0
        train_epoch(run, run.model)
        losses.append(run.loss_sum)
    assert losses[-1] < losses[0] / 100
    evaluate = figures_during_training(cfg, people.skeleton, model_of(cfg, people.skeleton)[1], CPU)
    assert evaluate(run.evaluated)["AP"] > 0.95 * ceiling(cfg, "gt")["AP"]
