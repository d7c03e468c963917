"""`pose export`: a network as a file for other programs, with a certificate that it is the same."""

import argparse
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import add_out_argument, add_overwrite_argument, check_new, override

if TYPE_CHECKING:
    from pose.build_export import Export

HELP = "a network as an ONNX, OpenVINO or TorchScript file, certified"

TARGETS = ("onnx", "openvino", "torchscript")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        type=Path,
        help="weights, a checkpoint or a name of `pose weights list`",
    )
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        type=override,
        help="data.* name the set to compare on; test.flip=false leaves the flip test out",
    )
    parser.add_argument("--to", choices=TARGETS, required=True, help="the kind of file")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of the network (default: fp32)"
    )
    parser.add_argument(
        "--with-decode",
        action="store_true",
        help="flip test and decoding inside: keypoints in pixels come out instead of maps",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        type=Path,
        help="int8: folder of pictures of one person each (default: crops of the training set)",
    )
    parser.add_argument(
        "--max-ap-loss",
        metavar="AP",
        type=float,
        help="refuse a file that loses more AP (default: bf16, fp16 0.003, int8 0.01)",
    )
    add_out_argument(parser, help="the file to write (default: beside WEIGHTS)", metavar="FILE")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export into a temporary folder, compare, and keep the file if it holds what is stated."""
    check_arguments(args)
    out = out_path(args)
    written = [out, certificate_path(out)]
    if args.to == "openvino":
        written.append(out.with_suffix(".bin"))
    new = [path for path in written if path != args.weights]
    check_new(*new, overwrite=args.overwrite)
    from pose.build import load_network
    from pose.build_export import Request, export_network
    from pose.build_runtime import overridden
    from pose.build_small_set import calibration_crops, small_set
    from pose.export.certificate import bounds_of

    network = load_network(args.weights)
    cfg = overridden(network.cfg, args.overrides, network.source)
    # Windows does not remove what a library still maps; that must not undo a whole export.
    with tempfile.TemporaryDirectory(prefix="pose-export-", ignore_cleanup_errors=True) as folder:
        small = small_set(cfg, args.overrides, Path(folder))
        crops, calibration = None, None
        if args.precision == "int8":
            crops, calibration = calibration_crops(
                network.codec, small, cfg, args.calibration, Path(folder)
            )
        logger.info("exporting %s as %s (%s) ...", args.weights, args.to, args.precision)
        bounds = bounds_of(args.precision, args.max_ap_loss)
        request = Request(args.to, args.precision, args.with_decode, bounds, crops, calibration)
        inside = Path(folder) / "export" / out.name
        inside.parent.mkdir()
        export = export_network(network, cfg, small, request, inside)
        if export.faults:
            raise ValueError(f"{out}: not written: {'; '.join(export.faults)}{remedy(args)}")
        keep(export, out)
    report(export.certificate, out)
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """ValueError for options that do not go together."""
    from pose.export.writers import REFUSED, SUFFIXES

    if reason := REFUSED.get((args.to, args.precision)):
        raise ValueError(f"--to {args.to} --precision {args.precision}: {reason}")
    if args.calibration and args.precision != "int8":
        raise ValueError("--calibration: only --precision int8 is calibrated")
    if args.max_ap_loss is not None and args.precision == "fp32":
        raise ValueError(
            "--max-ap-loss: fp32 must be the same network; its heatmaps and keypoints are compared"
        )
    suffix = SUFFIXES[args.to]
    if args.out and args.out.suffix != suffix:
        raise ValueError(f"--out {args.out}: --to {args.to} writes a file that ends in {suffix}")


def out_path(args: argparse.Namespace) -> Path:
    """--out, or WEIGHTS with another ending; that of a published name in the working folder."""
    from pose.export.writers import SUFFIXES

    if args.out:
        return args.out
    precision = "" if args.precision == "fp32" else f".{args.precision}"
    folder = args.weights.parent if args.weights.is_file() else Path()
    stem = args.weights.stem if args.weights.is_file() else args.weights.name
    return folder / f"{stem}{precision}{SUFFIXES[args.to]}"


def remedy(args: argparse.Namespace) -> str:
    if args.precision == "fp32":
        return ""
    other = "calibrate with other pictures (--calibration), take" if args.calibration else "take"
    return f"; {other} another --precision, or allow more with --max-ap-loss"


def keep(export: "Export", out: Path) -> None:
    """Move the files to where they were asked for, the certificate last."""
    from pose.files import replacing
    from pose.records import write_json

    for file in reversed(export.files):
        with replacing(out.with_suffix(file.suffix)) as temporary:
            shutil.copyfile(file, temporary)
    write_json(certificate_path(out), export.certificate, indent=2)


def certificate_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.certificate.json")


def report(certificate: dict[str, Any], out: Path) -> None:
    """What the certificate says, as a short table."""
    from pose.commands.tables import Cell, format_table

    rows: list[list[Cell]] = []
    figures = certificate["figures"]
    if figures:
        name = next(iter(figures))
        values = (figures[name][side] for side in ("before", "after"))
        rows.append([name, *(None if value is None else f"{value:.4f}" for value in values)])
    for name, speed in certificate["speed"].items():
        if isinstance(speed, dict):
            sides = (f"{speed[side]:.1f}" for side in ("before", "after"))
            rows.append([f"people a second, {name}", *sides])
    print(format_table(["", "torch fp32", "this file"], rows))
    bounds, maps, points = (certificate[key] for key in ("bounds", "maps", "keypoints"))
    allowed = {"maps": "", "keypoints": ""}
    if bounds["maps"]:
        allowed["maps"] = f" (allowed {bounds['maps'] * maps['unit']:.2g})"
        allowed["keypoints"] = f" (allowed {bounds['keypoints']:g})"
    crops = certificate["crops"]
    mean, most = points["mean_px"] or 0, points["percentile_99_px"] or 0
    print(
        f"maps: differ by up to {maps['largest_difference']:.2g}{allowed['maps']}\n"
        f"keypoints: {mean:.4f} px on average, 99 % within {most:.4f}, all {points['points']} "
        f"within {points['max_px']:.4f}{allowed['keypoints']}; {points['apart']} apart\n"
        f"on {crops['people']} {'drawn ' if crops['drawn'] else ''}people\n"
        f"file: {out}\ncertificate: {certificate_path(out)}"
    )
