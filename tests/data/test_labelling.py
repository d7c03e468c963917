"""Predictions become annotations that our own loader reads back as they were."""

import json

import numpy as np
import pytest

from pose.data.coco import load_coco
from pose.data.labelling import LabelledImage, growing_annotations
from pose.skeleton import COCO_17, Skeleton
from pose.structures import Poses, empty_poses

HAND = Skeleton("hand", ("thumb", "tip"), limbs=(("thumb", "tip"),), sigmas=(0.03, 0.04))


def some_poses(skeleton, count=3, seed=0):
    rng = np.random.default_rng(seed)
    k = skeleton.num_keypoints
    corners = rng.uniform(5, 100, (count, 2))
    return Poses(
        rng.uniform(0, 200, (count, k, 2)).astype(np.float32),
        rng.uniform(0.1, 1, (count, k)).astype(np.float32),
        np.concatenate([corners, corners + 60], axis=1).astype(np.float32),
        skeleton,
        np.ones(count, np.float32),
    )


def written(path, images, skeleton, **options):
    with growing_annotations(path, skeleton, **options) as add:
        for image in images:
            add(image)
        assert not path.exists()
    return json.loads(path.read_text())


@pytest.mark.parametrize("skeleton", [COCO_17, HAND], ids=lambda s: s.name)
def test_our_loader_reads_them_back(skeleton, tmp_path):
    first, second = some_poses(skeleton), some_poses(skeleton, 2, seed=1)
    images = [
        LabelledImage(7, "a/1.jpg", (320, 240), first),
        LabelledImage(8, "empty.jpg", (320, 240), empty_poses(skeleton)),
        LabelledImage(9, "b.jpg", (320, 240), second),
    ]
    path = tmp_path / "annotations.json"
    written(path, images, skeleton)
    people = load_coco(path, box_rule="mmpose")
    assert people.skeleton.keypoints == skeleton.keypoints
    assert people.skeleton.sigmas == skeleton.sigmas
    assert people.image_ids.tolist() == [7, 7, 7, 9, 9]
    scores = np.concatenate([first.scores, second.scores])
    labelled = scores > 0.2
    assert np.array_equal(people.visibility, 2 * labelled)
    keypoints = np.concatenate([first.keypoints, second.keypoints])
    assert np.abs((people.keypoints - keypoints)[labelled]).max() <= 1e-4
    assert (people.keypoints[~labelled] == 0).all()
    assert np.abs(people.boxes - np.concatenate([first.boxes, second.boxes])).max() <= 1e-3


def test_boxes_end_at_the_image_and_nobody_is_made_up(tmp_path):
    poses = some_poses(HAND, 2)
    poses.keypoints[0] = [[10, 20], [100, 90]]
    poses.boxes[0] = [-10, -5, 50, 400]
    poses.scores[1] = 0.2
    images, path = [LabelledImage(1, "a.jpg", (100, 90), poses)], tmp_path / "labels.json"
    content = written(path, images, HAND)
    [annotation] = content["annotations"]
    assert annotation["bbox"] == [0, 0, 50, 90]
    assert annotation["area"] == 4500
    path.unlink()
    strict = written(path, images, HAND, score_threshold=1)
    assert strict["annotations"] == [] and len(strict["images"]) == 1


def test_what_lies_outside_the_image_is_not_labelled(tmp_path):
    """Nobody could see it there: our own doctor calls such labels mistakes."""
    poses = some_poses(HAND, 3)
    poses.keypoints[:] = [[[50, 50], [50, 90.5]], [[-1, 50], [101, 50]], [[1, 1], [2, 2]]]
    poses.boxes[2] = [-40, -40, -1, -1]
    images = [LabelledImage(1, "a.jpg", (100, 90), poses)]
    content = written(tmp_path / "labels.json", images, HAND)
    [annotation] = content["annotations"]
    assert annotation["keypoints"] == [50, 50, 2, 0, 0, 0]


def test_it_is_what_labelling_tools_import(tmp_path):
    """The keys of COCO's keypoint annotations, limbs counted from 1, plain numbers only; CVAT
    refuses annotations without `segmentation`."""
    images = [LabelledImage(3, "a.jpg", (320, 240), some_poses(HAND))]
    content = written(tmp_path / "labels.json", images, HAND)
    assert set(content) == {"images", "annotations", "categories"}
    assert content["images"] == [{"id": 3, "file_name": "a.jpg", "width": 320, "height": 240}]
    category = content["categories"][0]
    assert (category["id"], category["name"], category["skeleton"]) == (1, "person", [[1, 2]])
    for number, annotation in enumerate(content["annotations"], start=1):
        assert annotation["id"] == number
        assert len(annotation["keypoints"]) == 6
        assert annotation["segmentation"] == [] and 0 < annotation["score"] <= 1
        assert annotation["num_keypoints"] == sum(v > 0 for v in annotation["keypoints"][2::3])
