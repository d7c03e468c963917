"""Named recipes: how a line of published networks was trained and scored, as a layer of keys.

A recipe lies over the defaults and under the YAML file. `hrnet` is what the defaults are; what the
others do differently stands here and nowhere else, with what no key can express said beside it.
"""

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # Sun et al. (Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR
    # 2019) as released: COCO's half body 0.3, scale 0.35, rotation 45 at 0.6; Adam 1e-3 at batch
    # 128 (96 for W48 at 384x288), 210 epochs, a tenth of the rate after 170 and 200.
    "hrnet": {},
    # Xiao, Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018) as
    # released: gentler augmentation without half bodies, 140 epochs.
    "simplebaseline": {
        "augment": {"scale": 0.3, "rotation": 40, "half_body_chance": 0.0},
        "train": {"epochs": 140, "lr_steps": [90, 120]},
    },
    # MMPose 1.x. Scale and rotation come from a normal cut off at one deviation by drawing again;
    # centres are shifted; Adam 5e-4 at batch 512 after a warm-up. Annotated boxes keep the pixel
    # that the released code takes off. The quarter offset of the gaussian codec is taken axis by
    # axis, and the blur of dark and udp stays at 11 also for sigma 3. Two things have no key: the
    # loss lacks the factor 0.5, which Adam does not see, and an empty map decodes to (-1, -1)
    # there, to (0, 0) here. Half bodies are upper ones with chance 0.7 there, 0.69 here.
    "mmpose": {
        "data": {"box_rule": "mmpose"},
        "codec": {"offset_gate": "each", "blur_kernel": 11},
        "augment": {
            "draws": "again",
            "scale": 0.5,
            "rotation": 80,
            "shift": 0.16,
            "shift_chance": 0.3,
        },
        "train": {"lr": 5e-4, "batch_size": 512, "warmup_steps": 500},
    },
}
