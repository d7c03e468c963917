"""AI Challenger's, Halpe's and PoseTrack18's files become people; skeletons are sound.

Files of the first two are made in the published layout; PoseTrack18's are real where there are any.
"""

import numpy as np
import pytest

from pose.build_data import FORMATS
from pose.config import load_config
from pose.data.aic import read_aic
from pose.data.posetrack import read_posetrack
from pose.skeleton import COCO_17, skeleton_from_category, skeleton_to_category
from pose.skeletons import AIC_14, CROWDPOSE_14, HALPE_26, POSETRACK_17


def load(form, path):
    return FORMATS[form].load(path, None, "published")


def fault(read, path):
    with pytest.raises(ValueError) as raised:
        read(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 400
    return line.removeprefix(f"{path}: ")


# Skeletons


@pytest.mark.parametrize("skeleton", [CROWDPOSE_14, AIC_14, HALPE_26, POSETRACK_17])
def test_a_skeleton_is_whole(skeleton):
    assert skeleton.num_keypoints == int(skeleton.name.rpartition("_")[2])
    sides = {name for pair in skeleton.mirrored for name in pair}
    assert sides == {n for n in skeleton.keypoints if n.startswith(("left_", "right_"))}
    assert set(np.ravel(skeleton.limbs)) | {"left_ear", "right_ear"} >= set(skeleton.keypoints)
    assert skeleton_from_category(skeleton_to_category(skeleton)) == skeleton


def test_orders_as_published():
    assert CROWDPOSE_14.keypoints[:3] == ("left_shoulder", "right_shoulder", "left_elbow")
    assert CROWDPOSE_14.keypoints[-3:] == ("right_ankle", "head", "neck")
    assert AIC_14.keypoints[::3] == (
        *("right_shoulder", "left_shoulder", "right_hip", "left_hip", "head_top"),
    )
    assert HALPE_26.keypoints[:17] == COCO_17.keypoints and HALPE_26.index("right_heel") == 25
    assert POSETRACK_17.keypoints[:4] == ("nose", "head_bottom", "head_top", "left_ear")


# AI Challenger


def aic_entry(name="054d9ce9", visibility=(1,) * 14, **changes):
    points = [[10 + i, 20 + 2 * i, v] for i, v in enumerate(visibility)]
    entry = {
        "image_id": name,
        "human_annotations": {"human1": [5, 6, 105, 206]},
        "keypoint_annotations": {"human1": [value for point in points for value in point]},
    }
    return entry | changes


def test_aic_people(save):
    path = save([aic_entry("b", (1, 2, 3, *(1,) * 11)), aic_entry("a")])
    people = load("aic", path)
    assert people.skeleton == AIC_14 == FORMATS["aic"].skeleton(path)
    assert [person.image for person in people] == ["b.jpg", "a.jpg"]
    first = people[0]
    assert first.visibility.tolist() == [2, 1, 0, *[2] * 11]
    assert first.keypoints[:3].tolist() == [[10, 20], [11, 22], [0, 0]]
    assert first.box.tolist() == [5, 6, 104, 205] and first.area == 100 * 200
    assert people.image_ids.tolist() == people.annotation_ids.tolist() == [1, 2]


def test_aic_people_of_one_image(save):
    boxes = {"human1": [0, 0, 50, 50], "human2": [50, 0, 90, 50]}
    keypoints = {human: aic_entry()["keypoint_annotations"]["human1"] for human in boxes}
    entry = aic_entry(human_annotations=boxes, keypoint_annotations=keypoints)
    people = load("aic", save([entry, aic_entry("x", (3,) * 14)]))
    assert [person.annotation_id for person in people] == [1, 2]
    assert people.images.tolist() == ["054d9ce9.jpg", "x.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "is a dict, expected AI Challenger's list of images"),
        ([{"image_id": "a"}], "entry 0: has no 'human_annotations'"),
        ([aic_entry(7)], "entry 0: image_id is 7, expected a file's name"),
        ([aic_entry(human_annotations=[1])], "entry 0: human_annotations is a list, expected an"),
        ([aic_entry(human_annotations={})], "entry 0: human1 has a box or keypoints only"),
        (
            [aic_entry(), aic_entry(human_annotations={"human1": [1, 2]})],
            "entry 1: human_annotations.human1 has 2 values, expected 4",
        ),
        (
            [aic_entry(visibility=(0,) * 14)],
            "entry 0: keypoint_annotations.human1 has a visibility other than 1, 2 or 3",
        ),
        ([aic_entry(visibility=(1,) * 13)], "keypoint_annotations.human1 has 39 values, expected"),
    ],
)
def test_a_broken_aic_file_is_named(save, content, message):
    assert message in fault(read_aic, save(content))


# Halpe


