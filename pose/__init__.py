"""Top-down human pose estimation: from people in boxes to keypoints in image pixels.

    import pose

    predict = pose.load("hrnet_w32")
    poses = predict("photo.jpg")

The names of `__all__` are the public interface (docs/python.md). Importing the package loads
nothing heavy: each name is fetched from its module when first it is used. Pictures are RGB
throughout, boxes are xyxy in absolute image pixels.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose.build_predictor import load
    from pose.images import read_image, write_image
    from pose.inference.boxes import Boxes
    from pose.inference.draw import draw_poses
    from pose.inference.predictor import Predictor
    from pose.skeleton import COCO_17, MPII_16, Skeleton
    from pose.structures import Poses
    from pose.video import VideoWriter, read_frames

__version__ = "0.1.0"

__all__ = [
    "COCO_17",
    "MPII_16",
    "Boxes",
    "Poses",
    "Predictor",
    "Skeleton",
    "VideoWriter",
    "__version__",
    "draw_poses",
    "load",
    "read_frames",
    "read_image",
    "write_image",
]

_MODULES = {
    "COCO_17": "pose.skeleton",
    "MPII_16": "pose.skeleton",
    "Boxes": "pose.inference.boxes",
    "Poses": "pose.structures",
    "Predictor": "pose.inference.predictor",
    "Skeleton": "pose.skeleton",
    "VideoWriter": "pose.video",
    "draw_poses": "pose.inference.draw",
    "load": "pose.build_predictor",
    "read_frames": "pose.video",
    "read_image": "pose.images",
    "write_image": "pose.images",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'pose' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
