"""What flows through the package: people, batches of crops, poses. Frozen, and without behaviour
that reaches up a floor.

`visibility` is 0 (unlabelled), 1 (labelled, hidden) or 2 (labelled, seen); boxes are xyxy in
absolute image pixels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pose.skeleton import Skeleton

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Person:
    """One human in one image: labelled, or detected (then visibility is all 0)."""

    image: str
    """File name of the image, relative to the image folder."""
    image_id: int
    box: np.ndarray
    """(4,) float32 xyxy."""
    keypoints: np.ndarray
    """(K, 2) float32, image pixels."""
    visibility: np.ndarray
    """(K,) uint8."""
    area: float
    """Square pixels: of the segmentation where there is one."""
    score: float
    """The detector's; 1 for a ground-truth box."""
    annotation_id: int
    """0 for a detection."""


@dataclass(frozen=True, eq=False)
class People(Sequence[Person]):
    """Columns that behave as a sequence of `Person`: two million people are arrays, not objects.

    `images` lists each file name once; `image_index` (N,) points into it.
    """

    skeleton: Skeleton
    images: np.ndarray
    """(I,) str."""
    image_sizes: np.ndarray
    """(I, 2) int32 width, height as the annotations say; 0 where they say nothing."""
    image_index: np.ndarray
    image_ids: np.ndarray
    """(N,) int64."""
    boxes: np.ndarray
    """(N, 4) float32 xyxy."""
    keypoints: np.ndarray
    """(N, K, 2) float32."""
    visibility: np.ndarray
    """(N, K) uint8."""
    areas: np.ndarray
    """(N,) float64."""
    scores: np.ndarray
    """(N,) float64."""
    annotation_ids: np.ndarray
    """(N,) int64."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Person:  # type: ignore[override]
        """Person `index`; slices are not taken."""
        return Person(
            image=str(self.images[self.image_index[index]]),
            image_id=int(self.image_ids[index]),
            box=self.boxes[index],
            keypoints=self.keypoints[index],
            visibility=self.visibility[index],
            area=float(self.areas[index]),
            score=float(self.scores[index]),
            annotation_id=int(self.annotation_ids[index]),
        )


def rows_of(people: People, which: np.ndarray) -> People:
    """Those of the people whose places `which` (M,) names, in that order and as often."""
    names = ("image_index", "image_ids", "boxes", "keypoints", "visibility", "areas", "scores")
    columns = {name: getattr(people, name)[which] for name in (*names, "annotation_ids")}
    return replace(people, **columns)


@dataclass(frozen=True, eq=False)
class PoseBatch:
    """B crops on their way to a network; a single sample lacks the first axis."""

    images: torch.Tensor
    """(B, 3, H, W) uint8 RGB."""
    keypoints: torch.Tensor
    """(B, K, 2) float32, input pixels."""
    labelled: torch.Tensor
    """(B, K) bool."""
    matrices: torch.Tensor
    """(B, 2, 3) float64, image -> input."""
    index: torch.Tensor
    """(B,) int64: the person's place in `People`, by which several processes merge."""

    def to(self, device: torch.device) -> "PoseBatch":
        """The same batch with images and labels on `device`; matrices and index stay."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            keypoints=self.keypoints.to(device, non_blocking=True),
            labelled=self.labelled.to(device, non_blocking=True),
        )

    def split(self, parts: int) -> list["PoseBatch"]:
        """The same people in so many batches, or one each, of sizes that differ by one at most."""
        columns = {
            f.name: getattr(self, f.name).tensor_split(min(parts, len(self.index)))
            for f in fields(self)
        }
        return [
            PoseBatch(**dict(zip(columns, values, strict=True)))
            for values in zip(*columns.values(), strict=True)
        ]

    def pin_memory(self) -> "PoseBatch":
        """What the loader calls so that copies to a GPU overlap with its work."""
        return PoseBatch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


KEYPOINT_SCORE_THRESHOLD = 0.2
"""Keypoints at or below this score do not count in a person's score (the published value)."""


def person_scores(
    box_scores: np.ndarray | float,
    keypoint_scores: np.ndarray,
    threshold: float = KEYPOINT_SCORE_THRESHOLD,
) -> np.ndarray:
    """Box score times the mean of the keypoint scores (..., K) above `threshold`; 0 if none is.

    Scores are rounded to float32 first and summed in float64, which is exact: any other order or
    precision makes or breaks ties, and with them AP (the published evaluation sums one by one).
    """
    scores = np.asarray(keypoint_scores, dtype=np.float32).astype(np.float64)
    counts = scores > threshold
    total, number = (scores * counts).sum(axis=-1), counts.sum(axis=-1)
    return np.asarray(box_scores) * np.where(number > 0, total / np.maximum(number, 1), 0.0)


OPTIONAL = {"track_ids": "track_id", "expected_oks": "expected_oks"}
"""Columns of `Poses` that may be None -> their key in a result entry."""


