"""The schema of a configuration, which is also its documentation: `docs/config.md` is printed from
it. Every key has its type, its default, one sentence with the unit, and what it may be.
"""

from dataclasses import dataclass, field

from pose.layers import keys_of, setting
from pose.recipes import RECIPES
from pose.schema_network import Codec, Model

FORMATS = ("coco", "mpii", "crowdpose", "aic", "halpe", "posetrack")


@dataclass(frozen=True)
class Data:
    """Where people and photographs come from. Relative paths start at `root`."""

    format: str = setting(
        "coco",
        "Whose annotations and figures: coco: COCO's and AP; mpii: MPII's and PCKh (gt_NAME.mat "
        "beside NAME.json); the others as `docs/datasets.md` says.",
        choices=FORMATS,
    )
    root: str = setting(
        "data/coco",
        "Folder that the other paths of this section start from.",
        moves_nothing=True,
    )
    train_annotations: str = setting(
        "annotations/person_keypoints_train2017.json", "COCO keypoint file to train on."
    )
    train_images: str = setting("images/train2017", "Folder or zip file of its images.")
    more_annotations: tuple[str, ...] = setting(
        (),
        "Further sets to train on beside train_annotations, whose keypoints they are matched to by "
        "name; the missing ones are unlabelled.",
    )
    more_images: tuple[str, ...] = setting(
        (), "Folder or zip file of the images of each further set."
    )
    more_formats: tuple[str, ...] = setting(
        (), "Format of each further set; empty: all as `format`.", choices=FORMATS
    )
    val_annotations: str = setting(
        "annotations/person_keypoints_val2017.json", "COCO keypoint file to evaluate on."
    )
    val_images: str = setting("images/val2017", "Folder or zip file of its images.")
    val_boxes: str = setting(
        "gt",
        "Boxes of the evaluations during training: 'gt' (ground truth) or a detection file; "
        "`pose evaluate` asks for its own.",
    )
    box_rule: str = setting(
        "published",
        "Annotated boxes: published: one pixel smaller than stated; mmpose: as stated. Both cut "
        "at the image.",
        choices=("published", "mmpose"),
    )
    workers: int = setting(
        2, "Processes that read, for each that computes; 0: none.", low=0, moves_nothing=True
    )
    cache: bool = setting(
        False,
        "Keep the decoded pixels that training crops can show in the user's cache folder, tens of "
        "GB for COCO; see `docs/data-cache.md`.",
    )
    warped_by: str = setting(
        "loader",
        "Who warps training crops out of the photographs: loader: the processes that read; device: "
        "what trains, a batch at a time.",
        choices=("loader", "device"),
    )
    unreadable: str = setting(
        "error",
        "A training image that cannot be read: error; skip: its people are left out and counted. "
        "Evaluation always stops.",
        choices=("error", "skip"),
        moves_nothing=True,
    )


@dataclass(frozen=True)
class Augment:
    """How training crops are drawn (the published COCO recipe of HRNet)."""

    draws: str = setting(
        "cut",
        "Large draws: cut: scale at one deviation, rotation at two; again: drawn again until "
        "within one.",
        choices=("cut", "again"),
    )
    scale: float = setting(0.35, "Standard deviation of the scale factor.", low=0, high=0.9)
    rotation: float = setting(45.0, "Standard deviation of the rotation in degrees.", low=0)
    rotation_chance: float = setting(0.6, "Share of crops that are rotated.", low=0, high=1)
    shift: float = setting(
        0.0, "Standard deviation of the centre's shift in widths and heights of the crop.", low=0
    )
    shift_chance: float = setting(0.0, "Share of crops that are shifted.", low=0, high=1)
    flip_chance: float = setting(0.5, "Share of crops that are mirrored.", low=0, high=1)
    half_body_chance: float = setting(
        0.3, "Share of half-body crops among people with more than 8 keypoints.", low=0, high=1
    )


@dataclass(frozen=True)
class Train:
    """The training run."""

    epochs: int = setting(210, "Passes over the training people.", low=1)
    batch_size: int = setting(128, "People a step, over all processes together.", low=1)
    optimizer: str = setting("adam", "Which optimiser.", choices=("adam", "adamw"))
    lr: float = setting(1e-3, "Learning rate after warm-up.", low=0)
    weight_decay: float = setting(0.0, "Weight decay of adamw, on convolution weights only.", low=0)
    schedule: str = setting(
        "steps",
        "steps: times 0.1 after each of lr_steps; cosine: half a cosine, linear: a line down to 0.",
        choices=("steps", "cosine", "linear"),
    )
    lr_steps: tuple[int, ...] = setting(
        (170, 200), "Epochs after which the rate falls to a tenth.", low=1
    )
    warmup_steps: int = setting(0, "Steps over which the rate rises linearly from 0.", low=0)
    loss: str = setting(
        "auto",
        "auto: the codec's own (mse for heatmaps); mse: over all keypoints; ohkm: over each "
        "person's 8 hardest; kl: of simcc's vectors; l1: of integral's points.",
        choices=("auto", "mse", "ohkm", "kl", "l1"),
    )
    amp: bool = setting(False, "Run the network in bfloat16 (weights and loss stay float32).")
    ema_decay: float = setting(
        0.0,
        "Decay a step of the averaged weights that are evaluated and kept; 0: no average.",
        low=0,
        high=0.99999,
    )
    clip_norm: float = setting(0.0, "Largest gradient norm; 0: no clipping.", low=0)
    parts: int = setting(
        1,
        "Parts of a batch that a process takes in turn, their gradients added: the same "
        "step in less memory, but for batch norms, which see a part at a time.",
        low=1,
    )
    sync_batch_norm: bool = setting(
        False, "Batch norms see the people of all processes together (CUDA only)."
    )
    evaluate_every: int = setting(5, "Epochs between evaluations (the last is always one).", low=1)
    sheet_every: int = setting(
        10, "Epochs between sheets of predictions; 0: none.", low=0, moves_nothing=True
    )
    max_skipped: int = setting(
        10,
        "A step whose loss or gradients are not finite is skipped; so many in a row stop the run, "
        "saved.",
        low=1,
        moves_nothing=True,
    )
    save_minutes: float = setting(
        15.0,
        "Minutes after which a checkpoint is written within an epoch too; 0: never.",
        low=0,
        moves_nothing=True,
    )
    failed_save: str = setting(
        "go_on",
        "When files of the run cannot be written after an epoch (a full disk): go_on: the next "
        "epoch tries again, only the last must succeed; stop.",
        choices=("go_on", "stop"),
        moves_nothing=True,
    )


