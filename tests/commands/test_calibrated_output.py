"""A calibration says what scores are worth: who is found, followed and drawn is as without it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose.commands.app_answers import App
from pose.commands.app_jobs import Follower, frame_job, picture_job
from pose.commands.app_page import as_chosen, build_page
from pose.commands.video_output import VideoJob, draw_video
from pose.config import resolve
from pose.images import read_image, write_image
from pose.inference.boxes import Boxes
from pose.inference.draw import draw_poses
from pose.inference.frames import poses_of_line
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.metrics.calibration import Calibration, Curve
from pose.skeleton import COCO_17
from pose.video import VideoWriter, probe, read_frames

CALIBRATION = Calibration(Curve(3.0, 1.0), Curve(2.0, 1.0))
"""Any score is worth more than 0.7: whoever is followed by these would be followed otherwise."""


def find(images):
    """Points on a diagonal, surer the brighter the crop; certain ones first."""
    along = torch.linspace(8, 56, 17)[None, :, None].repeat(len(images), 1, 2)
    bright = images.float().mean((1, 2, 3)) / 255
    return along, bright[:, None] * torch.linspace(1.0, 0.3, 17)[None]


def detect(images):
    """The middle of every image."""
    box = np.array([[16, 12, 48, 36]], np.float32)
    return [Boxes(box, np.ones(1, np.float32)) for _ in images]


RUNTIME = Runtime(find, (64, 64), "published", COCO_17, "a test")
PLAIN = Predictor(RUNTIME, detect)
CALIBRATED = Predictor(replace(RUNTIME, calibration=CALIBRATION), detect)


def config(smoothing="auto", calibrated=False):
    """That of a network, as `build_predictor` gives it."""
    cfg = copy.deepcopy(resolve({"predict": {"smoothing": smoothing}}, "test"))
    if calibrated:
        cfg.predict.keypoint_threshold = float(CALIBRATION.keypoints(0.2))
    return cfg


LIGHT = [0, 0, 100, 100, 100, 100, 30, 30, 0, 100]
"""Of frames: nobody, a newcomer who earns an id, then hardly seen, then gone, then back."""


def frames():
    return [np.full((48, 64, 3), grey, np.uint8) for grey in LIGHT]


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25) as writer:
        for image in frames():
            writer.write(image)
    return path


def output(predictor, cfg, clip, out, track):
    """The drawn frames of a video, and the poses of its lines."""
    job = VideoJob(clip, probe(clip), out, track=track)
    draw_video(predictor, cfg, job, lambda *stage: True)
    lines = job.lines.read_text(encoding="utf-8").splitlines()
    drawn = [image for image, _ in read_frames(out)]
    return drawn, [poses_of_line(line, COCO_17)[2] for line in lines]


@pytest.mark.parametrize(
    ("track", "smoothing"), [(False, "none"), (True, "none"), (True, "live"), (True, "offline")]
)
def test_a_video_shows_the_same(clip, tmp_path, track, smoothing):
    drawn, plain = output(PLAIN, config(smoothing), clip, tmp_path / "a.mp4", track)
    other = config(smoothing, calibrated=True)
    again, found = output(CALIBRATED, other, clip, tmp_path / "b.mp4", track)
    assert len({len(poses) for poses in plain}) > 1, "else this would show little"
    np.testing.assert_array_equal(again, drawn)
    for own, poses in zip(plain, found, strict=True):
        assert len(poses) == len(own)
        np.testing.assert_array_equal(poses.keypoints, own.keypoints)
        if len(own):
            if track:
                np.testing.assert_array_equal(poses.track_ids, own.track_ids)
            expected = CALIBRATION(own.box_scores, own.scores)
            np.testing.assert_allclose(poses.scores, expected[0], atol=2e-4)
            np.testing.assert_allclose(poses.expected_oks, expected[1], atol=2e-4)
            assert own.expected_oks is None


def test_the_camera_shows_the_same():
    plain, calibrated = config("live"), config("live", calibrated=True)
    follow, again = Follower(PLAIN, plain), Follower(CALIBRATED, calibrated)
    counts = []
    for image in frames():
        own, poses = follow(image), again(image)
        counts.append(len(own))
        np.testing.assert_array_equal(poses.keypoints, own.keypoints)
        np.testing.assert_array_equal(poses.track_ids, own.track_ids)
        np.testing.assert_array_equal(poses.scores, CALIBRATION.keypoints(own.scores).astype("f4"))
        assert (poses.expected_oks is None) == (own.expected_oks is not None)
        drawn, _ = frame_job(lambda _, own=own: own, plain, image)
        drawn_again, _ = frame_job(lambda _, poses=poses: poses, calibrated, image)
        np.testing.assert_array_equal(drawn_again, drawn)
    assert counts[2] == 0 and counts[3] == 1, "a newcomer earns the id"


def page_of(folder):
    cfgs = {
        "plain": (PLAIN, config()),
        "calibrated": (CALIBRATED, config(calibrated=True)),
    }
    return App({name: name for name in cfgs}, cfgs.__getitem__, "a test's", folder)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.3])
def test_the_pages_threshold_means_the_same_for_every_network(tmp_path, threshold):
    app, photo = page_of(tmp_path), tmp_path / "photo.png"
    write_image(photo, frames()[3])
    results = []
    for name in app.networks:
        (tmp_path / name).mkdir()
        chosen = as_chosen(app, name, threshold, True)
        results.append(picture_job(*chosen, photo, tmp_path / name).drawn.read_bytes())
    assert results[0] == results[1]
    shown = draw_poses(read_image(photo), PLAIN(photo), score_threshold=threshold)
    write_image(tmp_path / "expected.jpg", shown)
    assert results[0] == (tmp_path / "expected.jpg").read_bytes()


def test_the_slider_begins_at_a_score_of_the_network(tmp_path):
    pytest.importorskip("gradio", reason="gradio, which makes the page, is not installed")
    app = page_of(tmp_path)
    app = replace(app, networks={"calibrated": "calibrated", "plain": "plain"})
    parts = build_page(app).blocks.values()
    [slider] = [part for part in parts if getattr(part, "label", "") == "Keypoint threshold"]
    assert slider.value == 0.2
