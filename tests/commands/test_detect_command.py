"""`pose detect`: a detection file that the other commands read, and its person AP."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose.commands import detect
from pose.commands import main as cli
from pose.data.coco import load_detections
from pose.images import read_image, write_image
from pose.inference.boxes import Boxes, read_boxes
from pose.skeleton import COCO_17, skeleton_to_category

RTMDET = "models/rtmdet_nano_person_320.onnx"


@pytest.fixture(autouse=True)
def command(monkeypatch, tmp_path):
    monkeypatch.setitem(cli.COMMANDS, "detect", "Use")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Stands for every detector: one person in the right half of each image that is not black."""
    calls = []

    def see(images):
        calls.append([image.shape for image in images])
        found = []
        for image in images:
            height, width = image.shape[:2]
            box = np.array([[width / 2, 1.25, width, height]], np.float32)[: bool(image.any())]
            found.append(Boxes(box, np.full(len(box), 0.75, np.float32)))
        return found

    def detector_of(name, device, threshold):
        calls.append((name, str(device), threshold))
        return see

    monkeypatch.setattr("pose.build_detector.detector_of", detector_of)
    return calls


def paint(folder, *names, grey=100):
    for name in names:
        write_image(folder / name, np.full((20, 40, 3), grey, np.uint8))
    return folder


def run(*line):
    return cli.main(["detect", *map(str, line), "--device", "cpu"])


def written(path="detections.json"):
    return json.loads(Path(path).read_text())


def truth(path, images, **fields):
    """An annotation file that lists images by name, with the box that the detector finds."""
    category = skeleton_to_category(COCO_17)
    labels = {"keypoints": [20, 10, 2] * 17, "num_keypoints": 17, "area": 375, "iscrowd": 0}
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 40, "height": 20} for name, i in images.items()
        ],
        "categories": [{**category, "id": fields.get("category_id", 1)}],
        "annotations": [
            {"id": i, "image_id": i, "bbox": [20, 1.25, 20, 18.75], "category_id": 1, **labels}
            | fields
            for i in images.values()
        ],
    }
    path.write_text(json.dumps(content))
    return path


