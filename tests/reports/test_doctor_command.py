"""`pose doctor`: exit statuses, the files it writes, what it refuses, and the page in a browser."""

import json
import shutil

import numpy as np
import pytest

from pose.commands import main as cli
from pose.images import write_image
from pose.reports import doctor_cards
from tests.reports.planted import PLANTS, Garden, write_set

HOSTILE = "<script>alert(1)</script>.jpg"


@pytest.fixture
def garden(tmp_path):
    (tmp_path / "other").mkdir()
    return Garden(write_set(tmp_path / "images"), tmp_path / "images", tmp_path / "other")


def run(garden, *arguments):
    labels, *_ = garden.save()
    out = garden.images.parent / "out"
    return cli.main(["doctor", *map(str, (labels, "--out", out, "--overwrite", *arguments))])


def written(garden):
    folder = garden.images.parent / "out"
    return json.loads((folder / "doctor.json").read_text()), (folder / "doctor.html").read_text()


def test_the_exit_status_goes_by_the_gravest(garden, capsys):
    assert run(garden, "--images", garden.images) == 0
    assert "errors: 0, warnings: 0, notes: 0" in capsys.readouterr().out
    assert "Nothing was found." in written(garden)[1]
    PLANTS["person without keypoints"](garden)
    assert run(garden, "--strict") == 0
    PLANTS["area larger than the box"](garden)
    assert run(garden) == 0
    assert run(garden, "--strict") == 1
    PLANTS["area 0 or below"](garden)
    assert run(garden) == 1
    assert "errors: 1, warnings: 1, notes: 1" in capsys.readouterr().out


def test_both_files_say_the_same(garden, capsys):
    PLANTS["cut image"](garden)
    PLANTS["nearly the same image"](garden)
    PLANTS["nearly an image of the other split"](garden)
    _, others, detections = garden.save()
    given = ("--images", garden.images, "--against", others, "--against-images", garden.other)
    assert run(garden, *given, "--detections", detections) == 1
    said = capsys.readouterr().out
    assert "cut image" in said and "box recall at IoU" in said
    content, text = written(garden)
    assert content["severities"] == {"error": 1, "warning": 2, "note": 0}
    for row in content["verdicts"]:
        assert row["number"] == len(row["findings"])
        assert f"{row['kind'][0].upper()}{row['kind'][1:]}: {row['number']}" in text
    for name, value in content["counts"].items():
        assert f"<dt>{name}</dt><dd>{value:,}</dd>" in text
    assert content["detections"]["recall"]["0.50"] == 1.0
    assert text.count('class="card"') == 2
    assert text.count("data:image/webp") == 4


def test_pictures_stay_below_their_bytes_and_examples_below_their_number(garden, monkeypatch):
    for annotation in garden.dataset["annotations"]:
        annotation["num_keypoints"] = 3
    assert run(garden, "--images", garden.images) == 1
    text = written(garden)[1]
    assert text.count('class="card"') == doctor_cards.EXAMPLES
    assert text.count("data:image/webp") == 2 * doctor_cards.EXAMPLES
    monkeypatch.setattr(doctor_cards, "BYTES", 1)
    assert run(garden, "--images", garden.images) == 1
    assert "data:image/webp" not in written(garden)[1]
    assert len(written(garden)[0]["verdicts"][0]["findings"]) == 12


def test_without_pictures_labels_are_drawn(garden):
    PLANTS["num_keypoints wrong"](garden)
    assert run(garden) == 1
    text = written(garden)[1]
    assert text.count('class="card"') == 1
    assert "data:image" not in text and "<circle" in text


def test_a_zip_of_images_is_looked_at(garden):
    shutil.make_archive(str(garden.images), "zip", garden.images)
    PLANTS["cut image"](garden)
    assert run(garden, "--images", f"{garden.images}.zip") == 0
    assert run(garden, "--images", garden.images) == 1


