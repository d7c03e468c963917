"""A network that nobody here trained, through our crop, flip, codec, NMS and scoring.

The figures to reach are those of an independent rough script (gaussian, flip with shift); what
else the codecs add is a table that only its order is held to.
"""

import numpy as np
import pytest
import torch
from torch import nn

from pose.build import evaluation_loader
from pose.build_data import evaluator_of, load_boxes
from pose.codecs import build_codec
from pose.config import load_config
from pose.engine.distributed import Ranks
from pose.engine.evaluation import network_decoder, predict_people
from pose.models.pose_model import IMAGENET_MEAN, IMAGENET_STD, levels

NETWORK = "models/ultralight_simplepose_256x192.onnx"
DETECTIONS = "coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
ALL = "annotations/person_keypoints_val2017.json"
BOXED = "annotations/person_keypoints_val2017_gtbox.json"
CPU = Ranks(torch.device("cpu"))


class OnnxNetwork(nn.Module):
    """uint8 RGB crops -> maps, by ONNX Runtime, one crop at a time as the file wants."""

    def __init__(self, path):
        super().__init__()
        self.session = pytest.importorskip("onnxruntime").InferenceSession(path)
        self.input = self.session.get_inputs()[0].name

    def forward(self, images):
        pixels = ((images - levels(IMAGENET_MEAN)) / levels(IMAGENET_STD)).numpy()
        maps = [self.session.run(None, {self.input: crop[None]})[0] for crop in pixels]
        return torch.from_numpy(np.concatenate(maps))


@pytest.fixture(scope="module")
def average_precision(test_data):
    """AP of a codec's reading, by annotations, boxes, with or without the flip test."""
    network = OnnxNetwork(str(test_data / NETWORK))

    def figure(annotations, boxes="gt", codec="gaussian", flip=True):
        root = [f"data.root={test_data / 'coco'}", f"data.val_annotations={annotations}"]
        cfg = load_config("coco/hrnet_w32_256x192", [*root, "data.workers=0"])
        people = load_boxes(cfg, boxes if boxes == "gt" else test_data / boxes)
        maps = build_codec(codec, (192, 256), 2.0, 4)
        swap = people.skeleton.flip_index if flip else None
        decode = network_decoder(network, maps, CPU.device, swap)
        found = predict_people(decode, evaluation_loader(cfg, people, maps, CPU), people, CPU)
        evaluator = evaluator_of(cfg, people)
        evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
        return evaluator.compute()["AP"]

    return figure


def test_ground_truth_boxes_of_whole_images(average_precision):
    with_flip = average_precision(ALL)
    assert with_flip == pytest.approx(0.600, abs=0.01)
    assert average_precision(ALL, flip=False) < with_flip < average_precision(ALL, codec="dark")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("annotations", "boxes", "expected"), [(BOXED, "gt", 0.493), (ALL, DETECTIONS, 0.560)]
)
def test_other_boxes(average_precision, annotations, boxes, expected):
    assert average_precision(annotations, boxes) == pytest.approx(expected, abs=0.01)
