"""`pose train`: a training run in a folder of its own, with everything needed to go on."""

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_config_arguments,
    add_device_argument,
    add_out_argument,
    check_own,
    output_folder,
)
from pose.devices import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from easydict import EasyDict
    from torch.nn import Module

    from pose.codecs import Codec
    from pose.engine.distributed import Ranks
    from pose.engine.run import Figures
    from pose.skeleton import Skeleton

HELP = "train a network as a config says"

CONFIG = "config.yaml"
"""The resolved config, the first file of a run."""

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


def train_in(cfg: "EasyDict", folder: Path, ranks: "Ranks", *, resume: bool) -> "Figures | None":
    """The run of `cfg` in `folder`, from its start or from where it stopped; its last figures.

    Whatever can be wrong is looked at before `run_of`, which may take its time for a cache.
    """
    from pose.build import codec_for
    from pose.build_data import load_people
    from pose.build_training import figures_during_training, run_of
    from pose.engine.checkpoints import BEST_WEIGHTS, restore
    from pose.engine.sheets import training_sheet
    from pose.engine.trainer import train
    from pose.files import remove_leftovers
    from pose.images import write_image
    from pose.models.weights import save_weights
    from pose.published import described

    going_on = check_folder(cfg, folder, resume=resume)
    people = ranks.main_first(lambda: load_people(cfg, "train"))
    content = load_own(cfg, people.skeleton, folder) if going_on else None
    if content is not None and content["epoch"] >= cfg.train.epochs:
        logger.info("%s: the run is finished; nothing to do", folder)
        return content["history"][-1]["metrics"]
    codec = codec_for(cfg)
    evaluate = figures_during_training(cfg, people.skeleton, codec, ranks)
    make_sheet = sheet_maker(cfg, codec, ranks, folder)
    training = run_of(cfg, people, ranks, folder)
    ranks.barrier()  # the folder is as it was until all have looked at it
    sheets = output_folder(folder / "sheets", what="the run")
    if ranks.is_main:
        remove_leftovers(folder)
        remove_leftovers(sheets)
    if content is not None:
        restore(training, content)
        del content  # of the size of network and optimiser
        logger.info("going on after step %d, epoch %d", training.step, training.epoch)
    elif ranks.is_main:
        write_config(cfg, folder)
        sheet = training_sheet(training.loader.dataset, codec)  # type: ignore[arg-type]
        write_image(sheets / "training.jpg", sheet)
    logger.info("%d people, %d steps an epoch", len(people), len(training.order))
    return train(
        training,
        evaluate,
        cfg.train.evaluate_every,
        make_sheet,
        lambda model: save_weights(
            folder / BEST_WEIGHTS, model.state_dict(), described(cfg, people.skeleton)
        ),
    )


def check_folder(cfg: "EasyDict", folder: Path, *, resume: bool) -> bool:
    """Whether `folder` holds a run to go on with; ValueError where that was not asked for, and for
    a folder that holds anything else than this run's own beginning.

    A process that torchrun starts again (--max-restarts) goes on with what there is.
    """
    from pose.engine.checkpoints import LATEST, newest

    holds = newest(folder) is not None
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")):
        return holds
    if holds and not resume:
        raise ValueError(
            f"{folder}: already holds a run; add --resume to go on with it or name another "
            "folder with --out"
        )
    if not holds:
        check_own(folder, begun=resume or is_beginning(cfg, folder))
    if resume and not holds:
        raise ValueError(f"{folder}: holds no run to go on with (no {LATEST}); leave out --resume")
    return holds


def load_own(cfg: "EasyDict", skeleton: "Skeleton", folder: Path) -> dict[str, Any]:
    """The folder's newest checkpoint; ValueError where it is of another experiment."""
    from pose.engine.checkpoints import load_newest

    content = load_newest(folder)
    check_same_experiment(cfg, skeleton, content["config"], folder)
    return content


def check_same_experiment(
    cfg: "EasyDict", skeleton: "Skeleton", config: dict, folder: Path
) -> None:
    """ValueError that lists the keys in which the run's config differs from the one given."""
    from pose.config import plain, resolve
    from pose.published import described
    from pose.schema import OPERATIONAL

    layer = {key: value for key, value in config.items() if key != "skeleton"}
    # Resolved, for a run of before a key was there has it at its default.
    before = flatten({**plain(resolve(layer, f"{folder}: config")), "skeleton": config["skeleton"]})
    now = flatten(described(cfg, skeleton))
    changed = [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in OPERATIONAL
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
    from pose.files import replacing

    with replacing(folder / CONFIG) as temporary:
        temporary.write_bytes(config_text(cfg))


def config_text(cfg: "EasyDict") -> bytes:
    import yaml

    from pose.config import plain

    return yaml.safe_dump(plain(cfg), sort_keys=False).encode()


def is_beginning(cfg: "EasyDict", folder: Path) -> bool:
    """Whether a run of this very config began in `folder` and was ended before its first save."""
    path = folder / CONFIG
    return path.is_file() and path.read_bytes() == config_text(cfg)


def sheet_maker(
    cfg: "EasyDict", codec: "Codec", ranks: "Ranks", folder: Path
) -> "Callable[[int, Module], None]":
    """(epoch, model) -> a sheet of predictions each few epochs, from the first process."""
    from pose.build_data import data_path, load_people
    from pose.data.dataset import PoseDataset
    from pose.engine.sheets import prediction_sheet
    from pose.images import ImageFolder, write_image

    every = cfg.train.sheet_every
    if not (every and cfg.data.val_annotations and ranks.is_main):
        return lambda epoch, model: None
    size = tuple(cfg.model.input_size)
    images = ImageFolder(data_path(cfg, "val_images"))
    dataset = PoseDataset(load_people(cfg, "val"), images, size)

    def make(epoch: int, model: "Module") -> None:
        if epoch % every == 0 or epoch == cfg.train.epochs:
            picture = prediction_sheet(model, codec, dataset, ranks.device)
            write_image(folder / "sheets" / f"epoch_{epoch:03d}.jpg", picture)

    return make


def report(figures: dict[str, float] | None, folder: Path) -> None:
    from pose.commands.tables import figures_table
    from pose.engine.checkpoints import BEST_WEIGHTS

    if figures:
        print(figures_table({"last epoch": figures}))
    print(f"weights: {folder / BEST_WEIGHTS}")
    print(f"curves, sheets, metrics.jsonl: {folder}")
