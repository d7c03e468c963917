"""`pose predict`: a drawn picture for each picture, a frame for each frame, poses as COCO's."""

import itertools
import json
import os
import shutil
import signal
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from pose.commands.main import main
from pose.data.coco import load_coco
from pose.data.synthetic import draw_clip, draw_scene
from pose.images import read_image, write_image
from pose.inference.frames import line_of, poses_of_line
from pose.inference.tracker import Tracker
from pose.skeleton import COCO_17
from pose.video import VideoWriter, read_frames

NUM_FRAMES = 6


@pytest.fixture
def run(weights, tmp_path):
    """Runs the command on a source; returns its status and the poses it wrote."""

    def run(source, boxes, *more, out=tmp_path / "out"):
        sources = source if isinstance(source, list) else [source]
        arguments = ["predict", *sources, "--weights", weights, "--out", out, *more]
        arguments += [] if boxes is None else ["--boxes", boxes]
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
    assert table[0].split("  ") == ["images", "without people", "people"]
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


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_video_keeps_its_frames(run, video, tmp_path, capsys):
    boxes = [detection(0), detection(3), detection(3)]
    status, poses = run(video, saved(tmp_path / "boxes.json", boxes))
    assert status == 0 and poses is None
    before, after = frames(video), frames(tmp_path / "out/clip.mp4")
    assert len(after) == NUM_FRAMES and after[0].shape == before[0].shape
    lines = lines_of(tmp_path / "out/clip.jsonl")
    assert [line["frame"] for line in lines] == list(range(NUM_FRAMES))
    assert [line["time"] for line in lines] == pytest.approx(np.arange(NUM_FRAMES) / 25)
    assert [len(line["people"]) for line in lines] == [1, 0, 0, 2, 0, 0]
    person = lines[3]["people"][0]
    assert set(person) == {"box", "box_score", "score", "keypoints"}
    assert person["box"] == [10, 10, 60, 80] and person["box_score"] == pytest.approx(0.9)
    assert np.shape(person["keypoints"]) == (COCO_17.num_keypoints, 3)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["frames", "people", "frames/s"]
    assert table[2].split()[:2] == [str(NUM_FRAMES), "3"]


def test_lines_are_read_back_as_they_were(run, video, tmp_path):
    run(video, "10,10,60,80")
    text = (tmp_path / "out/clip.jsonl").read_text().splitlines()
    for line in text:
        assert line_of(*poses_of_line(line, COCO_17)) == line


def test_pictures_and_videos_of_several_places(run, video, tmp_path):
    for name in ("a/x.jpg", "b/x.jpg"):
        write_image(tmp_path / "in" / name, draw_scene(1, 0).image)
    sources = [tmp_path / "in/a", tmp_path / "in/b/*.jpg"]
    status, poses = run(sources, "10,20,110,220")
    assert status == 0
    assert [entry["file_name"] for entry in poses] == ["a/x.jpg", "b/x.jpg"]
    assert (tmp_path / "out/a/x.jpg").is_file() and (tmp_path / "out/b/x.jpg").is_file()
    out = tmp_path / "both"
    status, poses = run([tmp_path / "in/a/x.jpg", video], "10,10,60,80", out=out)
    assert status == 0 and len(poses) == 1
    assert [path.name for path in sorted(out.rglob("*.*4"))] == ["clip.mp4"]