@dataclass(frozen=True)
class Test:
    """Evaluation and prediction."""

    batch_size: int = setting(64, "People at a time, for each process.", low=1, moves_nothing=True)
    flip: bool = setting(True, "Average with the maps of the mirrored crop.")
    box_score_threshold: float = setting(0.0, "Detections below this score are left out.")
    keypoint_score_threshold: float = setting(
        0.2, "Keypoints above this score count in a person's score."
    )
    nms_threshold: float = setting(
        0.9, "Of two poses in an image with a higher OKS the better one stays.", low=0, high=1
    )
    soft_nms: bool = setting(False, "Lower the score of such a pose instead of removing it.")
    warp: str = setting(
        "installed",
        "Crops of `pose evaluate`: installed: by the installed OpenCV, exact from version 5 on; "
        "opencv4: by version 4's coordinates in 1/32 pixel, slower.",
        choices=("installed", "opencv4"),
    )
    reduced_jpeg: bool = setting(
        False, "Decode a JPEG that all its crops shrink at 1/2, 1/4 or 1/8; figures change."
    )
    precision: str = setting(
        "fp32", "Of the network in `pose evaluate`: fp32, exact; bf16.", choices=("fp32", "bf16")
    )
    compile: str = setting(
        "none",
        "What makes a network that torch runs faster after a warm-up: compile: torch.compile, "
        "minutes on a CPU; cudagraphs: its steps recorded by a CUDA GPU.",
        choices=("none", "compile", "cudagraphs"),
        moves_nothing=True,
    )


@dataclass(frozen=True)
class Predict:
    """How `pose predict` and `pose.load` look at pictures and videos."""

    detector_threshold: float = setting(
        0.3, "Detected boxes of a lower score are not looked at.", low=0, high=1
    )
    person_threshold: float = setting(
        0.2,
        "Detected people of a lower score (box score times mean keypoint score) are left out.",
        low=0,
        high=1,
    )
    keypoint_threshold: float = setting(
        0.2,
        "Keypoints up to this score are not drawn, and do not count in tracking.",
        low=0,
        high=1,
    )
    detector_interval: int = setting(
        1,
        "Frames from one look of the detector to the next where people are tracked; it looks "
        "sooner where somebody is lost.",
        low=1,
    )
    precision: str = setting(
        "auto",
        "Of a network that torch runs: fp32; bf16; auto: bf16 where the processor multiplies it "
        "faster.",
        choices=("auto", "fp32", "bf16"),
    )
    calibration: str = setting(
        "auto",
        "Of scores: a file of `pose calibrate`; auto: the one it kept for the weights, where there "
        "is one; none.",
    )
    smoothing: str = setting(
        "auto",
        "Of people who are tracked: live: by the frames before; offline: by those before and "
        "after, in a second pass; auto: offline for files that are not shown, else live; none.",
        choices=("auto", "live", "offline", "none"),
    )


@dataclass(frozen=True)
class Expected:
    """The published figure of this experiment, for `pose evaluate --check`."""

    figure: str = setting("AP", "Which figure.", moves_nothing=True)
    value: float | None = setting(
        None, "Its value in [0, 1]; empty: nobody published one.", moves_nothing=True
    )
    digits: int = setting(
        3,
        "Digits behind the point that it was published with.",
        low=1,
        high=6,
        moves_nothing=True,
    )
    boxes: str = setting("", "The person boxes it was measured with.", moves_nothing=True)
    source: str = setting("", "Who published it.", moves_nothing=True)


@dataclass(frozen=True)
class Config:
    """Everything that describes an experiment."""

    recipe: str = setting(
        "hrnet",
        "Whose defaults: the layer of keys of that name in `pose/recipes.py`.",
        choices=tuple(RECIPES),
    )
    seed: int = setting(0, "Of initial weights, order and augmentation.", low=0)
    init: str | None = setting(
        None,
        "Weights to start from: the trunk strictly, the head by keypoint name; empty: none.",
    )
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    codec: Codec = field(default_factory=Codec)
    augment: Augment = field(default_factory=Augment)
    train: Train = field(default_factory=Train)
    test: Test = field(default_factory=Test)
    predict: Predict = field(default_factory=Predict)
    expected: Expected = field(default_factory=Expected)


OPERATIONAL = frozenset(key for key, _, about in keys_of(Config) if about.metadata["moves_nothing"])
"""Keys (section.key) that do not tell one experiment from another."""
