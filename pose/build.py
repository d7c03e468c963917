"""The composition root: a configuration becomes networks, runs and loaders.

Only this floor (`build`, `build_data`, `build_network`, `published`) and the commands see a
configuration.
"""

import copy
import functools
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from easydict import EasyDict
from torch import nn
from torch.utils.data import DataLoader, Sampler

from pose import __version__
from pose.build_data import data_path, evaluator_of, load_val_boxes, training_images
from pose.build_network import ablation_of, codec_of, settings_of
from pose.codecs import Codec
from pose.codecs.integral import IntegralCodec
from pose.codecs.simcc import SimccCodec
from pose.config import resolve
from pose.data.augment import CropPolicy
from pose.data.dataset import EvaluationOrder, PoseDataset, TrainingOrder, as_made, quiet_worker
from pose.devices import ieee_float32
from pose.engine.distributed import Ranks
from pose.engine.evaluation import Predictions, network_decoder, predict_people
from pose.engine.optim import build_optimizer, learning_rate
from pose.engine.trainer import Loss, Run
from pose.images import ImageFolder
from pose.inference.predict import torch_runtime
from pose.inference.predictor import Predictor
from pose.losses import LOSSES
from pose.models.folding import DTYPES, for_inference
from pose.models.heads import add_vectors
from pose.models.pose_model import PoseModel, build_model
from pose.models.weights import init_from, load_strict, load_weights, read_config
from pose.published import described, find_weights
from pose.schema_network import LOSSES_OF
from pose.skeleton import Skeleton, skeleton_from_category
from pose.structures import People

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network and what belongs to it."""

    model: PoseModel
    codec: Codec
    skeleton: Skeleton
    cfg: EasyDict
    source: str


def model_of(cfg: EasyDict, skeleton: Skeleton) -> tuple[PoseModel, Codec]:
    """A network with fresh weights that depend on the seed, and its codec."""
    with torch.device("meta"):
        stride = build_model(cfg.model.name, 1, **ablation_of(cfg)).stride
    codec = codec_of(cfg, stride)
    torch.manual_seed(cfg.seed)
    channels = codec.channels(skeleton.num_keypoints)
    statistics = (cfg.model.mean, cfg.model.std)
    model = build_model(cfg.model.name, channels, *statistics, **ablation_of(cfg))
    if isinstance(codec, SimccCodec):
        add_vectors(model, codec.features, codec.bins)
    return model, codec


def loss_of(cfg: EasyDict, codec: Codec) -> Loss:
    """train.loss, or where that is auto the codec's own, with what it must know of the codec."""
    name = cfg.train.loss
    loss = LOSSES[LOSSES_OF[cfg.codec.name][0] if name == "auto" else name]
    if isinstance(codec, SimccCodec):
        return functools.partial(loss, columns=codec.bins[0])
    if isinstance(codec, IntegralCodec):
        return functools.partial(loss, points=codec.points)
    return loss


def load_network(
    path: Path, cfg: EasyDict | None = None, keypoints: Skeleton | None = None
) -> Network:
    """The network of a weights file, checkpoint or published name, from the config and skeleton
    inside it.

    A file that carries neither (the published ones) is taken for the network of `cfg` and
    `keypoints` where they are given; it must then fit that network to the last tensor.
    """
    path = find_weights(path)
    content = read_config(path)
    if content is not None and "skeleton" in content:
        layer = {key: value for key, value in content.items() if key != "skeleton"}
        cfg = resolve(layer, f"{path}: config")
        keypoints = skeleton_from_category(content["skeleton"], f"{path}: skeleton")
    elif cfg is None or keypoints is None:
        raise ValueError(
            f"{path}: says nothing of its network and keypoints; give a checkpoint or "
            "best.safetensors of a training run"
        )
    model, codec = model_of(cfg, keypoints)
    load_strict(model, load_weights(path), str(path))
    return Network(model, codec, keypoints, cfg, str(path))