def test_an_unreadable_picture_among_others_is_said_and_left_out(run, tmp_path, capsys):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_image(tmp_path / "in" / name, draw_scene(1, 0).image)
    whole = (tmp_path / "in/b.jpg").read_bytes()
    (tmp_path / "in/b.jpg").write_bytes(whole[: len(whole) // 2])
    status, poses = run(tmp_path / "in", "10,20,110,220")
    assert status == 2 and [e["file_name"] for e in poses] == ["a.jpg", "c.jpg"]
    said = capsys.readouterr()
    assert "b.jpg: truncated JPEG" in said.err
    assert said.out.splitlines()[0].split("  ")[-1] == "unreadable"
    status, _ = run(tmp_path / "in/b.jpg", "10,20,110,220", out=tmp_path / "alone")
    assert status == 2 and "pose: error:" in capsys.readouterr().err


def test_an_error_in_mid_run_loses_nothing_that_is_done(run, tmp_path, capsys, monkeypatch):
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "in" / name, draw_scene(1, 0).image)

    def full_disk(path, image):
        if path.name == "b.jpg":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pose.images.write_image", full_disk)
    status, poses = run(tmp_path / "in", "10,20,110,220")
    assert status == 2 and [e["file_name"] for e in poses] == ["a.jpg"]
    said = capsys.readouterr().err
    assert "stopped after 1 images; what is done is written" in said
    assert "b.jpg: no space left on device" in said


def interrupted_after(count, monkeypatch):
    """Ctrl-C while frame `count`, from 1, is written; a second one right after it where count is
    0."""
    whole = VideoWriter.write

    def write(self, image, time=None):
        if not count:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        whole(self, image, time)
        if self.num_frames == count:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoWriter, "write", write)


def test_an_interrupted_video_holds_what_was_done(run, video, tmp_path, monkeypatch, capsys):
    interrupted_after(3, monkeypatch)
    before, handler = threading.enumerate(), signal.getsignal(signal.SIGINT)
    status, _ = run(video, "10,10,60,80")
    new = [thread.name for thread in threading.enumerate() if thread not in before]
    assert status == 130 and set(new) <= {"tqdm_monitor"}
    assert signal.getsignal(signal.SIGINT) is handler
    assert [line["frame"] for line in lines_of(tmp_path / "out/clip.jsonl")] == [0, 1, 2]
    assert len(frames(tmp_path / "out/clip.mp4")) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[2].split()[:2] == ["3", "3"]
    assert "interrupted after 3 frames" in said.err


def test_a_second_ctrl_c_leaves_nothing(run, video, tmp_path, monkeypatch, capsys):
    interrupted_after(0, monkeypatch)
    status, _ = run(video, "10,10,60,80")
    assert status == 130 and "pose: error:" not in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture
def walking(tmp_path):
    """A clip of 40 frames of one person who walks, and a detection in each."""
    path = tmp_path / "walking.mp4"
    with VideoWriter(path, 25) as writer:
        for scene in itertools.islice(draw_clip(3, 40, 25, (128, 96)), 40):
            writer.write(scene.image)
    return path, saved(tmp_path / "walking.json", [detection(frame) for frame in range(40)])


@pytest.mark.parametrize("smoothing", ["auto", "live", "none"])
def test_tracked_people_have_ids_in_every_frame(run, walking, tmp_path, smoothing):
    path, boxes = walking
    assert run([path, f"predict.smoothing={smoothing}"], boxes, "--track")[0] == 0
    lines = lines_of(tmp_path / "out/walking.jsonl")
    assert [[p["id"] for p in line["people"]] for line in lines] == [[1]] * 40
    assert len(frames(tmp_path / "out/walking.mp4")) == 40


def test_smoothing_changes_keypoints_alone(run, walking, tmp_path):
    path, boxes = walking
    found = {}
    for smoothing in ("none", "live", "offline"):
        out = tmp_path / smoothing
        run([path, f"predict.smoothing={smoothing}"], boxes, "--track", out=out)
        found[smoothing] = [line["people"][0] for line in lines_of(out / "walking.jsonl")]
    for smoothing in ("live", "offline"):
        assert found[smoothing] != found["none"]
        for smooth, raw in zip(found[smoothing], found["none"], strict=True):
            assert {**smooth, "keypoints": 0} == {**raw, "keypoints": 0}


