"""Sound goes along: in step with the pictures, as long as they are, and never at their cost."""

import time
from pathlib import Path

import av
import numpy as np
import pytest

from pose import video_sound
from pose.video import VideoWriter, probe, read_frames
from tests.clips import codec_of_sound, durations, flash_and_beep, frames, write_clip, write_flash

STEP = 1 / 25
"""Of the pictures: sound and flash cannot be told apart more finely."""


def carry(source: Path, target: Path, until: float = 1e9) -> Path:
    """The frames of `source` written anew with its sound."""
    with VideoWriter(target, probe(source).fps, audio_from=source) as writer:
        for image, seconds in read_frames(source):
            if seconds >= until:
                break
            writer.write(image, seconds)
    return target


@pytest.mark.parametrize(
    ("name", "codec", "expected", "options"),
    [
        ("a.mp4", "aac", "aac", {}),
        ("a.mp4", "aac", "aac", {"video_from": 0.7}),
        ("a.mp4", "aac", "aac", {"audio_from": 0.7}),
        ("a.mp4", "aac", "aac", {"silent": (0.4, 1.1)}),
        ("a.ts", "aac", "aac", {}),
        ("a.ts", "aac", "aac", {"video_from": 0.7}),
        ("a.mkv", "libmp3lame", "mp3", {}),
        ("a.mkv", "libopus", "opus", {}),
        ("a.mkv", "flac", "flac", {}),
        ("a.mkv", "ac3", "aac", {}),
        ("a.mkv", "ac3", "aac", {"rate": 32_000, "layout": "mono", "video_from": 0.7}),
        ("a.mkv", "pcm_s16le", "aac", {}),
        ("a.mkv", "pcm_s16le", "aac", {"layout": "mono", "rate": 44_100}),
        ("a.mkv", "pcm_s16le", "aac", {"rate": 96_000}),
        ("a.mkv", "pcm_s16le", "aac", {"video_from": 0.7}),
        ("a.mkv", "pcm_s16le", "aac", {"audio_from": 0.7}),
        ("a.mkv", "pcm_s16le", "aac", {"silent": (0.4, 1.1)}),
    ],
)
def test_flash_and_beep_stay_together(
    tmp_path: Path, name: str, codec: str, expected: str, options: dict[str, float]
) -> None:
    source = write_flash(tmp_path / name, codec, **options)
    target = carry(source, tmp_path / "out.mp4")
    flash, beep = flash_and_beep(source)
    new_flash, new_beep = flash_and_beep(target)
    start = options.get("video_from", 0.0)
    assert new_flash == pytest.approx(1.5 - start, abs=STEP)  # counted from the first frame
    assert new_beep - new_flash == pytest.approx(beep - flash, abs=0.02)
    assert codec_of_sound(target) == expected
    assert len(list(read_frames(target))) == len(list(read_frames(source)))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "ac3")])
def test_the_sound_ends_with_the_pictures(tmp_path: Path, name: str, codec: str) -> None:
    source = write_flash(tmp_path / name, codec)
    target = carry(source, tmp_path / "out.mp4", until=0.8)
    found = durations(target)
    assert found["video"] == pytest.approx(0.8, abs=0.01)
    assert found["audio"] == pytest.approx(0.8, abs=0.05)


def test_ctrl_c_leaves_pictures_and_sound_up_to_there(tmp_path: Path) -> None:
    source = write_flash(tmp_path / "a.mp4", "aac")
    with VideoWriter(tmp_path / "out.mp4", 25, audio_from=source) as writer:
        try:
            for number, (image, seconds) in enumerate(read_frames(source)):
                if number == 45:
                    raise KeyboardInterrupt
                writer.write(image, seconds)
        except KeyboardInterrupt:
            pass
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 45
    found = durations(tmp_path / "out.mp4")
    assert found["video"] == pytest.approx(1.8, abs=0.01)
    assert found["audio"] == pytest.approx(1.8, abs=0.05)
    flash, beep = flash_and_beep(tmp_path / "out.mp4")
    assert beep == pytest.approx(flash, abs=0.02)


def test_without_sound_there_is_none_and_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from PIL import Image

    first, *rest = [Image.fromarray(image) for image in frames(3)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    write_clip(tmp_path / "a.avi", frames(3), "mpeg4")
    for name in ("a.gif", "a.avi"):
        target = carry(tmp_path / name, tmp_path / "out.mp4")
        assert codec_of_sound(target) is None and len(list(read_frames(target))) == 3
    assert not caplog.records


def test_only_a_missing_file_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"none\.mp4: no such video file"),
        VideoWriter(tmp_path / "out.mp4", audio_from=tmp_path / "none.mp4"),
    ):
        pass
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with VideoWriter(tmp_path / "out.mp4", audio_from=tmp_path / "a.mp4") as writer:
        writer.write(frames(1)[0])
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 1
    (record,) = caplog.records
    assert "a.mp4: its sound" in record.message and "\n" not in record.message