def check_same_network(cfg: EasyDict, network: Network, skeleton: Skeleton) -> None:
    """ValueError that says in what a config and the weights given with it differ."""
    ours, theirs = settings_of(cfg), settings_of(network.cfg)
    differences = [
        f"{key} is {ours.get(key)} in the config, {theirs.get(key)} in the weights"
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]
    if skeleton.keypoints != network.skeleton.keypoints:
        missing = sorted(set(skeleton.keypoints) ^ set(network.skeleton.keypoints))
        differences.append(
            f"the annotations have {skeleton.num_keypoints} keypoints, the weights "
            f"{network.skeleton.num_keypoints} (different: {', '.join(missing) or 'their order'})"
        )
    if differences:
        raise ValueError(f"{network.source}: {'; '.join(differences)}")


def predictor_of(network: Network, device: torch.device) -> Predictor:
    """A network ready for pictures whose boxes are given."""
    runtime = torch_runtime(
        network.model, network.codec, network.skeleton, device, flip=network.cfg.test.flip
    )
    return Predictor(runtime, batch_size=network.cfg.test.batch_size)


def loader_of(
    dataset: PoseDataset, order: Sampler, workers: int, device: torch.device
) -> DataLoader:
    """Batches in the sampler's order, read by `workers` processes that stay."""
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=as_made,
        worker_init_fn=quiet_worker if workers else None,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def evaluation_loader(cfg: EasyDict, people: People, codec: Codec, ranks: Ranks) -> DataLoader:
    images = ImageFolder(data_path(cfg, "val_images"))
    dataset = PoseDataset(
        people,
        images,
        codec.input_size,
        grid=codec.pixel_grid,
        arithmetic=cfg.test.warp,
        reduced_jpeg=cfg.test.reduced_jpeg,
    )
    order = EvaluationOrder(people.image_index, cfg.test.batch_size, ranks.rank, ranks.world_size)
    return loader_of(dataset, order, cfg.data.workers, ranks.device)


def found_people(cfg: EasyDict, network: Network, people: People, ranks: Ranks) -> Predictions:
    """What a network finds in the boxes of `people`; every process gets all of it."""
    flip_index = network.skeleton.flip_index if cfg.test.flip else None
    model = network.model
    if cfg.test.precision != "fp32":
        model = for_inference(model, DTYPES[cfg.test.precision])
    decode = network_decoder(model, network.codec, ranks.device, flip_index)
    loader = evaluation_loader(cfg, people, network.codec, ranks)
    with ieee_float32():
        return predict_people(decode, loader, people, ranks)


def training_dataset(cfg: EasyDict, people: People, codec: Codec) -> PoseDataset:
    policy = CropPolicy(
        codec.input_size,
        **cfg.augment,
        upper_index=tuple(int(i) for i in people.skeleton.upper_index),
        grid=codec.pixel_grid,
    )
    return PoseDataset(people, training_images(cfg), codec.input_size, policy, cfg.seed)


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
        source = read_config(path) or {}
        names = source.get("skeleton", {}).get("keypoints")
        init_from(model, load_weights(path), people.skeleton.keypoints, names, cfg.init)
    model = placed(cfg, model, ranks)
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
        loader=loader_of(
            training_dataset(cfg, people, codec), order, cfg.data.workers, ranks.device
        ),
        order=order,
        ranks=ranks,
        folder=folder,
        identity={"config": described(cfg, people.skeleton), "versions": versions()},
        epochs=cfg.train.epochs,
        average=copy.deepcopy(model).eval() if cfg.train.ema_decay else None,
        ema_decay=cfg.train.ema_decay,
        clip_norm=cfg.train.clip_norm,
        parts=cfg.train.parts,
        amp=cfg.train.amp,
    )


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


def versions() -> dict[str, str]:
    """What a figure was made with: results depend on OpenCV's warp and torch's arithmetic."""
    return {
        "pose": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
