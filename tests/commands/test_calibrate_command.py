"""`pose calibrate`: scores of a known worth are given that worth, and `pose.load` uses it."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from pose.build_predictor import build_predictor, calibration_path
from pose.commands.main import main
from pose.inference.boxes import Boxes
from pose.inference.frames import line_of, poses_of_line
from pose.metrics.calibration import Calibration, Curve
from pose.records import read_json
from pose.skeleton import COCO_17
from pose.structures import Poses, person_scores
from tests.commands.quick import untrained
from tests.metrics.conftest import make_dataset


def scored_results(dataset, seed=0):
    """A prediction of every person with keypoints right as often as the square root of their score
    says: networks are mostly better than their scores."""
    rng = np.random.default_rng(seed)
    results = []
    for annotation in dataset["annotations"]:
        triplets = np.array(annotation["keypoints"], float).reshape(-1, 3)
        scores = rng.random(len(triplets)) * rng.random() ** 0.3
        wrong = rng.random(len(triplets)) > np.sqrt(scores)
        points = triplets[:, :2] + wrong[:, None] * 2 * annotation["bbox"][2]
        results.append(
            {
                "image_id": annotation["image_id"],
                "category_id": 1,
                "keypoints": np.column_stack([points, scores]).ravel().tolist(),
                "score": float(person_scores(1.0, scores)),
            }
        )
    return results


@pytest.fixture(scope="module")
def dataset():
    return make_dataset(num_images=150, seed=2)


@pytest.fixture
def files(save, dataset):
    return save(scored_results(dataset), "results.json"), save(dataset)


@pytest.fixture
def weights(tmp_path):
    return untrained(tmp_path / "best.safetensors", "model.input_size=[64, 64]")


def calibrate(files, out, *options):
    results, annotations = files
    words = ["calibrate", results, "--annotations", annotations, "--out", out, *options]
    return main([str(word) for word in words])


def test_the_calibration_error_falls_and_the_order_stays(files, tmp_path, capsys):
    assert calibrate(files, tmp_path / "out") == 0
    content = read_json(tmp_path / "out/calibration.json")
    for name in ("keypoints", "people"):
        measured = content["measured"][name]
        assert measured["after"]["ECE"] < measured["before"]["ECE"] / 2
        assert measured["curves"]["logistic"] == measured["after"]
        assert set(measured["curves"]) == {"logistic", "log-odds", "beta", "isotonic"}
    assert content["figures"]["calibrated"] == content["figures"]["as they came"]
    assert content["weights"] is None and content["results"]["file"] == "results.json"
    page = (tmp_path / "out/calibration.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<svg" in page and "http://" not in page
    said = capsys.readouterr().out
    assert "out of sample" in said and "calibration.html" in said


def test_pose_load_then_gives_calibrated_scores(files, weights, tmp_path, caplog):
    assert calibrate(files, tmp_path / "out", "--weights", weights) == 0
    before = weights.read_bytes()
    image = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
    boxes = Boxes(np.array([[5, 5, 60, 70], [20, 10, 80, 75]], np.float32), np.array([0.9, 0.5]))
    caplog.set_level(logging.INFO)

    def look(*keys):
        predictor, cfg = build_predictor(
            weights, detector=None, device="cpu", engine="auto", keys=keys
        )
        return predictor(image, boxes=boxes), cfg

    plain, raw_cfg = look("predict.calibration=none")
    assert plain.expected_oks is None and "calibrated by" not in caplog.text
    found, cfg = look()
    assert f"calibrated by {weights}.calibration.json" in caplog.text
    curves = read_json(tmp_path / "out/calibration.json")["curves"]
    calibration = Calibration(*(Curve(**curves[name]) for name in ("keypoints", "people")))
    np.testing.assert_array_equal(found.keypoints, plain.keypoints)
    np.testing.assert_array_equal(found.scores, calibration.keypoints(plain.scores).astype("f4"))
    np.testing.assert_array_equal(found.expected_oks, calibration.people(plain.person_scores()))
    assert raw_cfg.predict.keypoint_threshold == 0.2
    assert cfg.predict.keypoint_threshold == pytest.approx(calibration.keypoints(0.2))
    assert cfg.predict.person_threshold == pytest.approx(calibration.people(0.2))
    shown = found.scores > cfg.predict.keypoint_threshold
    np.testing.assert_array_equal(shown, plain.scores > 0.2)
    _, cfg = look("predict.keypoint_threshold=0.7")
    assert cfg.predict.keypoint_threshold == 0.7
    named, _ = look(f"predict.calibration={tmp_path / 'out/calibration.json'}")
    np.testing.assert_array_equal(named.scores, found.scores)
    assert weights.read_bytes() == before


def test_thresholds_go_by_the_networks_own_scores(files, weights, tmp_path):
    assert calibrate(files, tmp_path / "out", "--weights", weights) == 0

    def threshold(*keys):
        options = {"detector": None, "device": "cpu", "engine": "auto"}
        return build_predictor(weights, **options, keys=keys)[0].person_threshold

    people = Curve(**read_json(tmp_path / "out/calibration.json")["curves"]["people"])
    assert threshold() == pytest.approx(0.2)
    assert people(threshold("predict.person_threshold=0.7")) == pytest.approx(0.7)
    assert threshold("predict.person_threshold=0.7", "predict.calibration=none") == 0.7


def test_of_a_network_of_the_package_it_is_kept_in_the_cache(
    files, weights, tmp_path, monkeypatch, caplog
):
    package = tmp_path / "package"
    package.mkdir()
    weights = weights.rename(package / "ours.safetensors")
    for module in ("published", "build_predictor"):
        monkeypatch.setattr(f"pose.{module}.shipped", lambda name: package / f"{name}.safetensors")
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    for name in ("ours", str(weights)):
        options = ["--weights", name, "--overwrite"]
        assert calibrate(files, tmp_path / "out", *options) == 0
        assert [path.name for path in package.iterdir()] == ["ours.safetensors"]
    [kept] = (tmp_path / "cache/calibrations").iterdir()
    assert kept == calibration_path(weights)
    caplog.set_level(logging.INFO)
    build_predictor("ours", detector=None, device="cpu", engine="auto", keys=())
    assert f"calibrated by {kept}" in caplog.text


def test_where_nothing_may_be_written_it_is_kept_in_the_cache(weights, tmp_path, monkeypatch):
    beside = calibration_path(weights)
    assert beside.parent == weights.parent
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pose.build_predictor.os.access", lambda path, mode: False)
    assert calibration_path(weights).parent == tmp_path / "cache/calibrations"
    beside.touch()
    assert calibration_path(weights) == beside, "somebody could write it"


def test_it_is_said_how_to_undo_it(files, weights, tmp_path, capsys):
    assert calibrate(files, tmp_path / "out", "--weights", weights) == 0
    said = capsys.readouterr().out
    assert f"kept for {weights}: {weights}.calibration.json" in said
    assert "predict.calibration=none gives the network's own scores" in said
    assert main(["calibrate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "on detected boxes, not on ground truth" in text and "predict.calibration=none" in text


def test_ap_is_that_of_curves_of_other_images(files, tmp_path, capsys):
    assert calibrate(files, tmp_path / "out") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("AP, ")]
    figures = read_json(tmp_path / "out/calibration.json")["figures"]
    names = ["as they came", "calibrated on other images"]
    assert [line.rsplit(maxsplit=1)[0] for line in lines] == [f"AP, scores {n}" for n in names]
    expected = [figures[name]["AP"] for name in names]
    assert [float(line.split()[-1]) for line in lines] == pytest.approx(expected, abs=1e-3)


def test_a_calibration_of_other_weights_is_refused(files, weights, tmp_path):
    assert calibrate(files, tmp_path / "out", "--weights", weights) == 0
    untrained(weights, "model.input_size=[64, 64]", "seed=1")
    with pytest.raises(ValueError, match=r"is of other weights than .*; run pose calibrate again"):
        build_predictor(weights, detector=None, device="cpu", engine="auto", keys=())


def test_nothing_is_replaced_unasked(files, weights, tmp_path, mistake, capsys):
    arguments = ["calibrate", files[0], "--annotations", files[1], "--out", tmp_path / "out"]
    assert calibrate(files, tmp_path / "out", "--weights", weights) == 0
    capsys.readouterr()
    assert mistake(*arguments) == (
        f"--out {tmp_path / 'out'}: holds files already; name another folder, or add --overwrite "
        "to write among them (nothing is deleted)"
    )
    other = [*arguments[:-1], tmp_path / "other", "--weights", weights]
    assert "best.safetensors.calibration.json: is there already" in mistake(*other)
    assert calibrate(files, tmp_path / "out", "--weights", weights, "--overwrite") == 0


def test_what_cannot_be_calibrated_is_refused(save, dataset, tmp_path, mistake):
    truth, results = save(dataset), scored_results(dataset)
    run = ["--annotations", truth, "--out", tmp_path / "out"]
    again = save([{**results[0], "expected_oks": 0.5}, *results[1:]], "again.json")
    assert "again.json: its scores are calibrated already" in mistake("calibrate", again, *run)
    few = save([r for r in results if r["image_id"] < 105], "few.json")
    assert "images, expected 10 or more" in mistake("calibrate", few, *run)
    turned = [
        {**r, "keypoints": [1 - v if i % 3 == 2 else v for i, v in enumerate(r["keypoints"])]}
        for r in results
    ]
    said = mistake("calibrate", save(turned, "turned.json"), *run)
    assert "turned.json: keypoint scores do not rise with what is right" in said
    assert "expected a list of results" in mistake("calibrate", save({}, "empty.json"), *run)
    nobody = [{**a, "iscrowd": 1} for a in dataset["annotations"]]
    crowds = save({**dataset, "annotations": nobody}, "crowds.json")
    run[1] = crowds
    assert "holds no person with labelled" in mistake("calibrate", few, *run)
    assert not (tmp_path / "out").exists()


def test_few_images_are_said(save, tmp_path, capsys):
    few = make_dataset(num_images=40, seed=4)
    assert calibrate((save(scored_results(few), "r.json"), save(few)), tmp_path / "out") == 0
    assert "few to calibrate with" in capsys.readouterr().err


@pytest.fixture
def poses():
    """Two calibrated poses."""
    rng = np.random.default_rng(0)
    return Poses(
        rng.random((2, 17, 2)).astype(np.float32),
        rng.random((2, 17)).astype(np.float32),
        np.array([[0, 0, 5, 5], [1, 1, 9, 9]], np.float32),
        COCO_17,
        np.array([0.9, 0.8], np.float32),
        expected_oks=np.array([0.75, 0.25]),
    )


def test_expected_oks_goes_where_poses_go(poses):
    assert poses.person_scores().tolist() == [0.75, 0.25]
    assert poses[np.array([1])].expected_oks.tolist() == [0.25]
    entries = poses.to_coco(7)
    assert [e["score"] for e in entries] == [e["expected_oks"] for e in entries] == [0.75, 0.25]
    assert Poses.from_coco(entries, COCO_17).expected_oks.tolist() == [0.75, 0.25]
    line = line_of(3, 0.1, poses)
    assert json.loads(line)["people"][0]["score"] == 0.75
    assert poses_of_line(line, COCO_17)[2].expected_oks.tolist() == [0.75, 0.25]


def test_poses_that_are_not_calibrated_say_nothing_of_it(poses):
    plain = replace(poses, expected_oks=None)
    assert "expected_oks" not in plain.to_coco(7)[0] and "expected_oks" not in line_of(0, 0, plain)
    assert Poses.from_coco(plain.to_coco(7), COCO_17).expected_oks is None
    expected = person_scores(plain.box_scores, plain.scores)
    np.testing.assert_array_equal(plain.person_scores(), expected)


def test_expected_oks_of_another_number_of_people_is_refused(poses):
    with pytest.raises(ValueError, match="expected_oks has shape"):
        replace(poses, expected_oks=np.zeros(3))


@pytest.mark.slow
def test_the_bar_on_real_photographs(test_data, tmp_path, save):
    """A trained network on the boxes of 78 photographs: the error is halved at least on images
    that had no part in the curve, and AP is the same."""
    coco = test_data / "coco"
    first, second = (
        read_json(coco / "annotations" / f"person_keypoints_{name}.json")
        for name in ("val2017", "val2017_gtbox")
    )
    both = {key: [*first[key], *second[key]] for key in ("images", "annotations")}
    annotations = save({**both, "categories": first["categories"]}, "both.json")
    network = test_data / "models/ultralight_simplepose_256x192.onnx"
    predict = ["predict", coco / "images/val2017", "--boxes", annotations, "--weights", network]
    assert main([str(w) for w in [*predict, "--device", "cpu", "--out", tmp_path / "poses"]]) == 0
    assert calibrate((tmp_path / "poses/poses.json", annotations), tmp_path / "out") == 0
    content = read_json(tmp_path / "out/calibration.json")
    for name in ("keypoints", "people"):
        measured = content["measured"][name]
        assert measured["after"]["ECE"] < measured["before"]["ECE"] / 2
    figures = content["figures"]
    assert figures["calibrated"]["AP"] >= figures["as they came"]["AP"] > 0.5
