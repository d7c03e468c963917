"""A clock that only the test moves: what is measured then is exact, however busy the machine."""

import types
from collections.abc import Callable

import pytest

from pose.benchmarks import measure


@pytest.fixture
def work_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Work that takes just so many seconds of the benchmark's clock, and none of ours."""
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = types.SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr(measure, "time", clock)
    return work
