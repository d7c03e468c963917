"""Predictions matched to labelled people as COCO matches them, kept as arrays.

Matched once, the rest is arithmetic: precision over recall, AP and AR of any sizes, the same for
images drawn anew. All of it equals pycocotools to the last bit. Images are numbered from 0 in the
order of their ids; G annotations, D predictions, P pairs of both in one image, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pose.geometry import xywh_to_xyxy
from pose.metrics.coco_files import GroundTruth, Results
from pose.metrics.coco_score import FIGURES, SCORED_PEOPLE

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""OKS from which on a prediction is taken for a person; AP is the mean over them."""

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read off."""

Areas = tuple[float, float]
ALL: Areas = (0.0, 1e10)
MEDIUM: Areas = (32.0**2, 96.0**2)
LARGE: Areas = (96.0**2, 1e10)
"""Square pixels, both ends included."""

PAIRS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Labelled:
    """The annotations of the category that is scored, by image and in the file's order."""

    images: np.ndarray
    """(G,) int64, rising."""
    keypoints: np.ndarray
    """(G, K, 2) float64."""
    visibility: np.ndarray
    """(G, K)."""
    areas: np.ndarray
    """(G,) square pixels."""
    boxes: np.ndarray
    """(G, 4) float64 xyxy."""
    surroundings: np.ndarray
    """(G, 4) xyxy, three times as wide and high: inside it the keypoints of a prediction are at no
    distance from an annotation without labelled ones."""
    crowds: np.ndarray
    """(G,) bool."""
    ignored: np.ndarray
    """(G,) bool: crowds and people without labelled keypoints, whom nobody need find."""


@dataclass(frozen=True, eq=False)
class Found:
    """Predictions, in the order of their file."""

    images: np.ndarray
    """(D,) int64."""
    keypoints: np.ndarray
    """(D, K, 2) float64."""
    keypoint_scores: np.ndarray
    """(D, K)."""
    scores: np.ndarray
    """(D,) float64."""

    @cached_property
    def areas(self) -> np.ndarray:
        """(D,) square pixels of the bound of the keypoints, pycocotools' size of a prediction."""
        x, y = self.keypoints[..., 0], self.keypoints[..., 1]
        return (x.max(axis=1) - x.min(axis=1)) * (y.max(axis=1) - y.min(axis=1))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every prediction with every annotation of its image, by prediction."""

    predictions: np.ndarray
    """(P,) int64, rising."""
    people: np.ndarray
    """(P,) int64."""
    oks: np.ndarray
    """(P,) float64."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Who is taken for whom at each threshold, for people of one range of areas."""

    thresholds: np.ndarray
    """(T,)."""
    found: Found
    counted: np.ndarray
    """(D,) bool: among the best 20 of their image."""
    partners: np.ndarray
    """(T, D) int64: the annotation, -1 for none."""
    ignored: np.ndarray
    """(T, D) bool: neither right nor wrong."""
    images: np.ndarray
    """(G,) of the annotations."""
    unwanted: np.ndarray
    """(G,) bool: the annotations that nobody need find."""


def labelled_of(truth: GroundTruth) -> Labelled:
    """The annotations of a ground truth as columns."""
    number = {image_id: i for i, image_id in enumerate(sorted(truth.image_ids))}
    entries = sorted(truth.annotations, key=lambda entry: number[entry["image_id"]])
    k = truth.skeleton.num_keypoints
    triplets = np.array([e["keypoints"] for e in entries], np.float64).reshape(-1, k, 3)
    boxes_xywh = np.array([e["bbox"] for e in entries], np.float64).reshape(-1, 4)
    corner, size = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    crowds = np.array([bool(e["iscrowd"]) for e in entries], bool)
    return Labelled(
        images=np.array([number[e["image_id"]] for e in entries], np.int64),
        keypoints=triplets[..., :2],
        visibility=triplets[..., 2],
        areas=np.array([e["area"] for e in entries], np.float64),
        boxes=xywh_to_xyxy(boxes_xywh),
        surroundings=np.concatenate([corner - size, corner + size * 2], axis=1),
        crowds=crowds,
        ignored=crowds | np.array([e["num_keypoints"] == 0 for e in entries], bool),
    )


