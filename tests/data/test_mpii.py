"""MPII's json and its original release become the same people, by the published rules."""

import json
import math

import numpy as np
import pytest
from scipy.io import savemat

from pose.data.mpii import load_mpii
from pose.geometry import Crop, box_center_extent
from pose.skeleton import MPII_16

JOINTS = [[100.0 + 3 * k, 200.5 - 2 * k] for k in range(16)]


def entry(image="a.jpg", **changes):
    """A person all of whose keypoints are labelled."""
    person = {
        "image": image,
        "center": [966.0, 340.0],
        "scale": 4.718488,
        "joints": JOINTS,
        "joints_vis": [1] * 16,
    }
    return person | changes


@pytest.fixture
def load(save):
    return lambda *entries: load_mpii(save(list(entries)))


def fault(path):
    """The one line of the ValueError that loading ends in, which begins with the file."""
    with pytest.raises(ValueError) as raised:
        load_mpii(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 400
    return line.removeprefix(f"{path}: ")


# The published json


def test_the_crop_is_the_published_one(load):
    """The golden numbers, taken from the published loader."""
    person = load(entry())[0]
    center, extent = box_center_extent(person.box, (256, 256))
    # float32 boxes hold these pixels to 1e-4
    assert center == pytest.approx([965, 409.77732], abs=2e-4)
    assert extent == pytest.approx([200 * 5.89811] * 2, abs=2e-3)
    crop = Crop.of_box(person.box, (256, 256))
    corners = crop.to_image(np.array([[0, 0], [256, 256]]))
    assert corners == pytest.approx(
        np.array([[965 - 589.811, 409.77732 - 589.811], [965 + 589.811, 409.77732 + 589.811]]),
        abs=2e-3,
    )


def test_keypoints_count_from_zero_and_the_unlabelled_are_zero(load):
    labelled = [1] * 13 + [0] * 3
    joints = [*JOINTS[:13], [-1, -1], [0, 0], [5, 5]]
    person = load(entry(joints=joints, joints_vis=labelled))[0]
    assert person.keypoints[:13].tolist() == (np.array(JOINTS[:13]) - 1).tolist()
    assert not person.keypoints[13:].any()
    assert person.visibility.tolist() == [2] * 13 + [0] * 3


def test_people_stay_in_the_file_s_order(load):
    people = load(entry("b.jpg"), entry("a.jpg", scale=1), entry("b.jpg", scale=2))
    assert people.skeleton is MPII_16
    assert [person.image for person in people] == ["b.jpg", "a.jpg", "b.jpg"]
    assert people.images.tolist() == ["b.jpg", "a.jpg"]
    assert people.image_ids.tolist() == [1, 2, 1] and people.annotation_ids.tolist() == [1, 2, 3]
    assert people.scores.tolist() == [1, 1, 1] and not people.image_sizes.any()
    assert people.areas[1:].tolist() == [200.0**2, 400.0**2]


def test_without_a_centre_nothing_is_shifted_or_padded(load):
    """As published: a centre of (-1, -1) leaves its y and the scale as they are."""
    box = load(entry(center=[-1, -1], scale=1))[0].box
    center, extent = box_center_extent(box, (256, 256))
    assert center.tolist() == [-2, -2] and extent == pytest.approx([200, 200], abs=1e-4)


def test_a_test_split_has_people_without_labels(load):
    person = {key: entry()[key] for key in ("image", "center", "scale")}
    people = load(person)
    assert len(people) == 1 and not people.visibility.any() and not people.keypoints.any()
    assert people.boxes.tolist() == load(entry()).boxes.tolist()


def test_nobody_is_people_too(load):
    people = load()
    assert len(people) == 0
    assert people.boxes.shape == (0, 4) and people.keypoints.shape == (0, 16, 2)


def without(key):
    return {name: value for name, value in entry().items() if name != key}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (7, "is a int, expected an object"),
        (without("image"), "has no 'image' (it has: center,"),
        (without("center"), "has no 'center'"),
        (without("scale"), "has no 'scale'"),
        (without("joints"), "has no 'joints'"),
        (without("joints_vis"), "has no 'joints_vis'"),
        (entry(image=""), "image is '', expected a file's name"),
        (entry(image=5), "image is 5, expected a file's name"),
        (entry(center=[1, 2, 3]), "center has 3 values, expected 2"),
        (entry(center=[1, math.nan]), "center[1] is nan, expected a finite number"),
        (entry(center=[1e12, 2]), "center holds 1e+12, which is no pixel's coordinate"),
        (entry(scale="big"), "scale is 'big', expected a finite number"),
        (entry(scale=0), "scale is 0, which is no person's size"),
        (entry(scale=-1), "scale is -1, which is no person's size"),
        (entry(scale=1e30), "scale is 1e+30, which is no person's size"),
        (entry(joints=JOINTS[1:]), "joints is no list of 16 points [x, y]"),
        (entry(joints=None), "joints is no list of 16 points [x, y]"),
        (entry(joints=[*JOINTS[:15], [1]]), "joints[15] has 1 values, expected 2"),
        (entry(joints=[*JOINTS[:15], [1, "2"]]), "joints[15] is not a flat list of numbers"),
        (entry(joints=[*JOINTS[:15], 3]), "joints[15] is 3, expected a list of 2 numbers"),
        (entry(joints_vis=[1] * 15), "joints_vis has 15 values, expected 16"),
        (entry(joints_vis=[2] * 16), "joints_vis has a value other than 0 or 1"),
    ],
)
def test_a_broken_entry_is_named(save, broken, message):
    line = fault(save([entry(), broken]))
    assert line.startswith("entry 1: ") and message in line


