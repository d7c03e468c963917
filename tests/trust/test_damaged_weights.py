"""Flipped bits and cut files: whatever carries its hash, or is held to one, is refused by name."""

import hashlib
import random
from pathlib import Path

import pytest
import torch

from pose.build import load_network, model_of
from pose.config import load_config
from pose.download import download
from pose.engine.checkpoints import load_checkpoint, save_checkpoint
from pose.models.weights import load_weights, load_with_config, save_weights
from pose.published import described, shipped
from pose.seals import check_safetensors
from pose.skeleton import COCO_17
from tests.serving import serving

COUNTS = (
    40,
    pytest.param(300, marks=pytest.mark.slow),
    pytest.param(1000, marks=pytest.mark.soak),
)
NUMBERS = torch.arange(5000, dtype=torch.float32)


def checkpoint(path: Path) -> Path:
    """As a run's, with few tensors, so that a flip falls on every part of the file in turn."""
    state = {"a.weight": NUMBERS, "a.bias": NUMBERS[:7]}
    config = {"model": {"name": "hrnet_small"}}
    save_checkpoint(path, {"model": state, "optimizer": {}, "step": 3, "config": config})
    return path


def small_weights(path: Path) -> Path:
    save_weights(path, {"a.weight": NUMBERS}, {"model": {"name": "hrnet_small"}}, {"data": "COCO"})
    return path


def shipped_copy(path: Path) -> Path:
    path.write_bytes(shipped("hrnet_small").read_bytes())
    return path


FILES = {
    "latest.pt": (checkpoint, (load_checkpoint, load_weights, load_with_config)),
    "best.safetensors": (small_weights, (load_weights, load_with_config)),
    "hrnet_small.safetensors": (shipped_copy, (load_weights, load_with_config, load_network)),
}


def damaged(content: bytes, rng: random.Random, number: int) -> bytes:
    """A bit flipped, or the end cut off, in turn; of either kind some near the ends."""
    place = rng.choice([rng.randrange(len(content)), rng.randrange(100), -1 - rng.randrange(100)])
    if number % 2:
        return content[:place]
    flipped = bytearray(content)
    flipped[place] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def refused(read, path: Path) -> None:
    with pytest.raises(ValueError) as raised:
        read(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_refused_by_every_reader(tmp_path, name, count):
    """`count` flipped bits and `count` cuts, each given to one of the readers in turn."""
    make, readers = FILES[name]
    path = make(tmp_path / name)
    content, rng = path.read_bytes(), random.Random(count)
    for read in readers:
        read(path)
    for number in range(2 * count):
        path.write_bytes(damaged(content, rng, number))
        refused(readers[number // 2 % len(readers)], path)
    path.write_bytes(content)
    for read in readers:
        read(path)


@pytest.mark.parametrize("name", ["latest.pt", "best.safetensors"])
def test_each_bit_of_the_hash_and_of_what_stands_around_it_counts(tmp_path, name):
    make, readers = FILES[name]
    path = make(tmp_path / name)
    content = path.read_bytes()
    middle = content.find(b'"pose_sha256') if name.endswith("tensors") else len(content) - 71
    for place in range(middle - 24, min(middle + 96, len(content))):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            refused(readers[0], path)


@pytest.mark.parametrize("count", COUNTS)
def test_a_published_file_that_comes_damaged_is_not_kept(tmp_path, monkeypatch, count):
    """Held to the 8 digits of the table; one in 4,000 million would pass by chance."""
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    content = small_weights(tmp_path / "w.safetensors").read_bytes()
    digits, rng = hashlib.sha256(content).hexdigest()[:8], random.Random(count)
    with serving() as server:
        for number in range(2 * count):
            # A cut one arrives whole as far as the transfer can tell.
            server.files["w.pth"] = damaged(content, rng, number) or b"\0"
            with pytest.raises(ValueError, match=f"{server.url('w.pth')}: expected a SHA-256"):
                download(
                    *(server.url("w.pth"), tmp_path / "came.pth", digits),
                    title="w",
                    remedy="do without it",
                    loopback=True,
                )
        assert not (tmp_path / "came.pth").exists()


def test_what_ships_carries_its_hash():
    assert check_safetensors(shipped("hrnet_small"))


def test_the_weights_of_a_run_are_named_by_their_content(tmp_path):
    """The hash inside does not change with the folder or the time."""
    first, second = (small_weights(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert first.read_bytes() == second.read_bytes()


def test_files_of_others_need_no_hash(tmp_path):
    cfg = load_config("synthetic/quickstart", [])
    model, _ = model_of(cfg, COCO_17)
    path = tmp_path / "theirs.pth"
    torch.save(model.state_dict(), path)
    assert load_weights(path).keys() == model.state_dict().keys()
    ours = tmp_path / "ours.safetensors"
    save_weights(ours, model.state_dict(), described(cfg, COCO_17))
    assert check_safetensors(ours)


def test_a_checkpoint_of_before_is_read_with_one_line(tmp_path, caplog):
    path = tmp_path / "latest.pt"
    torch.save({"model": {}, "optimizer": {}, "step": 3}, path)
    caplog.set_level("INFO", logger="pose")
    assert load_checkpoint(path)["step"] == 3
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{path}: carries no hash")
