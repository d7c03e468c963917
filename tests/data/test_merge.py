"""Several sets become one: keypoints by name, images of each set kept apart."""

import pickle

import cv2
import numpy as np
import pytest

from pose.data.merge import ImageFolders, merge_people, shared_keypoints
from pose.skeleton import Skeleton
from pose.structures import People

TARGET = Skeleton("target", ("nose", "left_hand", "right_hand"))
OTHER = Skeleton("other", ("right_hand", "tail", "nose"))


def people_of(skeleton, images=("a.jpg", "b.jpg"), num=3, seed=0):
    rng = np.random.default_rng(seed)
    k = skeleton.num_keypoints
    return People(
        skeleton=skeleton,
        images=np.array(images, np.str_),
        image_sizes=rng.integers(10, 99, (len(images), 2)).astype(np.int32),
        image_index=np.arange(num) % len(images),
        image_ids=np.arange(num, dtype=np.int64) % len(images),
        boxes=rng.random((num, 4)).astype(np.float32),
        keypoints=rng.random((num, k, 2)).astype(np.float32),
        visibility=rng.integers(0, 3, (num, k)).astype(np.uint8),
        areas=rng.random(num),
        scores=np.ones(num),
        annotation_ids=np.arange(1, num + 1),
    )


def test_keypoints_are_matched_by_name_and_missing_ones_unlabelled():
    first, second = people_of(TARGET), people_of(OTHER, num=2, seed=1)
    merged = merge_people([first, second], TARGET)
    assert len(merged) == 5 and merged.skeleton is TARGET
    assert np.array_equal(merged.keypoints[:3], first.keypoints)
    assert np.array_equal(merged.visibility[:3], first.visibility)
    assert np.array_equal(merged.keypoints[3:, 0], second.keypoints[:, 2])
    assert np.array_equal(merged.keypoints[3:, 2], second.keypoints[:, 0])
    assert np.array_equal(merged.visibility[3:, [0, 2]], second.visibility[:, [2, 0]])
    assert not merged.keypoints[3:, 1].any() and not merged.visibility[3:, 1].any()
    assert shared_keypoints(second, TARGET) == ["nose", "right_hand"]


def test_equal_file_names_of_two_sets_are_two_images():
    sets = [people_of(TARGET), people_of(OTHER, ("a.jpg",), num=2, seed=1)]
    merged = merge_people(sets, TARGET)
    assert [p.image for p in merged] == ["0/a.jpg", "0/b.jpg", "0/a.jpg", "1/a.jpg", "1/a.jpg"]
    for place, people in enumerate(sets):
        for person, ours in zip(people, list(merged)[3 * place :], strict=False):
            assert np.array_equal(ours.box, person.box) and ours.area == person.area
    sizes = merged.image_sizes[merged.image_index[3:]]
    assert np.array_equal(sizes, sets[1].image_sizes[sets[1].image_index])


def test_columns_keep_their_types():
    merged = merge_people([people_of(TARGET), people_of(OTHER)], TARGET)
    for column, value in vars(people_of(TARGET)).items():
        if isinstance(value, np.ndarray):
            assert getattr(merged, column).dtype.kind == value.dtype.kind, column
            assert value.dtype.kind == "U" or getattr(merged, column).dtype == value.dtype, column


def test_one_set_and_nobody_are_sets_too():
    merged = merge_people([people_of(TARGET, (), num=0), people_of(OTHER)], TARGET)
    assert [person.image for person in merged] == ["1/a.jpg", "1/b.jpg", "1/a.jpg"]
    assert len(merge_people([people_of(TARGET, (), num=0)], TARGET)) == 0


@pytest.fixture
def folders(tmp_path):
    for place, grey in (("one", 10), ("two", 200)):
        (tmp_path / place).mkdir()
        cv2.imwrite(str(tmp_path / place / "a.png"), np.full((4, 5, 3), grey, np.uint8))
    return ImageFolders([tmp_path / "one", tmp_path / "two"])


def test_each_set_is_read_from_its_own_folder(folders):
    assert folders.read("0/a.png").max() == 10 and folders.read("1/a.png").min() == 200
    assert pickle.loads(pickle.dumps(folders)).read("1/a.png").min() == 200


def test_names_stay_in_their_folder(folders):
    for name in ("1/../one/a.png", "0//etc/passwd"):
        with pytest.raises(ValueError, match="leads outside the folder"):
            folders.read(name)