def found_of(results: Results, truth: GroundTruth) -> Found:
    """Checked results as columns; all their images are among those of `truth`."""
    ids = np.array(sorted(truth.image_ids), np.int64)
    triplets = results.keypoints.reshape(-1, truth.skeleton.num_keypoints, 3)
    images = np.searchsorted(ids, results.image_ids)
    return Found(images, triplets[..., :2], triplets[..., 2], results.scores)


def pairs_of(found: Found, labelled: Labelled, sigmas: np.ndarray) -> Pairs:
    """The OKS of every prediction with everyone in its image; sigmas (K,)."""
    starts = np.searchsorted(labelled.images, found.images, side="left")
    counts = np.searchsorted(labelled.images, found.images, side="right") - starts
    predictions = np.repeat(np.arange(len(found.images)), counts)
    before = np.cumsum(counts) - counts
    people = np.arange(len(predictions)) + np.repeat(starts - before, counts)
    pairs = Pairs(predictions, people, np.zeros(len(predictions)))
    return pairs_again(pairs, found, labelled, sigmas, np.ones(len(counts), bool))


def pairs_again(
    pairs: Pairs, found: Found, labelled: Labelled, sigmas: np.ndarray, moved: np.ndarray
) -> Pairs:
    """The same pairs with the OKS of those predictions anew whose keypoints were `moved` (D,)."""
    values = pairs.oks.copy()
    rows = np.flatnonzero(moved[pairs.predictions])
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        part = rows[start : start + PAIRS_AT_ONCE]
        points = found.keypoints[pairs.predictions[part]]
        values[part] = _oks(points, labelled, pairs.people[part], sigmas)
    return Pairs(pairs.predictions, pairs.people, values)


