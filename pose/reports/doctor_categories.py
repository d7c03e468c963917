"""The categories of an annotation file: which one counts, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pose.records import shown, whole
from pose.reports.doctor_kinds import Finding
from pose.skeleton import Skeleton, skeleton_from_category


@dataclass(frozen=True)
class Category:
    """The category that is looked at."""

    main: int | None
    ids: tuple[int, ...]
    skeleton: Skeleton | None

    @property
    def num_keypoints(self) -> int:
        return self.skeleton.num_keypoints if self.skeleton else 0


def read_categories(content: Mapping[str, Any]) -> tuple[Category, list[Finding]]:
    """The first category that lists keypoints, though loaders read the first of all; what is wrong
    with any."""
    findings: list[Finding] = []
    given = content.get("categories")
    if not isinstance(given, list) or not given:
        findings.append(Finding("category mistake", "categories", "is missing or an empty list"))
        given = []
    ids: list[int] = []
    with_keypoints: list[int] = []
    for place, entry in enumerate(given):
        where = f"categories[{place}]"
        ids.append(_id_of(entry, ids, where, findings))
        if isinstance(entry, dict) and entry.get("keypoints"):
            with_keypoints.append(place)
    if given and not with_keypoints:
        says = "none lists keypoints; is this a person_keypoints_*.json file?"
        findings.append(Finding("category mistake", "categories", says))
    if not with_keypoints:
        return Category(ids[0] if ids else None, tuple(ids), None), findings
    main = with_keypoints[0]
    if main:
        says = f"lists no keypoints, only categories[{main}] does; put that first"
        findings.append(Finding("category mistake", "categories[0]", says))
    for place in with_keypoints[1:]:
        says = f"lists keypoints, as categories[{main}] does"
        kind = "several categories with keypoints"
        findings.append(Finding(kind, f"categories[{place}]", says))
    skeleton = _skeleton(given[main], f"categories[{main}]", findings)
    return Category(ids[main], tuple(ids), skeleton), findings


def _id_of(entry: Any, before: list[int], where: str, findings: list[Finding]) -> int:
    """The id of a category, -1 where it has none."""
    try:
        own_id = whole(entry["id"], "id")
    except (TypeError, KeyError, ValueError):
        says = f"is {shown(entry)}, expected an object with a whole 'id'"
        findings.append(Finding("category mistake", where, says))
        return -1
    if own_id in before:
        says = f"id {own_id} is that of categories[{before.index(own_id)}] too"
        findings.append(Finding("duplicate category id", where, says))
    if own_id == 0:
        findings.append(Finding("category id 0", where, "its id is 0"))
    return own_id


def _skeleton(entry: Mapping[str, Any], where: str, findings: list[Finding]) -> Skeleton | None:
    """The loaders' own reading; where that stops, the names alone."""
    names = entry["keypoints"]
    limbs = entry.get("skeleton")
    if isinstance(limbs, list) and isinstance(names, list):
        # Of COCO's own names the loaders take COCO's limbs, whatever the file says.
        for limb in limbs:
            if not _is_limb(limb, len(names)):
                says = f"skeleton holds {shown(limb)}, expected pairs from 1 to {len(names)}"
                findings.append(Finding("category mistake", where, says))
    sound = {k: v for k, v in entry.items() if k != "skeleton"}
    if isinstance(limbs, list) and isinstance(names, list):
        sound["skeleton"] = [limb for limb in limbs if _is_limb(limb, len(names))]
    for tried in (sound, {"keypoints": names, "name": entry.get("name")}):
        try:
            skeleton = skeleton_from_category(tried, where)
        except ValueError as error:
            says = str(error).removeprefix(f"{where}: ")
            if tried is sound:
                findings.append(Finding("category mistake", where, says))
            continue
        if not skeleton.mirrored:
            says = "no two names are those of a left and a right"
            findings.append(Finding("no left and right", where, says))
        if skeleton.sigmas is None:
            says = f"'{skeleton.name}' has no sigmas"
            findings.append(Finding("no sigmas", where, says))
        return skeleton
    return None


def _is_limb(limb: Any, count: int) -> bool:
    return (
        isinstance(limb, list)
        and len(limb) == 2
        and all(isinstance(end, int) and 1 <= end <= count for end in limb)
    )
