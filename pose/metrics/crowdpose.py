"""CrowdPose's nine figures: COCO's AP and AR without sizes, and AP by how crowded an image is.

As crowdposetools: an image is easy below a `crowdIndex` of 0.2, hard from 0.8 on, medium between
(the paper draws the first line at 0.1; published figures come from the program). A person's area
is 0.53 of the box, which `pose.data.forms.read_crowdpose` brings. The program rounds the three AP
by crowd to four digits, this does not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pose.metrics.coco_files import GroundTruth
from pose.metrics.coco_score import FIGURES as COCO_FIGURES
from pose.metrics.coco_score import coco_stats, entries_of
from pose.records import finite

FIGURES = ("AP", "AP .5", "AP .75", "AR", "AR .5", "AR .75")
"""Those of COCO's that CrowdPose has too."""

CROWDS = {"AP (E)": (0.0, 0.2), "AP (M)": (0.2, 0.8), "AP (H)": (0.8, float("inf"))}
"""Figure -> the `crowdIndex` from which and below which an image counts in it."""


def score_crowdpose(
    results: Path | Sequence[dict[str, Any]], truth: GroundTruth
) -> dict[str, float]:
    """`FIGURES`, then AP of easy, medium and hard images; nan where there is no such image.

    ValueError of one line names the file, the entry and the field.
    """
    entries = entries_of(results, truth)
    crowd_index = {}
    for number, image in enumerate(truth.dataset["images"]):
        where = f"{truth.source}: images[{number}]: crowdIndex"
        crowd_index[int(image["id"])] = finite(image.get("crowdIndex"), where)
    everywhere = dict(zip(COCO_FIGURES, coco_stats(entries, truth), strict=True))
    figures = {name: everywhere[name] for name in FIGURES}
    for name, (low, high) in CROWDS.items():
        images = [image for image, index in crowd_index.items() if low <= index < high]
        figures[name] = coco_stats(entries, truth, images)[0] if images else float("nan")
    return figures
