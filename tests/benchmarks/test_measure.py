"""The benchmark measures what it says, and its references are the published way."""

import itertools
import json

import numpy as np
import pytest
import torch

from pose.benchmarks import post
from pose.benchmarks.machine import describe_machine
from pose.benchmarks.measure import PUBLISHED, Spread, side_by_side
from pose.benchmarks.report import markdown, plain_values
from pose.codecs import build_codec
from pose.commands.main import main

CPU = torch.device("cpu")


def test_ways_take_turns_and_the_ratio_is_that_of_their_times(work_for):
    called = []

    def way(name, *seconds):
        """The first call takes the first of the seconds, and so on, then over again from the
        third: two calls of each come before the turns."""
        calls = itertools.chain(seconds[:2], itertools.cycle(seconds[2:]))

        def run():
            called.append(name)
            work_for(next(calls))

        return run

    ways = {PUBLISHED: way("published", 7, 1, 0.02), "ours": way("ours", 9, 1, 0.01, 0.005)}
    slow, fast = side_by_side("sleep", "nap", ways, count=2, rounds=4, least_seconds=0.0)
    assert (slow.seconds.low, slow.seconds.high) == pytest.approx((0.01, 0.01))
    assert slow.ratio == Spread(1, 1, 1)
    assert (fast.ratio.low, fast.ratio.median, fast.ratio.high) == pytest.approx((2, 3, 4))
    assert (slow.warm_up, fast.warm_up) == (7, 9)
    turns = called[4:]  # two calls of each come first
    assert turns == ["published", "ours", "ours", "published"] * 2


def test_the_report_says_it_all():
    rows = side_by_side(
        "adding", "number", {PUBLISHED: lambda: sum(range(99)), "ours": lambda: 99 * 49},
        count=99, rounds=2, least_seconds=0.0, agreements={"ours": "equal"},
    )  # fmt: skip
    machine = describe_machine(CPU)
    assert {"processor", "cores", "versions", "commit"} <= machine.keys()
    text = markdown(rows, machine)
    assert "**adding**" in text
    assert "| ours |" in text
    assert "equal |" in text
    content = json.loads(json.dumps(plain_values(rows, machine)))
    assert content["rows"][1]["ratio"]["median"] == rows[1].ratio.median


@pytest.mark.parametrize(("flip", "sigma"), [(False, 2.0), (True, 2.0), (True, 1.5)])
@pytest.mark.parametrize("name", post.DECODERS)
def test_published_decoding_and_ours_agree(name, flip, sigma, monkeypatch):
    monkeypatch.setattr(post, "PEOPLE", 40)
    monkeypatch.setattr(post, "BATCH", 20)
    codec = build_codec(name, post.SIZE, sigma, post.STRIDE)
    batches = list(post.made_batches(codec, CPU, flip=flip))
    published = post.published_way(codec, name, flip=flip)(batches)
    ours = post.our_way(codec, CPU, flip=flip)(batches)
    confident = np.concatenate([maps[:20].amax(dim=(-2, -1)) for maps, _ in batches]) > 0.2
    assert np.abs(published - ours)[confident].max() < 1e-3


def test_the_command_prints_tables_and_writes_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(post, "PEOPLE", 20)
    monkeypatch.setattr(post, "BATCH", 20)
    assert main(["benchmark", "post", "--device", "cpu", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert text.count("| published |") == 4
    assert len(json.loads((tmp_path / "benchmark.json").read_text())["rows"]) == 8


def test_an_unknown_part_is_one_line(capsys):
    assert main(["benchmark", "speed"]) == 2
    assert "'speed' is no part (known: " in capsys.readouterr().err
