"""Published weights and files of others become files of ours: tensors, config and skeleton.

A name of the table in `pose.models.zoo` stands wherever a weights file does. Its converted file
lies in the cache; the file as published is kept only until it is converted.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from pose.config import plain, resolve
from pose.download import download
from pose.files import cache_folder, sha256_of
from pose.models.layouts import Report, bare_names, turned_to_rgb
from pose.models.pose_model import IMAGENET_MEAN, IMAGENET_STD, build_model
from pose.models.weights import HEAD, fitting_tensors, read_tensors, save_weights
from pose.models.zoo import SHORT_NAMES, WEIGHTS, Weights, hint
from pose.skeleton import COCO_17, MPII_16, Skeleton, skeleton_to_category

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO_17, MPII_16)}


def described(cfg: Mapping[str, Any], skeleton: Skeleton) -> dict[str, Any]:
    """The resolved config with the skeleton beside it, as every weights file carries it."""
    return {**plain(cfg), "skeleton": skeleton_to_category(skeleton)}


def shipped(name: str) -> Path:
    """Where the network called so would lie that comes with the package."""
    return Path(str(resources.files("pose"))) / "weights" / f"{name}.safetensors"


def cached(row: Weights) -> Path:
    return cache_folder("weights") / f"{row.name}.safetensors"


def find_weights(text: str | Path) -> Path:
    """The file `text`, that of the network of this name which ships with the package, or that of
    the published weights called so, which are fetched if need be.

    FileNotFoundError where it is none of them; ValueError or OSError where it cannot be fetched.
    """
    if Path(text).is_file():
        return Path(text)
    if Path(text).name == str(text) and shipped(str(text)).is_file():
        return shipped(str(text))
    row = WEIGHTS.get(SHORT_NAMES.get(str(text), str(text)))
    if row is None:
        is_word = Path(text).name == str(text) and not Path(text).suffix
        or_name = f" or name{hint(str(text))}" if is_word else ""
        raise FileNotFoundError(f"{text}: no such weights file{or_name}")
    if not cached(row).is_file():
        fetch(row)
    return cached(row)


def by_hand(row: Weights) -> str:
    """The command that brings a file downloaded by hand into the cache."""
    return f'pose weights convert FILE --like {row.name} --out "{cached(row)}"'


def fetch(row: Weights) -> Report:
    """Downloads a published file into the cache and converts it."""
    if row.address is None:
        raise ValueError(
            f"{row.name}: its publisher has only a page to download from by hand, {row.page}; "
            f"then run: {by_hand(row)}"
        )
    path = cached(row)
    raw = path.with_name(f"{row.name}.published{Path(row.address).suffix}")
    download(
        row.address,
        raw,
        row.sha256,
        title=f"{row.name} (licence {row.licence})",
        remedy=f"unset it, or download {row.address} elsewhere and run: {by_hand(row)}",
    )
    try:
        return convert(raw, row, path)
    finally:
        raw.unlink()


def convert(source: Path, row: Weights, out: Path) -> Report:
    """Writes the tensors of a file in any of the layouts as `out`, a .safetensors file of ours.

    `row` says which network they are of. Every tensor must fit it, and nothing else be there but
    what is known to be left over; else ValueError, and nothing is written.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: expected a name that ends in .safetensors")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out}: is the file to convert; name another with --out")
    expected = expected_tensors(row)
    tensors = read_tensors(source, allow_arrays=True)
    state, report = bare_names(tensors, expected, str(source))
    state = fitting_tensors(expected, state, str(source))
    # Tensors of a torch file may share memory, those of a .safetensors file may not.
    state = {name: tensor.clone() for name, tensor in state.items()}
    if row.bgr:
        state = turned_to_rgb(state)
    origin = {"like": row.name, "source_sha256": sha256_of(source)}
    terms = {"licence": row.licence, "data": row.data, "paper": row.paper}
    save_weights(out, state, config_of(row), {**origin, **terms})
    return report


def expected_tensors(row: Weights) -> dict[str, torch.Tensor]:
    """Names and shapes (on the meta device) of the network of a row, or of its trunk."""
    num_keypoints = SKELETONS[row.skeleton].num_keypoints if row.skeleton else 1
    with torch.device("meta"):
        state = build_model(row.model, num_keypoints).state_dict()
    return {n: t for n, t in state.items() if row.skeleton or not n.startswith(HEAD)}


def config_of(row: Weights) -> dict[str, Any]:
    """What a converted file says of itself: the config and the skeleton, or that it is a trunk."""
    if row.skeleton is None:
        return {"trunk_of": row.model, "data": row.data}
    codec = {"name": row.codec, "sigma": row.sigma}
    model: dict[str, Any] = {"name": row.model, "input_size": list(row.input_size)}
    if row.bgr:
        model |= {"mean": list(IMAGENET_MEAN[::-1]), "std": list(IMAGENET_STD[::-1])}
    cfg = resolve({"recipe": row.recipe, "model": model, "codec": codec}, row.name)
    return described(cfg, SKELETONS[row.skeleton])