def halpe(**changes):
    triplets = [v for i in range(136) for v in (100 + i, 100 + 2 * i, 2 if i % 2 else 0)]
    annotation = {"id": 4, "image_id": 1, "category_id": 1, "bbox": [90, 80, 100, 200]}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
        "annotations": [{**annotation, "keypoints": triplets, "num_keypoints": 68} | changes],
        "categories": [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}],
    }


def test_halpe_people_have_body_and_feet(save):
    path = save(halpe())
    person = load("halpe", path)[0]
    assert person.keypoints.tolist() == [[100 + i, 100 + 2 * i] for i in range(26)]
    assert person.visibility.tolist() == [0, 2] * 13 and person.area == 100 * 200
    assert load("halpe", save(halpe(area=5.0)))[0].area == 5
    assert FORMATS["halpe"].skeleton(path) == HALPE_26
    content = FORMATS["halpe"].read(path)
    assert content["annotations"][0]["num_keypoints"] == 13


def test_halpe_of_another_size_is_refused(save):
    message = "annotation 0: keypoints has 78 values, expected 408"
    assert message in fault(FORMATS["halpe"].read, save(halpe(keypoints=[0] * 78)))


@pytest.mark.parametrize("form", ["aic", "halpe"])
def test_their_figures_are_coco_s_with_their_own_sigmas(save, form):
    path = save([aic_entry()] if form == "aic" else halpe())
    people = load(form, path)
    evaluator = FORMATS[form].evaluator(load_config("coco/hrnet_w32_256x192"), path, people)
    evaluator.update([0], people.keypoints, people.visibility)
    figures = evaluator.compute()
    assert figures["AP"] > 0.999 and next(iter(figures)) == "AP"
    assert tuple(evaluator.sigmas) == people.skeleton.sigmas
    evaluator.update([0], people.keypoints + np.float32(8), people.visibility)
    assert (evaluator.compute()["AP"] < 0.1) == (form == "aic")


# PoseTrack18


def sequence(name="000001_a", frames=2, **changes):
    triplets = [v for i in range(17) for v in ((0, 0, 0) if i in (3, 4) else (100 + i, 50 + i, 1))]
    images = [
        {
            "id": int(name[:6]) * 1000 + i,
            "file_name": f"images/val/{name}/{i:06d}.jpg",
            "frame_id": int(name[:6]) * 1000 + i,
            "vid_id": name[:6],
            "is_labeled": i == 0,
        }
        for i in range(frames)
    ]
    annotation = {
        "id": 1,
        "image_id": images[0]["id"],
        "category_id": 1,
        "track_id": 0,
        "keypoints": triplets,
        "bbox_head": [100, 50, 30, 40],
        "bbox": [90, 40, 60, 80],
    }
    return {
        "images": images,
        "annotations": [annotation | changes],
        "categories": [{"id": 1, "name": "person", "keypoints": list(POSETRACK_17.keypoints)}],
    }


def test_a_folder_of_sequences_is_one_set(save, tmp_path):
    save(sequence("000002_b"), "val/000002_b.json")
    save(sequence("000001_a"), "val/000001_a.json")
    people = load("posetrack", tmp_path / "val")
    assert [person.image for person in people] == [
        "images/val/000001_a/000000.jpg",
        "images/val/000002_b/000000.jpg",
    ]
    assert people[0].area == 60 * 80 and people[0].visibility.sum() == 15
    assert FORMATS["posetrack"].skeleton(tmp_path / "val") == POSETRACK_17


def test_who_has_no_box_gets_that_of_the_keypoints(save):
    content = sequence()
    del content["annotations"][0]["bbox"]
    entry = read_posetrack(save(content))["annotations"][0]
    center, extent = 108, 1.3 * 16
    assert entry["bbox"] == pytest.approx(
        [center - extent / 2, center - 50 - extent / 2, extent, extent]
    )
    content["annotations"][0]["keypoints"] = [0] * 51
    assert len(load("posetrack", save(content))) == 0


def test_other_keypoints_and_empty_folders_are_refused(save, tmp_path):
    content = sequence()
    content["categories"][0]["keypoints"] = list(COCO_17.keypoints)
    assert fault(read_posetrack, save(content)) == (
        "its keypoints are not those of 'posetrack_17' (different: head_bottom, head_top, left_eye,"
        " right_eye)"
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none: holds no \.json of a sequence"):
        read_posetrack(tmp_path / "none")


def test_the_real_sequences(test_data):
    folder = test_data / "posetrack/annotations"
    people, merged = (
        load("posetrack", folder / name) for name in ("val", "test_posetrack18_val.json")
    )
    assert len(people) == len(merged) == 14
    assert set(people.annotation_ids) == set(merged.annotation_ids)
    ears = [POSETRACK_17.index(f"{side}_ear") for side in ("left", "right")]
    assert not people.visibility[:, ears].any()
    for person in people:
        assert (test_data / "posetrack" / person.image).is_file()
        inside = person.keypoints[person.visibility > 0]
        assert (inside > person.box[:2] - 50).all() and (inside < person.box[2:] + 50).all()
