"""`pose app`: a page on this machine that finds poses in what is dropped on it."""

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import add_device_argument

if TYPE_CHECKING:
    from pose.commands.app_answers import App, Loaded

HELP = "a page in the browser: poses on images, videos and the webcam"

INSTALL = "pip install gradio"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        action="append",
        default=[],
        help="a network to choose on the page, as `pose predict` takes it; may be given several "
        "times, the first is chosen at the start (default: hrnet_w32)",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME|FILE",
        default="default",
        help="what finds the people: docs/detectors.md (default: the one for the device)",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=int,
        help="port on this machine (default: 7860, or a free one where that is taken)",
    )
    add_device_argument(parser)
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "onnxruntime", "openvino"),
        default="auto",
        help="what executes the networks (default: by the kind of the weights file)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from pose.commands import app_server
    from pose.commands.app_answers import ask_to_stop, finish
    from pose.commands.app_page import CSS, MAX_MEGABYTES, build_page

    if importlib.util.find_spec("gradio") is None:
        raise ValueError(f"gradio is not installed, which makes the page; run: {INSTALL}")
    with (
        app_server.listen(args.port) as listening,
        tempfile.TemporaryDirectory(prefix="pose-app-", ignore_cleanup_errors=True) as folder,
    ):
        app_server.keep_private(Path(folder))
        app = app_of(args, Path(folder))
        page = app_server.application(build_page(app), CSS, MAX_MEGABYTES * 10**6)
        with app_server.serving(page, listening) as thread:
            address = f"http://{app_server.HOST}:{listening.getsockname()[1]}"
            print(f"page: {address} (Ctrl-C ends it)", flush=True)
            app_server.wait(thread)
            ask_to_stop(app)  # so that its page hears of it
        finish(app)  # before the folder goes that it writes to
    return 0


def app_of(args: argparse.Namespace, folder: Path) -> "App":
    """What the page works with: one detector for all networks, each network once it is chosen."""
    from pose.build_detector import default_detector, detector_of
    from pose.build_predictor import DEFAULT_WEIGHTS, build_predictor
    from pose.commands.app_answers import App
    from pose.devices import choose_device
    from pose.models.zoo import SHORT_NAMES
    from pose.schema import Predict

    device = choose_device(args.device)
    name = default_detector(device) if args.detector == "default" else args.detector
    detector = detector_of(name, device, Predict().detector_threshold)

    @cache
    def load(network: str) -> "Loaded":
        return build_predictor(
            network, detector=detector, device=args.device, engine=args.engine, keys=()
        )

    networks = called([*(args.weights or [DEFAULT_WEIGHTS]), *SHORT_NAMES])
    return App(networks, load, next(iter(called([name]))), folder)


def called(texts: Sequence[str]) -> dict[str, str]:
    """What to call each of some names and files -> the text itself: files by their name alone,
    unless two have the same."""
    names = [Path(text).name if Path(text).is_file() else text for text in dict.fromkeys(texts)]
    return {
        name if names.count(name) == 1 else text: text
        for name, text in zip(names, dict.fromkeys(texts), strict=True)
    }