def test_damage_is_told_once_however_often_a_file_is_read(run, tmp_path, capsys):
    path = tmp_path / "walking.gif"
    scenes = itertools.islice(draw_clip(3, 12, 25, (128, 96)), 12)
    first, *others = (Image.fromarray(scene.image) for scene in scenes)
    first.save(path, save_all=True, append_images=others)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(path, "10,10,60,80", "--track")[0] == 0
    assert 0 < len(lines_of(tmp_path / "out/walking.gif.jsonl")) < 12
    assert capsys.readouterr().err.count("damaged behind frame") == 1


def test_an_interrupt_of_the_first_pass_keeps_what_was_found(
    run, walking, tmp_path, monkeypatch, capsys
):
    path, boxes = walking
    whole, count = Tracker.update, itertools.count(1)

    def update(self, *args):
        if next(count) == 12:
            os.kill(os.getpid(), signal.SIGINT)  # the main thread's, whichever thread runs this
            time.sleep(0.5)
        return whole(self, *args)

    monkeypatch.setattr(Tracker, "update", update)
    assert run(path, boxes, "--track")[0] == 130
    number = len(lines_of(tmp_path / "out/walking.jsonl"))
    assert 11 <= number < 40
    assert len(frames(tmp_path / "out/walking.mp4")) == number
    assert f"interrupted after {number} frames" in capsys.readouterr().err


def test_the_second_video_is_not_begun_after_an_interrupt(run, video, tmp_path, monkeypatch):
    other = shutil.copy(video, tmp_path / "other.mp4")
    interrupted_after(2, monkeypatch)
    assert run([video, other], "10,10,60,80")[0] == 130
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["clip.mp4"]


def test_interrupted_pictures_are_kept(run, tmp_path, monkeypatch):
    for name in "abc":
        write_image(tmp_path / "in" / f"{name}.jpg", draw_scene(1, 0).image)
    whole, written = write_image, []

    def write(path, image):
        whole(path, image)
        written.append(path)
        if len(written) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("pose.images.write_image", write)
    status, poses = run(tmp_path / "in", "10,20,110,220")
    assert status == 130 and [e["file_name"] for e in poses] == ["a.jpg", "b.jpg"]


def test_keys_stand_among_the_sources(run, tmp_path, capsys):
    write_image(tmp_path / "a.jpg", draw_scene(1, 0).image)
    assert run([tmp_path / "a.jpg", "test.flip=false"], "10,20,110,220")[0] == 0
    assert run([tmp_path / "a.jpg", "predict.presun=1", "--overwrite"], "10,20,110,220")[0] == 2
    assert "unknown key predict.presun" in capsys.readouterr().err
    other = [tmp_path / "a.jpg", "model.name=hrnet_w32", "--overwrite"]
    assert run(other, "10,20,110,220")[0] == 2
    assert "was trained with" in capsys.readouterr().err


def test_without_boxes_the_detector_is_asked(run, tmp_path, monkeypatch, capsys):
    """Offline and with an empty cache its error says how to come by it, before anything is
    written."""
    monkeypatch.setenv("POSE_OFFLINE", "1")
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    write_image(tmp_path / "a.jpg", draw_scene(1, 0).image)
    status, poses = run(tmp_path / "a.jpg", None)
    assert status == 2 and poses is None
    assert "POSE_OFFLINE forbids fetching it" in capsys.readouterr().err


def test_boxes_and_detector_exclude_each_other(run, video, capsys):
    assert run(video, "1,1,9,9", "--detector", "default")[0] == 2
    assert "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--boxes", "1,1,9,9"], ["--track"], ["--show"]])
def test_what_goes_with_one_machine_is_refused_with_many(run, tmp_path, capsys, option):
    write_image(tmp_path / "a.jpg", draw_scene(1, 0).image)
    assert run(tmp_path / "a.jpg", None, "--engine", "ray", *option)[0] == 2
    assert f"{option[0]}: goes with one machine" in capsys.readouterr().err


def test_tracking_needs_a_video(run, tmp_path, capsys):
    write_image(tmp_path / "a.jpg", draw_scene(1, 0).image)
    assert run(tmp_path / "a.jpg", "1,1,9,9", "--track")[0] == 2
    assert "--track follows people through videos" in capsys.readouterr().err


