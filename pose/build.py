"""The composition root: a configuration becomes networks and loaders.

Only this floor (`build`, `build_*`, `published`) and the commands see a configuration.
"""

import logging
import platform
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from easydict import EasyDict
from torch.utils.data import DataLoader, Sampler

from pose import __version__
from pose.build_data import data_path
from pose.build_network import ablation_of, codec_of
from pose.codecs import Codec
from pose.codecs.simcc import SimccCodec
from pose.config import resolve
from pose.data.dataset import EvaluationOrder, PoseDataset, as_made, quiet_worker
from pose.data.forgiving import ForgivingDataset
from pose.engine.distributed import Ranks
from pose.images import ImageFolder
from pose.inference.predict import torch_runtime
from pose.inference.predictor import Predictor
from pose.models.heads import add_vectors
from pose.models.pose_model import PoseModel, build_model
from pose.models.weights import load_strict, load_with_config
from pose.published import find_weights
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
    codec = codec_for(cfg)
    torch.manual_seed(cfg.seed)
    channels = codec.channels(skeleton.num_keypoints)
    statistics = (cfg.model.mean, cfg.model.std)
    model = build_model(cfg.model.name, channels, *statistics, **ablation_of(cfg))
    if isinstance(codec, SimccCodec):
        add_vectors(model, codec.features, codec.bins)
    return model, codec


def codec_for(cfg: EasyDict) -> Codec:
    """The codec of the config's network."""
    with torch.device("meta"):
        stride = build_model(cfg.model.name, 1, **ablation_of(cfg)).stride
    return codec_of(cfg, stride)


def load_network(
    path: Path, cfg: EasyDict | None = None, keypoints: Skeleton | None = None
) -> Network:
    """The network of a weights file, checkpoint or published name, from the config and skeleton
    inside it.

    A file that carries neither (the published ones) is taken for the network of `cfg` and
    `keypoints` where they are given; it must then fit that network to the last tensor.
    """
    path = find_weights(path)
    state, content = load_with_config(path)
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
    load_strict(model, state, str(path))
    return Network(model, codec, keypoints, cfg, str(path))


def predictor_of(network: Network, device: torch.device) -> Predictor:
    """A network ready for pictures whose boxes are given."""
    runtime = torch_runtime(
        network.model, network.codec, network.skeleton, device, flip=network.cfg.test.flip
    )
    return Predictor(runtime, batch_size=network.cfg.test.batch_size)


def loader_of(
    dataset: PoseDataset | ForgivingDataset, order: Sampler, workers: int, device: torch.device
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
        generator=torch.Generator(),  # torch draws a seed each epoch; the run's own is left alone
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


def versions() -> dict[str, str]:
    """What a figure was made with: results depend on OpenCV's warp and torch's arithmetic."""
    return {
        "pose": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
