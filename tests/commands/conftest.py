"""What the tests of several commands begin with."""

import shutil

import pytest
import torch

from pose.build import model_of
from pose.commands.main import main
from pose.config import load_config
from pose.data.synthetic import write_synthetic
from pose.models.weights import save_weights
from pose.published import described
from pose.skeleton import COCO_17


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Four pictures to train on and two to evaluate on."""
    folder = tmp_path_factory.mktemp("drawn") / "set"
    write_synthetic(folder, {"train": 4, "val": 2}, seed=1, num_processes=1)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network that is sure of what it sees, the more the lighter the picture."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    cfg = load_config("synthetic/quickstart", ["model.input_size=[64, 64]"])
    model, _ = model_of(cfg, COCO_17)
    torch.nn.init.constant_(model.final_layer.bias, 0.6)
    save_weights(path, model.state_dict(), described(cfg, COCO_17))
    return path


@pytest.fixture
def data(drawn, tmp_path):
    """A copy to damage."""
    return shutil.copytree(drawn, tmp_path / "set")


@pytest.fixture
def mistake(capsys):
    """Runs a command that must fail; returns its line."""

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        lines = said.err.splitlines()
        errors = [line for line in lines if line.startswith("pose: error: ")]
        assert len(errors) == 1 and lines[-1] == errors[0] and not said.out
        assert "Traceback" not in said.err
        return errors[0].removeprefix("pose: error: ")

    return run