def test_names_stay_names(garden):
    """That would be markup, and that lead outside the folder."""
    where = garden.new_image(garden.picture(), file_name="../../etc/passwd")
    write_image(garden.images / HOSTILE.replace("/", "_"), noise())
    garden.dataset["images"][0]["file_name"] = HOSTILE
    assert run(garden, "--images", garden.images) == 1
    content, text = written(garden)
    assert "<script>alert" not in text
    kinds = {f["where"]: row["kind"] for row in content["verdicts"] for f in row["findings"]}
    assert kinds[where] == "unreadable image"
    assert kinds["images[0]"] == "missing image"


def noise():
    return np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weights", "x.onnx"], "--weights: needs --images"),
        (["--against-images", "x"], "--against-images: needs --against and --images"),
        (["--images", "nowhere"], "nowhere: no such image folder"),
        (["--detections", "nowhere.json"], "nowhere.json: no such file"),
        (["--against", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_what_cannot_be_is_one_line(garden, capsys, arguments, said):
    assert run(garden, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_another_split_needs_its_own_folder(garden, capsys):
    """Its pictures are not among these; without any pictures names are compared."""
    garden.others["images"] = [{"id": 1, "file_name": "elsewhere.jpg"}]
    _, others, _ = garden.save()
    assert run(garden, "--images", garden.images, "--against", others) == 2
    assert "name their folder with --against-images" in capsys.readouterr().err
    assert run(garden, "--against", others) == 0
    garden.others["images"] = [garden.dataset["images"][2]]
    assert run(garden, "--against", others) == 0
    assert run(garden, "--against", others, "--strict") == 1
    [row] = written(garden)[0]["verdicts"]
    assert row["kind"] == "nearly an image of the other split"
    assert row["findings"][0]["where"] == "images[2]"


@pytest.mark.parametrize("content", ["[]", "{}", '{"images": {}}', "{"])
def test_what_is_no_annotation_file_is_one_line(tmp_path, capsys, content):
    (tmp_path / "a.json").write_text(content)
    assert cli.main(["doctor", str(tmp_path / "a.json"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_lies_there_is_kept(garden, capsys):
    assert run(garden) == 0
    labels, *_ = garden.save()
    assert cli.main(["doctor", str(labels), "--out", str(garden.images.parent / "out")]) == 2
    assert "holds files already" in capsys.readouterr().err


def test_a_network_looks_at_real_labels(test_data, tmp_path, capsys):
    """At four photographs; it agrees with their labels, and its keypoints must be the file's."""
    path = test_data / "coco" / "annotations" / "person_keypoints_train2017.json"
    dataset = json.loads(path.read_text())
    dataset["images"] = dataset["images"][:4]
    ids = {image["id"] for image in dataset["images"]}
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] in ids]
    (tmp_path / "few.json").write_text(json.dumps(dataset))
    weights = test_data / "models" / "ultralight_simplepose_256x192.onnx"
    images = test_data / "coco" / "images" / "train2017"
    given = ["--images", images, "--weights", weights, "--out", tmp_path / "out", "--device", "cpu"]
    assert cli.main(["doctor", *map(str, [tmp_path / "few.json", *given])]) == 0
    study = json.loads((tmp_path / "out" / "doctor.json").read_text())["network"]
    assert study["people looked at"] == len(dataset["annotations"])
    assert study["mean OKS"] > 0.5
    dataset["categories"][0]["keypoints"][0] = "snout"
    (tmp_path / "few.json").write_text(json.dumps(dataset))
    arguments = ["doctor", *map(str, [tmp_path / "few.json", *given]), "--overwrite"]
    assert cli.main(arguments) == 2
    assert "not those of" in capsys.readouterr().err


def test_a_page_in_a_browser(garden, browser):
    """Nothing runs that came with the data, and no width is too small for the page."""
    for kind in ("num_keypoints wrong", "left and right look exchanged", "the same image twice"):
        PLANTS[kind](garden)
    garden.dataset["images"][3]["file_name"] = HOSTILE
    assert run(garden, "--images", garden.images) == 1
    for width in (1280, 390):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get((garden.images.parent / "out" / "doctor.html").as_uri())
        assert len(browser.find_elements("css selector", ".card")) == 3
        assert browser.find_elements("css selector", ".card svg .l")
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
