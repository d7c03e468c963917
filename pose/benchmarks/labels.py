"""What `pose suggest` saves: AP by people labelled, of images that it chose and of random ones.

A pool of drawn images, of which some are labelled at random, and a network that was trained on
these: the start. Then, round after round, more is chosen by the newest network, and the network of
the start is trained on with all that is labelled, always for as many steps. Both ways label as
many people: labelling costs by the person. All of it with several seeds, each of which has its own
start, and the same start for both ways.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from easydict import EasyDict

from pose.benchmarks.settings import Settings
from pose.build_data import data_path, load_people
from pose.build_training import figures_during_training, run_of
from pose.codecs import Codec
from pose.config import load_config
from pose.data.coco import image_names
from pose.data.synthetic import write_synthetic
from pose.engine.distributed import Ranks
from pose.engine.trainer import train_epoch
from pose.images import ImageFolder
from pose.inference.boxes import BoxSource, read_boxes
from pose.inference.doubt import look_twice
from pose.inference.predict import people_at_once, torch_runtime
from pose.inference.predictor import Predictor
from pose.models.weights import save_weights
from pose.published import described
from pose.reports.novelty import colours_of
from pose.reports.suggestions import Labels, Seen, suggest
from pose.structures import People, rows_of

CONFIG = "synthetic/quickstart"
WAYS = ("random", "suggest")

Chooser = Callable[[np.ndarray], list[str]]
"""Places of the labelled people -> names of further images, the best first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How large the study is."""

    pool: int = 4000
    """Images to choose from."""
    held_out: int = 300
    people: tuple[int, ...] = (1000, 2000, 3000, 4000)
    """Labelled at the start and after each round."""
    seeds: tuple[int, ...] = (0, 1, 2)
    start_steps: int = 1200
    """Of the training at the start, from nothing."""
    steps: int = 600
    """Of each training that goes on from there."""
    input_size: tuple[int, int] = (64, 96)


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of the study and the labels of all of them."""

    cfg: EasyDict
    people: People
    names: tuple[str, ...]
    """Of all images, those without people among them."""
    boxes: BoxSource
    """A detector's."""
    images: ImageFolder


def study(
    settings: Settings,
    plan: Plan | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda content: None,
) -> dict[str, Any]:
    """Every training's AP, the means, and how many labels each way needs; `keep` is called after
    each training with what there is."""
    plan = plan or Plan()
    pool = pool_of(settings, plan)
    runs: list[dict[str, Any]] = []
    for seed in plan.seeds:
        shuffled = np.random.default_rng(seed).permutation(pool.names).tolist()
        start = until(pool, np.zeros(0, np.int64), shuffled, plan.people[0])
        weights = settings.folder / f"start-{seed}.safetensors"
        first = train_on(pool, start, seed, settings, steps=plan.start_steps, keep=weights)
        for way in WAYS:
            labelled, (chooser, ap) = start, first
            for number, target in enumerate(plan.people):
                if number:
                    order = shuffled if way == "random" else chooser(labelled)
                    labelled = until(pool, labelled, order, target)
                    chooser, ap = train_on(
                        pool, labelled, seed, settings, steps=plan.steps, init=weights
                    )
                images = len(np.unique(pool.people.image_index[labelled]))
                figures = {"people": len(labelled), "images": images, "AP": ap}
                runs.append({"seed": seed, "way": way, "round": number, **figures})
                logger.info("labels: %s", runs[-1])
                keep({"plan": dataclasses.asdict(plan), "runs": runs, **summary_of(runs)})
    return {"plan": dataclasses.asdict(plan), "runs": runs, **summary_of(runs)}


def pool_of(settings: Settings, plan: Plan) -> Pool:
    """The drawn set on disk, and what is known of it."""
    folder = settings.folder / "set"
    write_synthetic(folder, {"train": plan.pool, "val": plan.held_out}, seed=7, progress=True)
    keys = [
        f"data.root={folder}",
        "data.workers=0",
        f"model.input_size={list(plan.input_size)}",
        "train.ema_decay=0.99",
        "train.warmup_steps=30",
        "train.epochs=1",
    ]
    cfg = load_config(CONFIG, keys)
    boxes = read_boxes(folder / "person_detection_results/detections_train.json")
    named = image_names(data_path(cfg, "train_annotations"))
    numbered = {named[number]: found for number, found in boxes.by_number.items()}
    images = ImageFolder(data_path(cfg, "train_images"))
    boxes = BoxSource(by_name=numbered)
    return Pool(cfg, load_people(cfg, "train"), tuple(named.values()), boxes, images)


def until(pool: Pool, labelled: np.ndarray, order: Sequence[str], target: int) -> np.ndarray:
    """The places of the people who are labelled, and of those of the first images of `order`,
    until there are `target` of them or a few more."""
    place = {str(name): i for i, name in enumerate(pool.people.images)}
    have = set(pool.people.image_index[labelled].tolist())
    found, number = [labelled], len(labelled)
    for name in order:
        image = place.get(name, -1)  # -1: nobody in it, which costs no label
        if number >= target:
            break
        if image not in have:
            found.append(np.flatnonzero(pool.people.image_index == image))
            number += len(found[-1])
            have.add(image)
    return np.concatenate(found)


