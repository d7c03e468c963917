"""People, batches and poses: sequences, scores that keep their ties, results there and back."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from pose.skeleton import COCO_17, Skeleton
from pose.structures import People, PoseBatch, Poses, empty_poses, person_scores

FOOT = Skeleton("foot", ("heel", "toe", "ankle"))


def some_poses(n=4, seed=0, skeleton=COCO_17):
    rng = np.random.default_rng(seed)
    k = skeleton.num_keypoints
    return Poses(
        rng.uniform(0, 600, (n, k, 2)).astype(np.float32),
        rng.random((n, k)).astype(np.float32),
        rng.uniform(0, 600, (n, 4)).astype(np.float32),
        skeleton,
        rng.random(n).astype(np.float32),
    )


def slow_person_score(box_score, scores, threshold):
    total, number = 0.0, 0
    for score in scores:
        score = float(np.float32(score))
        if score > threshold:
            total, number = total + score, number + 1
    return box_score * (total / number) if number else 0.0


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_person_scores_equal_summing_one_by_one(threshold):
    rng = np.random.default_rng(1)
    scores, box_scores = rng.random((200, 17)), rng.random(200)
    slow = [slow_person_score(b, row, threshold) for b, row in zip(box_scores, scores, strict=True)]
    assert person_scores(box_scores, scores, threshold).tolist() == slow


def test_person_scores_round_to_float32_first():
    """Two sets of scores that differ only beyond float32 tie, as in the published evaluation."""
    scores = np.array([[0.9, 0.7], [0.9 + 1e-9, 0.7 - 1e-9]])
    one, other = person_scores(1.0, scores)
    assert one == other
    assert one == (float(np.float32(0.9)) + float(np.float32(0.7))) / 2


def test_the_sum_does_not_depend_on_the_order():
    rng = np.random.default_rng(2)
    scores = rng.random((50, 17)).astype(np.float32)
    assert np.array_equal(person_scores(1.0, scores), person_scores(1.0, scores[:, ::-1]))


def test_nothing_above_the_threshold_scores_zero():
    assert person_scores(0.9, np.array([0.1, 0.2 - 1e-6])) == 0
    assert person_scores(0.5, np.array([0.1, 0.8])) == 0.5 * float(np.float32(0.8))
    assert person_scores(np.zeros(0), np.zeros((0, 17))).shape == (0,)


def test_poses_to_coco_and_back():
    poses = some_poses()
    entries = json.loads(json.dumps(poses.to_coco(42)))
    back = Poses.from_coco(entries, COCO_17)
    assert np.abs(back.keypoints - poses.keypoints).max() <= 1e-4  # written with 4 decimals
    assert np.abs(back.scores - poses.scores).max() <= 1e-4
    assert np.abs(back.boxes - poses.boxes).max() <= 1e-3
    assert np.array_equal(back.box_scores, poses.box_scores)
    again = Poses.from_coco(back.to_coco(42), COCO_17)
    assert np.array_equal(again.keypoints, back.keypoints), "what was rounded stays"


def test_a_result_entry_is_what_coco_expects():
    poses = some_poses(2)
    entry = poses.to_coco(7, category_id=3)[1]
    assert (entry["image_id"], entry["category_id"]) == (7, 3)
    assert len(entry["keypoints"]) == 51
    assert entry["keypoints"][3:6] == pytest.approx(
        [*poses.keypoints[1, 1], poses.scores[1, 1]], abs=1e-4
    )
    assert entry["score"] == person_scores(poses.box_scores, poses.scores)[1]
    assert "bbox" not in entry, "pycocotools would take its area"


def test_a_result_without_box_gets_its_keypoints_bound():
    entry = {"keypoints": [1, 2, 0.5, 30, 4, 0.5, 5, 60, 0.5], "score": 0.4}
    poses = Poses.from_coco([entry], FOOT)
    assert poses.boxes.tolist() == [[1, 2, 30, 60]]
    assert poses.box_scores == pytest.approx([0.4])


def test_no_poses_are_poses():
    empty = empty_poses(FOOT)
    assert len(empty) == 0
    assert empty.to_coco(1) == []
    back = Poses.from_coco([], FOOT)
    assert (back.keypoints.shape, back.boxes.shape) == ((0, 3, 2), (0, 4))


def test_poses_are_chosen_by_mask_slice_and_index():
    poses = some_poses(5)
    mask = np.array([True, False, True, False, False])
    for chosen in (poses[mask], poses[0:3:2], poses[np.array([0, 2])]):
        assert len(chosen) == 2
        for name in ("keypoints", "scores", "boxes", "box_scores"):
            assert np.array_equal(getattr(chosen, name), getattr(poses, name)[[0, 2]])


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("keypoints", np.zeros((4, 16, 2)), r"keypoints has shape \(4, 16, 2\), expected"),
        ("scores", np.zeros((4, 17, 1)), "scores has shape"),
        ("boxes", np.zeros((3, 4)), r"boxes has shape \(3, 4\), expected \(4, 4\)"),
        ("box_scores", np.zeros((4, 1)), "box_scores has shape"),
    ],
)
def test_poses_of_the_wrong_shape_are_refused(name, wrong, message):
    poses = some_poses()
    parts = {n: getattr(poses, n) for n in ("keypoints", "scores", "boxes", "box_scores")}
    with pytest.raises(ValueError, match=message):
        Poses(**{**parts, name: wrong}, skeleton=COCO_17)


def test_people_are_a_sequence_of_persons():
    people = People(
        skeleton=FOOT,
        images=np.array(["a.jpg", "b.jpg"]),
        image_sizes=np.zeros((2, 2), np.int32),
        image_index=np.array([1, 0, 1]),
        image_ids=np.array([20, 10, 20]),
        boxes=np.arange(12, dtype=np.float32).reshape(3, 4),
        keypoints=np.zeros((3, 3, 2), np.float32),
        visibility=np.zeros((3, 3), np.uint8),
        areas=np.array([1.0, 2.0, 3.0]),
        scores=np.ones(3),
        annotation_ids=np.array([7, 8, 9]),
    )
    assert [(p.image, p.image_id, p.annotation_id) for p in people] == [
        ("b.jpg", 20, 7),
        ("a.jpg", 10, 8),
        ("b.jpg", 20, 9),
    ]
    assert people[-1].area == 3
    assert people[1].box.tolist() == [4, 5, 6, 7]
    with pytest.raises(IndexError):
        people[3]


def test_a_batch_is_parted_and_moved():
    index = torch.tensor([3, 1, 2])
    batch = PoseBatch(
        index.to(torch.uint8)[:, None, None, None].expand(3, 3, 8, 6),
        index.float()[:, None, None].expand(3, 17, 2),
        torch.ones(3, 17, dtype=torch.bool),
        torch.zeros(3, 2, 3, dtype=torch.float64),
        index,
    )
    assert [part.index.tolist() for part in batch.split(2)] == [[3, 1], [2]]
    assert [part.images[:, 0, 0, 0].tolist() for part in batch.split(9)] == [[3], [1], [2]]
    moved = batch.to(torch.device("meta"))
    assert moved.images.device.type == "meta"
    assert moved.matrices is batch.matrices


def tracked_poses(count=3):
    return dataclasses.replace(some_poses(count), track_ids=np.arange(5, 5 + count))


def test_track_ids_go_along():
    poses = tracked_poses()
    assert poses[1:].track_ids.tolist() == [6, 7]
    entries = poses.to_coco(1)
    assert [entry["track_id"] for entry in entries] == [5, 6, 7]
    assert Poses.from_coco(entries, COCO_17).track_ids.tolist() == [5, 6, 7]
    assert "track_id" not in some_poses().to_coco(1)[0]
    assert Poses.from_coco(some_poses().to_coco(1), COCO_17).track_ids is None
    with pytest.raises(ValueError, match=r"track_ids has shape \(2,\), expected \(3,\)"):
        dataclasses.replace(poses, track_ids=np.array([1, 2]))


def test_json_names_every_keypoint():
    poses = tracked_poses(2)
    content = json.loads(poses.to_json())
    assert content["skeleton"] == "coco_17"
    person = content["people"][1]
    assert person["track_id"] == 6
    assert list(person["keypoints"]) == list(COCO_17.keypoints)
    x, y, score = person["keypoints"]["left_wrist"]
    k = COCO_17.index("left_wrist")
    assert [x, y, score] == pytest.approx([*poses.keypoints[1, k], poses.scores[1, k]], abs=1e-4)
    assert json.loads(empty_poses(FOOT).to_json())["people"] == []


def test_a_table_has_a_row_for_each_keypoint():
    poses = tracked_poses(2)
    table = poses.to_dataframe()
    assert list(table.columns) == ["person", "track_id", "keypoint", "x", "y", "score"]
    assert len(table) == 34
    row = table[(table.person == 1) & (table.keypoint == "nose")].iloc[0]
    assert (row.track_id, row.x, row.y) == (6, *poses.keypoints[1, 0])
    assert (some_poses().to_dataframe().track_id == 0).all()
    assert len(empty_poses(FOOT).to_dataframe()) == 0


def test_the_threshold_decides_what_counts_in_a_result():
    poses = some_poses(1)
    strict = poses.to_coco(1, score_threshold=0.9)[0]["score"]
    assert strict == person_scores(poses.box_scores, poses.scores, 0.9)[0]
    assert strict != poses.to_coco(1)[0]["score"]
