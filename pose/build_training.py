"""A configuration becomes a training run: its data, its network, its figures on the way."""

import copy
import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict
from torch import nn

from pose.build import evaluation_loader, loader_of, model_of, versions
from pose.build_data import data_path, evaluator_of, load_val_boxes, training_images
from pose.codecs import Codec
from pose.codecs.integral import IntegralCodec
from pose.codecs.simcc import SimccCodec
from pose.data.augment import CropPolicy
from pose.data.crop_cache import open_cache
from pose.data.dataset import PoseDataset, TrainingOrder
from pose.data.forgiving import ForgivingDataset
from pose.devices import ieee_float32
from pose.engine.distributed import Ranks
from pose.engine.evaluation import network_decoder, predict_people
from pose.engine.optim import build_optimizer, learning_rate
from pose.engine.run import Loss, Run
from pose.files import cache_folder
from pose.losses import LOSSES
from pose.models.pose_model import PoseModel
from pose.models.weights import init_from, load_with_config
from pose.published import described, find_weights
from pose.schema_network import LOSSES_OF
from pose.skeleton import Skeleton
from pose.structures import People

logger = logging.getLogger(__name__)


def run_of(cfg: EasyDict, people: People, ranks: Ranks, folder: Path) -> Run:
    """A training run from its beginning: fresh weights, or those of `init`."""
    if not len(people):
        raise ValueError(
            f"{data_path(cfg, 'train_annotations')}: no person with labelled keypoints and a box; "
            "there is nothing to train on"
        )
    model, codec = model_of(cfg, people.skeleton)
    if cfg.init:
        path = ranks.main_first(lambda: find_weights(cfg.init))
        state, source = load_with_config(path)
        names = (source or {}).get("skeleton", {}).get("keypoints")
        init_from(model, state, people.skeleton.keypoints, names, cfg.init)
    model = placed(cfg, model, ranks)
    dataset = ranks.main_first(lambda: training_dataset(cfg, people, codec))
    order = TrainingOrder(len(people), cfg.train.batch_size, cfg.seed, ranks.rank, ranks.world_size)
    steps = len(order)
    return Run(
        model=model,
        codec=codec,
        loss=loss_of(cfg, codec),
        optimizer=build_optimizer(model, cfg.train.optimizer, cfg.train.lr, cfg.train.weight_decay),
        rate=lambda step: learning_rate(
            step,
            lr=cfg.train.lr,
            schedule=cfg.train.schedule,
            steps_per_epoch=steps,
            epochs=cfg.train.epochs,
            lr_steps=tuple(cfg.train.lr_steps),
            warmup_steps=cfg.train.warmup_steps,
        ),
        loader=loader_of(dataset, order, cfg.data.workers, ranks.device),
        order=order,
        ranks=ranks,
        folder=folder,
        identity={"config": described(cfg, people.skeleton), "versions": versions()},
        epochs=cfg.train.epochs,
        people=people,
        average=copy.deepcopy(model).eval() if cfg.train.ema_decay else None,
        ema_decay=cfg.train.ema_decay,
        clip_norm=cfg.train.clip_norm,
        parts=cfg.train.parts,
        amp=cfg.train.amp,
        max_skipped=cfg.train.max_skipped,
        save_seconds=60 * cfg.train.save_minutes or math.inf,
        failed_save=cfg.train.failed_save,
    )


def training_dataset(cfg: EasyDict, people: People, codec: Codec) -> PoseDataset | ForgivingDataset:
    """The training people in random crops; with `data.cache` it may take its time to be made."""
    policy = CropPolicy(
        codec.input_size,
        **cfg.augment,
        upper_index=tuple(int(i) for i in people.skeleton.upper_index),
        grid=codec.pixel_grid,
    )
    images = training_images(cfg)
    forgiving, cache = cfg.data.unreadable == "skip", None
    if cfg.data.cache:
        cache = open_cache(cache_folder("crops"), people, policy, images, forgiving=forgiving)
    dataset = PoseDataset(
        people,
        images,
        codec.input_size,
        policy,
        cfg.seed,
        parts=cache,
        warped_by=cfg.data.warped_by,
    )
    return ForgivingDataset(dataset) if forgiving else dataset


def loss_of(cfg: EasyDict, codec: Codec) -> Loss:
    """train.loss, or where that is auto the codec's own, with what it must know of the codec."""
    name = cfg.train.loss
    loss = LOSSES[LOSSES_OF[cfg.codec.name][0] if name == "auto" else name]
    if isinstance(codec, SimccCodec):
        return functools.partial(loss, columns=codec.bins[0])
    if isinstance(codec, IntegralCodec):
        return functools.partial(loss, points=codec.points)
    return loss


def placed(cfg: EasyDict, model: PoseModel, ranks: Ranks) -> PoseModel:
    """The model on its device, in the order that convolutions are fastest in; ValueError where
    batch norms are to be shared and cannot."""
    if cfg.train.sync_batch_norm and ranks.several:
        if ranks.device.type != "cuda":
            raise ValueError(
                f"train.sync_batch_norm: torch has it for CUDA alone, this runs on {ranks.device}"
            )
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place, below the model
    return model.to(ranks.device).to(memory_format=torch.channels_last)


def figures_during_training(
    cfg: EasyDict, skeleton: Skeleton, codec: Codec, ranks: Ranks
) -> Callable[[nn.Module], dict[str, float]] | None:
    """model -> the evaluator's figures on data.val_boxes; None where no validation set is named."""
    if not cfg.data.val_annotations:
        logger.warning("data.val_annotations is empty: no evaluation, the last weights are kept")
        return None
    people = load_val_boxes(cfg)
    if people.skeleton.keypoints != skeleton.keypoints:
        raise ValueError(
            f"{data_path(cfg, 'val_annotations')}: its keypoints are not those of "
            f"{data_path(cfg, 'train_annotations')}"
        )
    loader, evaluator = evaluation_loader(cfg, people, codec, ranks), evaluator_of(cfg, people)
    flip_index = skeleton.flip_index if cfg.test.flip else None

    def figures(model: nn.Module) -> dict[str, float]:
        decode = network_decoder(model, codec, ranks.device, flip_index)
        with ieee_float32():
            found = predict_people(decode, loader, people, ranks)
        evaluator.reset()
        evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
        return evaluator.compute()

    return figures
