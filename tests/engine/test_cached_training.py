"""Training out of the crop cache, warped by loader or device, is the training that it was."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing

from pose.build_data import load_people
from pose.build_training import run_of, training_dataset
from pose.config import load_config
from pose.data import crop_cache
from pose.data.synthetic import write_synthetic
from pose.engine.distributed import Ranks, join_ranks
from pose.engine.trainer import train_epoch
from pose.structures import PoseBatch

CPU = torch.device("cpu")
BATCH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cached")
    write_synthetic(path / "set", {"train": 8}, seed=2, num_processes=1)
    return path


def config_of(folder: Path, *keys: str):
    return load_config(
        "synthetic/quickstart",
        [
            f"data.root={folder / 'set'}",
            "data.workers=0",
            "model.input_size=[64, 64]",
            f"train.batch_size={BATCH}",
            *keys,
        ],
    )


def losses(folder: Path, *keys: str, parts: int = 1) -> float:
    """The sum of an epoch's."""
    cfg = config_of(folder, *keys)
    run = run_of(cfg, load_people(cfg, "train"), Ranks(CPU), folder)
    run.parts = parts
    train_epoch(run, run.model)
    assert run.step == len(run.order) > 1
    return run.loss_sum


@pytest.mark.parametrize("parts", [1, 2])
def test_the_same_training(folder, monkeypatch, parts):
    """Pixels differ by a grey level at most, so the losses hardly do."""
    monkeypatch.setenv("POSE_CACHE", str(folder / "cache"))
    expected = losses(folder, parts=parts)
    for keys in (
        ["data.cache=true"],
        ["data.warped_by=device"],
        ["data.cache=true", "data.warped_by=device", "data.unreadable=skip"],
    ):
        assert losses(folder, *keys, parts=parts) == pytest.approx(expected, rel=1e-3)
    assert list((folder / "cache" / "crops").glob("*/0000.pixels"))


def test_single_samples_are_plain_ones(folder, monkeypatch):
    """As the sheets of a run ask for them."""
    monkeypatch.setenv("POSE_CACHE", str(folder / "cache"))
    cfg = config_of(folder, "data.cache=true", "data.warped_by=device")
    people = load_people(cfg, "train")
    run = run_of(cfg, people, Ranks(CPU), folder)
    sample = training_dataset(cfg, people, run.codec)[0, 3]
    assert isinstance(sample, PoseBatch) and sample.images.shape == (3, 64, 64)


def open_on(rank: int, port: int, folder: Path) -> None:
    """What each of two processes does; whoever makes the cache leaves a file."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ["POSE_CACHE"] = str(folder / "shared")
    fill = crop_cache.fill

    def noted(*args) -> None:
        (folder / f"made by {rank}").touch()
        fill(*args)

    crop_cache.fill = noted
    with join_ranks(CPU) as ranks:
        cfg = config_of(folder, "data.cache=true")
        run = run_of(cfg, load_people(cfg, "train"), ranks, folder)
        assert run.loader.dataset[0, 0].images.any()


def test_of_several_processes_one_makes_it(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(open_on, args=(port, folder), nprocs=2)
    assert [path.name for path in folder.glob("made by *")] == ["made by 0"]
