"""MPII's two files at the border: the ground truth of a split and predictions, as MATLAB files.

Both are in 1-based pixels, the published ones' own; keypoints stand in the order of `MPII_16`
once they are read. Errors name file and variable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.mat_files import read_mat, write_mat
from pose.records import require, shown_text
from pose.skeleton import MPII_16

HEAD_SHARE = 0.6
"""The head size is this share of the head box's diagonal (Andriluka et al. 2014)."""

NAMES = {
    "rank": "right_ankle",
    "rkne": "right_knee",
    "rhip": "right_hip",
    "lhip": "left_hip",
    "lkne": "left_knee",
    "lank": "left_ankle",
    "pelv": "pelvis",
    "thor": "thorax",
    "neck": "upper_neck",
    "head": "head_top",
    "rwri": "right_wrist",
    "relb": "right_elbow",
    "rsho": "right_shoulder",
    "lsho": "left_shoulder",
    "lelb": "left_elbow",
    "lwri": "left_wrist",
}
"""What `dataset_joints` calls the keypoints."""

K = MPII_16.num_keypoints


@dataclass(frozen=True, eq=False)
class MpiiTruth:
    """The labels of N people, in the order of the split's annotation file."""

    keypoints: np.ndarray
    """(N, 16, 2) float64, 1-based image pixels."""
    labelled: np.ndarray
    """(N, 16) bool: seen and hidden ones alike."""
    head_sizes: np.ndarray
    """(N,) float64, pixels, above 0."""

    def __len__(self) -> int:
        return len(self.head_sizes)


def read_truth(path: Path) -> MpiiTruth:
    """The labels of a `gt_valid.mat`, brought into the order of `MPII_16` by their names."""
    content = read_mat(path)
    require(content, ("jnt_missing", "pos_gt_src", "headboxes_src", "dataset_joints"), f"{path}")
    order = _order(content, path)
    missing = _array(content, "jnt_missing", (K, None), path)
    if not np.isin(missing, (0, 1)).all():
        raise ValueError(f"{path}: jnt_missing has a value other than 0 or 1")
    people = missing.shape[1]
    keypoints = _array(content, "pos_gt_src", (K, 2, people), path)
    corners = _array(content, "headboxes_src", (2, 2, people), path)
    head_sizes = HEAD_SHARE * np.linalg.norm(corners[1] - corners[0], axis=0)
    if not (head_sizes > 0).all():
        raise ValueError(f"{path}: headboxes_src[..., {head_sizes.argmin()}] is a box without size")
    return MpiiTruth(keypoints[order].transpose(2, 0, 1), missing[order].T == 0, head_sizes)


def read_predictions(path: Path) -> np.ndarray:
    """(N, 16, 2) float64 in 1-based image pixels from a file of predictions.

    It holds `preds` (N, 16, 2), as the published test code writes it, or `pos_pred_src`
    (16, 2, N) with `dataset_joints`, as the published `gt_valid.mat` does.
    """
    content = read_mat(path)
    if "preds" in content:
        return _array(content, "preds", (None, K, 2), path)
    if "pos_pred_src" not in content:
        found = shown_text(", ".join(content)) or "nothing"
        raise ValueError(f"{path}: has neither 'preds' nor 'pos_pred_src' (it has: {found})")
    require(content, ("dataset_joints",), f"{path}")
    predicted = _array(content, "pos_pred_src", (K, 2, None), path)
    return predicted[_order(content, path)].transpose(2, 0, 1)


def write_predictions(path: Path, keypoints: np.ndarray) -> None:
    """Write keypoints (N, 16, 2) in 1-based image pixels as the published `pred.mat`.

    ValueError, and no file, where one is not finite: a person without a prediction.
    """
    keypoints = np.asarray(keypoints, dtype=np.float64)
    assert keypoints.ndim == 3 and keypoints.shape[1:] == (K, 2)
    lacking = np.flatnonzero(~np.isfinite(keypoints).all(axis=(1, 2)))
    if len(lacking):
        raise ValueError(f"{path}: not written, person {lacking[0]} has no finite prediction")
    write_mat(path, {"preds": keypoints})


def _order(content: Mapping[str, Any], path: Path) -> list[int]:
    """The file's place of each keypoint of `MPII_16`."""
    cells = [np.ravel(cell) for cell in np.ravel(content["dataset_joints"])]
    names = [NAMES.get(str(cell[0])) if len(cell) else None for cell in cells]
    if sorted(map(str, names)) != sorted(MPII_16.keypoints):
        raise ValueError(f"{path}: dataset_joints are not the names {', '.join(NAMES)}")
    return [names.index(name) for name in MPII_16.keypoints]


def _array(
    content: Mapping[str, Any], name: str, shape: tuple[int | None, ...], path: Path
) -> np.ndarray:
    """A variable as float64, all finite; None in `shape` takes any length."""
    array = content[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: {name} is no array of numbers")
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("N" if length is None else str(length) for length in shape)
        raise ValueError(f"{path}: {name} has shape {array.shape}, expected ({wanted})")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: {name} holds a number that is not finite")
    return array.astype(np.float64)
