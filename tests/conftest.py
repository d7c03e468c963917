"""Fixtures that every test folder shares."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pose.once import say_once
from pose.telemetry import forbid_telemetry
from tests.sockets import keep_here

# A law is of what comes out, not of how soon: a busy machine breaks none.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
keep_here()
# Tests also import libraries of others by themselves, and start programs that do.
forbid_telemetry()

# A shell starts what runs in the background with Ctrl-C ignored, and so would be all started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photographs, annotations and models; tests that need it skip without."""
    folder = os.environ.get("POSE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("POSE_TEST_DATA is not set to a folder of real test data")
    return Path(folder).resolve()


@pytest.fixture(autouse=True)
def said_anew() -> None:
    """What is said once in a process is said once in a test."""
    say_once.cache_clear()


@pytest.fixture
def save(tmp_path) -> Callable[..., Path]:
    """Writes content as JSON below `tmp_path`; returns the path."""

    def write(content: Any, name: str = "annotations.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
