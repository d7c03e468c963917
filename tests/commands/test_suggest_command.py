"""`pose suggest`: every image is accounted for, the chosen ones are there for labelling tools."""

import json
import signal

import numpy as np
import pytest

from pose.commands.main import main
from pose.data.coco import load_coco
from pose.data.synthetic import draw_scene
from pose.images import write_image
from pose.records import write_json
from pose.reports.novelty import CELLS
from pose.reports.page import write_report
from pose.reports.suggest_page import PICTURES, cards_of, nobody_cards, suggest_page
from pose.reports.suggestions import REASONS, Seen, content_of, suggest
from pose.skeleton import COCO_17
from tests.reports.test_suggestions import nobody, people, seen_of

NUMBER = 9
FILES = [
    *("annotations.json", "cvat_labels.json", "label_studio.json", "label_studio.xml"),
    *("suggestions.html", "suggestions.json"),
]


@pytest.fixture
def photos(tmp_path):
    """Nine pictures and a file of boxes: nobody in the last, one or two in the others."""
    names = [f"{i}.jpg" for i in range(NUMBER)]
    boxes = []
    for i, name in enumerate(names):
        write_image(tmp_path / "photos" / name, draw_scene(5, i).image)
        people = [[20 + 5 * i, 30, 90, 150], [150, 20, 80, 190]][: i % 2 + 1]
        if i < NUMBER - 1:
            boxes += [{"image_id": i, "file_name": name, "bbox": box, "score": 1} for box in people]
    write_json(tmp_path / "boxes.json", boxes)
    return tmp_path / "photos"


@pytest.fixture
def run(weights, photos, tmp_path):
    """Runs the command on the pictures; returns its status and what the JSON holds."""

    def run(*more, out="out", sources=None, status=0):
        words = ["suggest", *(sources or [photos]), "--weights", weights, "--out", tmp_path / out]
        boxes = [] if "--boxes" in more else ["--boxes", tmp_path / "boxes.json"]
        words += [*boxes, "--device", "cpu", *more]
        assert main([str(word) for word in words]) == status
        path = tmp_path / out / "suggestions.json"
        return json.loads(path.read_text()) if path.exists() else None

    return run


def reasons(content):
    return {row["file_name"]: row["reason"] for row in content["images"]}


def test_the_chosen_images_are_there_for_labelling_tools(run, tmp_path, capsys):
    content = run("--number", "4")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == FILES
    chosen = [row for row in content["images"] if row["rank"]]
    assert [row["rank"] for row in chosen] == [1, 2, 3, 4]
    annotations = json.loads((out / "annotations.json").read_text())
    names = [row["file_name"] for row in chosen]
    assert [image["file_name"] for image in annotations["images"]] == names
    assert len(annotations["annotations"]) == sum(row["people"] for row in chosen)
    assert len(load_coco(out / "annotations.json")) == len(annotations["annotations"])
    tasks = json.loads((out / "label_studio.json").read_text())
    addresses = [f"/data/local-files/?d=photos/{name}" for name in names]
    assert [task["data"]["image"] for task in tasks] == addresses
    [label] = json.loads((out / "cvat_labels.json").read_text())
    assert [part["name"] for part in label["sublabels"]] == list(COCO_17.keypoints)
    assert "<View>" in (out / "label_studio.xml").read_text(encoding="utf-8")
    told = reasons(content)
    assert len(told) == NUMBER and told["8.jpg"] == REASONS["nobody"]
    said = capsys.readouterr()
    assert said.out.splitlines()[2].split()[:2] == ["9", "4"]
    assert "not calibrated" in said.err and "docs/calibrate.md" in said.err
    assert content["scores"] == "the network's own"


def test_the_same_pictures_give_the_same_suggestion(run):
    assert run("--number", "5") == run("--number", "5", out="again")


