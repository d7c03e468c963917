"""Images that Pillow reads: those with transparency, and the frames of animations.

Transparent parts show white, as on a white page: below them a file may hold anything.
"""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pose.image_headers import check_size, header_of
from pose.once import say_once

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

_FORMATS = ("PNG", "WEBP", "GIF", "TIFF")
_SHORTEST, _USUAL = 0.02, 0.1
"""Seconds: frames that ask for less than the one are shown for the other, as browsers do."""


def decode_flat(data: bytes, name: str, *, apply_exif: bool) -> np.ndarray:
    """The first frame of encoded `data` as (H, W, 3) uint8 RGB, on white; ValueError if damaged."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _flat(ImageOps.exif_transpose(image) if apply_exif else image)
    except Exception:  # Pillow's readers fail in too many ways to name them
        raise ValueError(
            f"{name}: damaged image, it cannot be decoded; fetch the file again"
        ) from None


def animation_frames(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of animation `path`, (H, W, 3) uint8 RGB on white, and the seconds each is shown.

    Of a cut or damaged file come the frames in front of the damage, with a warning; ValueError
    where there are none.
    """
    from PIL import Image

    check_size(header_of(path).size, str(path))
    num_frames = 0
    try:
        with Image.open(path, formats=_FORMATS) as image:
            # A PNG may hold one more picture, for programs that know no animations.
            first = int(getattr(image, "default_image", False))
            for i in range(first, getattr(image, "n_frames", 1)):
                image.seek(i)
                flat = _flat(image)  # which also brings the frame's duration
                seconds = float(image.info.get("duration", 0)) / 1000
                yield flat, seconds if seconds >= _SHORTEST else _USUAL
                num_frames += 1
    except Exception:
        if num_frames == 0:
            raise ValueError(f"{path}: holds no frame that can be decoded") from None
        told = f"{path}: damaged behind frame {num_frames}, it ends there"
        say_once(logger, logging.WARNING, told)


def _flat(image: "Image") -> np.ndarray:
    """(H, W, 3) uint8 RGB, what is transparent over white."""
    from PIL import Image

    if image.has_transparency_data:
        image.load()
        colored = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return np.array(image.convert("RGB"))
