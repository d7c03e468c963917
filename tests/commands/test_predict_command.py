"""`pose predict`: a drawn picture for each picture, a frame for each frame, poses as COCO's."""

import json

import pytest

from pose.build import described, model_of
from pose.commands.main import main
from pose.config import load_config
from pose.data.synthetic import draw_scene
from pose.images import read_image, write_image
from pose.inference.predictor import Predictor
from pose.models.weights import save_weights
from pose.skeleton import COCO_17
from pose.video import VideoWriter, read_frames

NUM_FRAMES = 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network: where it sees keypoints does not matter here."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    cfg = load_config("synthetic/quickstart", ["model.input_size=[64, 64]"])
    model, _ = model_of(cfg, COCO_17)
    save_weights(path, model.state_dict(), described(cfg, COCO_17))
    return path


@pytest.fixture
def run(weights, tmp_path):
    """Runs the command on a source; returns its status and the poses it wrote."""

    def run(source, boxes, out=tmp_path / "out"):
        arguments = ["predict", source, "--weights", weights, "--boxes", boxes, "--out", out]
        status = main([*map(str, arguments), "--device", "cpu"])
        poses = out / "poses.json"
        return status, json.loads(poses.read_text()) if poses.exists() else None

    return run


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25) as writer:
        for index in range(NUM_FRAMES):
            writer.write(draw_scene(1, index, (128, 96)).image)
    return path


def detection(image_id, **more):
    return {"image_id": image_id, "category_id": 1, "bbox": [10, 10, 50, 70], "score": 0.9, **more}


def saved(path, content):
    path.write_text(json.dumps(content))
    return path


def frames(path):
    return [image for image, _ in read_frames(path)]


def test_one_image_in_typed_boxes(run, tmp_path, capsys):
    write_image(tmp_path / "a.jpg", draw_scene(1, 0).image)
    status, poses = run(tmp_path / "a.jpg", "10,20,110,220;150,30,250,200")
    assert status == 0
    assert [(e["image_id"], e["file_name"]) for e in poses] == [(1, "a.jpg")] * 2
    assert all(len(e["keypoints"]) == 51 and e["category_id"] == 1 for e in poses)
    assert poses[1]["box"] == [150, 30, 250, 200]
    before, after = read_image(tmp_path / "a.jpg"), read_image(tmp_path / "out/a.jpg")
    assert after.shape == before.shape
    assert str(tmp_path / "out/poses.json") in capsys.readouterr().out


