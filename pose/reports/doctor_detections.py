"""A detection file against the labels: whether it is of these images, and whom its boxes find."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pose.geometry import box_iou, has_area, xywh_to_xyxy
from pose.records import finite, pixels, read_json, shown, whole
from pose.reports.doctor_fields import attempt
from pose.reports.doctor_file import Labels
from pose.reports.doctor_kinds import Finding
from pose.reports.doctor_labels import by_image

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU at which recall is counted."""

STRANGE = 0.1
"""Recall at an IoU of 0.5 below it, of `PEOPLE` or more: no detector is so bad."""

PEOPLE = 5


def detection_study(labels: Labels, path: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Counts, recall by IoU, and what is wrong; ValueError where the file is no list."""
    given = read_json(path)
    if not isinstance(given, list):
        raise ValueError(f"{path}: expected a list of detections [{{image_id, bbox, ...}}, ...]")
    findings: list[Finding] = []
    place_of = {int(own): place for place, own in enumerate(labels.image_ids) if own >= 0}
    rows = []
    for number, entry in enumerate(given):
        row = _read(entry, f"detection {number}", labels, place_of, findings)
        if row is not None:
            rows.append(row)
    images = np.array([row[0] for row in rows], np.int64)
    boxes = np.array([row[1] for row in rows], float).reshape(-1, 4)
    scores = np.array([row[2] for row in rows], float)
    fits, wanted = _fits(labels, images, boxes)
    findings = _of_file(labels, given, findings, images, fits[wanted], boxes)
    return _summary(given, scores, images, fits[wanted]), findings


def _read(
    entry: Any,
    where: str,
    labels: Labels,
    place_of: Mapping[int, int],
    findings: list[Finding],
) -> tuple[int, np.ndarray, float] | None:
    """Image, box xyxy and score of a person's box in a listed image."""
    if not isinstance(entry, dict):
        findings.append(Finding("malformed detection", where, f"is {shown(entry)}, no object"))
        return None
    image_id, *wrong = attempt(whole, entry, "image_id")
    category_id, said_of_category = attempt(whole, entry, "category_id")
    box, said_of_box = attempt(lambda value, field: pixels(value, 4, field), entry, "bbox")
    score, said_of_score = attempt(finite, entry, "score")
    said = [text for text in (*wrong, said_of_category, said_of_box, said_of_score) if text]
    if said:
        findings.append(Finding("malformed detection", where, "; ".join(said)))
        return None
    if category_id != labels.category.main:
        return None
    image = place_of.get(image_id, -1)
    if image < 0:
        says = f"image_id {image_id} is not listed"
        findings.append(Finding("detections in unknown images", where, says))
        return None
    corners = xywh_to_xyxy(box)
    width, height = labels.sizes[image]
    shown_box = f"bbox {[round(float(v), 1) for v in box]}"
    if score < 0:
        findings.append(Finding("detection score below 0", where, f"score is {score:g}", image))
        return None
    if not has_area(corners):
        findings.append(Finding("detection without size", where, shown_box, image))
    elif (corners[2:] <= 0).any() or (width and (corners[:2] >= (width, height)).any()):
        says = f"{shown_box} in an image of {width} x {height}"
        findings.append(Finding("detection outside its image", where, says, image,
                                boxes=(tuple(corners.tolist()),)))  # fmt: skip
    return image, corners, score


def _fits(labels: Labels, images: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the highest IoU of a detected box with each person's, and who is wanted: those with a
    labelled keypoint in a listed image."""
    fits = np.zeros(len(labels))
    wanted = labels.labelled.any(axis=1) & (labels.image_index >= 0)
    order = np.argsort(images, kind="stable")
    for image, members in by_image(labels, np.flatnonzero(wanted)):
        first, last = np.searchsorted(images[order], (image, image + 1))
        overlap = box_iou(np.nan_to_num(labels.boxes[members]), boxes[order[first:last]])
        if overlap.size:
            fits[members] = overlap.max(axis=1)
    return fits, wanted


def _of_file(
    labels: Labels,
    given: list[Any],
    findings: list[Finding],
    images: np.ndarray,
    fits: np.ndarray,
    boxes: np.ndarray,
) -> list[Finding]:
    """What is wrong with the file as a whole, in the place of a finding for every entry."""
    unknown = sum(finding.kind == "detections in unknown images" for finding in findings)
    if given and not len(images):
        says = f"none of {len(given)} boxes is of a person in a listed image"
        kept = [f for f in findings if f.kind != "detections in unknown images"]
        return [*kept, Finding("detections of another split", "detections", says)]
    if unknown > len(images):
        says = f"{unknown} of {len(given)} boxes lie in images that are not listed"
        findings = [f for f in findings if f.kind != "detections in unknown images"]
        findings.append(Finding("detections of another split", "detections", says))
    if len(fits) >= PEOPLE and (fits >= 0.5).mean() < STRANGE:
        says = f"only {(fits >= 0.5).mean():.1%} of {len(fits)} people have a box of IoU 0.5"
        image = int(images[0])
        rows = tuple(np.flatnonzero(labels.image_index == image)[:5].tolist())
        some = tuple(map(tuple, boxes[images == image][:5].tolist()))
        findings.append(
            Finding("detections overlap nobody", "detections", says, image, people=rows, boxes=some)
        )
    without = np.setdiff1d(labels.image_index[labels.labelled.any(axis=1)], images)
    for image in without[without >= 0].tolist():
        says = f"{labels.name_of(image)}: people are labelled, none is detected"
        findings.append(Finding("image without detections", f"images[{image}]", says, image))
    return findings


def _summary(
    given: list[Any], scores: np.ndarray, images: np.ndarray, fits: np.ndarray
) -> dict[str, Any]:
    def share(t: float) -> float:
        return float((fits >= t).mean()) if len(fits) else float("nan")

    return {
        "boxes": len(given),
        "of people in listed images": len(scores),
        "images": len(np.unique(images)),
        "median score": float(np.median(scores)) if len(scores) else float("nan"),
        "people": len(fits),
        "recall": {f"{t:.2f}": share(t) for t in THRESHOLDS},
    }
