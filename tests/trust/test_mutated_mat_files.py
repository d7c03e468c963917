"""Damaged MATLAB files: what is read is what stands there, or one line; never a crash.

Files are uncompressed, so that no checksum helps; scipy ends the process on most of them.
"""

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pose.data.mpii import load_mpii
from pose.mat_files import read_mat
from pose.metrics.mpii import score_predictions
from pose.metrics.mpii_files import read_predictions
from tests.data.test_mpii import entry, release, release_person

COUNTS = [60, pytest.param(300, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]


def broken(rng: np.random.Generator, data: bytes) -> bytes:
    """Bits flipped, a word replaced, bytes lost or the end cut."""
    at = int(rng.integers(128, len(data)))
    kind = int(rng.integers(4))
    if kind == 0:
        bits = bytearray(data)
        for place in rng.integers(128, len(data), size=int(rng.integers(1, 4))):
            bits[place] ^= 1 << int(rng.integers(8))
        return bytes(bits)
    if kind == 1:
        at -= at % 4
        word = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**24, 14, 15, 17]))
        return data[:at] + struct.pack("<I", word) + data[at + 4 :]
    return data[:at] if kind == 2 else data[:at] + data[at + int(rng.integers(1, 9)) :]


def packed(data: bytes) -> bytes:
    """The variables of a damaged file in one compressed element whose checksum is right."""
    inside = zlib.compress(data[128:])
    return data[:128] + struct.pack("<II", 15, len(inside)) + inside


@pytest.fixture(params=["release", "predictions"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    path = tmp_path / "whole.mat"
    if request.param == "release":
        people = [release_person(entry(scale=1.0 + i), {0: 1, 3: "1"}) for i in range(3)]
        release([("a.jpg", people[:2]), ("b.jpg", people[2:]), ("c.jpg", None)], [1, 1, 1], path)
    else:
        savemat(path, {"preds": np.random.default_rng(0).uniform(1, 99, (4, 16, 2))})
    return path.read_bytes()


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, whole: bytes, count: int) -> None:
    path, refused, start = tmp_path / "a.mat", 0, time.perf_counter()
    for seed in range(count):
        data = broken(np.random.default_rng(seed), whole)
        path.write_bytes(packed(data) if seed % 3 == 0 else data)
        for read in (read_mat, load_mpii, read_predictions):
            try:
                read(path)
            except ValueError as error:
                line = str(error)
                assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < 400
                refused += read is read_mat
    assert count / 5 < refused < count
    assert time.perf_counter() - start < 0.1 * count + 20


@pytest.mark.parametrize("count", COUNTS)
def test_the_published_labels_damaged(tmp_path: Path, test_data: Path, count: int) -> None:
    """The bytes of the compressed file itself: a figure is the true one, or there is none."""
    whole = (test_data / "mpii/gt_valid.mat").read_bytes()
    path = tmp_path / "gt_valid.mat"
    path.write_bytes(whole)
    figures, kept = score_predictions(path, path), 0
    for seed in range(count // 10):
        path.write_bytes(broken(np.random.default_rng(seed), whole))
        try:
            assert score_predictions(path, path) == figures
            kept += 1
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable()
    assert kept < max(count // 50, 2)
