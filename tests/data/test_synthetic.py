"""The drawn data set: determinism, true annotations, detections of the stated quality, refusals."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from pose.data.synthetic import Scene, draw_scene, write_synthetic
from pose.data.synthetic.figure import draw_figure, rotation
from pose.data.synthetic.motions import MIRRORED, MOTIONS, SEGMENTS
from pose.data.synthetic.paint import Camera, facing
from pose.data.synthetic.scene import MIN_AREA, MIN_SEEN
from pose.data.synthetic.writing import JITTER, draw_detections, split_seed
from pose.images import read_image
from pose.skeleton import COCO_17

SIZE = (320, 240)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(7, index, SIZE) for index in range(120)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "synthetic"
    write_synthetic(folder, {"train": 12, "val": 6}, seed=3)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_scene_depends_on_seed_and_index_alone() -> None:
    first = draw_scene(1, 5)
    draw_scene(1, 6)
    again = draw_scene(1, 5)
    assert np.array_equal(first.image, again.image)
    for one, other in zip(first.people, again.people, strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)
    assert not np.array_equal(first.image, draw_scene(1, 6).image)
    assert not np.array_equal(first.image, draw_scene(2, 5).image)


@pytest.mark.parametrize("size", [(320, 240), (160, 200), (640, 480)])
def test_image_has_the_size_asked_for(size: tuple[int, int]) -> None:
    scene = draw_scene(0, 0, size)
    assert scene.image.shape == (size[1], size[0], 3)
    assert scene.image.dtype == np.uint8
    assert all(person.mask.shape == scene.image.shape[:2] for person in scene.people)


def test_areas_and_boxes_are_those_of_the_masks(scenes: list[Scene]) -> None:
    for person in (person for scene in scenes for person in scene.people):
        rows, columns = np.nonzero(person.mask)
        assert person.area == len(rows) >= MIN_AREA
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.array_equal(person.box, np.array(expected, np.float32))
        assert MIN_SEEN <= person.seen <= 1


def test_masks_of_an_image_are_disjoint(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.sum([person.mask for person in scene.people], axis=0).max() <= 1


def test_keypoints_outside_are_zero_and_others_inside(scenes: list[Scene]) -> None:
    for person in (person for scene in scenes for person in scene.people):
        labelled = person.keypoints[:, 2] > 0
        assert (person.keypoints[~labelled] == 0).all()
        inside = (person.keypoints[labelled, :2] >= 0) & (
            person.keypoints[labelled, :2] <= np.array(SIZE) - 1
        )
        assert inside.all()


def test_visible_keypoints_lie_on_their_own_person(scenes: list[Scene]) -> None:
    on, near = [], []
    for person in (person for scene in scenes for person in scene.people):
        x, y = np.rint(person.keypoints[person.keypoints[:, 2] == 2, :2]).astype(int).T
        wider = cv2.dilate(person.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        on.extend(person.mask[y, x])
        near.extend(wider[y, x])
    assert np.mean(on) > 0.98
    assert np.mean(near) > 0.998


def test_keypoints_covered_by_somebody_else_are_not_visible(scenes: list[Scene]) -> None:
    for scene in scenes:
        for rank, person in enumerate(scene.people):
            nearer = scene.people[rank + 1 :]
            for x, y, visibility in person.keypoints:
                if visibility and any(n.mask[round(y), round(x)] for n in nearer):
                    assert visibility == 1


def test_a_hidden_keypoint_is_labelled_where_a_neighbour_is_seen(scenes: list[Scene]) -> None:
    for person in (person for scene in scenes for person in scene.people):
        visibility = person.keypoints[:, 2]
        for hidden in np.flatnonzero(visibility == 1):
            limbs = [limb for limb in COCO_17.limb_index if hidden in limb]
            assert any(visibility[end] == 2 for limb in limbs for end in limb)


def test_scenes_are_hard_and_varied(scenes: list[Scene]) -> None:
    counts = [len(scene.people) for scene in scenes]
    people = [person for scene in scenes for person in scene.people]
    visibility = np.concatenate([person.keypoints[:, 2] for person in people])
    heights = np.array([person.box[3] - person.box[1] for person in people])
    assert set(counts) == {1, 2, 3, 4}
    assert 0.4 < np.mean(visibility == 2) < 0.8
    assert np.mean(visibility == 1) > 0.15
    assert np.mean(visibility == 0) > 0.02
    assert heights.min() < 70
    assert heights.max() > 200
    assert np.mean([person.seen < 0.8 for person in people]) > 0.15
    assert len({person.motion for person in people}) > 0.7 * len(MOTIONS)


def test_face_is_seen_from_the_front_only() -> None:
    """Of people turned to the viewer the left eye is on the right; from behind no eye is seen."""
    left, right = COCO_17.index("left_eye"), COCO_17.index("right_eye")
    shoulders = COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")
    swapped = total = 0
    for index in range(80):
        for person in draw_scene(11, index).people:
            points = person.keypoints
            if (points[[left, right], 2] == 2).all() and person.motion in ("stand", "walk", "run"):
                total += 1
                swapped += points[left, 0] < points[right, 0]
            if (points[list(shoulders), 2] == 2).all() and person.motion == "stand":
                gap = points[shoulders[0], 0] - points[shoulders[1], 0]
                # seen from behind: at most one eye past a strongly turned head
                if gap < -0.1 * (person.box[3] - person.box[1]):
                    assert (points[[left, right], 2] == 2).sum() <= 1
    assert total > 10
    assert swapped == 0


def test_motions_name_known_segments_and_mirror_twice_is_nothing() -> None:
    names = {*SEGMENTS, *(name.removesuffix("_l") for name in SEGMENTS)}
    for _, ranges in MOTIONS.values():
        assert set(ranges) <= names
        assert all(low <= high for triple in ranges.values() for low, high in triple)
    assert [MIRRORED[i] for i in MIRRORED] == list(range(len(SEGMENTS)))
    assert all(
        SEGMENTS[i].removesuffix("_l") == SEGMENTS[j].removesuffix("_r")
        for i, j in enumerate(MIRRORED)
        if SEGMENTS[i].endswith("_l")
    )


def test_limbs_keep_their_length() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = dict(zip(COCO_17.keypoints, draw_figure(rng).keypoints, strict=True))
        for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee")):
            lengths = [
                float(np.linalg.norm(points[f"{side}_{upper}"] - points[f"{side}_{lower}"]))
                for side in ("left", "right")
            ]
            assert lengths[0] == pytest.approx(lengths[1])
            assert 0.13 < lengths[0] < 0.27


def test_rotations_are_proper_and_bend_the_right_way() -> None:
    turns = rotation(np.random.default_rng(0).uniform(-3, 3, (50, 3)))
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(turns), 1)
    # flexing an upright spine by a quarter turn lays it to the front
    assert np.allclose(rotation(np.radians([[90.0, 0, 0]]))[0] @ (0, 1, 0), (0, 0, 1))


def test_camera_ray_is_the_inverse_of_project() -> None:
    camera = Camera(400.0, SIZE, 0.2, np.array([0.0, -1, 0]), 0.5)
    for pixel in np.random.default_rng(1).uniform(0, 200, (10, 2)):
        assert np.allclose(camera.project(3.7 * camera.ray(pixel)), pixel)
    # who looks at the viewer shows the left side on the right of the picture
    assert np.allclose(facing(0, 0) @ (1, 0, 0), (1, 0, 0))
    assert np.allclose(facing(0, 0) @ (0, 0, 1), (0, 0, -1))


def test_detections_have_the_stated_quality() -> None:
    found = missed = false = 0
    shifts, true_scores, false_scores = [], [], []
    for index in range(250):
        people = draw_scene(5, index).people
        detections = draw_detections(people, 5, index, SIZE)
        claimed = set()
        for person in people:
            extent = np.tile(person.box[2:] - person.box[:2], 2)
            distance = [float(np.abs((box - person.box) / extent).max()) for box, _ in detections]
            if distance and min(distance) < 5 * JITTER:
                found += 1
                best = int(np.argmin(distance))
                claimed.add(best)
                inner = (person.box > 20) & (person.box < np.array([*SIZE, *SIZE]) - 20)
                shifts.extend(((detections[best][0] - person.box) / extent)[inner])
                true_scores.append(detections[best][1])
            else:
                missed += 1
        false += len(detections) - len(claimed)
        false_scores += [d[1] for i, d in enumerate(detections) if i not in claimed]
        assert all((box >= 0).all() and (box <= [*SIZE, *SIZE]).all() for box, _ in detections)
        assert all(0 < score < 1 for _, score in detections)
    assert 0.02 < missed / (found + missed) < 0.09
    assert np.std(shifts) == pytest.approx(JITTER, abs=0.006)
    assert abs(np.mean(shifts)) < 0.006
    assert 0.12 < false / 250 < 0.4
    assert np.mean(true_scores) > np.mean(false_scores) + 0.3
    assert np.quantile(false_scores, 0.9) > np.quantile(true_scores, 0.1)  # they overlap


def test_layout_loads_with_pycocotools(written: Path) -> None:
    for split, count in (("train", 12), ("val", 6)):
        coco = COCO(str(written / "annotations" / f"person_keypoints_{split}.json"))
        assert sorted(coco.getImgIds()) == list(range(1, count + 1))
        assert sorted(coco.getAnnIds()) == list(range(1, len(coco.anns) + 1))
        category = coco.loadCats([1])[0]
        assert tuple(category["keypoints"]) == COCO_17.keypoints
        assert np.array(category["skeleton"]).min() == 1
        for image in coco.loadImgs(coco.getImgIds()):
            path = written / "images" / split / image["file_name"]
            assert read_image(path).shape == (image["height"], image["width"], 3)
            assert coco.getAnnIds([image["id"]])
        for annotation in coco.anns.values():
            visibility = annotation["keypoints"][2::3]
            assert len(visibility) == 17
            assert annotation["num_keypoints"] == sum(v > 0 for v in visibility)
            assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)
            assert annotation["area"] <= annotation["bbox"][2] * annotation["bbox"][3]
        detections = written / "person_detection_results" / f"detections_{split}.json"
        assert len(coco.loadRes(str(detections)).anns) > 0


def test_written_pictures_are_the_scenes(written: Path) -> None:
    scene = draw_scene(split_seed(3, "val"), 4)
    stored = read_image(written / "images" / "val" / "000000000005.jpg")
    assert np.abs(stored.astype(float) - scene.image).mean() < 8


def test_splits_are_disjoint_and_grow_at_the_end(written: Path, tmp_path: Path) -> None:
    pictures = [data for name, data in _files(written).items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures) == 18
    assert split_seed(3, "train") != split_seed(3, "val") != split_seed(4, "val")
    write_synthetic(tmp_path / "longer", {"val": 7}, seed=3)
    longer, shorter = _files(tmp_path / "longer"), _files(written)
    for index in range(1, 7):
        name = str(Path("images", "val", f"{index:012d}.jpg"))
        assert longer[name] == shorter[name]


def test_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    for number in (1, 2):
        write_synthetic(tmp_path / str(number), {"train": 53}, seed=1, num_processes=number)
    assert _files(tmp_path / "1") == _files(tmp_path / "2")


def test_the_same_set_is_used_as_it_is(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    write_synthetic(written, {"train": 12, "val": 6}, seed=3)
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*")}


def test_another_set_or_anything_else_is_refused(written: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another synthetic set"):
        write_synthetic(written, {"train": 12, "val": 6}, seed=4)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        write_synthetic(tmp_path, {"train": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_set_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_synthetic(folder, {"train": 2})
    (folder / "images" / "train" / "000000000002.jpg").unlink()
    with pytest.raises(ValueError, match="damaged"):
        write_synthetic(folder, {"train": 2})


def test_an_empty_folder_is_taken_and_nothing_is_left_beside(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_synthetic(folder, {"train": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    marker = json.loads((folder / "synthetic.json").read_text(encoding="utf-8"))
    assert marker["num_images"] == {"train": 1}


@pytest.mark.parametrize(
    ("splits", "seed", "size"),
    [({}, 0, SIZE), ({"train": 0}, 0, SIZE), ({"../x": 1}, 0, SIZE), ({"train": 1}, -1, SIZE),
     ({"train": 1}, 0, (32, 240))],
)  # fmt: skip
def test_impossible_requests_are_refused(
    tmp_path: Path, splits: dict[str, int], seed: int, size: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=str(tmp_path.name)):
        write_synthetic(tmp_path / "set", splits, seed=seed, size=size)
    assert not (tmp_path / "set").exists()
