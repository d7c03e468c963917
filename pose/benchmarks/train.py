"""A training step, data aside: crops and labels -> changed weights."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.model import finished, made_crops, wake
from pose.benchmarks.settings import Settings
from pose.build import model_of
from pose.build_training import loss_of
from pose.codecs import Codec
from pose.data.dataset import TrainingOrder
from pose.engine.distributed import Ranks
from pose.engine.optim import build_optimizer
from pose.engine.trainer import Run, train_epoch
from pose.models.pose_model import PoseModel
from pose.references import training
from pose.references.network import normalised
from pose.skeleton import COCO_17
from pose.structures import PoseBatch

BATCH = {"cpu": 8, "cuda": 128}
LEARNING_RATE = 1e-4
COMPARED_STEPS = 8


def measure(settings: Settings) -> list[Row]:
    """The network of the config, on the same batch again and again."""
    cfg, device = settings.cfg, settings.device
    count = BATCH.get(device.type, BATCH["cpu"])
    model, codec = model_of(cfg, COCO_17)
    batch = made_batch(codec, count)
    wake(model, batch.images[: BATCH["cpu"]])
    width, height = codec.input_size
    starts: dict[str, Callable[[], Callable[[], float]]] = {
        PUBLISHED: partial(published_steps, copy.deepcopy(model), codec, batch, device),
        "fp32": partial(our_steps, settings, copy.deepcopy(model), codec, batch, amp=False),
        "bf16": partial(our_steps, settings, copy.deepcopy(model), codec, batch, amp=True),
    }
    losses = {name: loss_after(start()) for name, start in starts.items()}
    ways: dict[str, Callable[[], object]] = {name: start() for name, start in starts.items()}
    return side_by_side(
        f"a training step of {cfg.model.name} {height}x{width}, batch {count}",
        "sample",
        finished(ways, device),
        count=count,
        agreements={
            name: f"loss after {COMPARED_STEPS} steps {loss / losses[PUBLISHED]:.3f} of published"
            for name, loss in losses.items()
            if name != PUBLISHED
        },
    )


def made_batch(codec: Codec, count: int) -> PoseBatch:
    """Crops of broad waves with keypoints anywhere."""
    width, height = codec.input_size
    images = made_crops(codec, count)
    keypoints = torch.rand(count, 17, 2) * torch.tensor([width - 1.0, height - 1.0])
    labelled = torch.rand(count, 17) < 0.8
    matrices = torch.eye(3, dtype=torch.float64)[:2].expand(count, 2, 3)
    return PoseBatch(images, keypoints, labelled, matrices, torch.arange(count))


def loss_after(step: Callable[[], float]) -> float:
    """The loss of the last of `COMPARED_STEPS` steps."""
    return [step() for _ in range(COMPARED_STEPS)][-1]


def published_steps(
    model: PoseModel, codec: Codec, batch: PoseBatch, device: torch.device
) -> Callable[[], float]:
    """Steps from the weights of `model`, on what the published loader has made of the batch."""
    network = copy.deepcopy(model).to(device).train()
    batch = batch.to(device)
    inputs = normalised(batch.images, network.mean, network.std)
    targets, weights = codec.encode(batch.keypoints, batch.labelled)
    optimizer = training.build_optimizer(network, LEARNING_RATE)
    return partial(training.step, network, optimizer, inputs, targets, weights)


def our_steps(
    settings: Settings, model: PoseModel, codec: Codec, batch: PoseBatch, *, amp: bool
) -> Callable[[], float]:
    """Steps of `train_epoch` from the weights of `model`, on epochs of one batch."""
    network = copy.deepcopy(model).to(settings.device).to(memory_format=torch.channels_last)
    count = len(batch.images)
    batch = batch.to(settings.device)
    run = Run(
        model=network,
        codec=codec,
        loss=loss_of(settings.cfg, codec),
        optimizer=build_optimizer(network, "adam", LEARNING_RATE, 0.0),
        rate=lambda step: LEARNING_RATE,
        loader=cast(DataLoader[Any], [batch]),
        order=TrainingOrder(count, count, seed=0),
        ranks=Ranks(settings.device),
        folder=settings.folder,
        identity={},
        epochs=1,
        amp=amp,
    )

    def step() -> float:
        run.loss_sum = 0.0
        train_epoch(run, network)
        return run.loss_sum

    return step
