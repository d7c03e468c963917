"""What reads files that may come from strangers, each as a function of a path."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from pose.build_detector import detector_of
from pose.build_runtime import runtime_of
from pose.commands import main as cli
from pose.config import load_config
from pose.data.aic import read_aic
from pose.data.coco import load_coco, load_detections
from pose.data.forms import read_crowdpose, read_halpe
from pose.data.mpii import load_mpii
from pose.data.posetrack import read_posetrack
from pose.engine.checkpoints import load_checkpoint
from pose.images import ImageFolder, read_image
from pose.inference.boxes import read_boxes
from pose.inference.detectors.onnx_description import read_description
from pose.inference.network_file import tried
from pose.inference.openvino_file import open_openvino
from pose.inputs import list_inputs
from pose.metrics.mpii_files import read_predictions, read_truth
from pose.metrics.posetrack_files import read_sequences
from pose.models.weights import load_weights, load_with_config
from pose.models.zoo import WEIGHTS
from pose.published import convert
from pose.reports.compare import read_receipt
from pose.shards import _account_of
from pose.video import kind_of, probe, read_frames

CPU = torch.device("cpu")
TRUNK = "resnet50_imagenet"
DETECTOR = "ssdlite320_mobilenet_v3_large"


def command(path: Path) -> None:
    """The command line in a JSON file; its one line on stderr becomes a ValueError."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = cli.main(json.loads(path.read_text(encoding="utf-8")))
    if status:
        errors = [line for line in said.getvalue().splitlines() if line.startswith("pose: error")]
        assert status == 2 and len(errors) == 1, said.getvalue()
        raise ValueError(errors[0])


def pictures_of_coco(path: Path) -> None:
    images = ImageFolder(path.parent / "images")
    for name in load_coco(path).images:
        images.read(str(name))


def pictures_of_mpii(path: Path) -> None:
    images = ImageFolder(path.parent / "images")
    for name in load_mpii(path).images:
        images.read(str(name))


def zipped(path: Path) -> None:
    """Every member of a zip of images, by the name that it has there."""
    images = ImageFolder(path)
    for name in images._open_zip().namelist():
        images.read(name)


def video(path: Path) -> None:
    for source in (path, str(path)):
        probe(source)
        for _ in read_frames(source):
            pass


def named(path: Path) -> None:
    """The file holds a name, as a command line would."""
    name = path.read_text(encoding="utf-8")
    if kind_of(name) == "image":
        read_image(name)
    else:
        for _ in read_frames(name):
            pass


def openvino(path: Path) -> None:
    file = open_openvino(path, CPU)
    tried(file, (64, 64))


def careless_ffmpeg(path: Path) -> None:
    import av

    with av.open(path.read_text(encoding="utf-8"), timeout=1):
        pass


def careless_opencv(path: Path) -> None:
    import cv2

    cv2.imread(path.read_text(encoding="utf-8"))


READERS: dict[str, Callable[[Path], object]] = {
    "weights": load_weights,
    "weights and config": load_with_config,
    "convert": lambda path: convert(path, WEIGHTS[TRUNK], path.with_name("out.safetensors")),
    "network": lambda path: runtime_of(path, device="cpu"),
    "checkpoint": load_checkpoint,
    "detector weights": lambda path: detector_of(f"{DETECTOR}={path}", CPU, 0.5),
    "detector": lambda path: detector_of(path, CPU, 0.5),
    "openvino": openvino,
    "config": load_config,
    "key": lambda path: load_config("synthetic/quickstart", [path.read_text(encoding="utf-8")]),
    "description": read_description,
    "coco": load_coco,
    "crowdpose": lambda path: load_coco(path, read=read_crowdpose),
    "halpe": lambda path: load_coco(path, read=read_halpe),
    "aic": lambda path: load_coco(path, read=read_aic),
    "posetrack": lambda path: load_coco(path, read=read_posetrack),
    "sequences": read_sequences,
    "detections": lambda path: load_detections(path, path.with_name("annotations.json")),
    "boxes": read_boxes,
    "mpii": load_mpii,
    "mpii truth": read_truth,
    "mpii predictions": read_predictions,
    "receipt": read_receipt,
    "manifest": lambda path: list_inputs([str(path)]),
    "shard": _account_of,
    "pictures of coco": pictures_of_coco,
    "pictures of mpii": pictures_of_mpii,
    "zip": zipped,
    "photo": read_image,
    "video": video,
    "name": named,
    "command": command,
    # Those that the tests of the watch itself use.
    "careless: torch": lambda path: torch.load(path, weights_only=False),
    "careless: FFmpeg": careless_ffmpeg,
    "careless: OpenCV": careless_opencv,
    "careless: Python": lambda path: Path(path.read_text(encoding="utf-8")).read_bytes(),
}
