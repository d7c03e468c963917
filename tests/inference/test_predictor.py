"""Whatever pictures come as, the poses are those of one picture at a time; nobody is invented."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose.geometry import Crop
from pose.images import write_image
from pose.inference.boxes import Boxes
from pose.inference.predict import Runtime, find_poses
from pose.inference.predictor import Predictor, uncalibrated
from pose.metrics.calibration import Calibration, Curve
from pose.skeleton import Skeleton
from pose.video import VideoWriter

CORNERS = Skeleton("corners", ("near", "far"), sigmas=(0.05, 0.05))
SIZE = (32, 32)


def runtime_that_sees(brightness=1.0, seen=None):
    """Finds the points a third and two thirds into each crop, by the brightness of its middle."""

    def find(images):
        if seen is not None:
            seen.append(len(images))
        points = torch.tensor([[8.0, 8.0], [24.0, 20.0]]).repeat(len(images), 1, 1)
        middle = images[:, :, 16, 16].float().mean(1) / 255
        return points, (brightness * middle)[:, None].repeat(1, 2)

    return Runtime(find, SIZE, "published", CORNERS, "a test")


def picture(value=200, width=60, height=50):
    return np.full((height, width, 3), value, np.uint8)


BOX = np.array([[10, 5, 40, 45]], np.float32)


def detect_one(images):
    return [Boxes(BOX, np.ones(1, np.float32)) for _ in images]


@pytest.fixture
def predict():
    return Predictor(runtime_that_sees(), detect_one)


def test_given_boxes_win_over_the_detector(predict):
    other = np.array([[1, 2, 30, 40], [20, 2, 50, 40]], np.float32)
    assert np.array_equal(predict(picture(), other).boxes, other)
    assert np.array_equal(predict(picture()).boxes, BOX)


def test_a_given_box_always_has_a_pose_a_detected_one_only_with_somebody_in_it(predict):
    assert len(predict(picture(0))) == 0, "scores of 0: an empty room"
    assert len(predict(picture(0), BOX)) == 1
    assert len(predict(picture(50))) == 0, "below the threshold of 0.2"
    assert len(predict(picture(102))) == 1
    sure = Predictor(runtime_that_sees(), detect_one, person_threshold=0.5)
    assert len(sure(picture(102))) == 0


def test_a_calibration_changes_scores_and_nothing_else():
    """By this curve a score of 0 is worth 0.73, above every threshold."""
    calibration = Calibration(Curve(3.0, 1.0), Curve(2.0, 1.0))
    runtime = replace(runtime_that_sees(), calibration=calibration)
    calibrated = Predictor(runtime, detect_one)
    assert len(calibrated(picture(0))) == len(calibrated(picture(50))) == 0
    plain, found = Predictor(runtime_that_sees(), detect_one)(picture()), calibrated(picture())
    expected = calibration(plain.box_scores, plain.scores)
    np.testing.assert_array_equal(found.keypoints, plain.keypoints)
    np.testing.assert_array_equal(found.scores, expected[0])
    np.testing.assert_array_equal(found.expected_oks, expected[1])
    [looked] = calibrated.look_at([picture()])
    np.testing.assert_array_equal(looked.scores, found.scores)
    [own] = uncalibrated(calibrated).look_at([picture()])
    assert own.expected_oks is None and calibrated.runtime is runtime
    np.testing.assert_array_equal(own.scores, plain.scores)


def test_who_is_detected_twice_is_there_once():
    def detect_twice(images):
        box = BOX[0] + [[0, 0, 0, 0], [0.2, 0.1, 0.1, 0], [18, 0, 18, 0]]
        return [Boxes(box.astype(np.float32), np.array([0.8, 0.9, 0.7], np.float32))] * len(images)

    poses = Predictor(runtime_that_sees(), detect_twice)(picture())
    assert poses.box_scores.tolist() == pytest.approx([0.9, 0.7]), "the better one, best first"


def test_nothing_found_is_no_poses():
    nobody = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    poses = Predictor(runtime_that_sees(), lambda images: [nobody] * len(images))(picture())
    assert len(poses) == 0 and poses.keypoints.shape == (0, 2, 2)


def test_points_lie_where_the_crop_maps_them(predict):
    crop = Crop.of_box(BOX[0], SIZE)
    expected = crop.to_image(np.array([[8, 8], [24, 20]]))
    assert np.abs(predict(picture()).keypoints[0] - expected).max() < 1e-4


@pytest.fixture
def folder(tmp_path):
    for index, name in enumerate(("b.png", "a.png", "c.png")):
        write_image(tmp_path / name, picture(100 + 40 * index))
    return tmp_path


def scores_of(many):
    return [round(float(poses.scores[0, 0]) * 255) for poses in many]


def test_every_form_of_picture_gives_the_same_poses(predict, folder):
    names = ["a.png", "b.png", "c.png"]
    expected = [140, 100, 180]
    assert scores_of(predict(folder)) == expected, "a folder: by sorted name"
    assert scores_of(predict(str(folder))) == expected
    assert scores_of(predict([folder / name for name in names])) == expected
    assert scores_of(predict([str(folder / names[0]), picture(100), picture(180)])) == expected
    assert predict([]) == []
    assert scores_of(predict(folder / name) for name in names) == expected
    assert scores_of(predict(np.stack([picture(140), picture(100), picture(180)]))) == expected
    assert isinstance(predict([picture()]), list)


def test_a_stream_is_looked_at_as_it_comes(predict):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield picture()

    stream = predict(endless())
    assert not taken, "nothing is read before it is asked for"
    assert len(next(stream)) == 1
    assert len(taken) == predict.images_at_once


def test_a_video_is_a_stream(predict, tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", 25) as writer:
        for _ in range(11):
            writer.write(picture())
    stream = predict(tmp_path / "clip.mp4")
    assert not isinstance(stream, list)
    assert len(list(stream)) == 11


def test_people_of_several_pictures_share_batches():
    seen = []
    three = Boxes(np.repeat(BOX, 3, axis=0), np.ones(3, np.float32))
    find_poses(runtime_that_sees(seen=seen), [picture()] * 5, [three] * 5, batch_size=10)
    assert seen == [10, 5]


def test_boxes_go_with_their_pictures(predict):
    boxes = [BOX, np.zeros((0, 4)), np.concatenate([BOX, BOX])]
    assert [len(poses) for poses in predict([picture()] * 3, boxes)] == [1, 0, 2]
    assert [len(poses) for poses in predict(iter([picture()] * 3), iter(boxes))] == [1, 0, 2]
    with pytest.raises(ValueError, match="fewer entries in boxes than pictures"):
        predict([picture()] * 4, boxes)
    with pytest.raises(ValueError, match="more entries in boxes than pictures"):
        predict([picture()] * 2, boxes)


def test_without_boxes_and_detector_both_are_named(tmp_path):
    predict = Predictor(runtime_that_sees())
    for source in (picture(), [picture()], iter([picture()])):
        with pytest.raises(ValueError, match=r"boxes=.*or name a detector"):
            predict(source)
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: no such image, folder or video"):
        predict(tmp_path / "gone.jpg", BOX)
    with pytest.raises(ValueError, match="cannot look for people in a int"):
        predict(3, BOX)


def test_threads_share_one_predictor():
    """Each thread gets the poses of its own pictures, however they meet."""
    barrier = threading.Barrier(4)
    predict = Predictor(runtime_that_sees(), detect_one)

    def work(value):
        barrier.wait()
        return [scores_of([predict(picture(value))])[0] for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        values = (80, 120, 160, 200)
        for value, found in zip(values, pool.map(work, values), strict=True):
            assert found == [value] * 20
