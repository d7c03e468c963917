"""What README.md and docs/ say exists: the pages, the commands, their options, the configs."""

import argparse
import re
from pathlib import Path

import pytest

from pose.commands.main import COMMANDS, Parser, load_command
from pose.config import find_config

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
