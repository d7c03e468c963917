"""Frames come out as they went in, with poses; people who are followed keep their ids."""

import numpy as np
import pytest
import torch

from pose.geometry import Crop
from pose.inference.boxes import Boxes
from pose.inference.frames import (
    Frame,
    follow_through,
    line_of,
    look_through,
    poses_of_line,
    with_times,
)
from pose.inference.pipeline import StageTimes
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.inference.tracker import Tracker
from pose.skeleton import Skeleton
from pose.structures import Poses, empty_poses

SQUARE = Skeleton("square", ("a", "b", "c", "d"), sigmas=(0.1,) * 4)
SIZE = (32, 32)
HALF_BOX = np.array([15, 28])
CORNERS = np.array([[-12, -24], [12, -24], [-12, 24], [12, 24]], float)


class World:
    """Two people who walk towards each other's side of the picture; the detector and the network
    know where they are. The picture's first pixel holds the frame's number."""

    def __init__(self, missed=()):
        self.missed = missed
        self.looks = []

    def centers(self, number):
        return np.array([[60 + 2.0 * number, 70], [260 - 2.0 * number, 150]])

    def frames(self, count):
        for number in range(count):
            image = np.full((220, 320, 3), number, np.uint8)
            yield Frame(number, number / 25, image)

    def detect(self, images):
        numbers = [int(image[0, 0, 0]) for image in images]
        self.looks += numbers
        return [self.boxes(n) if n not in self.missed else self.boxes(n, 1) for n in numbers]

    def boxes(self, number, count=2):
        centers = self.centers(number)[:count]
        boxes = np.concatenate([centers - HALF_BOX, centers + HALF_BOX], axis=1)
        return Boxes(boxes.astype(np.float32), np.full(count, 0.9, np.float32))

    def predictor(self):
        """Finds the person nearest to the middle of a crop; the crops say which frame they are."""
        world = self

        class Looking(Predictor):
            def look_at(self, images, boxes=None):
                if boxes is None:
                    boxes = self.detect(images)
                return [world.poses(i, b) for i, b in zip(images, boxes, strict=True)]

        def find(crops):
            raise AssertionError("the world finds the poses")

        runtime = Runtime(find, SIZE, "published", SQUARE, "a test")
        return Looking(runtime, self.detect)

    def poses(self, image, boxes):
        centers = self.centers(int(image[0, 0, 0]))
        middles = (boxes.boxes[:, :2] + boxes.boxes[:, 2:]) / 2
        nearest = np.array(
            [centers[np.argmin(np.linalg.norm(centers - m, axis=1))] for m in middles]
        ).reshape(-1, 2)
        keypoints = (nearest[:, None] + CORNERS).astype(np.float32)
        scores = np.full(keypoints.shape[:2], 0.9, np.float32)
        return Poses(keypoints, scores, boxes.boxes, SQUARE, boxes.scores)


@pytest.mark.parametrize("count", [0, 1, 8, 19])
def test_every_frame_comes_out_in_order(count):
    world = World()
    found = list(look_through(world.predictor(), world.frames(count)))
    assert [frame.number for frame, _ in found] == list(range(count))
    assert all(len(poses) == 2 for _, poses in found)


def test_boxes_that_are_given_are_looked_at():
    world = World()
    given = look_through(world.predictor(), world.frames(5), lambda f: world.boxes(f.number, 1))
    assert [len(poses) for _, poses in given] == [1] * 5
    assert world.looks == []


@pytest.mark.parametrize("interval", [1, 4, 12])
def test_people_keep_their_ids_whatever_the_interval(interval):
    world = World()
    found = list(
        follow_through(world.predictor(), world.frames(40), Tracker(SQUARE), interval=interval)
    )
    assert [frame.number for frame, _ in found] == list(range(40))
    first = found[0][1].keypoints.mean(axis=1)
    order = [int(np.argmin(np.linalg.norm(first - c, axis=1))) for c in world.centers(0)]
    owners = found[0][1].track_ids[order]
    for frame, poses in found:
        assert poses.track_ids is not None
        by_id = dict(zip(poses.track_ids.tolist(), poses.keypoints.mean(axis=1), strict=True))
        assert set(by_id) == {1, 2}
        for owner, center in zip(owners, world.centers(frame.number), strict=True):
            assert np.abs(by_id[int(owner)] - center).max() < 1
    assert set(range(0, 40, interval)) <= set(world.looks), "the detector's own frames"
    assert len(world.looks) <= 40 / interval + 8


def test_whom_the_detector_misses_is_looked_for_where_expected():
    world = World(missed=(5, 6))
    found = list(follow_through(world.predictor(), world.frames(12), Tracker(SQUARE)))
    assert [len(poses) for _, poses in found] == [2] * 12


def test_given_boxes_are_followed_without_a_detector():
    world = World()
    found = list(
        follow_through(
            world.predictor(),
            world.frames(6),
            Tracker(SQUARE, new_score=0.0, person_threshold=-1.0, same_person=1.0),
            lambda frame: world.boxes(frame.number),
        )
    )
    assert world.looks == []
    assert all(sorted(poses.track_ids.tolist()) == [1, 2] for _, poses in found)


def test_times_are_counted_by_stage():
    crop = Crop.of_box(np.array([0, 0, 9, 9]), SIZE)
    runtime = Runtime(
        lambda crops: (torch.zeros(len(crops), 4, 2), torch.ones(len(crops), 4)),
        crop.size,
        "published",
        SQUARE,
        "a test",
    )
    world, times = World(), StageTimes()
    predictor = with_times(Predictor(runtime, world.detect), times)
    list(look_through(predictor, world.frames(3)))
    assert set(times.seconds) == {"detector", "network"}


def test_an_empty_frame_is_a_line():
    line = line_of(3, 0.12, empty_poses(SQUARE))
    assert line == '{"frame": 3, "time": 0.12, "people": []}'
    number, time, poses = poses_of_line(line, SQUARE)
    assert (number, time, len(poses)) == (3, 0.12, 0)