def test_the_page_stands_alone_and_names_are_text(run, photos, tmp_path):
    (photos / "0.jpg").rename(photos / "<script>alert(1)<img src=x>.jpg")
    run("--boxes", "10,20,110,220", "--number", "20")
    page = (tmp_path / "out/suggestions.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert page.count("data:image/webp;base64,") == NUMBER
    assert "http://" not in page and "https://" not in page


def test_what_is_labelled_is_not_chosen_again(run, tmp_path):
    first = run("--number", "3")
    names = [row["file_name"] for row in first["images"] if row["rank"]]
    second = run("--number", "20", "--labelled", tmp_path / "out/annotations.json", out="next")
    told = reasons(second)
    assert {name for name, why in told.items() if why == REASONS["labelled"]} == set(names)
    distances = [row["distance"] for row in second["images"] if row["rank"]]
    assert len(distances) == NUMBER - 3 - 1 and max(distances) < 1
    assert second["counts"][REASONS["labelled"]] == 3


def test_an_unreadable_picture_is_said_and_left_out(run, photos, capsys):
    whole = (photos / "2.jpg").read_bytes()
    (photos / "2.jpg").write_bytes(whole[: len(whole) // 2])
    content = run(status=2)
    assert reasons(content)["2.jpg"] == REASONS["unreadable"]
    assert content["counts"]["cannot be read"] == 1
    assert "2.jpg: truncated JPEG" in capsys.readouterr().err


def interrupted_at(count, monkeypatch, times=1):
    """Ctrl-C when `count` pictures have been looked at."""
    from pose.inference import doubt

    whole, looked = doubt.look_twice, [0]

    def look_twice(predictor, images, boxes, sigmas):
        looked[0] += len(images)
        if looked[0] >= count:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return whole(predictor, images, boxes, sigmas)

    monkeypatch.setattr(doubt, "look_twice", look_twice)
    monkeypatch.setattr("pose.inference.predictor.IMAGES_AT_ONCE", 2)


def test_an_interrupt_leaves_a_choice_among_what_was_seen(run, monkeypatch, tmp_path, capsys):
    interrupted_at(8, monkeypatch)
    content = run("--number", "20", status=130)
    told = list(reasons(content).values())
    assert told.count(None) == 8 and told.count(REASONS["unseen"]) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert "interrupted after 8 images" in capsys.readouterr().err


def test_a_second_ctrl_c_leaves_nothing(run, monkeypatch, tmp_path):
    interrupted_at(1, monkeypatch, times=2)
    assert run(status=130) is None
    assert not list((tmp_path / "out").iterdir())


def test_calibrated_scores_are_used_and_said(run, tmp_path):
    curves = {"keypoints": {"slope": 6, "offset": -2}, "people": {"slope": 5, "offset": -2}}
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"curves": curves, "weights": None}))
    plain, content = run(), run(f"predict.calibration={path}", out="calibrated")
    assert content["scores"] == "calibrated"
    figures = [
        {r["file_name"]: (r["uncertainty"], r["disagreement"]) for r in c["images"] if r["people"]}
        for c in (plain, content)
    ]
    for name, (uncertainty, disagreement) in figures[0].items():
        assert figures[1][name][0] != uncertainty and figures[1][name][1] == disagreement
    page = (tmp_path / "calibrated/suggestions.html").read_text(encoding="utf-8")
    assert "Scores are calibrated" in page


def test_a_pool_in_which_nobody_is_found_is_no_error(run, tmp_path):
    (tmp_path / "none.json").write_text("[]")
    content = run("--boxes", str(tmp_path / "none.json"))
    assert content["counts"]["chosen"] == 0
    assert set(reasons(content).values()) == {REASONS["nobody"]}
    assert json.loads((tmp_path / "out/annotations.json").read_text())["images"] == []


def test_mistakes_are_one_line(run, mistake, weights, photos, tmp_path, capsys):
    words = ["suggest", photos, "--weights", weights, "--device", "cpu"]
    boxes = ["--boxes", "1,1,50,90"]
    out = ["--out", tmp_path / "new"]
    assert "--number 0: expected 1 or more" in mistake(*words, *boxes, *out, "--number", "0")
    both = mistake(*words, *boxes, *out, "--detector", "x")
    assert "--boxes and --detector both say" in both
    assert "is a folder of the sources" in mistake(*words, *boxes, "--out", photos)
    assert "no source" in mistake("suggest", "--weights", weights, *out)
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.mp4").write_bytes(b"x")
    said = mistake("suggest", tmp_path / "films", "--weights", weights, *boxes, *out)
    assert "no image among the sources" in said
    run()
    capsys.readouterr()
    assert "holds files already" in mistake(*words, *boxes, "--out", tmp_path / "out")
    corrected = ["suggest", photos, "--corrected", tmp_path / "x.json", *out]
    assert "--corrected: reads" in mistake(*corrected)
    assert not (tmp_path / "new").exists()


def test_what_comes_back_uncorrected_is_what_was_suggested(run, tmp_path, capsys):
    run("--number", "3")
    out = tmp_path / "out"
    began = load_coco(out / "annotations.json")
    line = ["suggest", "--corrected", str(out / "annotations.json"), "--out", str(out)]
    assert main(line) == 0
    back = load_coco(out / "corrected.json")
    np.testing.assert_allclose(back.keypoints, began.keypoints, atol=1e-3)
    assert [str(n) for n in back.images] == [str(n) for n in began.images]
    assert str(out / "corrected.json") in capsys.readouterr().out
    assert main(line) == 2 and "is there already" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0


@pytest.mark.slow
def test_five_thousand_images_make_a_page_below_20_mb(tmp_path):
    rng = np.random.default_rng(0)
    columns = people(rng, 5000, COCO_17)
    colours = rng.uniform(0, 1, (5000, CELLS, CELLS, 3))
    rows = zip(*columns, colours, strict=True)
    seen: list[Seen] = [
        seen_of(f"photographs/{i:012d}.jpg", *(c[None] for c in person), own, skeleton=COCO_17)
        for i, (*person, own) in enumerate(rows)
    ]
    seen += [nobody_of_coco(f"empty/{i}.jpg") for i in range(500)]
    found = suggest(seen, COCO_17, 1000)
    content = content_of(found, {}, COCO_17, calibrated=False)
    picture = rng.integers(0, 256, (240, 320, 3), np.uint8)  # noise: no picture is larger
    cards = cards_of(found.chosen(), content["images"], lambda name: picture, 0.2)
    page = suggest_page(content, cards, nobody_cards(seen, lambda name: picture))
    path, _ = write_report(tmp_path, "suggestions", page, content)
    assert len(cards) == PICTURES
    assert 10_000_000 < path.stat().st_size < 20_000_000


def nobody_of_coco(name):
    return seen_of(name, np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4)),
                   nobody(name).colours, skeleton=COCO_17)  # fmt: skip