def test_a_folder_with_a_file_of_boxes(run, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate(("a.jpg", "a.png", "b.jpg", "000000000139.jpg")):
        write_image(folder / name, draw_scene(1, index).image)
    (folder / "notes.txt").write_text("no picture")
    boxes = [detection(7, file_name="a.jpg"), detection(8, file_name="a.png"), detection(139)]
    boxes.append(detection(139, category_id=2))
    status, poses = run(folder, saved(tmp_path / "boxes.json", boxes))
    assert status == 0
    assert [e["file_name"] for e in poses] == ["000000000139.jpg", "a.jpg", "a.png"]
    drawn = sorted(p.name for p in (tmp_path / "out").glob("*.jpg"))
    assert drawn == ["000000000139.jpg", "a.jpg", "a.png.jpg", "b.jpg"]
    table = capsys.readouterr().out.splitlines()
    assert table[0].split("  ") == ["images", "without boxes", "people"]
    assert table[2].split() == ["4", "1", "3"]


def test_a_folder_with_an_annotation_file(run, tmp_path, capsys):
    folder = tmp_path / "photos"
    names = ("a.jpg", "a.png", "b.jpg")
    for index, name in enumerate(names):
        write_image(folder / name, draw_scene(1, index).image)
    content = {
        "images": [{"id": 10 + i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [detection(10), detection(11), detection(12, iscrowd=1)],
    }
    status, poses = run(folder, saved(tmp_path / "truth.json", content))
    assert status == 0
    assert [(e["file_name"], e["image_id"]) for e in poses] == [("a.jpg", 1), ("a.png", 2)]
    drawn = sorted(p.name for p in (tmp_path / "out").glob("*.jpg"))
    assert drawn == ["a.jpg", "a.png.jpg", "b.jpg"]
    assert capsys.readouterr().out.splitlines()[2].split() == ["3", "1", "2"]


def test_a_video_keeps_its_frames(run, video, tmp_path, capsys):
    boxes = [detection(0), detection(3), detection(3)]
    status, poses = run(video, saved(tmp_path / "boxes.json", boxes))
    assert status == 0 and [e["image_id"] for e in poses] == [0, 3, 3]
    before, after = frames(video), frames(tmp_path / "out/clip.mp4")
    assert len(after) == NUM_FRAMES and after[0].shape == before[0].shape
    triplets = [e["keypoints"] for e in poses]
    assert all(len(values) == 3 * COCO_17.num_keypoints for values in triplets)
    assert all(isinstance(value, float | int) for values in triplets for value in values)
    assert all(e["category_id"] == 1 and 0 <= e["score"] <= 1 for e in poses)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split("  ") == ["frames", "without boxes", "people"]
    assert table[2].split() == [str(NUM_FRAMES), str(NUM_FRAMES - 2), "3"]


def test_an_interrupted_video_holds_what_was_done(run, video, tmp_path, monkeypatch):
    whole, seen = Predictor.__call__, []

    def interrupted(self, image, boxes):
        seen.append(image)
        if len(seen) > 3:
            raise KeyboardInterrupt
        return whole(self, image, boxes)

    monkeypatch.setattr(Predictor, "__call__", interrupted)
    status, poses = run(video, "10,10,60,80")
    assert status == 130 and [e["image_id"] for e in poses] == [0, 1, 2]
    assert len(frames(tmp_path / "out/clip.mp4")) == 3


def interrupted_after(count, monkeypatch):
    """Ctrl-C while frame `count` is read."""

    def frames_until(path):
        for index, frame in enumerate(read_frames(path)):
            if index == count:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr("pose.video.read_frames", frames_until)


def test_an_interrupt_between_frames_counts_those_that_were_done(run, video, monkeypatch, capsys):
    interrupted_after(3, monkeypatch)
    status, poses = run(video, "10,10,60,80")
    assert status == 130 and len(poses) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[2].split() == ["3", "0", "3"]
    assert "interrupted after 3 frames" in said.err


def test_an_interrupt_before_the_first_frame_is_still_one(
    run, video, tmp_path, monkeypatch, capsys
):
    interrupted_after(0, monkeypatch)
    status, _ = run(video, "10,10,60,80")
    assert status == 130 and "pose: error:" not in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_no_boxes_is_an_error_that_says_what_to_do(weights, video, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(video), "--weights", str(weights), "--out", str(out)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("pose: error: no boxes: ") and "--boxes x1,y1,x2,y2" in line
    assert not out.exists()


def test_the_source_is_never_written_over(run, video, capsys):
    assert run(video, "10,10,60,80", out=video.parent)[0] == 2
    assert "is the folder of the source" in capsys.readouterr().err


def test_a_folders_images_are_never_written_over(run, tmp_path, capsys):
    path = tmp_path / "photos/a.jpg"
    write_image(path, draw_scene(1, 0).image)
    before = path.read_bytes()
    for source, out in ((path.parent, path.parent), (path, path.parent / "../photos")):
        assert run(source, "10,10,60,80", out=out)[0] == 2
        assert "is the folder of the source; name another" in capsys.readouterr().err
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["nobody.jpg", "nowhere"])
def test_a_source_that_is_not_there(run, tmp_path, capsys, name):
    assert run(tmp_path / name, "10,10,60,80")[0] == 2
    assert f"{tmp_path / name}: no such image, folder or video" in capsys.readouterr().err


def test_a_folder_without_images(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "10,10,60,80")[0] == 2
    assert "holds no image file" in capsys.readouterr().err