def scramble_sound(path: Path, share: float) -> None:
    """Overwrites the last `share` of the sound's packets with noise."""
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.audio[0]) if p.size]
    for at, size in places[int(len(places) * (1 - share)) :]:
        data[at : at + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mov", "pcm_s16le"), ("a.mp4", "ac3")]
)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_damaged_sound_costs_no_picture(
    tmp_path: Path, name: str, codec: str, share: float
) -> None:
    source = write_flash(tmp_path / name, codec)
    expected = len(list(read_frames(source)))
    scramble_sound(source, share)
    target = carry(source, tmp_path / "out.mp4")
    assert len(list(read_frames(target))) == expected == probe(target).num_frames


@pytest.mark.parametrize("moment", ["read", "mux"])
def test_sound_that_breaks_off_costs_no_picture(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = video_sound._copied

    def broken(container, stream, copy, start):
        for number, packet in enumerate(whole(container, stream, copy, start)):
            if number == 20:
                if moment == "read":
                    raise av.InvalidDataError(1, "broken")
                packet.pts = packet.dts = -5  # mp4 wants growing time stamps
            yield packet

    monkeypatch.setattr(video_sound, "_copied", broken)
    source = write_flash(tmp_path / "a.mp4", "aac")
    target = carry(source, tmp_path / "out.mp4")
    assert len(list(read_frames(target))) == len(list(read_frames(source)))
    assert 0.2 < durations(target)["audio"] < 1
    assert [r.message for r in caplog.records if "its sound is left out from here on" in r.message]


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libopus"), ("a.mkv", "pcm_s16le")])
def test_a_hole_of_hours_is_not_filled_beyond_the_pictures(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = write_flash(tmp_path / name, codec, leap=3000)
    started = time.monotonic()
    target = carry(source, tmp_path / "out.mp4")
    assert time.monotonic() - started < 5
    found = durations(target)
    assert found["video"] == pytest.approx(2.5, abs=0.05) and found["audio"] < 2.6
    assert flash_and_beep(target) == (pytest.approx(1.5, abs=STEP), None)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libopus"), ("a.mkv", "pcm_s16le")])
def test_a_clock_that_is_set_anew_costs_no_sound(tmp_path: Path, name: str, codec: str) -> None:
    source = write_flash(tmp_path / name, codec, leap=20_000)
    flash, beep = flash_and_beep(carry(source, tmp_path / "out.mp4"))
    assert beep == pytest.approx(flash, abs=0.05)


def test_two_broadcasts_in_one_file_both_sound(tmp_path: Path) -> None:
    parts = [write_flash(tmp_path / f"{at}.ts", "aac", at=at).read_bytes() for at in (9, 1.5)]
    source = tmp_path / "a.ts"
    source.write_bytes(b"".join(parts))
    target = carry(source, tmp_path / "out.mp4")
    found = durations(target)
    assert found["video"] == pytest.approx(5, abs=0.1)
    assert found["audio"] == pytest.approx(5, abs=0.1)
    flash, beep = flash_and_beep(target)
    assert flash == pytest.approx(4, abs=0.1) and beep == pytest.approx(flash, abs=0.1)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    source = write_flash(tmp_path / "a.mp4", "aac")
    target = tmp_path / "out" / "out.mp4"
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(target, 25, source) as writer:
        for image, seconds in read_frames(source):
            writer.write(image, seconds)
            if seconds > 1:
                raise RuntimeError("mine")
    assert not list(target.parent.iterdir())


def test_a_real_clip_keeps_its_sound(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "video" / "street_205frames_720p.avi"
    target = carry(source, tmp_path / "a.mp4", until=0.5)
    found = durations(target)
    assert found["video"] == pytest.approx(0.5, abs=0.02)
    assert found["audio"] == pytest.approx(0.5, abs=0.05)
    with av.open(str(source)) as one, av.open(str(target)) as other:
        packets = [
            [bytes(packet) for packet in container.demux(container.streams.audio[0])]
            for container in (one, other)
        ]
    copied = len(packets[1]) - 1  # the last one is empty
    assert packets[1][:copied] == packets[0][:copied]
