"""The whole of an evaluation: photographs and detected boxes -> figures, start-up aside.

With the small network that ships, beside which all the rest weighs most, in this process alone.
"""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from pose.benchmarks.data import placed_at
from pose.benchmarks.drawn import with_data
from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.model import finished
from pose.benchmarks.post import published_decoder
from pose.benchmarks.settings import Settings
from pose.build import Network, found_people, load_network
from pose.build_data import data_path, evaluator_of, load_val_boxes, write_results
from pose.config import plain, resolve
from pose.engine.distributed import Ranks
from pose.geometry import Crop, box_center_extent
from pose.metrics.coco_score import FIGURES
from pose.published import find_weights
from pose.references import crops, scoring
from pose.references.decoding import pairs_of
from pose.references.network import look
from pose.structures import People

WEIGHTS = "hrnet_small"
BATCH = 32
ROUNDS = 3


def measure(settings: Settings) -> list[Row]:
    """The validation people of `data.val_boxes`, with the flip test."""
    settings = with_data(settings)
    network = load_network(find_weights(WEIGHTS))
    own = {section: plain(network.cfg)[section] for section in ("model", "codec")}
    layer = {**plain(settings.cfg), **own}
    layer["data"] = {**layer["data"], "workers": 0}
    settings = Settings(resolve(layer, WEIGHTS), settings.device, settings.folder)
    people = load_val_boxes(settings.cfg)
    ways: dict[str, Callable[[], dict[str, float]]] = {
        PUBLISHED: published_way(settings, network, people),
        "fp32": partial(our_way, settings, network, people, "fp32"),
        "bf16": partial(our_way, settings, network, people, "bf16"),
    }
    figures = {name: way() for name, way in ways.items()}
    width, height = network.codec.input_size
    return side_by_side(
        f"evaluation of {len(people):,} boxes with {WEIGHTS} {height}x{width}",
        "person",
        finished(dict(ways), settings.device),
        count=len(people),
        rounds=ROUNDS,
        least_seconds=0,
        agreements={name: f"AP {found['AP']:.4f}" for name, found in figures.items()},
    )


def our_way(
    settings: Settings, network: Network, people: People, precision: str
) -> dict[str, float]:
    """What `pose evaluate` runs, the result file included."""
    layer = plain(settings.cfg)
    cfg = resolve({**layer, "test": {**layer["test"], "precision": precision}}, WEIGHTS)
    found = found_people(cfg, network, people, Ranks(settings.device))
    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
    figures = evaluator.compute()
    write_results(cfg, evaluator, settings.folder)
    return figures


def published_way(
    settings: Settings, network: Network, people: People
) -> Callable[[], dict[str, float]]:
    """The published loader, network, decoding and scoring, one after the other."""
    from pycocotools.coco import COCO

    cfg, codec = settings.cfg, network.codec
    size = codec.input_size
    grids = [Crop.of_box(box, size, grid=codec.pixel_grid) for box in people.boxes]
    folder = data_path(cfg, "val_images")
    placed = [placed_at(people[i], grid, folder) for i, grid in enumerate(grids)]
    matrices = np.stack([grid.matrix for grid in grids])
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
