"""Fixtures that every test folder shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photographs, annotations and models; tests that need it skip without."""
    folder = os.environ.get("POSE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("POSE_TEST_DATA is not set to a folder of real test data")
    return Path(folder).resolve()
