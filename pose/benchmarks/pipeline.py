"""The whole of an evaluation: photographs and detected boxes -> figures, start-up aside.

With the small network that ships, beside which all the rest weighs most, in this process alone.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from pose.benchmarks.data import placed_at
from pose.benchmarks.drawn import with_data
from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.model import EXPORTS, can_export, exported, finished
from pose.benchmarks.post import published_decoder
from pose.benchmarks.settings import Settings
from pose.build import Network, load_network
from pose.build_data import data_path, evaluator_of, load_val_boxes, write_results
from pose.build_evaluation import decoder_in, found_people
from pose.build_network import decoder_of
from pose.build_runtime import FIXED
from pose.config import plain, resolve
from pose.devices import native_bf16
from pose.engine.distributed import Ranks
from pose.engine.evaluation import BatchDecoder
from pose.geometry import Crop, box_center_extent
from pose.inference.runtimes import maps_runtime
from pose.metrics.coco_score import FIGURES
from pose.models.compiling import can_compile
from pose.published import find_weights
from pose.references import crops, scoring
from pose.references.decoding import pairs_of
from pose.references.network import look
from pose.structures import People

WEIGHTS = "hrnet_small"
BATCH = 32
ROUNDS = 3

Way = Callable[[], dict[str, float]]
"""An evaluation of the people: its figures by name."""


def measure(settings: Settings) -> list[Row]:
    """The validation people of `data.val_boxes`, with the flip test."""
    settings = with_data(settings)
    network = load_network(find_weights(WEIGHTS))
    own = {section: plain(network.cfg)[section] for section in FIXED}
    layer = {**plain(settings.cfg), **own}
    layer["data"] = {**layer["data"], "workers": 0}
    settings = Settings(resolve(layer, WEIGHTS), settings.device, settings.folder)
    people = load_val_boxes(settings.cfg)
    ways = {
        PUBLISHED: published_way(settings, network, people),
        **{name: our_way(settings, decode, people) for name, decode in decoders(settings, network)},
    }
    figures = {name: way() for name, way in ways.items()}
    width, height = network.codec.input_size
    per_image = len(people) / max(len(np.unique(people.image_ids)), 1)
    return side_by_side(
        f"evaluation of {len(people):,} boxes, {per_image:.1f} an image, with {WEIGHTS} "
        f"{height}x{width}",
        "person",
        finished(dict(ways), settings.device),
        count=len(people),
        rounds=ROUNDS,
        least_seconds=0,
        agreements={name: f"AP {found['AP']:.4f}" for name, found in figures.items()},
    )


def decoders(settings: Settings, network: Network) -> Iterator[tuple[str, BatchDecoder]]:
    """What `pose evaluate` runs: the weights by keys of `test`, and on a CPU OpenVINO's files."""
    bf16 = bool(native_bf16(settings.device))
    keys: dict[str, dict[str, str]] = {"fp32": {}}
    if bf16:
        keys["bf16"] = {"precision": "bf16"}
    if bf16 and can_compile(settings.device):
        keys["bf16, test.compile=compile"] = {"precision": "bf16", "compile": "compile"}
    parts = (network.codec, network.skeleton)
    for name, changed in keys.items():
        layer = plain(settings.cfg)
        cfg = resolve({**layer, "test": {**layer["test"], **changed}}, WEIGHTS)
        yield name, decoder_of(cfg, network.model, *parts, settings.device)
    if settings.device.type != "cpu":
        return
    for name in ("openvino fp32", "openvino bf16"):
        target, precision, packages = EXPORTS[name]
        if can_export(precision, packages, bf16=bf16):
            file = exported(settings, network.model, network.codec, target, precision)
            model = settings.cfg.model
            runtime = maps_runtime(file, *parts, mean=model.mean, std=model.std, flip=True)
            yield name, decoder_in(runtime)


def our_way(settings: Settings, decode: BatchDecoder, people: People) -> Way:
    """What `pose evaluate` does with what is found, the result file included."""
    cfg, ranks = settings.cfg, Ranks(settings.device)

    def run() -> dict[str, float]:
        found = found_people(cfg, decode, people, ranks)
        evaluator = evaluator_of(cfg, people)
        evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
        figures = evaluator.compute()
        write_results(cfg, evaluator, settings.folder)
        return figures

    return run


def published_way(settings: Settings, network: Network, people: People) -> Way:
    """The published loader, network, decoding and scoring, one after the other."""
    from pycocotools.coco import COCO

    cfg, codec = settings.cfg, network.codec
    size = codec.input_size
    cropped = [Crop.of_box(box, size, grid=codec.pixel_grid) for box in people.boxes]
    folder = data_path(cfg, "val_images")
    placed = [
        placed_at(people[i], crop, codec.pixel_grid, folder) for i, crop in enumerate(cropped)
    ]
    matrices = np.stack([crop.matrix for crop in cropped])
    pairs = pairs_of(people.skeleton.flip_index)
    areas = box_center_extent(people.boxes, size)[1].prod(axis=-1)
    model = network.model.to(settings.device).eval()
    decode = published_decoder(codec, cfg.codec.name, people.skeleton)
    path = settings.folder / "published.json"

    def run() -> dict[str, float]:
        found = []
        for start in range(0, len(placed), BATCH):
            part = slice(start, start + BATCH)
            inputs, *_ = default_collate([crops.sample(p, size, pairs) for p in placed[part]])
            inputs = inputs.to(settings.device)
            heat = look(model, inputs).cpu().numpy()
            mirrored = look(model, inputs.flip(3)).cpu().numpy()
            points, scores = decode(heat, mirrored, matrices[part])
            found.append(np.concatenate([points, scores[..., None]], axis=-1))
        with contextlib.redirect_stdout(io.StringIO()):
            labels: Any = COCO(str(data_path(cfg, "val_annotations")))
        stats = scoring.evaluate(
            labels,
            np.concatenate(found),
            people.scores,
            areas,
            people.image_ids,
            path,
            sigmas=np.array(people.skeleton.oks_sigmas()),
        )
        return dict(zip(FIGURES, stats, strict=True))

    return run
