"""The network that comes with the package is there, small, says what it is, and finds people."""

import numpy as np
import pytest

import pose
from pose.config import load_config, resolve
from pose.data.synthetic import draw_scene
from pose.metrics.oks import oks
from pose.models.weights import load_with_config
from pose.published import find_weights, shipped
from pose.skeleton import COCO_17

NAME = "hrnet_small"
OTHER_SEED = 977
"""Not that of the pictures it was trained on."""


def test_it_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_weights(NAME) == shipped(NAME)
    (tmp_path / NAME).write_bytes(b"a file of one's own comes first")
    assert find_weights(NAME).read_bytes().startswith(b"a file")


def test_it_is_small_and_says_what_it_is():
    assert shipped(NAME).stat().st_size <= 8_000_000
    config = load_with_config(shipped(NAME))[1]
    ours = load_config(f"synthetic/{NAME}")
    for section in ("model", "codec"):
        assert resolve({section: config[section]}, NAME)[section] == ours[section]
    assert tuple(config["skeleton"]["keypoints"]) == COCO_17.keypoints


def test_it_finds_drawn_people_it_has_not_seen():
    predict = pose.load(NAME, detector=None, device="cpu", keys=["predict.precision=fp32"])
    similarities = []
    for index in range(16):
        scene = draw_scene(OTHER_SEED, index)
        people = [person for person in scene.people if person.keypoints[:, 2].any()]
        poses = predict(scene.image, np.array([person.box for person in people]))
        for person, found in zip(people, poses.keypoints, strict=True):
            points, visibility = person.keypoints[:, :2], person.keypoints[:, 2]
            similarities.append(oks(found, points, person.area, COCO_17.sigmas, visibility))
    assert len(similarities) >= 20
    assert np.mean(similarities) == pytest.approx(0.825, abs=0.03)
