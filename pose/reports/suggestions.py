"""What to label next: images whose people the network is in doubt about, and which differ.

A person's uncertainty is the mean of 1 - the person's score and of 1 - the mean score of the
keypoints that count: with calibrated scores how much OKS and how many keypoints are expected to be
wrong. Whoever is uncertain or differs in the mirror is in doubt: 1 - (1 - uncertainty)(1 -
disagreement), times the box's score, the chance that there is somebody to label. An image's doubt
is the root mean square of that of its people. Labelling costs by the person, so ten people must not
weigh more than one; and one in great doubt among nine who are clear is worth more than ten in
little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.data.coco import image_names, load_coco
from pose.data.labelling import LabelledImage
from pose.inference.doubt import Looks
from pose.reports.novelty import (
    CELLS,
    Choice,
    Described,
    choose,
    colours_of,
    describe,
    mean_square,
)
from pose.skeleton import Skeleton
from pose.structures import People, empty_poses

ALIKE = 0.05
"""The distance below which an image is nearly like one that was labelled or chosen."""

REASONS = {
    "labelled": "labelled already",
    "nobody": "nobody found",
    "unreadable": "cannot be read",
    "unseen": "not looked at: interrupted",
    "alike": "nearly like a labelled or chosen one",
    "behind": "ranked behind those chosen",
}
"""Why an image was not chosen."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An image that was looked at."""

    image: LabelledImage
    """Its poses have scores as they are handed out."""
    disagreement: np.ndarray
    """(N, K) of the two looks at its people, as `Looks` has it."""
    colours: np.ndarray
    """(CELLS, CELLS, 3)."""

    @classmethod
    def of(cls, number: int, name: str, image: np.ndarray, looks: Looks) -> "Seen":
        """What two looks at (H, W, 3) uint8 RGB came to."""
        size = (image.shape[1], image.shape[0])
        labelled = LabelledImage(number, name, size, looks.poses)
        return cls(labelled, looks.disagreement, colours_of(image))


@dataclass(frozen=True, eq=False)
class Labels:
    """What is labelled already."""

    people: People
    names: frozenset[str]
    """Of all images that the file lists, with forward slashes."""

    def name_of(self, path: Path) -> str | None:
        """What the file calls the image at `path`, of which it may name the end; None where it does
        not list it."""
        parts = path.absolute().parts
        ends = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((end for end in ends if end in self.names), None)


@dataclass(frozen=True, eq=False)
class Suggestions:
    """The images that were looked at, ranked."""

    seen: Sequence[Seen]
    uncertainty: np.ndarray
    """(I,) of each image, the mean over its people; nan for nobody."""
    disagreement: np.ndarray
    """(I,) the same."""
    doubts: np.ndarray
    """(I,) 0 for nobody."""
    choice: Choice

    def chosen(self) -> list[Seen]:
        """In the order in which they were chosen."""
        return [self.seen[i] for i in self.choice.order]


def read_labels(path: Path, skeleton: Skeleton) -> Labels:
    """The labelled people of a COCO keypoint file; ValueError where their keypoints are others than
    those of `skeleton`."""
    people = load_coco(path)
    if people.skeleton.keypoints != skeleton.keypoints:
        raise ValueError(
            f"{path}: its keypoints are those of '{people.skeleton.name}', not those of the "
            f"network, '{skeleton.name}'; give labels of the same keypoints"
        )
    names = (Path(name).as_posix() for name in image_names(path).values())
    return Labels(people, frozenset(names))


def suggest(
    seen: Sequence[Seen],
    skeleton: Skeleton,
    number: int,
    labels: Labels | None = None,
    colours: Mapping[str, np.ndarray] | None = None,
) -> Suggestions:
    """Ranks what was seen and chooses at most `number` images.

    colours are those of labelled images by their names in the file; others are taken for average.
    """
    counts = np.array([len(one.image.poses) for one in seen], np.int64)
    owners = np.repeat(np.arange(len(seen)), counts)
    uncertain = _joined([uncertainty_of(one) for one in seen])
    differing = _joined([Looks(one.image.poses, one.disagreement).of_people() for one in seen])
    somebody = _joined([one.image.poses.box_scores for one in seen]).clip(0, 1)
    doubts = somebody * (1 - (1 - uncertain) * (1 - differing))
    people = _described(seen, owners, skeleton)
    known = _described_labels(labels, colours or {}, seen, skeleton)
    few = np.where(counts > 0, np.maximum(counts, 1), np.nan)
    return Suggestions(
        seen,
        np.bincount(owners, uncertain, len(seen)) / few,
        np.bincount(owners, differing, len(seen)) / few,
        np.sqrt(mean_square(doubts, owners, counts)),
        choose(people, doubts, len(seen), number, known),
    )


