"""Optimiser, learning rate and averaged weights. The rate is a function of the step alone."""

import math

import torch
from torch import nn

ADAMW_EPS = 1e-12
"""Far below AdamW's usual 1e-8, which heatmap gradients, means over every pixel, come down to."""
RATE_DROP = 0.1
"""Factor of the learning rate after each of the schedule's steps (the published one)."""


def build_optimizer(
    model: nn.Module, name: str, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """adam (no decay) or adamw, which decays matrices and kernels but no biases or norms."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=True)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, eps=ADAMW_EPS, fused=True)


def learning_rate(
    step: int,
    *,
    lr: float,
    schedule: str,
    steps_per_epoch: int,
    epochs: int,
    lr_steps: tuple[int, ...],
    warmup_steps: int,
) -> float:
    """The rate of step `step`, counted from 0 over the whole run."""
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    done = step / (epochs * steps_per_epoch)
    if schedule == "cosine":
        return lr * warmup * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "linear":
        return lr * warmup * (1 - done)
    drops = sum(step >= epoch * steps_per_epoch for epoch in lr_steps)
    return lr * warmup * RATE_DROP**drops


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged model towards the model, faster in the first steps.

    Weights and batch-norm statistics alike; counts are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    targets, sources = [], []
    for target, source in zip(
        average.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if target.is_floating_point():
            targets.append(target)
            sources.append(source)
        else:
            target.copy_(source)
    torch._foreach_lerp_(targets, sources, 1 - decay)