def test_a_window_wants_a_screen(run, video, monkeypatch, capsys):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert run(video, "1,1,9,9", "--show")[0] == 2
    assert "--show: there is no screen here" in capsys.readouterr().err


@pytest.fixture
def screen(monkeypatch):
    """A window whose q is pressed at the third picture."""
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda *args: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("closed"))
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: ord("q") if len(shown) == 3 else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *args: 1.0)
    return shown


def test_q_in_the_window_ends_a_video_properly(run, video, tmp_path, screen):
    assert run(video, "10,10,60,80", "--show")[0] == 0
    assert len(screen) == 4 and isinstance(screen[-1], str)
    assert len(frames(tmp_path / "out/clip.mp4")) == 3


def test_poses_go_once_around(run, weights, tmp_path):
    """Predictions, boxes of the next run, annotations, a training set with the same people."""
    for index in range(3):
        write_image(tmp_path / "photos" / f"{index}.png", draw_scene(1, index).image)
    first = [{**detection(index), "file_name": f"{index}.png"} for index in (0, 0, 2)]
    first[1]["bbox"] = [100.5, 30.25, 80, 120]
    keys = ["predict.keypoint_threshold=0"]
    boxes = saved(tmp_path / "boxes.json", first)
    assert run([tmp_path / "photos", *keys], boxes, out=tmp_path / "one")[0] == 0
    _, again = run([tmp_path / "photos", *keys], tmp_path / "one/poses.json", out=tmp_path / "two")
    once = json.loads((tmp_path / "one/poses.json").read_text())
    assert again == once and len(once) == 3
    people = load_coco(tmp_path / "two/annotations.json", box_rule="mmpose")
    assert [str(people.images[i]) for i in people.image_index] == [e["file_name"] for e in once]
    triplets = np.array([e["keypoints"] for e in once]).reshape(3, -1, 3)
    sizes = people.image_sizes[people.image_index][:, None]
    inside = ((triplets[..., :2] >= 0) & (triplets[..., :2] <= sizes)).all(axis=-1)
    assert (people.visibility == 2 * ((triplets[..., 2] > 0) & inside)).all()
    difference = people.keypoints - triplets[..., :2]
    assert np.abs(difference[people.visibility > 0]).max() <= 1e-4
    assert people.boxes == pytest.approx(np.array([e["box"] for e in once]))
    run_folder = tmp_path / "run"
    line = ["train", "synthetic/quickstart", "--out", str(run_folder), "--device", "cpu"]
    line += [f"data.root={tmp_path}", "data.train_images=photos", "data.val_annotations="]
    line += ["data.train_annotations=two/annotations.json", "data.workers=0", "train.epochs=1"]
    line += ["train.batch_size=3", "model.input_size=[64, 64]", f"init={weights}"]
    assert main(line) == 0
    assert (run_folder / "best.safetensors").is_file()


def test_the_source_is_never_written_over(run, video, capsys):
    assert run(video, "10,10,60,80", out=video.parent)[0] == 2
    assert "is a folder of the sources" in capsys.readouterr().err


def test_a_folders_images_are_never_written_over(run, tmp_path, capsys):
    path = tmp_path / "photos/a.jpg"
    write_image(path, draw_scene(1, 0).image)
    before = path.read_bytes()
    for source, out in ((path.parent, path.parent), (path, path.parent / "../photos")):
        assert run(source, "10,10,60,80", out=out)[0] == 2
        assert "is a folder of the sources; name another" in capsys.readouterr().err
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["nobody.jpg", "nowhere"])
def test_a_source_that_is_not_there(run, tmp_path, capsys, name):
    assert run(tmp_path / name, "10,10,60,80")[0] == 2
    assert f"{tmp_path / name}: no such image, folder or video" in capsys.readouterr().err


def test_a_folder_without_images(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "10,10,60,80")[0] == 2
    assert "holds no image or video file" in capsys.readouterr().err