def test_the_file_is_in_cocos_form(asked, tmp_path, capsys):
    paint(tmp_path / "photos", "a.jpg", "b.png")
    paint(tmp_path / "photos", "empty.png", grey=0)
    assert run("photos") == 0
    assert written() == [
        {
            "image_id": image_id,
            "category_id": 1,
            "bbox": [20.0, 1.25, 20.0, 18.75],
            "score": 0.75,
            "file_name": name,
        }
        for image_id, name in ((1, "a.jpg"), (2, "b.png"))
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["images", "empty", "boxes"]
    assert lines[2].split() == ["3", "1", "2"]
    assert lines[3] == "boxes: detections.json"
    assert lines[4].startswith("speed: ") and "images a second" in lines[4]
    assert asked[0] == ("default", "cpu", 0.05)


def test_what_was_asked_for_is_passed_on(asked, tmp_path):
    paint(tmp_path, "a.jpg")
    line = ["--detector", "rtmdet=m.onnx", "--score-threshold", 0.4, "--out", "deep/boxes.json"]
    assert run("a.jpg", *line) == 0
    assert asked[0] == ("rtmdet=m.onnx", "cpu", 0.4)
    assert len(written("deep/boxes.json")) == 1


def test_an_image_named_twice_is_looked_at_once(asked, tmp_path):
    paint(tmp_path / "photos", "a.jpg", "b.jpg")
    assert run("photos/a*.jpg", "photos") == 0
    assert [e["file_name"] for e in written()] == ["a.jpg", "b.jpg"]


def test_images_of_one_name_are_told_apart_by_their_folders(asked, tmp_path):
    paint(tmp_path / "photos", "a.jpg")
    paint(tmp_path / "other", "a.jpg", grey=0)
    assert run("photos", "other") == 0
    assert [(e["image_id"], e["file_name"]) for e in written()] == [(1, "photos/a.jpg")]
    source = read_boxes(Path("detections.json"))
    assert len(source.of_image(Path("photos/a.jpg")).boxes) == 1
    path = truth(tmp_path / "truth.json", {"photos/a.jpg": 8, "other/a.jpg": 9})
    assert run("photos", "other", "--annotations", path, "--overwrite") == 0
    assert [e["image_id"] for e in written()] == [8]


def test_images_come_a_few_at_a_time(asked, tmp_path):
    names = [f"{i}.png" for i in range(detect.IMAGES_AT_ONCE + 1)]
    paint(tmp_path / "photos", *names)
    assert run("photos") == 0
    assert [len(call) for call in asked[1:]] == [detect.IMAGES_AT_ONCE, 1]


def test_predict_and_evaluate_read_the_file(asked, tmp_path):
    paint(tmp_path / "photos", "b.jpg", "a.jpg")
    path = truth(tmp_path / "truth.json", {"a.jpg": 5, "b.jpg": 3})
    assert run("photos", "--annotations", path) == 0
    source = read_boxes(Path("detections.json"))
    for name in ("a.jpg", "b.jpg"):
        given = source.of_image(tmp_path / "photos" / name)
        assert given.boxes.tolist() == [[20, 1.25, 40, 20]] and given.scores.tolist() == [0.75]
    people = load_detections(Path("detections.json"), path)
    assert sorted(people.image_ids.tolist()) == [3, 5]
    assert people.boxes.tolist() == [[20, 1.25, 40, 20]] * 2


def test_the_person_ap_is_that_of_annotated_images(asked, tmp_path, capsys):
    paint(tmp_path / "photos", "a.jpg", "b.jpg", "c.jpg")
    assert run("photos", "--annotations", truth(tmp_path / "t.json", {"a.jpg": 5, "z.jpg": 6})) == 0
    said = capsys.readouterr()
    names, _, figures = said.out.splitlines()[3:6]
    assert names.split("  ")[-1].strip() == "AR" and names.split()[0] == "AP"
    assert figures.split() == ["1", "annotated", *["1.0000"] * 3, "1.0000", "n/a", "n/a", "1.0000"]
    assert "t.json: does not list 2 of 3 images" in said.err


def test_the_category_is_that_of_the_annotations(asked, tmp_path):
    paint(tmp_path, "a.jpg")
    path = truth(tmp_path / "truth.json", {"a.jpg": 5}, category_id=4)
    assert run("a.jpg", "--annotations", path) == 0
    assert [e["category_id"] for e in written()] == [4]


def turned(path):
    """A JPEG that says it lies on its side."""
    image = np.full((20, 40, 3), 100, np.uint8)
    image[:, :10] = 250
    _, data = cv2.imencode(".jpg", image)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    assert read_image(path).shape == (40, 20, 3)


def test_photos_stand_upright_but_for_annotations(asked, tmp_path):
    """Annotations are in pixels as stored, the boxes that predict takes as shown."""
    turned(tmp_path / "a.jpg")
    assert run("a.jpg") == 0
    listed = truth(tmp_path / "t.json", {"a.jpg": 5})
    assert run("a.jpg", "--annotations", listed, "--overwrite") == 0
    assert [call for call in asked if isinstance(call, list)] == [[(40, 20, 3)], [(20, 40, 3)]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gone.jpg", "gone.jpg: no such"),
        ("empty", "empty: holds no image"),
        ("camera:0", "camera:0: is no still image"),
        ("photos --score-threshold 2", "--score-threshold 2.0: expected 0 to 1"),
        ("photos --score-threshold nan", "--score-threshold nan: expected 0 to 1"),
        ("photos --annotations gone.json", "gone.json: no such file"),
        ("photos --annotations other.json", "lists none of the 1 images by file name"),
        ("photos --annotations twice.json", "cannot tell which of its images 'a.jpg' is"),
        (
            "photos other --annotations truth.json",
            "cannot tell which of its images 'other/a.jpg' is",
        ),
        ("photos --annotations truth.json --out truth.json", "is an input file; name another"),
        ("photos --out photos/a.jpg", "is an input file; name another"),
        ("broken.jpg", "broken.jpg: not a JPEG, PNG"),
        ("", "the following arguments are required"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(line, words, asked, tmp_path, capsys):
    paint(tmp_path / "photos", "a.jpg")
    paint(tmp_path / "other", "a.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    truth(tmp_path / "truth.json", {"a.jpg": 5})
    truth(tmp_path / "other.json", {"b.jpg": 5})
    truth(tmp_path / "twice.json", {"x/a.jpg": 5, "y/a.jpg": 6})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert run(*line.split()) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("annotated", [False, True])
def test_unreadable_images_among_others_are_said_and_left_out(asked, tmp_path, capsys, annotated):
    names = {f"{i}.png": i for i in range(12)}
    paint(tmp_path / "photos", *names)
    for name in ("2.png", "7.png"):
        (tmp_path / "photos" / name).write_bytes(b"no picture")
        del names[name]
    every = truth(tmp_path / "truth.json", {**names, "2.png": 2, "7.png": 7})
    assert run("photos", *(["--annotations", every] if annotated else [])) == 2
    assert {e["file_name"]: e["image_id"] for e in written()} == names
    assert [len(call) for call in asked[1:]] == [8, 2]
    said = capsys.readouterr()
    assert "2.png: not a JPEG" in said.err and "7.png: not a JPEG" in said.err
    assert "pose: error:" not in said.err
    table = said.out.splitlines()
    assert table[0].split() == ["images", "empty", "boxes", "unreadable"]
    assert table[2].split() == ["10", "0", "10", "2"]
    if annotated:  # nobody is missed on a picture that nobody saw
        assert table[5].split()[:4] == ["10", "annotated", "1.0000", "1.0000"]


def test_several_images_of_which_none_can_be_read(asked, tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    path = truth(tmp_path / "truth.json", {"a.jpg": 5, "b.jpg": 6})
    assert run("a.jpg", "b.jpg", "--annotations", path) == 2
    assert written() == []
    table = capsys.readouterr().out.splitlines()
    assert table[2].split() == ["0", "0", "0", "2"] and table[-1].startswith("speed: 0.0 images")


def test_an_interrupt_leaves_nothing(asked, tmp_path, monkeypatch):
    paint(tmp_path / "photos", *[f"{i}.png" for i in range(20)])
    read = read_image

    def interrupted(path, **options):
        if path.name == "19.png":
            raise KeyboardInterrupt
        return read(path, **options)

    monkeypatch.setattr("pose.images.read_image", interrupted)
    assert run("photos") == 130
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_nobody_at_all_is_an_empty_file(asked, tmp_path, capsys):
    paint(tmp_path / "photos", "a.png", grey=0)
    path = truth(tmp_path / "truth.json", {"a.png": 5})
    assert run("photos", "--annotations", path) == 0
    assert written() == [] and "0.0000" in capsys.readouterr().out


def test_rtmdet_on_photographs(test_data, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    folder = test_data / "coco"
    annotations = folder / "annotations/person_keypoints_val2017.json"
    names = [image["file_name"] for image in json.loads(annotations.read_text())["images"]]
    photos = [folder / "images/val2017" / name for name in names]
    line = [*photos, "--detector", test_data / RTMDET, "--annotations", annotations]
    assert run(*line) == 0
    row = next(r for r in capsys.readouterr().out.splitlines() if r.startswith("18 annotated"))
    assert 0.37 < float(row.split()[2]) < 0.4
    people = load_detections(Path("detections.json"), annotations)
    assert len(people) == len(written()) > 500