def train_on(
    pool: Pool,
    labelled: np.ndarray,
    seed: int,
    settings: Settings,
    *,
    steps: int,
    init: Path | None = None,
    keep: Path | None = None,
) -> tuple[Chooser, float]:
    """What chooses by a network that was trained on these people, and its AP; the network begins
    with the weights in `init` and is kept in `keep`."""
    cfg = EasyDict({**pool.cfg, "seed": seed, "init": str(init or "")})
    ranks = Ranks(settings.device)
    samples = np.resize(labelled, steps * cfg.train.batch_size)
    run = run_of(cfg, rows_of(pool.people, samples), ranks, settings.folder / "run")
    train_epoch(run, run.model)
    if keep is not None:
        save_weights(keep, run.evaluated.state_dict(), described(cfg, pool.people.skeleton))
    figures = figures_during_training(cfg, pool.people.skeleton, run.codec, ranks)
    assert figures is not None  # the drawn set has labels
    [(_, ap), *_] = figures(run.evaluated).items()
    return lambda places: chosen_by(pool, run.evaluated, run.codec, places, settings), ap


def chosen_by(
    pool: Pool, model: torch.nn.Module, codec: Codec, labelled: np.ndarray, settings: Settings
) -> list[str]:
    """All images of the pool that `pose suggest` would choose with this network, in its order."""
    skeleton, device = pool.people.skeleton, settings.device
    runtime = torch_runtime(model, codec, skeleton, device, flip=False)
    predictor = Predictor(runtime, batch_size=people_at_once(64, device))
    people = rows_of(pool.people, labelled)
    taken = {str(pool.people.images[i]) for i in people.image_index}
    sigmas = skeleton.oks_sigmas()
    colours = {name: colours_of(pool.images.read(name)) for name in taken}
    seen: list[Seen] = []
    others = ((i, name) for i, name in enumerate(pool.names) if name not in taken)
    while chunk := list(islice(others, predictor.images_at_once)):
        images = [pool.images.read(name) for _, name in chunk]
        boxes = [pool.boxes.of_image(PurePath(name)) for _, name in chunk]
        found = zip(chunk, images, look_twice(predictor, images, boxes, sigmas), strict=True)
        seen += [Seen.of(*called, image, looks) for called, image, looks in found]
    ranked = suggest(seen, skeleton, len(seen), Labels(people, frozenset(taken)), colours)
    without = sum(not len(one.image.poses) for one in seen)
    logger.info("labels: of %d images %d show nobody to the network", len(seen), without)
    return [one.image.name for one in ranked.chosen()]


def summary_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each way and round the mean AP over seeds with its standard deviation, and how many people
    each way labels for the AP that the other ends with or less."""
    means: dict[str, list[dict[str, float]]] = {}
    for way in WAYS:
        rounds = sorted({run["round"] for run in runs if run["way"] == way})
        means[way] = []
        for number in rounds:
            own = [r for r in runs if r["way"] == way and r["round"] == number]
            ap = [r["AP"] for r in own]
            means[way].append(
                {
                    "people": float(np.mean([r["people"] for r in own])),
                    "AP": float(np.mean(ap)),
                    "deviation": float(np.std(ap, ddof=1)) if len(ap) > 1 else float("nan"),
                    "seeds": len(ap),
                }
            )
    if not all(means.values()):
        return {"means": means, "needed": []}
    top = min(rows[-1]["AP"] for rows in means.values())
    low = max(rows[0]["AP"] for rows in means.values())
    targets = np.linspace(low, top, 5)[1:] if top > low else np.zeros(0)
    needed = [
        {"AP": float(ap), **{way: needed_for(ap, rows) for way, rows in means.items()}}
        for ap in targets
    ]
    return {"means": means, "needed": needed}


def needed_for(ap: float, rows: Sequence[Mapping[str, float]]) -> float:
    """People labelled where the line through the means first reaches `ap`; nan where it never
    does."""
    for before, after in pairwise(rows):
        if before["AP"] <= ap <= after["AP"]:
            share = (ap - before["AP"]) / max(after["AP"] - before["AP"], 1e-12)
            return before["people"] + share * (after["people"] - before["people"])
    return float("nan")


def markdown(content: Mapping[str, Any]) -> str:
    """The means and the labels needed, as tables."""
    lines = ["| people labelled | way | AP | deviation over seeds |", "|---|---|---|---|"]
    for way, rows in content["means"].items():
        lines += [
            f"| {row['people']:.0f} | {way} | {row['AP']:.4f} | {row['deviation']:.4f} |"
            for row in rows
        ]
    lines += ["", f"| AP | {' | '.join(f'people, {way}' for way in WAYS)} |", "|---|---|---|"]
    for row in content["needed"]:
        lines.append(f"| {row['AP']:.4f} | {' | '.join(f'{row[way]:.0f}' for way in WAYS)} |")
    return "\n".join(lines) + "\n"


def draw(content: Mapping[str, Any], path: Path) -> None:
    """AP over people labelled, each way's mean with its deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    field = figure.subplots()
    for way, rows in content["means"].items():
        x, y, e = (np.array([row[k] for row in rows]) for k in ("people", "AP", "deviation"))
        field.errorbar(x, y, np.nan_to_num(e), marker="o", capsize=3, label=way)
    field.set_xlabel("people labelled")
    field.set_ylabel("AP on held-out images")
    field.grid(alpha=0.3)
    field.legend()
    figure.savefig(path, dpi=100)
