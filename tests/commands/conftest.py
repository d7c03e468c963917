"""What the tests of several commands begin with."""

import shutil

import pytest

from pose.data.synthetic import write_synthetic


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Four pictures to train on and two to evaluate on."""
    folder = tmp_path_factory.mktemp("drawn") / "set"
    write_synthetic(folder, {"train": 4, "val": 2}, seed=1, num_processes=1)
    return folder


@pytest.fixture
def data(drawn, tmp_path):
    """A copy to damage."""
    return shutil.copytree(drawn, tmp_path / "set")
