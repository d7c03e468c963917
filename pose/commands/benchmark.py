"""`pose benchmark`: ours and the published way of each stage, side by side in one run."""

import argparse
import importlib
import tempfile
from pathlib import Path

from pose.commands.common import add_device_argument, add_out_argument, output_folder, override

HELP = "each stage against the published way of it, timed side by side"

PARTS = ("model", "data", "post", "score", "pipeline", "train")
"""Each a module of `pose.benchmarks` with `measure(settings) -> rows`."""

CONFIG = "coco/hrnet_w32_256x192"
"""Whose network is measured, unless keys say otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "parts",
        metavar="PART|key=value",
        nargs="*",
        type=part_or_override,
        help=f"what to measure ({', '.join(PARTS)}; default: all), and keys of the config "
        f"{CONFIG}, as in model.name=hrnet_w48; with data.root the data are yours, without it "
        "they are drawn",
    )
    add_out_argument(parser, help="folder for benchmark.md and benchmark.json (default: none)")
    add_device_argument(parser)


def part_or_override(text: str) -> str:
    """A part's name, or key=value; used as an argparse type."""
    if "=" not in text and text not in PARTS:
        raise argparse.ArgumentTypeError(f"'{text}' is no part (known: {', '.join(PARTS)})")
    return text if text in PARTS else override(text)


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write them where --out says."""
    from pose.benchmarks.machine import describe_machine
    from pose.benchmarks.report import as_json, markdown
    from pose.benchmarks.settings import Settings
    from pose.config import load_config
    from pose.devices import choose_device
    from pose.records import write_json

    cfg = load_config(CONFIG, [text for text in args.parts if "=" in text])
    device = choose_device(args.device)
    chosen = [text for text in args.parts if "=" not in text] or PARTS
    rows = []
    with tempfile.TemporaryDirectory(prefix="pose-benchmark-") as folder:
        for name in chosen:
            part = importlib.import_module(f"pose.benchmarks.{name}")
            rows += part.measure(Settings(cfg, device, Path(folder)))
    machine = describe_machine(device)
    print(markdown(rows, machine), end="")
    if args.out:
        output_folder(args.out, what="the benchmark")
        (args.out / "benchmark.md").write_text(markdown(rows, machine), encoding="utf-8")
        write_json(args.out / "benchmark.json", as_json(rows, machine), indent=2)
    return 0