def test_files_that_are_none_are_refused(save, tmp_path):
    assert "is a dict, expected MPII's list of people" in fault(save({"images": []}))
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file$"):
        load_mpii(tmp_path / "none.json")


# The original release


def struct(cells):
    """A MATLAB struct array (1, n) of dicts with the same keys; missing values are []."""
    dtype = [(name, object) for name in cells[0]]
    array = np.empty((1, len(cells)), dtype=dtype)
    for i, cell in enumerate(cells):
        for name, value in cell.items():
            array[0, i][name] = np.empty((0, 0)) if value is None else value
    return array


def release_person(person, seen=None, **changes):
    """A person of the json as the release has it, with `is_visible` by keypoint."""
    points = [
        {"x": x, "y": y, "id": k, "is_visible": (seen or {}).get(k)}
        for k, ((x, y), labelled) in enumerate(
            zip(person["joints"], person["joints_vis"], strict=True)
        )
        if labelled
    ]
    x, y = person["center"]
    rect = {
        "x1": 10,
        "y1": 20,
        "x2": 40,
        "y2": 60,
        "annopoints": struct([{"point": struct(points)}]),
        "scale": person["scale"],
        "objpos": struct([{"x": x, "y": y}]),
    }
    return rect | changes


def release(images, training, path):
    """Write images [(name, [person, ...] or None)] in the release's layout."""
    annolist = [
        {
            "image": struct([{"name": name}]),
            "annorect": None if people is None else struct(people),
            "frame_sec": None,
        }
        for name, people in images
    ]
    content = {
        "annolist": struct(annolist),
        "img_train": np.array([training], dtype=np.uint8),
        "version": "12",
    }
    savemat(path, {"RELEASE": struct([content])})
    return path


@pytest.fixture
def mat(tmp_path):
    return tmp_path / "mpii_human_pose_v1_u12_1.mat"


