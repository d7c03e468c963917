"""`pose benchmark`: ours and the published way of each stage, side by side in one run."""

import argparse
import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_device_argument,
    add_out_argument,
    add_overwrite_argument,
    check_new,
    output_folder,
    override,
)

if TYPE_CHECKING:
    from pose.benchmarks.settings import Settings

HELP = "each stage against the published way of it, timed side by side"

PARTS = ("model", "data", "post", "score", "pipeline", "train", "size")
"""Each a module of `pose.benchmarks` with `measure(settings) -> rows`."""

STUDIES = ("labels",)
"""Parts that are no race: each a module with `study(settings)`, `markdown` and `draw` of what that
gives. They take long, and run where they are named."""

CONFIG = "coco/hrnet_w32_256x192"
"""Whose network is measured, unless keys say otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "parts",
        metavar="PART|key=value",
        nargs="*",
        type=part_or_override,
        help=f"what to measure ({', '.join(PARTS)}; default: all of these), a study "
        f"({', '.join(STUDIES)}), and keys of the config {CONFIG}, as in model.name=hrnet_w48; "
        "with data.root the data are yours, without it they are drawn",
    )
    add_out_argument(
        parser,
        help="folder for benchmark.md, .json and, of `size`, .png, and the same of a study "
        "(default: none)",
    )
    add_overwrite_argument(parser)
    add_device_argument(parser)


def part_or_override(text: str) -> str:
    """A part's name, or key=value; used as an argparse type."""
    known = PARTS + STUDIES
    if "=" not in text and text not in known:
        raise argparse.ArgumentTypeError(f"'{text}' is no part (known: {', '.join(known)})")
    return text if text in known else override(text)


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write them where --out says."""
    from pose.benchmarks.machine import describe_machine
    from pose.benchmarks.plot import draw_sizes
    from pose.benchmarks.report import markdown, plain_values
    from pose.benchmarks.settings import Settings
    from pose.config import load_config
    from pose.devices import choose_device
    from pose.records import write_json

    if args.out:
        check_new(args.out, overwrite=args.overwrite)
    cfg = load_config(CONFIG, [text for text in args.parts if "=" in text])
    device = choose_device(args.device)
    chosen = [text for text in args.parts if "=" not in text] or PARTS
    rows = []
    with tempfile.TemporaryDirectory(prefix="pose-benchmark-") as folder:
        settings = Settings(cfg, device, Path(folder))
        for name in chosen:
            part = importlib.import_module(f"pose.benchmarks.{name}")
            if name in STUDIES:
                run_study(part, name, settings, args.out)
            else:
                rows += part.measure(settings)
    if not rows:
        return 0
    machine = describe_machine(device)
    print(markdown(rows, machine), end="")
    if args.out:
        output_folder(args.out, what="the benchmark")
        (args.out / "benchmark.md").write_text(markdown(rows, machine), encoding="utf-8")
        write_json(args.out / "benchmark.json", plain_values(rows, machine), indent=2)
        if sized := [row for row in rows if row.size is not None]:
            draw_sizes(sized, args.out / "benchmark.png")
    return 0


def run_study(part: Any, name: str, settings: "Settings", out: Path | None) -> None:
    """Print its tables at the end; in `out` its files hold at any time what is done."""
    from pose.records import write_json
    from pose.reports.page import finite_only

    def keep(content: dict[str, Any]) -> None:
        if out is not None:
            output_folder(out, what="the study")
            write_json(out / f"{name}.json", finite_only(content), indent=2)
            (out / f"{name}.md").write_text(part.markdown(content), encoding="utf-8")
            part.draw(content, out / f"{name}.png")

    print(part.markdown(part.study(settings, keep=keep)), end="")