def similarities(
    points: np.ndarray, truth: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """exp(-d^2 / (2 (2 s)^2 A)) of keypoints (N, K, 2) and (N, K, 2), areas (N,): (N, K)."""
    return _falloff(points - truth, areas, sigmas)


def match(
    found: Found,
    labelled: Labelled,
    pairs: Pairs,
    thresholds: np.ndarray = THRESHOLDS,
    areas: Areas = ALL,
) -> Matches:
    """COCO's greedy matching: by falling score each prediction takes the free person of the
    highest OKS, one who need not be found only where no other is left; a crowd takes any number."""
    outside = (labelled.areas < areas[0]) | (labelled.areas > areas[1])
    unwanted = labelled.ignored | outside
    place, counted = _places(found)
    # Best first for each prediction; pycocotools takes the later of two equal ones.
    near = np.flatnonzero((pairs.oks >= _bound(min(thresholds))) & counted[pairs.predictions])
    d, g, value = pairs.predictions[near], pairs.people[near], pairs.oks[near]
    order = np.lexsort((-g, -value, unwanted[g], place[d]))
    d, g, value = d[order], g[order], value[order]
    crowds = labelled.crowds.tolist()
    partners = np.full((len(thresholds), len(found.images)), -1, np.int64)
    for t, threshold in enumerate(thresholds):
        enough = value >= _bound(threshold)
        taken, chosen = set[int](), dict[int, int]()
        for prediction, person in zip(d[enough].tolist(), g[enough].tolist(), strict=True):
            if prediction not in chosen and person not in taken:
                chosen[prediction] = person
                if not crowds[person]:
                    taken.add(person)
        partners[t, list(chosen)] = list(chosen.values())
    sizes = found.areas
    strange = (sizes < areas[0]) | (sizes > areas[1])
    taken_unwanted = np.append(unwanted, False)[partners]
    ignored = np.where(partners >= 0, taken_unwanted, strange)
    return Matches(thresholds, found, counted, partners, ignored, labelled.images, unwanted)


def match_by_area(found: Found, labelled: Labelled, pairs: Pairs) -> tuple[Matches, ...]:
    """The matches that COCO's ten figures are made of: for `ALL`, `MEDIUM` and `LARGE`."""
    return tuple(match(found, labelled, pairs, areas=areas) for areas in (ALL, MEDIUM, LARGE))


def precision_recall(
    matches: Matches, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, 101) at `RECALLS`, none lower than at a higher recall, and the recall (T,) that
    is reached; nan where there is nobody to find.

    counts (I,) says how often each image stands in the sample (None: once each), so that drawing
    images anew needs no second matching.
    """
    which = _ranking(matches, counts)
    wanted = matches.images[~matches.unwanted]
    total = len(wanted) if counts is None else counts[wanted].sum()
    num = len(matches.thresholds)
    if not total:
        return np.full((num, len(RECALLS)), np.nan), np.full(num, np.nan)
    taken, judged = matches.partners[:, which] >= 0, ~matches.ignored[:, which]
    right = np.cumsum(taken & judged, axis=1)
    wrong = np.cumsum(~taken & judged, axis=1)
    recall = right / total
    precision = right / (wrong + right + np.spacing(1))
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    highest = np.concatenate([highest, np.zeros((num, 1))], axis=1)
    read = [row[np.searchsorted(r, RECALLS)] for row, r in zip(highest, recall, strict=True)]
    return np.stack(read), recall[:, -1] if len(which) else np.zeros(num)


def average_precision(matches: Matches, counts: np.ndarray | None = None) -> float:
    """The mean over thresholds and recalls; nan where there is nobody to find."""
    return float(np.mean(precision_recall(matches, counts)[0]))


def ten_figures(by_area: Sequence[Matches], counts: np.ndarray | None = None) -> dict[str, float]:
    """COCO's figures of the matches for `ALL`, `MEDIUM` and `LARGE` at `THRESHOLDS`."""
    curves = [precision_recall(matches, counts) for matches in by_area]
    values = [
        [every.mean(), every[0].mean(), every[5].mean(), medium.mean(), large.mean()]
        for every, medium, large in zip(*curves, strict=True)
    ]
    return dict(zip(FIGURES, map(float, values[0] + values[1]), strict=True))


def _places(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """(D,) the place by image and falling score, of equal scores the earlier first; and whether it
    is among the best 20 of its image."""
    order = np.lexsort((-found.scores, found.images))
    images = found.images[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place, place - np.searchsorted(images, found.images) < SCORED_PEOPLE


def _ranking(matches: Matches, counts: np.ndarray | None) -> np.ndarray:
    """The predictions that count by falling score, of equal ones by image; those of an image that
    stands in the sample several times come as often."""
    found, which = matches.found, np.flatnonzero(matches.counted)
    copies = np.zeros(len(which), np.int64)
    if counts is not None:
        times = counts[found.images[which]]
        which = np.repeat(which, times)
        copies = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    return which[np.lexsort((copies, found.images[which], -found.scores[which]))]


def _bound(threshold: float) -> float:
    return min(float(threshold), 1 - 1e-10)


def _oks(
    points: np.ndarray, labelled: Labelled, people: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """(N,) of keypoints (N, K, 2) with annotations (N,); pycocotools' operations in its order."""
    shown = labelled.visibility[people] > 0
    none = ~shown.any(axis=1)
    offset = points - labelled.keypoints[people]
    around = labelled.surroundings[people[none], None]
    offset[none] = np.maximum(0, around[..., :2] - points[none]) + np.maximum(
        0, points[none] - around[..., 2:]
    )
    shown[none] = True
    similarity = _falloff(offset, labelled.areas[people], sigmas)
    counts = shown.sum(axis=1)
    result = np.zeros(len(points))
    for count in np.unique(counts):
        rows = counts == count
        # Only what is labelled is summed: zeros in between would round otherwise.
        result[rows] = similarity[rows][shown[rows]].reshape(-1, count).sum(axis=1) / count
    return result


def _falloff(offset: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    distance2 = offset[..., 0] ** 2 + offset[..., 1] ** 2
    return np.exp(-(distance2 / (sigmas * 2) ** 2 / (areas[:, None] + np.spacing(1)) / 2))
