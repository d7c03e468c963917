"""A data set looked over before anyone trains: what is wrong in its files, and what is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pose.images import ImageFolder
from pose.reports.doctor_counts import counts_of, distributions_of, keypoint_rows
from pose.reports.doctor_detections import detection_study
from pose.reports.doctor_file import Labels
from pose.reports.doctor_images import (
    Look,
    image_findings,
    look_at,
    shared_findings,
    unlisted,
)
from pose.reports.doctor_kinds import KINDS, Finding, severities
from pose.reports.doctor_labels import label_findings
from pose.reports.doctor_sigmas import suggested_sigmas

if TYPE_CHECKING:
    from pose.inference.predict import Runtime


@dataclass(frozen=True, eq=False)
class Set:
    """Labels and, where they are to be looked at, their pictures."""

    labels: Labels
    images: ImageFolder | None = None


def examine(
    own: Set,
    *,
    against: Set | None = None,
    detections: Path | None = None,
    runtime: "Runtime | None" = None,
) -> tuple[dict[str, Any], list[Finding]]:
    """What the report says, and all findings, the gravest first. `against` is another split;
    `runtime` needs the pictures."""
    labels, images = own.labels, own.images
    findings = list(labels.findings)
    content: dict[str, Any] = {"annotations": labels.path.name}
    looks: list[Look] = []
    if images is not None:
        looks = look_at(labels, images)
        labels = _with_sizes(labels, looks)
        findings += image_findings(labels, looks)
        findings += unlisted(labels, images.path)
    findings += label_findings(labels)
    if against is not None:
        findings += _shared(labels, looks, against)
    if detections is not None:
        content["detections"], found = detection_study(labels, detections)
        findings += found
    residuals: np.ndarray | None = None
    if runtime is not None and images is not None:
        # Only here is torch needed, which takes seconds to load.
        from pose.reports.doctor_network import label_study

        residuals, content["network"], found = label_study(labels, runtime, images)
        findings += found
    order = {kind: place for place, kind in enumerate(KINDS)}
    findings = [_with_people(finding, labels) for finding in findings]
    findings.sort(key=lambda finding: order[finding.kind])
    content |= {
        "severities": severities(findings),
        "counts": counts_of(labels),
        "verdicts": _verdicts(findings, labels),
        "distributions": distributions_of(labels),
        "keypoints": keypoint_rows(labels),
        "sigmas": suggested_sigmas(labels, residuals),
    }
    return content, findings


def _with_sizes(labels: Labels, looks: Sequence[Look]) -> Labels:
    """The pictures' own sizes where the file states none."""
    sizes = [
        tuple(stated) if all(stated) else look.size
        for stated, look in zip(labels.sizes.tolist(), looks, strict=True)
    ]
    return replace(labels, sizes=np.array(sizes, np.int64).reshape(-1, 2))


def _with_people(finding: Finding, labels: Labels) -> Finding:
    """The person of an entry, for the example, and the image."""
    if finding.entry < 0:
        return finding
    row = int(np.searchsorted(labels.entries, finding.entry))
    if row == len(labels) or labels.entries[row] != finding.entry:
        return finding
    return replace(finding, people=(row,), image=int(labels.image_index[row]))


def _shared(labels: Labels, looks: Sequence[Look], against: Set) -> list[Finding]:
    """What both splits hold: pictures where they can be looked at, else file names."""
    if looks and against.images is not None:
        other_looks = look_at(against.labels, against.images)
        if other_looks and all(look.grey is None for look in other_looks):
            raise ValueError(
                f"{against.images.path}: holds none of the images of {against.labels.path}; name "
                "their folder with --against-images"
            )
        return shared_findings(labels, looks, against.labels, other_looks)
    theirs = {name for name in against.labels.names if name}
    return [
        Finding("nearly an image of the other split", f"images[{place}]",
                f"the name {name} is listed in {against.labels.path.name} too", place)
        for place, name in enumerate(labels.names)
        if name in theirs
    ]  # fmt: skip


def _verdicts(findings: Sequence[Finding], labels: Labels) -> list[dict[str, Any]]:
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        entry: dict[str, Any] = {"where": finding.where, "says": finding.says}
        if finding.image >= 0:
            entry["file_name"] = labels.names[finding.image]
        by_kind.setdefault(finding.kind, []).append(entry)
    return [
        {"kind": kind, "severity": KINDS[kind].severity, "number": len(own),
         "remedy": KINDS[kind].remedy, "findings": own}
        for kind, own in by_kind.items()
    ]  # fmt: skip
