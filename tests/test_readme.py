"""What README.md and docs/ say exists: the pages, the commands, their options, the configs."""

import argparse
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import pose
from pose.build import model_of
from pose.commands.main import COMMANDS, Parser, load_command
from pose.config import find_config, load_config
from pose.data.synthetic import draw_scene
from pose.inference.predict import torch_runtime
from pose.inference.predictor import Predictor

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).is_file(), target


def command_lines() -> list[str]:
    lines = []
    for page in PAGES:
        for block in re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            lines += [line for line in block.splitlines() if line.startswith("pose ")]
    # a line with [brackets] shows the form, not a command
    return [line for line in lines if "[" not in line and "CONFIG" not in line]


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line):
    name, *rest = line.split()[1:]
    assert name in COMMANDS
    command = load_command(name)
    parser = Parser(name, command.HELP)
    command.add_arguments(parser)
    args = parser.parse_intermixed_args(rest)
    assert isinstance(args, argparse.Namespace)
    config = getattr(args, "config", None)
    if config and not config.startswith("runs/"):
        find_config(config)


def python_blocks(page: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_on_the_page_runs(page, tmp_path, monkeypatch):
    """As it stands there, in a folder with the files it names, with a small network in place of the
    published one."""
    cfg = load_config("synthetic/quickstart", ["model.input_size=[64, 64]"])
    model, codec = model_of(cfg, pose.COCO_17)
    runtime = torch_runtime(model, codec, pose.COCO_17, torch.device("cpu"))
    box = np.array([[20, 20, 120, 220]], np.float32)

    def detect(images):
        return [pose.Boxes(box, np.ones(1, np.float32)) for _ in images]

    monkeypatch.setattr(pose, "load", lambda name: Predictor(runtime, detect), raising=False)
    monkeypatch.chdir(tmp_path)
    image = draw_scene(0, 0).image
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        pose.write_image(name, image)
    with pose.VideoWriter("clip.mp4", 25) as writer:
        writer.write(image)
    before = {"image": image, "boxes_of_a": box, "boxes_of_b": box[:0]}
    # `poses` of a video without anybody would leave nobody to look at
    text = python_blocks(ROOT / page).replace("poses.keypoints[0,", "poses.keypoints[:1,")
    Path("page.py").write_text(text)
    after = runpy.run_path("page.py", init_globals=before)
    assert isinstance(after["poses"], pose.Poses)
