"""The skeletons of further data sets: names and order of their files, sigmas of their evaluations.

Names are those that every skeleton of the package uses, so that sets can be matched by them.
"""

from pose.skeleton import COCO_17, Skeleton, mirrored_by_name

_ARMS_AND_LEGS = (
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)

_TRUNK = (
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
)

_CROWDPOSE_NAMES = (*COCO_17.keypoints[5:], "head", "neck")

CROWDPOSE_14 = Skeleton(
    name="crowdpose_14",
    keypoints=_CROWDPOSE_NAMES,
    limbs=(
        ("head", "neck"),
        ("neck", "left_shoulder"),
        ("neck", "right_shoulder"),
        *_TRUNK,
        *_ARMS_AND_LEGS,
    ),
    mirrored=mirrored_by_name(_CROWDPOSE_NAMES),
    upper_body=frozenset((*_CROWDPOSE_NAMES[:6], "head", "neck")),
    sigmas=(
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107),
        *(0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
    ),
)
"""CrowdPose's person, with the sigmas of crowdposetools."""

_AIC_NAMES = (
    *("right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle"),
    *("head_top", "neck"),
)

AIC_14 = Skeleton(
    name="aic_14",
    keypoints=_AIC_NAMES,
    limbs=(
        ("head_top", "neck"),
        ("neck", "left_shoulder"),
        ("neck", "right_shoulder"),
        *_TRUNK,
        *_ARMS_AND_LEGS,
    ),
    mirrored=mirrored_by_name(_AIC_NAMES),
    upper_body=frozenset((*_AIC_NAMES[:6], "head_top", "neck")),
    sigmas=(
        *(0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144),
        *(0.03909642, 0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081),
        *(0.01291456, 0.01236173),
    ),
)
"""AI Challenger's person; its evaluation states 2 sigma."""

_HALPE_NAMES = (
    *COCO_17.keypoints,
    *("head", "neck", "hip"),
    *("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe"),
    *("left_heel", "right_heel"),
)

HALPE_26 = Skeleton(
    name="halpe_26",
    keypoints=_HALPE_NAMES,
    limbs=(
        ("head", "neck"),
        ("neck", "hip"),
        ("neck", "left_shoulder"),
        ("neck", "right_shoulder"),
        ("hip", "left_hip"),
        ("hip", "right_hip"),
        *_ARMS_AND_LEGS,
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        *(
            (f"{side}_ankle", f"{side}_{part}")
            for side in ("left", "right")
            for part in ("big_toe", "small_toe", "heel")
        ),
    ),
    mirrored=mirrored_by_name(_HALPE_NAMES),
    upper_body=frozenset((*COCO_17.keypoints[:11], "head", "neck")),
    sigmas=(*(COCO_17.sigmas or ()), *(3 * (0.08,)), *(6 * (0.089,))),
)
"""The first 26 of Halpe's 136 keypoints, the body and the feet."""

_POSETRACK_NAMES = ("nose", "head_bottom", "head_top", *COCO_17.keypoints[3:])

POSETRACK_17 = Skeleton(
    name="posetrack_17",
    keypoints=_POSETRACK_NAMES,
    limbs=(
        ("head_top", "nose"),
        ("nose", "head_bottom"),
        ("head_bottom", "left_shoulder"),
        ("head_bottom", "right_shoulder"),
        *_TRUNK,
        *_ARMS_AND_LEGS,
    ),
    mirrored=mirrored_by_name(_POSETRACK_NAMES),
    upper_body=frozenset(_POSETRACK_NAMES[:11]),
    sigmas=COCO_17.sigmas,
)
"""PoseTrack18's person: COCO's 17 places, two of which hold the neck and the top of the head; the
ears are named but never labelled. The sigmas are COCO's, for suppression only."""
