"""A disk that fills up in mid-save: one message, whole checkpoints, and no epoch lost for it."""

import pytest

from pose import build_training
from pose.commands import train
from pose.commands.main import main
from pose.engine.checkpoints import LATEST, load_checkpoint
from tests.trust.disks import fill, small_disk
from tests.trust.runs import arguments_of, draw, end_of, figure_of_weights

MEGABYTES = 130
"""A run of these needs 90: four checkpoints of 19, of which one is being written, and weights."""
LEAVE = 9_000_000
"""Enough for the best weights, not for a checkpoint, whose writing breaks off in the middle."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "set")


@pytest.fixture
def trained(data, tmp_path, monkeypatch, capsys):
    """Trains in a folder, doing something after each epoch; its status and what it said."""
    given = lambda *_: figure_of_weights  # noqa: E731
    monkeypatch.setattr(build_training, "figures_during_training", given)

    def run(out, after_epoch, *words):
        # It is called right before the epoch's files are written.
        maker = lambda *_: lambda epoch, model: after_epoch(epoch)  # noqa: E731
        monkeypatch.setattr(train, "sheet_maker", maker)
        status = main(arguments_of(data, out, "train.ema_decay=0", *words))
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def straight(trained, tmp_path):
    out = tmp_path / "straight"
    assert trained(out, lambda epoch: None)[0] == 0
    return out


def complaints(said):
    return [line for line in said.splitlines() if "no space left" in line.lower()]


@pytest.mark.parametrize("leave", [0, LEAVE])
def test_training_goes_on_and_saves_when_there_is_room_again(trained, straight, tmp_path, leave):
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        out = disk / "run"

        def after_epoch(epoch):
            if epoch == 2:
                fill(disk, leave=leave)
            if epoch == 3:
                assert load_checkpoint(out / LATEST)["epoch"] == 1
                (disk / "filler").unlink()

        status, said = trained(out, after_epoch)
        assert status == 0 and len(complaints(said)) == 1 and "training goes on" in said
        assert complaints(said)[0].startswith(f"warning: {out}/")
        assert load_checkpoint(out / LATEST)["epoch"] == 3
        ours, theirs = (load_checkpoint(f / LATEST)["best"] for f in (out, straight))
        assert ours <= theirs  # that of the epoch without room is not claimed


@pytest.mark.parametrize(
    ("full_at", "words"), [(2, ["train.failed_save=stop"]), (3, ["train.failed_save=go_on"])]
)
def test_it_stops_where_that_is_asked_for_and_at_the_end(
    trained, straight, tmp_path, full_at, words
):
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        out = disk / "run"

        def after_epoch(epoch):
            if epoch == full_at:
                fill(disk, leave=LEAVE)

        status, said = trained(out, after_epoch, *words)
        assert status == 2 and said.splitlines()[-1] == complaints(said)[0]
        assert len(complaints(said)) == 1 and f"pose: error: {out}/" in said
        assert load_checkpoint(out / LATEST)["epoch"] == full_at - 1
        assert not [path for path in out.iterdir() if path.name.startswith(".")]
        (disk / "filler").unlink()
        status, said = trained(out, lambda epoch: None, *words)
        assert status == 0
        # The weights file alone says how failed saves are dealt with.
        assert end_of(out)[LATEST] == end_of(straight)[LATEST]


def test_no_room_at_all_is_one_line(trained, tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        fill(disk)
        status, said = trained(disk / "run", lambda epoch: None)
        assert status == 2 and len(complaints(said)) == 1 and "Traceback" not in said
