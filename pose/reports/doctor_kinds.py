"""What the doctor looks for: every kind of finding, how grave it is, and what to do about it.

An error stops a loader, loses or falsifies labels; a warning is most often a mistake, but may be
meant; a note is worth knowing. `pose doctor` ends by the gravest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """One sort of finding."""

    severity: str
    remedy: str
    """What it leads to, or what to do: a sentence."""


@dataclass(frozen=True)
class Finding:
    """One place of the data and what is wrong there."""

    kind: str
    """A key of `KINDS`."""
    where: str
    """The entry, as people find it in the file."""
    says: str
    image: int = -1
    """Place among the images; -1 where none is meant."""
    entry: int = -1
    """Place among the file's annotations; -1 where none is meant."""
    people: Sequence[int] = ()
    """Rows of `Labels` that an example shows."""
    other: str | None = None
    """A second image's name, beside the first."""
    across: bool = False
    """Whether that is an image of the other split."""
    boxes: Sequence[Sequence[float]] = ()
    """Further boxes that an example shows, xyxy."""
    points: Sequence[Sequence[float]] = ()
    """Keypoints (K, 2) that an example sets against the labels."""


def _error(remedy: str) -> Kind:
    return Kind("error", remedy)


def _warning(remedy: str) -> Kind:
    return Kind("warning", remedy)


def _note(remedy: str) -> Kind:
    return Kind("note", remedy)


KINDS: dict[str, Kind] = {
    "malformed entry": _error("Loaders stop here. Give the field what is expected."),
    "wrong number of keypoint values": _error("x, y, visibility of each keypoint of the category."),
    "visibility not 0, 1 or 2": _error("0 is unlabelled, 1 hidden, 2 seen; loaders stop here."),
    "duplicate image id": _error("Annotations cannot tell which of the images is theirs."),
    "duplicate annotation id": _error("COCO's evaluation takes one for the other. Number anew."),
    "duplicate category id": _error("Which of the categories an annotation is of is not known."),
    "annotation id 0": _error("COCO's evaluation counts it as never found. Number from 1."),
    "annotation of an unknown image": _error("It is left out. List the image, or remove it."),
    "annotation of an unknown category": _error("It is left out. List the category."),
    "category mistake": _error("Keypoints, limbs and sigmas of a category must fit each other."),
    "box without size": _error("The person is left out of training and evaluation."),
    "box outside the image": _error("The person is left out of training and evaluation."),
    "box in the form x1, y1, x2, y2": _error("COCO's bbox is left, top, width, height."),
    "box holds none of its keypoints": _error("Box and keypoints are of different people."),
    "area 0 or below": _error("The person is left out of training and evaluation."),
    "seen keypoint outside the image": _error("Nothing can be seen there. Mend, or unlabel it."),
    "num_keypoints wrong": _error("COCO's evaluation ignores people by it. Count anew."),
    "the same person twice": _error("One of them counts as missed whatever is predicted."),
    "missing image": _error("Training stops here. Fetch it, or remove its entries."),
    "unreadable image": _error("Training stops here. Fetch it again."),
    "cut image": _error("A part of the file is missing. Fetch it again."),
    "image of another size": _error("Labels are in other pixels than the picture's."),
    "image of the other split": _error("The very same file: what is measured was trained on."),
    "malformed detection": _error("Evaluation stops here. Write the file anew."),
    "detections of another split": _error("Give the detection file of these images."),
    "detections overlap nobody": _error("Boxes are of another form, scale or set than the labels."),
    "several categories with keypoints": _warning("Only the first category is read."),
    "no left and right": _warning("Flips cannot exchange sides. Name pairs left_x and right_x."),
    "box beyond the image": _warning("It is cut at the border."),
    "keypoints far outside the box": _warning("A network that looks at the box cannot see them."),
    "box far larger than its keypoints": _warning("The person is tiny in the network's input."),
    "area larger than the box": _warning("OKS and the size groups go by the area."),
    "area far below the box": _warning("OKS goes by the area: hardly a pixel off is forgiven."),
    "hidden keypoint outside the image": _warning("It was guessed; the network cannot learn it."),
    "keypoints without visibility": _warning("They have places but count as unlabelled."),
    "keypoint at 0, 0": _warning("Most often an unlabelled one: set its visibility to 0."),
    "left and right look exchanged": _warning("Look at the example; exchange the labels."),
    "nearly the same person twice": _warning("Labelled by two people, or by mistake."),
    "the same box twice": _warning("Two people in one box: one is most often a copy."),
    "file name twice": _warning("Two entries of one picture: merge their annotations."),
    "the same image twice": _warning("The very same file under two names."),
    "nearly the same image": _warning("It counts twice. Keep one, or keep both in one split."),
    "nearly an image of the other split": _warning("What is measured is nearly trained on."),
    "blank image": _warning("One colour all over: most often a failed download."),
    "network sees left and right exchanged": _warning("Look at the example."),
    "network disputes the label": _warning("The network or the label is wrong: look."),
    "detections in unknown images": _warning("They are left out."),
    "detection without size": _warning("It is left out."),
    "detection score below 0": _warning("It is left out: 0 is the threshold."),
    "detection outside its image": _warning("It holds nothing."),
    "nobody has keypoints": _warning("There is nothing to train on."),
    "person without keypoints": _note("Visibility is 0 throughout: not used for poses."),
    "image id 0": _note("Some programs take 0 for none."),
    "category id 0": _note("Many programs take category 0 for the background."),
    "size not stated": _note("Without width and height, boxes cannot be cut at the border."),
    "num_keypoints missing": _note("COCO's own evaluation asks for it."),
    "no sigmas": _note("OKS counts every keypoint alike; see the suggestion, if there is one."),
    "image without detections": _note("Nobody can be found in it."),
    "file not listed": _note("The folder holds pictures that no entry names."),
}
"""Name -> what it is, the gravest first."""


def severities(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each severity."""
    grave = [KINDS[finding.kind].severity for finding in findings]
    return {severity: grave.count(severity) for severity in SEVERITIES}