def test_the_release_equals_the_json_of_the_same_people(load, mat):
    first = entry("b.jpg", center=[300.0, 210.0], scale=1.25)
    second = entry("b.jpg", joints_vis=[0] * 6 + [1] * 10)
    third = entry("a.jpg", scale=2.5)
    released = load_mpii(
        release(
            [
                ("b.jpg", [release_person(first), release_person(second)]),
                ("test.jpg", [release_person(first)]),
                ("nobody.jpg", None),
                ("a.jpg", [release_person(third)]),
            ],
            [1, 0, 1, 1],
            mat,
        )
    )
    published = load(first, second, third)
    for column, expected in vars(published).items():
        found = vars(released)[column]
        assert found is expected or np.array_equal(found, expected), column
        assert found is expected or found.dtype.kind == expected.dtype.kind, column


def test_is_visible_is_a_number_a_digit_or_nothing(mat):
    seen = {0: 0, 1: 1, 2: "0", 3: "1", 4: np.uint8(0), 5: 1.0}
    person = release_person(entry(joints_vis=[1] * 10 + [0] * 6), seen)
    people = load_mpii(release([("a.jpg", [person])], [1], mat))
    assert people.visibility[0].tolist() == [1, 2, 1, 2, 1, 2, 2, 2, 2, 2] + [0] * 6


@pytest.mark.parametrize("lacking", ["scale", "objpos", "annopoints"])
def test_people_without_crop_or_keypoints_are_left_out(mat, lacking):
    person, empty = release_person(entry()), release_person(entry(), **{lacking: None})
    removed = {key: value for key, value in person.items() if key != lacking}
    images = [("a.jpg", [empty, person]), ("b.jpg", [removed])]
    people = load_mpii(release(images, [1, 1], mat))
    assert [p.image for p in people] == ["a.jpg"]


BOX_ONLY = struct([{"x": 3}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": -2.0}, "annolist(1).annorect(1): scale is -2, which is no person's size"),
        ({"objpos": BOX_ONLY}, "annolist(1).annorect(1): objpos.y is None, expected a finite"),
        (
            {"annopoints": struct([{"point": struct([{"x": 1, "y": 2, "id": 16}])}])},
            "annolist(1).annorect(1): annopoints.point(1).id is 16, expected 0 to 15",
        ),
        (
            {"annopoints": struct([{"point": struct([{"x": 1, "y": None, "id": 3}])}])},
            "annopoints.point(1).y is None, expected a finite number",
        ),
        (
            {"annopoints": struct([{"point": BOX_ONLY}])},
            "annopoints.point(1).id is None, expected an integer",
        ),
    ],
)
def test_a_broken_person_of_the_release_is_named(mat, changes, message):
    assert message in fault(release([("a.jpg", [release_person(entry(), **changes)])], [1], mat))


@pytest.mark.parametrize("seen", [2, "x", 0.5, "01"])
def test_a_visibility_that_is_none_is_refused(mat, seen):
    person = release_person(entry(), {4: seen})
    assert "annopoints.point(5).is_visible is " in fault(release([("a.jpg", [person])], [1], mat))


def test_a_broken_release_is_named(mat):
    assert fault(release([("", [release_person(entry())])], [1], mat)) == (
        "annolist(1): image.name is None, expected a file's name"
    )
    assert fault(release([("a.jpg", None)], [1, 0], mat)) == (
        "RELEASE has 1 entries in annolist, 2 in img_train"
    )
    savemat(mat, {"preds": np.zeros((3, 16, 2))})
    assert fault(mat) == "has no 'RELEASE' (it has: preds)"


# Published files


def test_the_published_json(test_data):
    path = test_data / "mpii/test_mpii.json"
    content = json.loads(path.read_text())
    people = load_mpii(path)
    assert [person.image for person in people] == [e["image"] for e in content]
    assert np.array_equal(people.visibility > 0, [e["joints_vis"] for e in content])
    raw = np.array([e["center"] for e in content])
    scale = np.array([e["scale"] for e in content])
    center, extent = box_center_extent(people.boxes, (256, 256))
    assert center == pytest.approx(raw + np.outer(15 * scale, [0, 1]) - 1, abs=1e-3)
    assert extent[:, 0] == pytest.approx(250 * scale, abs=1e-3)
    for person in people:
        assert (test_data / "mpii/images" / person.image).is_file()
