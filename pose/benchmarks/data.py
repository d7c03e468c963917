"""Reading people: photograph -> sample, for training and for evaluation, on one core.

The published sample is the network's input, normalised, with its maps; ours is uint8 with
keypoints. What that leaves to the device has a row of its own, where the same core does it too.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import default_collate

from pose.benchmarks.drawn import with_data
from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.settings import Settings
from pose.build_data import data_path, load_people, load_val_boxes
from pose.build_network import codec_of
from pose.build_training import training_dataset
from pose.codecs import Codec
from pose.data.crop_cache import CropCache, open_cache
from pose.data.dataset import EvaluationOrder, PoseDataset
from pose.data.photographs import Photographs
from pose.data.windows import WindowBatch
from pose.geometry import Crop, PixelGrid, grid_span
from pose.images import ImageFolder
from pose.models.pose_model import levels
from pose.references import crops
from pose.references.decoding import pairs_of
from pose.structures import People, Person, PoseBatch

PEOPLE, BATCH, STRIDE = 160, 32, 4
ENOUGH = 2000
"""Training people among whom those with different images are looked for."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Batches of a data set, and the same people and crops for the published loader."""

    dataset: PoseDataset
    batches: list[list[tuple[int, int]]]
    placed: list[list[crops.Placed]]
    pairs: list[tuple[int, int]]
    """Left and right keypoints."""

    @property
    def num_people(self) -> int:
        return sum(map(len, self.batches))


def measure(settings: Settings) -> list[Row]:
    """A sample of the training, then one of the evaluation in the boxes of data.val_boxes."""
    settings = with_data(settings)
    codec = codec_of(settings.cfg, STRIDE)
    training = training_reading(settings, codec)
    evaluation = evaluation_reading(settings, codec)
    seen = [
        evaluation.dataset.people.image_index[i] for keys in evaluation.batches for _, i in keys
    ]
    boxes = evaluation.num_people / max(len(set(seen)), 1)
    with one_core():
        return [
            *compared(
                "a training sample on one core", training, codec, further_ways(settings, training)
            ),
            *compared(
                f"an evaluation sample on one core, {boxes:.1f} boxes an image", evaluation, codec
            ),
        ]


@contextmanager
def one_core() -> Iterator[None]:
    """OpenCV and torch on this thread alone, as in a loader's worker."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def training_reading(settings: Settings, codec: Codec) -> Reading:
    """People of the training set at random, in the first epoch's crops.

    Of each image first one, then a second, so that those of a batch hardly share images: in a
    large set they do not.
    """
    cfg = settings.cfg
    dataset = training_dataset(cfg, load_people(cfg, "train"), codec)
    assert isinstance(dataset, PoseDataset)  # as `with_data` reads
    chosen = np.random.default_rng(0).permutation(len(dataset))
    place = dataset.people.image_index[chosen[:ENOUGH]]
    turn = [int((place[:i] == place[i]).sum()) for i in range(len(place))]
    chosen = chosen[np.argsort(turn, kind="stable")][:PEOPLE]
    batches = [
        [(0, int(i)) for i in chosen[start : start + BATCH]]
        for start in range(0, len(chosen), BATCH)
    ]
    images = ImageFolder(data_path(cfg, "train_images"))
    return reading_of(dataset, batches, images, settings.folder / "train", codec.pixel_grid)


def further_ways(settings: Settings, reading: Reading) -> dict[str, PoseDataset]:
    """The training samples out of a cache, and as windows that the device warps."""
    cached = copy.copy(reading.dataset)
    cached.parts = cached_parts(settings, reading)
    windows = copy.copy(cached)
    windows.warped_by = "device"
    return {"uint8, from the cache": cached, "windows for the device, from the cache": windows}


def cached_parts(settings: Settings, reading: Reading) -> CropCache:
    """A cache of the people who are read, and of no others of the set."""
    dataset = reading.dataset
    assert dataset.policy is not None
    chosen = np.array([index for keys in reading.batches for _, index in keys])
    columns = {
        field.name: getattr(dataset.people, field.name)[chosen]
        for field in fields(People)
        if field.name not in ("skeleton", "images", "image_sizes")
    }
    cache = open_cache(
        settings.folder / "crops",
        replace(dataset.people, **columns),
        dataset.policy,
        ImageFolder(settings.folder / "train"),
    )
    of_person = np.full(len(dataset), -1)
    of_person[chosen] = cache.regions.of_person
    regions = replace(cache.regions, of_person=of_person)
    return CropCache(cache.folder, regions, dataset.people)


def evaluation_reading(settings: Settings, codec: Codec) -> Reading:
    """The first batches of the evaluation."""
    cfg = settings.cfg
    people = load_val_boxes(cfg)
    images = ImageFolder(data_path(cfg, "val_images"))
    dataset = PoseDataset(people, images, codec.input_size, grid=codec.pixel_grid)
    batches = list(EvaluationOrder(people.image_index, BATCH))[: PEOPLE // BATCH]
    return reading_of(dataset, batches, images, settings.folder / "val", codec.pixel_grid)


def reading_of(
    dataset: PoseDataset,
    batches: list[list[tuple[int, int]]],
    images: ImageFolder,
    folder: Path,
    grid: PixelGrid,
) -> Reading:
    """With the photographs in `folder` too: the published loader reads files, and so do both from
    the same disk's memory."""
    for index in (index for keys in batches for _, index in keys):
        name = dataset.people[index].image
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(images.read_bytes(name))
    dataset.parts = Photographs(dataset.people, ImageFolder(folder))
    placed = [
        [placed_at(dataset.people[key[1]], dataset.crop(key), grid, folder) for key in keys]
        for keys in batches
    ]
    pairs = pairs_of(dataset.people.skeleton.flip_index)
    return Reading(dataset, batches, placed, pairs)