def uncertainty_of(one: Seen) -> np.ndarray:
    """(N,) of the people of an image."""
    poses, counts = one.image.poses, np.isfinite(one.disagreement)
    total = np.where(counts, poses.scores, 0.0).sum(axis=1)
    keypoints = total / np.maximum(counts.sum(axis=1), 1)
    return 1 - (poses.person_scores() + keypoints) / 2


def rows_of(found: Suggestions, others: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every image: those chosen by rank, those not chosen by falling doubt, then `others`, name ->
    key of `REASONS`."""
    ranks = {int(place): rank for rank, place in enumerate(found.choice.order, 1)}
    rest = [i for i in np.argsort(-found.doubts, kind="stable").tolist() if i not in ranks]
    rows = []
    for place in [*ranks, *rest]:
        image, distance = found.seen[place].image, float(found.choice.distances[place])
        nobody = not len(image.poses)
        reason = "nobody" if nobody else "alike" if distance < ALIKE else "behind"
        figures = {
            "uncertainty": float(found.uncertainty[place]),
            "disagreement": float(found.disagreement[place]),
            "doubt": float(found.doubts[place]),
            "distance": distance,
        }
        rows.append(
            {
                "file_name": image.name,
                "rank": ranks.get(place),
                "people": len(image.poses),
                **(dict.fromkeys(figures) if nobody else figures),
                "reason": None if place in ranks else REASONS[reason],
            }
        )
    nothing = dict.fromkeys(["rank", "people", "uncertainty", "disagreement", "doubt", "distance"])
    rows += [{"file_name": n, **nothing, "reason": REASONS[why]} for n, why in others.items()]
    return rows


def content_of(
    found: Suggestions, others: Mapping[str, str], skeleton: Skeleton, *, calibrated: bool
) -> dict[str, Any]:
    """What the report says: counts, keypoints in doubt, every image."""
    rows, chosen = rows_of(found, others), found.chosen()
    counts = {
        "images": len(rows),
        "chosen": len(chosen),
        "people in them": sum(len(one.image.poses) for one in chosen),
        **{
            REASONS[why]: sum(row["reason"] == REASONS[why] for row in rows)
            for why in ("labelled", "nobody", "unreadable", "unseen")
        },
    }
    return {
        "scores": "calibrated" if calibrated else "the network's own",
        "counts": {name: n for name, n in counts.items() if n or name in list(counts)[:3]},
        "keypoints": _keypoints(found.seen, skeleton),
        "images": rows,
    }


def _keypoints(seen: Sequence[Seen], skeleton: Skeleton) -> list[dict[str, Any]]:
    """Of all people together, where they count: how uncertain each is, and how it differs."""
    k = skeleton.num_keypoints
    differing = np.concatenate([np.zeros((0, k)), *(one.disagreement for one in seen)])
    scores = np.concatenate([np.zeros((0, k)), *(one.image.poses.scores for one in seen)])
    counts = np.isfinite(differing)
    number = np.where(counts.any(axis=0), np.maximum(counts.sum(axis=0), 1), np.nan)
    uncertain = np.where(counts, 1 - scores, 0).sum(axis=0) / number
    differing = np.where(counts, differing, 0).sum(axis=0) / number
    return [
        {
            "keypoint": name,
            "people": int(counts[:, i].sum()),
            "uncertainty": float(uncertain[i]),
            "disagreement": float(differing[i]),
        }
        for i, name in enumerate(skeleton.keypoints)
    ]


def _described(seen: Sequence[Seen], owners: np.ndarray, skeleton: Skeleton) -> Described:
    poses = [empty_poses(skeleton), *(one.image.poses for one in seen)]
    colours = np.array([one.colours for one in seen]).reshape(-1, CELLS, CELLS, 3)
    return describe(
        np.concatenate([own.keypoints for own in poses]),
        np.concatenate([own.scores for own in poses]),
        np.concatenate([own.boxes for own in poses]),
        colours[owners],
        owners,
        skeleton.flip_index,
    )


def _described_labels(
    labels: Labels | None,
    colours: Mapping[str, np.ndarray],
    seen: Sequence[Seen],
    skeleton: Skeleton,
) -> Described:
    if labels is None:
        return _described([], np.zeros(0, np.int64), skeleton)
    people = labels.people
    known = [*(one.colours for one in seen), *colours.values()]
    average = np.mean(known, axis=0) if known else np.full((CELLS, CELLS, 3), 0.5)
    of_images = np.array([colours.get(str(name), average) for name in people.images])
    return describe(
        people.keypoints,
        (people.visibility > 0).astype(np.float64),
        people.boxes,
        of_images.reshape(-1, CELLS, CELLS, 3)[people.image_index],
        people.image_index,
        skeleton.flip_index,
    )


def _joined(columns: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *columns])
