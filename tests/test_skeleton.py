"""Skeletons by name: pairs from names, categories and back, what is refused."""

import logging

import numpy as np
import pytest

from pose.skeleton import (
    COCO_17,
    MPII_16,
    UNIFORM_SIGMA,
    Skeleton,
    mirrored_by_name,
    skeleton_from_category,
    skeleton_to_category,
)

HORSE = {
    "name": "horse",
    "keypoints": ["nose", "l_ear", "r_ear", "l_hoof", "r_hoof", "tail"],
    "skeleton": [[1, 2], [1, 3], [6, 4]],
}


def test_coco_is_coco():
    """The numbers of the published code: pairs (1, 2), (3, 4), ...; keypoints 0-10 are upper."""
    assert COCO_17.num_keypoints == 17
    assert COCO_17.flip_index.tolist() == [0, *(i + 1 if i % 2 else i - 1 for i in range(1, 17))]
    assert COCO_17.upper_index.tolist() == list(range(11))
    assert COCO_17.limb_index[0].tolist() == [15, 13]
    params = pytest.importorskip("pycocotools.cocoeval").Params(iouType="keypoints")
    assert COCO_17.oks_sigmas() == pytest.approx(params.kpt_oks_sigmas, abs=1e-12)


def test_mpii_is_mpii():
    """The numbers of the published code: pairs (0, 5), (1, 4), (2, 3), (10, 15), (11, 14), ..."""
    assert MPII_16.num_keypoints == 16
    expected = [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    assert MPII_16.flip_index.tolist() == expected
    assert not MPII_16.upper_body and MPII_16.sigmas is None
    # the limbs join all keypoints, and the mirrored body has the same ones
    assert len(MPII_16.limbs) == 15
    assert set(MPII_16.limb_index.ravel().tolist()) == set(range(16))
    limbs = {frozenset(limb) for limb in MPII_16.limb_index.tolist()}
    assert {frozenset(MPII_16.flip_index[list(limb)].tolist()) for limb in limbs} == limbs


def test_flip_index_is_its_own_inverse():
    for skeleton in (COCO_17, MPII_16, skeleton_from_category(HORSE)):
        twice = skeleton.flip_index[skeleton.flip_index]
        assert twice.tolist() == list(range(skeleton.num_keypoints))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_knee", "right_knee"),
        ("Left Knee", "Right Knee"),
        ("LEFT_KNEE", "RIGHT_KNEE"),
        ("knee_left", "knee_right"),
        ("kneeLeft", "kneeRight"),
        ("lefteye", "righteye"),
        ("l_knee", "r_knee"),
        ("L-knee", "R-knee"),
        ("l knee", "r knee"),
        ("LKnee", "RKnee"),
        ("knee_l", "knee_r"),
        ("knee-L", "knee-R"),
        ("kneeL", "kneeR"),
    ],
)
def test_pairs_are_found_in_names(left, right):
    assert mirrored_by_name(["nose", right, left]) == ((left, right),)
    assert mirrored_by_name([left, "nose"]) == ()


def test_names_that_only_look_like_sides_are_no_pairs():
    assert mirrored_by_name(["lip", "rip", "LOW", "belly", "level", "revel"]) == ()


def test_a_name_stands_in_one_pair_only():
    pairs = mirrored_by_name(["left_knee_l", "right_knee_l", "left_knee_r"])
    assert len(pairs) == 1


def test_category_gives_names_limbs_and_pairs():
    horse = skeleton_from_category(HORSE)
    assert horse.keypoints == tuple(HORSE["keypoints"])
    assert horse.limbs == (("nose", "l_ear"), ("nose", "r_ear"), ("tail", "l_hoof"))
    assert horse.flip_index.tolist() == [0, 2, 1, 4, 3, 5]
    assert not horse.upper_body
    assert horse.sigmas is None


def test_a_category_with_cocos_names_is_coco():
    assert skeleton_from_category({"name": "person", "keypoints": list(COCO_17.keypoints)}) is (
        COCO_17
    )


@pytest.mark.parametrize(
    "skeleton",
    [
        COCO_17,
        MPII_16,
        skeleton_from_category(HORSE),
        Skeleton(
            "odd",
            ("port", "starboard", "bow"),
            limbs=(("bow", "port"),),
            mirrored=(("port", "starboard"),),
            upper_body=frozenset({"bow"}),
            sigmas=(0.1, 0.1, 0.05),
        ),
    ],
    ids=lambda s: s.name,
)
def test_category_round_trip(skeleton):
    assert skeleton_from_category(skeleton_to_category(skeleton)) == skeleton


@pytest.mark.parametrize("key", ["skeleton", "upper_body", "sigmas", "mirrored"])
def test_null_in_a_category_is_absence(key):
    category = {**HORSE, "skeleton": []}
    assert skeleton_from_category({**category, key: None}) == skeleton_from_category(category)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, 'has no list of keypoint names; expected "keypoints": ["nose"'),
        ({"keypoints": []}, "category 'horse' has no list of keypoint names"),
        ({"keypoints": ["nose", 3]}, "has no list of keypoint names"),
        ({"keypoints": ["a"] * 6}, "repeated keypoint names ['a']"),
        ({"skeleton": [[0, 1]]}, "holds [0, 1]; expected pairs of keypoint numbers from 1 to 6"),
        ({"skeleton": [[1, 7]]}, "holds [1, 7]; expected"),
        ({"skeleton": [3]}, "holds 3; expected"),
        ({"upper_body": ["head"]}, "unknown keypoint 'head' (known: nose, l_ear,"),
        ({"sigmas": [0.1]}, "1 sigmas for 6 keypoints; give one for each"),
        ({"sigmas": [0.1] * 5 + [0.0]}, "sigmas must be above 0"),
        ({"sigmas": [0.1] * 5 + [float("nan")]}, "sigmas must be above 0"),
        ({"mirrored": [["nose", "snout"]]}, "unknown keypoint 'snout'"),
        ({"mirrored": [["nose", "tail"], ["tail", "nose"]]}, "stand in two mirrored pairs"),
    ],
)
def test_a_faulty_category_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError) as error:
        skeleton_from_category({**HORSE, **change}, "horses.json")
    text = str(error.value)
    assert text.startswith("horses.json: ")
    assert message in text
    assert "\n" not in text


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"unknown keypoint 'toe' \(known: heel\)"):
        Skeleton("foot", ("heel",), limbs=(("heel", "toe"),))
    with pytest.raises(ValueError, match="at least one keypoint"):
        Skeleton("nothing", ())
    with pytest.raises(ValueError, match="unknown keypoint 'toe'"):
        COCO_17.index("toe")


def test_missing_sigmas_are_uniform_and_said(caplog):
    with caplog.at_level(logging.WARNING, logger="pose.skeleton"):
        sigmas = skeleton_from_category(HORSE).oks_sigmas()
    assert np.array_equal(sigmas, np.full(6, UNIFORM_SIGMA))
    assert "'horse' has no OKS sigmas" in caplog.text
    caplog.clear()
    COCO_17.oks_sigmas()
    assert not caplog.text
