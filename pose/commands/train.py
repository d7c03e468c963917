"""`pose train`: a training run in a folder of its own, with everything needed to go on."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import (
    add_config_arguments,
    add_device_argument,
    add_out_argument,
    output_folder,
)
from pose.devices import choose_device

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.engine.trainer import Run

HELP = "train a network as a config says"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config_arguments(parser)
    add_out_argument(parser, help="folder of the run (default: runs/ and the config's name)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run that the folder holds"
    )
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate on the way, say where everything lies."""
    from pose.config import load_config
    from pose.engine.distributed import join_ranks

    cfg = load_config(args.config, args.overrides)
    folder = args.out or Path("runs") / Path(args.config).stem
    with join_ranks(choose_device(args.device)) as ranks:
        figures = train_in(cfg, folder, ranks, resume=args.resume)
        if ranks.is_main:
            report(figures, folder)
    return 0


def train_in(cfg: "EasyDict", folder: Path, ranks, *, resume: bool) -> dict[str, float] | None:
    """The run of `cfg` in `folder`, from its start or from where it stopped; its last figures."""
    from pose.build import described, figures_during_training, run_of, training_dataset
    from pose.build_data import load_people
    from pose.engine.checkpoints import BEST_WEIGHTS
    from pose.engine.sheets import training_sheet
    from pose.engine.trainer import restore, train
    from pose.images import write_image
    from pose.models.weights import save_weights

    going_on = check_folder(folder, resume=resume)
    people = load_people(cfg, "train")
    training = run_of(cfg, people, ranks, folder)
    evaluate = figures_during_training(cfg, people.skeleton, training.codec, ranks)
    ranks.barrier()
    output_folder(folder / "sheets", what="the run")
    if going_on:
        check_same_experiment(training, folder)
        restore(training)
        if training.epoch >= training.epochs:
            logger.info("%s: the run is finished; nothing to do", folder)
            return training.history[-1]["metrics"]
        logger.info("going on after step %d, epoch %d", training.step, training.epoch)
    elif ranks.is_main:
        write_config(cfg, folder)
        sheet = training_sheet(training_dataset(cfg, people, training.codec), training.codec)
        write_image(folder / "sheets" / "training.jpg", sheet)
    logger.info("%d people, %d steps an epoch", len(people), len(training.order))
    return train(
        training,
        evaluate,
        cfg.train.evaluate_every,
        sheet_maker(cfg, training),
        lambda model: save_weights(
            folder / BEST_WEIGHTS, model.state_dict(), described(cfg, people.skeleton)
        ),
    )


def check_folder(folder: Path, *, resume: bool) -> bool:
    """Whether `folder` holds a run to go on with; ValueError where that was not asked for."""
    from pose.engine.checkpoints import LATEST

    holds = (folder / LATEST).is_file()
    if holds and not resume:
        raise ValueError(
            f"{folder}: already holds a run; add --resume to go on with it or name another "
            "folder with --out"
        )
    if resume and not holds:
        raise ValueError(f"{folder}: holds no run to go on with (no {LATEST}); leave out --resume")
    return holds


def check_same_experiment(training: "Run", folder: Path) -> None:
    """ValueError that lists the keys in which the run's config differs from the one given."""
    from pose.engine.checkpoints import LATEST, load_checkpoint

    before = flatten(load_checkpoint(folder / LATEST)["config"])
    now = flatten(training.identity["config"])
    free = ("data.root", "data.workers", "test.batch_size")
    changed = [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in free
    ]
    if changed:
        raise ValueError(f"{folder}: holds a run of another config: {'; '.join(changed)}")


def flatten(section: dict, prefix: str = "") -> dict[str, object]:
    """Nested sections as section.key."""
    flat: dict[str, object] = {}
    for key, value in section.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def write_config(cfg: "EasyDict", folder: Path) -> None:
    import yaml

    from pose.config import plain
    from pose.files import replacing

    text = yaml.safe_dump(plain(cfg), sort_keys=False)
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(text, encoding="utf-8")


def sheet_maker(cfg: "EasyDict", training: "Run"):
    """(epoch, model) -> a sheet of predictions each few epochs, from the first process."""
    from pose.build_data import data_path, load_people
    from pose.data.dataset import PoseDataset
    from pose.engine.sheets import prediction_sheet
    from pose.images import ImageFolder, write_image

    every = cfg.train.sheet_every
    if not (every and cfg.data.val_annotations and training.ranks.is_main):
        return lambda epoch, model: None
    size = tuple(cfg.model.input_size)
    images = ImageFolder(data_path(cfg, "val_images"))
    dataset = PoseDataset(load_people(cfg, "val"), images, size)

    def make(epoch: int, model) -> None:
        if epoch % every == 0 or epoch == cfg.train.epochs:
            picture = prediction_sheet(model, training.codec, dataset, training.ranks.device)
            write_image(training.folder / "sheets" / f"epoch_{epoch:03d}.jpg", picture)

    return make


def report(figures: dict[str, float] | None, folder: Path) -> None:
    from pose.commands.tables import figures_table
    from pose.engine.checkpoints import BEST_WEIGHTS

    if figures:
        print(figures_table({"last epoch": figures}))
    print(f"weights: {folder / BEST_WEIGHTS}")
    print(f"curves, sheets, metrics.jsonl: {folder}")