@dataclass(frozen=True, eq=False)
class Poses:
    """N predicted poses in one image."""

    keypoints: np.ndarray
    """(N, K, 2) float32, image pixels."""
    scores: np.ndarray
    """(N, K) float32 in [0, 1]: the heatmap's maximum; where `expected_oks` is given, the
    probability that the keypoint's own similarity is at least 0.5 (`pose calibrate`)."""
    boxes: np.ndarray
    """(N, 4) float32 xyxy: the box each pose was looked for in."""
    skeleton: Skeleton
    box_scores: np.ndarray
    """(N,) float32: the detector's; 1 for a given box."""
    track_ids: np.ndarray | None = None
    """(N,) int64 from 1, the same for one person through a video; None where nobody tracked."""
    expected_oks: np.ndarray | None = None
    """(N,) float64: the OKS to be expected of each pose, where scores are calibrated; else None."""

    def __post_init__(self) -> None:
        n, k = len(self.keypoints), self.skeleton.num_keypoints
        shapes = {
            "keypoints": (self.keypoints.shape, (n, k, 2)),
            "scores": (self.scores.shape, (n, k)),
            "boxes": (self.boxes.shape, (n, 4)),
            "box_scores": (self.box_scores.shape, (n,)),
        }
        shapes |= {name: (column.shape, (n,)) for name, column in self._optional().items()}
        for name, (got, expected) in shapes.items():
            if got != expected:
                raise ValueError(f"poses: {name} has shape {got}, expected {expected}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, which: slice | np.ndarray) -> "Poses":
        """The poses that a slice, a mask (N,) or an index array chooses."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "skeleton"}
        return replace(self, **{n: c[which] for n, c in columns.items() if c is not None})

    def _optional(self) -> dict[str, np.ndarray]:
        """The columns of `OPTIONAL` that are there."""
        return {name: c for name in OPTIONAL if (c := getattr(self, name)) is not None}

    def person_scores(self, threshold: float = KEYPOINT_SCORE_THRESHOLD) -> np.ndarray:
        """(N,) how good each pose is: `expected_oks` where scores are calibrated, else box score
        times the mean score of the keypoints above `threshold`."""
        if self.expected_oks is not None:
            return self.expected_oks
        return person_scores(self.box_scores, self.scores, threshold)

    def to_coco(
        self,
        image_id: int,
        category_id: int = 1,
        *,
        score_threshold: float = KEYPOINT_SCORE_THRESHOLD,
    ) -> list[dict[str, Any]]:
        """COCO result entries with plain numbers; `score` is that of `person_scores`.

        Beside the keys of COCO's server each holds `box` and `box_score`, which scoring ignores
        (a `bbox` would change the areas that pycocotools takes), and those of `OPTIONAL`.
        """
        totals = self.person_scores(score_threshold)
        triplets = np.concatenate([self.keypoints, self.scores[..., None]], axis=-1)
        return [
            {
                "image_id": int(image_id),
                "category_id": category_id,
                "keypoints": [round(float(v), 4) for v in triplets[i].ravel()],
                "score": float(totals[i]),
                "box": [round(float(v), 3) for v in self.boxes[i]],
                "box_score": float(self.box_scores[i]),
                **{OPTIONAL[name]: column[i].item() for name, column in self._optional().items()},
            }
            for i in range(len(self))
        ]

    def to_json(self) -> str:
        """JSON text for programs that know nothing of COCO: keypoints by name as [x, y, score]."""
        people = [
            {
                **{OPTIONAL[name]: column[i].item() for name, column in self._optional().items()},
                "box": [round(float(v), 3) for v in self.boxes[i]],
                "box_score": float(self.box_scores[i]),
                "keypoints": {
                    name: [round(float(x), 4), round(float(y), 4), float(score)]
                    for name, (x, y), score in zip(
                        self.skeleton.keypoints, self.keypoints[i], self.scores[i], strict=True
                    )
                },
            }
            for i in range(len(self))
        ]
        return json.dumps({"skeleton": self.skeleton.name, "people": people}, allow_nan=False)

    def to_dataframe(self) -> "DataFrame":
        """A pandas table, a row for each keypoint of each person: person (from 0), track_id (0
        where nobody tracked), keypoint, x, y, score; ImportError without pandas."""
        import pandas

        n, k = self.scores.shape
        tracks = np.zeros(n, np.int64) if self.track_ids is None else self.track_ids
        return pandas.DataFrame(
            {
                "person": np.repeat(np.arange(n), k),
                "track_id": np.repeat(tracks, k),
                "keypoint": list(self.skeleton.keypoints) * n,
                "x": self.keypoints[..., 0].ravel(),
                "y": self.keypoints[..., 1].ravel(),
                "score": self.scores.ravel(),
            }
        )

    @classmethod
    def from_coco(cls, entries: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> "Poses":
        """The poses of one image's result entries; without `box` it is the keypoints' bound."""
        k = skeleton.num_keypoints
        triplets = np.array([e["keypoints"] for e in entries], dtype=np.float32).reshape(-1, k, 3)
        keypoints = triplets[..., :2]
        bounds = np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
        boxes = [e.get("box", bound) for e, bound in zip(entries, bounds, strict=True)]
        optional = {
            name: np.array([e[key] for e in entries])
            for name, key in OPTIONAL.items()
            if len(entries) > 0 and all(key in e for e in entries)
        }
        return cls(
            keypoints,
            triplets[..., 2],
            np.array(boxes, dtype=np.float32).reshape(-1, 4),
            skeleton,
            np.array([e.get("box_score", e["score"]) for e in entries], dtype=np.float32),
            **optional,
        )


def empty_poses(skeleton: Skeleton) -> Poses:
    """No pose at all: what an image without people gives."""
    return Poses.from_coco([], skeleton)
