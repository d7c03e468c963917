"""Files appear whole or not at all, as if they had been written in place."""

import os
import stat

import pytest

from pose.files import remove_leftovers, replacing


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new folder" / "größe 图.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent and temporary.suffix == path.suffix
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_an_error_keeps_what_was_there_and_leaves_nothing(tmp_path, durable):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path, durable=durable) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_a_file_written_in_place(tmp_path):
    plain, replaced = tmp_path / "plain", tmp_path / "replaced"
    before = os.umask(0o027)
    try:
        plain.write_text("x")
        with replacing(replaced) as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert replaced.stat().st_mode == plain.stat().st_mode


def test_a_link_keeps_pointing_where_it_does(tmp_path):
    target, link = tmp_path / "elsewhere" / "target.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_stays_one():
    with replacing("/dev/null") as path:
        path.write_text("gone")
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


def test_a_folder_is_refused_in_the_name_that_was_given(tmp_path):
    with pytest.raises(ValueError, match="is a folder, expected the name of a file"):  # noqa: SIM117
        with replacing(tmp_path):
            pass
    path = tmp_path / "a.txt"
    with pytest.raises(OSError) as raised, replacing(path) as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert raised.value.filename == str(path)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("a.txt", ".hidden", ".0123abcd", "0123abcd.a.txt")]
    for path in kept:
        path.write_text("x")
    (tmp_path / ".0123abcd.a.txt").write_text("half")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_full_disk_is_said_of_the_name_that_was_given(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError) as raised, replacing(path):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(path) and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be flushed there")
def test_the_file_is_flushed_before_it_is_named_and_the_folder_after(tmp_path, monkeypatch):
    done, flush, rename = [], os.fsync, os.replace

    def flushed(descriptor):
        done.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("named"), rename(*names)))
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert done == [False, "named", True]
