"""`pose diagnose`: the files it writes, what it refuses, and the page in a browser."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose.build import model_of
from pose.commands import diagnose as command
from pose.commands import main as cli
from pose.config import resolve
from pose.images import write_image
from pose.inference.predict import CPU_BATCH
from pose.inference.predictor import Predictor
from pose.metrics.coco_score import FIGURES, score_results
from pose.models.weights import save_weights
from pose.published import described
from pose.reports import gallery
from pose.skeleton import COCO_17, Skeleton
from tests.reports.constructed import labels, of_nobody, predictions
from tests.reports.test_diagnose_boxes import RUNTIME

HOSTILE = "<script>alert(1)</script>.jpg"


@pytest.fixture
def files(tmp_path):
    """Six people with errors of every kind, one missed, three predictions of nobody; the last image
    is not there, and its name would be markup."""
    dataset = labels(num_images=3, people=2)
    dataset["images"][2]["file_name"] = HOSTILE
    results, *_ = predictions(dataset, {"jitter": 0.1, "inversion": 0.1, "swap": 0.1, "miss": 0.1})
    results = results[1:] + of_nobody(dataset, 3)
    detections = [{"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.7}
                  for a in dataset["annotations"]]  # fmt: skip
    for name, content in (("gt", dataset), ("results", results), ("boxes", detections)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    picture = np.random.default_rng(0).integers(0, 255, (100, 300, 3), np.uint8)
    for image in dataset["images"][:2]:
        write_image(tmp_path / "images" / image["file_name"], picture)
    return tmp_path


def run(files, *arguments):
    given = [files / "results.json", "--annotations", files / "gt.json", "--out", files / "out"]
    return cli.main(["diagnose", *map(str, (*given, *arguments))])


def cards_of(text):
    inside = re.search(r'<script type="application/json" id="cards">(.*?)</script>', text)[1]
    return json.loads(inside)


def test_both_files_say_the_same(files, capsys):
    assert run(files, "--images", files / "images", "--detections", files / "boxes.json") == 0
    said = capsys.readouterr().out
    assert "put right" in said
    content = json.loads((files / "out" / "diagnosis.json").read_text())
    text = (files / "out" / "diagnosis.html").read_text()
    expected = score_results(files / "results.json", files / "gt.json")
    assert list(content["figures"]) == list(FIGURES)
    assert content["figures"]["AP"] == pytest.approx(expected["AP"], abs=1e-12)
    for name, value in content["counts"].items():
        assert f"<dt>{name}</dt><dd>{value:,}</dd>" in text
    assert f"<dt>AP</dt><dd>{expected['AP']:.3f}</dd>" in text
    assert content["detections"]["boxes"] == 6
    assert "The detector&#x27;s boxes" in text
    cards = cards_of(text)
    assert len(cards["cards"]) == len(content["gallery"]) == 5 + 1 + 3
    assert {row["what"] for row in content["gallery"]} == {"pose", "missed person", "of nobody"}
    told = content["gallery"][0]["errors"]
    assert set(told.values()) <= {"jitter", "inversion", "swap", "miss"}
    assert set(told) <= set(COCO_17.keypoints)


def test_the_worst_bring_pictures_and_the_others_the_way_to_them(files, monkeypatch):
    monkeypatch.setattr(gallery, "PICTURES", 4)
    assert run(files, "--images", files / "images") == 0
    cards = cards_of((files / "out" / "diagnosis.html").read_text())
    assert cards["beside"] == "../images"
    pictured = ["d" in card for card in cards["cards"]]
    assert not any(pictured[4:])
    there = [cards["images"][card["i"]][0] != HOSTILE for card in cards["cards"][:4]]
    assert pictured[:4] == there
    assert any(there)
    assert all(card["d"].startswith("data:image/webp;base64,")
               for card in cards["cards"] if "d" in card)  # fmt: skip


def test_pictures_stay_below_their_bytes(files, monkeypatch):
    monkeypatch.setattr(gallery, "PICTURE_BYTES", 1)
    assert run(files, "--images", files / "images") == 0
    assert not any(
        "d" in c for c in cards_of((files / "out" / "diagnosis.html").read_text())["cards"]
    )


def test_poses_that_lie_nowhere_have_no_picture(files):
    results = json.loads((files / "results.json").read_text())
    for number, far in enumerate((1e150, -1e7, 3e4)):
        results[number]["keypoints"] = [far * (i % 5) for i in range(51)]
    (files / "results.json").write_text(json.dumps(results))
    with np.errstate(over="ignore"):
        assert run(files, "--images", files / "images") == 0
    assert any("d" in c for c in cards_of((files / "out" / "diagnosis.html").read_text())["cards"])


def test_a_name_that_would_be_markup_stays_a_name(files):
    assert run(files) == 0
    text = (files / "out" / "diagnosis.html").read_text()
    assert "<script>alert" not in text
    assert [HOSTILE in entry for entry in cards_of(text)["images"]].count(True) == 1
    assert cards_of(text)["beside"] is None


def test_results_on_ground_truth_boxes_set_boxes_against_pose(files):
    results = json.loads((files / "gt.json").read_text())["annotations"]
    best = [{**{k: a[k] for k in ("image_id", "category_id", "keypoints")}, "score": 1.0}
            for a in results]  # fmt: skip
    (files / "best.json").write_text(json.dumps(best))
    assert run(files, "--gt-results", files / "best.json") == 0
    content = json.loads((files / "out" / "diagnosis.json").read_text())
    losses = {row["lost to"]: row["AP"] for row in content["lost to"]}
    assert losses == {
        "the pose": pytest.approx(0.0),
        "the boxes": pytest.approx(1 - content["figures"]["AP"]),
    }


def test_with_weights_the_network_is_varied(files, monkeypatch):
    monkeypatch.setattr(command, "networks_of", lambda weights, device: {"a": Predictor(RUNTIME)})
    dataset = json.loads((files / "gt.json").read_text())
    dataset["images"][2]["file_name"] = "2.jpg"
    (files / "gt.json").write_text(json.dumps(dataset))
    assert run(files, "--weights", "x.onnx", "--images", files / "images") == 0
    content = json.loads((files / "out" / "diagnosis.json").read_text())
    assert content["network"]["sample"] == {"images": 3, "people": len(dataset["annotations"])}
    text = (files / "out" / "diagnosis.html").read_text()
    assert "The network, varied" in text
    assert "The boxes against the pose" in text


@pytest.mark.parametrize(("codec", "number"), [("gaussian", 3), ("dark", 3), ("udp", 2)])
def test_flip_and_decoding_are_varied(tmp_path, codec, number):
    """The same network used in different ways gives different keypoints for one crop; udp's maps
    are read in one way only."""
    cfg = resolve({"model": {"name": "hrnet_small", "input_size": [64, 64]},
                   "codec": {"name": codec}}, "test")  # fmt: skip
    model, _ = model_of(cfg, COCO_17)
    save_weights(tmp_path / "a.safetensors", model.state_dict(), described(cfg, COCO_17))
    networks = command.networks_of(tmp_path / "a.safetensors", "cpu")
    assert {network.batch_size for network in networks.values()} == {CPU_BATCH}
    other = {"gaussian": "dark", "dark": "gaussian"}.get(codec, "")
    names = [f"flip test, {codec}", f"no flip test, {codec}", f"flip test, {other}"]
    assert list(networks) == names[:number]
    crop = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    first, *others = (network.runtime.find(crop)[0] for network in networks.values())
    assert not any(torch.equal(first, found) for found in others)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weights", "x.onnx"], "--weights: needs --images"),
        (
            ["--weights", "x.onnx", "--images", "i", "--gt-results", "r.json"],
            "--gt-results and --weights both say what ground-truth boxes would give; give one",
        ),
        (["--images", "nowhere"], "nowhere: no such image folder"),
        (["--detections", "nowhere.json"], "nowhere.json: no such file"),
        (["--gt-results", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_what_cannot_be_is_one_line(files, capsys, arguments, said):
    assert run(files, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_other_keypoints_than_the_networks_are_said(files, monkeypatch, capsys):
    other = Predictor(replace(RUNTIME, skeleton=Skeleton("other", ("near", "far"))))
    monkeypatch.setattr(command, "networks_of", lambda weights, device: {"a": other})
    assert run(files, "--weights", "x.onnx", "--images", files / "images") == 2
    assert "its keypoints are those of 'other'" in capsys.readouterr().err


def test_a_page_in_a_browser(files, browser):
    """Cards appear, filters choose, and nothing runs that came with the data."""
    assert run(files, "--images", files / "images") == 0
    browser.get((files / "out" / "diagnosis.html").as_uri())
    assert len(browser.find_elements("css selector", ".card")) == 9
    assert browser.find_element("id", "count").text == "9 of 9 shown"
    select = browser.find_element("css selector", "#by-what option[value='1']")
    select.click()
    assert browser.find_element("id", "count").text == "1 of 1 shown"
    assert browser.find_elements("css selector", ".card svg .l")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= browser.execute_script("return window.innerWidth")
