"""`pose evaluate --check`: the published figure reached, missed, or not there."""

import pytest

from pose.commands.main import main
from pose.data.synthetic import write_synthetic
from tests.commands.quick import untrained

SMALL = ["data.workers=0", "model.input_size=[64, 64]"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """The command that evaluates an untrained network, whose AP is 0 to two digits."""
    folder = tmp_path_factory.mktemp("check")
    write_synthetic(folder / "set", {"train": 1, "val": 2}, seed=1, num_processes=1)
    weights = untrained(folder / "w.safetensors", *SMALL)
    command = ["evaluate", "synthetic/quickstart", f"data.root={folder / 'set'}", *SMALL]
    return [*command, "--weights", str(weights), "--boxes", "gt", "--check", "--overwrite"]


@pytest.mark.parametrize(("value", "status", "verdict"), [(0.0, 0, "the same"), (0.74, 1, "not")])
def test_the_published_figure_is_compared(evaluation, capsys, value, status, verdict):
    said = [f"expected.value={value}", "expected.digits=2", "expected.boxes=gt boxes"]
    assert main([*evaluation, *said, "expected.source=nobody", "--device", "cpu"]) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"published: AP {value:.2f} (nobody; gt boxes), here 0.00")
    assert f": {verdict}" in last


def test_without_a_published_figure_nothing_is_evaluated(evaluation, capsys):
    assert main(evaluation) == 2
    said = capsys.readouterr()
    assert "no published figure (expected.value); leave --check out" in said.err and not said.out


def test_a_figure_that_does_not_exist_is_said(evaluation, capsys):
    assert main([*evaluation, "expected.value=0.5", "expected.figure=PCK"]) == 2
    assert "there is no figure 'PCK' here to compare" in capsys.readouterr().err
