"""The published loader against ours: the same crops; and the part that times the two."""

import functools

import cv2
import numpy as np
import pytest
import torch

from pose.benchmarks import data, drawn, measure
from pose.benchmarks.settings import Settings
from pose.codecs import build_codec
from pose.config import load_config
from pose.references import crops
from tests.data.test_windows import exact

CONFIG = "coco/hrnet_w32_256x192"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A drawn set of few and small pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "IMAGES", 6)
        patch.setattr(drawn, "SIZE", (320, 240))
        patch.setattr(drawn, "BOXES", 6)
        folder = tmp_path_factory.mktemp("benchmark")
        yield drawn.with_data(Settings(load_config(CONFIG), CPU, folder))


@pytest.fixture(scope="module")
def codec():
    return build_codec("gaussian", (192, 256), 2.0, 4)


@exact
@pytest.mark.parametrize("reading_of", [data.training_reading, data.evaluation_reading])
def test_published_samples_are_ours(settings, codec, reading_of):
    """Pixels to a grey level; maps and weights where people are labelled."""
    reading = reading_of(settings, codec)
    for keys, people in zip(reading.batches, reading.placed, strict=True):
        ours = reading.dataset.__getitems__(keys)
        theirs = [crops.sample(person, codec.input_size, reading.pairs) for person in people]
        pictures = crops.levels(torch.stack([sample[0] for sample in theirs])).round()
        apart = (pictures - ours.images).abs()
        assert apart.max() <= 1 and (apart > 0).double().mean() < 0.01
        targets, weights = codec.encode(ours.keypoints, ours.labelled)
        for row in range(len(keys)):
            if ours.labelled[row].any():
                same = (theirs[row][1] - targets[row]).abs().amax(dim=(1, 2)) < 1e-5
                # a keypoint half way between two cells may go to either
                assert same[ours.labelled[row]].double().mean() > 0.9
                agreed = theirs[row][2][:, 0] == weights[row].reshape(-1)
                assert agreed.double().mean() > 0.9


def test_training_batches_mirror_and_turn(settings, codec):
    people = [p for batch in data.training_reading(settings, codec).placed for p in batch]
    assert {p.mirrored for p in people} == {False, True}
    assert any(abs(p.rotation) > 5 for p in people) and any(p.rotation == 0 for p in people)


def test_detected_people_have_keypoints_to_draw(settings, codec):
    """The released code marks the keypoints of a detection, all at 0, as visible."""
    reading = data.evaluation_reading(settings, codec)
    assert all(p.visible.all() and not p.keypoints.any() for p in reading.placed[0])
    per_image = np.bincount(reading.dataset.people.image_index)
    assert (per_image == 6).all()


def test_one_core_is_given_back():
    before = cv2.getNumThreads(), torch.get_num_threads()
    with pytest.raises(KeyError), data.one_core():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_the_part_gives_its_rows(settings, monkeypatch):
    monkeypatch.setattr(data, "PEOPLE", 4)
    monkeypatch.setattr(data, "BATCH", 2)
    quick = functools.partial(measure.side_by_side, rounds=1, least_seconds=0)
    monkeypatch.setattr(data, "side_by_side", quick)
    rows = data.measure(settings)
    works = list(dict.fromkeys(row.work for row in rows))
    assert works[0] == "a training sample on one core"
    assert works[1].startswith("an evaluation sample on one core, ")
    assert all("values equal" in row.agreement for row in rows if row.way == "uint8")
    of_training = [row for row in rows if row.work == works[0]]
    assert [row.way for row in of_training][2:4] == [
        "uint8, from the cache",
        "windows for the device, from the cache",
    ]
    assert all("values equal" in row.agreement for row in of_training[1:4])
    assert not [row for row in rows if row.work == works[1] and "cache" in row.way]


def test_data_of_the_user_are_taken_as_they_are(tmp_path):
    cfg = load_config(CONFIG, [f"data.root={tmp_path}", "data.more_annotations=[a.json]"])
    found = drawn.with_data(Settings(cfg, CPU, tmp_path)).cfg.data
    assert found.root == str(tmp_path) and not found.more_annotations
    assert not list(tmp_path.iterdir())