def placed_at(person: Person, crop: Crop, grid: PixelGrid, folder: Path) -> crops.Placed:
    """A crop on `grid` in the published terms: centre, width and rotation, the mirror apart."""
    span = grid_span(crop.size, grid)
    linear = crop.matrix[:, :2] * ([-1, 1] if crop.mirrored else [1, 1])
    labelled = person.visibility > 0
    return crops.Placed(
        path=str(folder / person.image),
        center=crop.to_image(span / 2),
        width=span[0] / float(np.hypot(*linear[0])),
        keypoints=person.keypoints.astype(np.float64),
        visible=(labelled if labelled.any() else ~labelled).astype(np.float64),
        rotation=float(np.rad2deg(np.arctan2(linear[0, 1], linear[0, 0]))),
        mirrored=crop.mirrored,
        grid=grid,
    )


def compared(
    work: str, reading: Reading, codec: Codec, further: Mapping[str, PoseDataset] | None = None
) -> list[Row]:
    """The published samples and ours, both as batches; ours also as `further` data sets of the
    same people make them."""
    ours = {"uint8": reading.dataset, **(further or {})}
    ways: dict[str, Callable[[], object]] = {
        PUBLISHED: partial(_published, reading, codec),
        **{name: partial(_batches, dataset, reading.batches) for name, dataset in ours.items()},
        "uint8, then normalised and with maps": partial(_finished, reading, codec),
    }
    theirs = torch.cat([crops.levels(made[0]).round() for made in _published(reading, codec)])
    agreements = {
        name: agreement(theirs, _batches(dataset, reading.batches))
        for name, dataset in ours.items()
    }
    return side_by_side(work, "sample", ways, count=reading.num_people, agreements=agreements)


def agreement(theirs: torch.Tensor, ours: Sequence[PoseBatch | WindowBatch]) -> str:
    """How far our crops are from the published ones (N, 3, H, W), in grey levels."""
    images = torch.cat([batch.to(torch.device("cpu")).images for batch in ours])
    apart = (theirs - images).abs()
    text = f"{(apart == 0).double().mean():.2%} of the values equal"
    most = int(apart.max())
    if most > 1:
        text += f", {(apart <= 1).double().mean():.2%} within 1, mean {apart.mean():.3f}"
    return f"{text}, all within {most} levels"


def _published(reading: Reading, codec: Codec) -> list:
    size, pairs = codec.input_size, reading.pairs
    return [
        default_collate([crops.sample(person, size, pairs) for person in people])
        for people in reading.placed
    ]


def _batches(dataset: PoseDataset, batches: list[list[tuple[int, int]]]) -> list:
    return [dataset.__getitems__(keys) for keys in batches]


def _finished(reading: Reading, codec: Codec) -> list:
    """Ours with what the device does otherwise."""
    mean, deviation = levels(crops.MEAN), levels(crops.STD)
    return [
        (
            (batch.images - mean).div_(deviation),
            codec.encode(batch.keypoints, batch.labelled),
        )
        for batch in _batches(reading.dataset, reading.batches)
    ]
