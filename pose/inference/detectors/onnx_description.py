"""What must be known of an ONNX person detector to feed it and to read its outputs.

A few lines of YAML (or JSON) beside the model, or one of `DESCRIPTIONS` by its name.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose.geometry import Size
from pose.layers import merge, read_yaml, setting

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Description:
    """An image becomes the input, rows of columns become boxes and scores.

    The named outputs, (B, ..., columns) each, are laid end to end as rows (B, N, columns). Columns
    count from 0. Several outputs, and the rows of one, are in the order of `strides`, each a map
    from its upper left cell on, row by row.
    """

    input_size: tuple[int, ...] = setting(
        (), "Width and height of the input in pixels; empty: as the file says.", low=1
    )
    fit: str = setting(
        "top_left",
        "How an image comes to that size: top_left and center keep its aspect and pad the rest, "
        "stretch does not.",
        choices=("top_left", "center", "stretch"),
    )
    padding: int = setting(114, "Grey value of the padding.", low=0, high=255)
    colors: str = setting("rgb", "Order of the input's channels.", choices=("rgb", "bgr"))
    mean: tuple[float, ...] = setting(
        (0.0, 0.0, 0.0), "Subtracted from the pixels, 0 to 255, in the order of `colors`."
    )
    std: tuple[float, ...] = setting(
        (1.0, 1.0, 1.0), "Then they are divided by it; 255 brings them to 0 to 1.", low=1e-6
    )
    boxes: str = setting(
        "xyxy",
        "Meaning of the four columns of a box: xyxy; cxcywh; ltrb, distances from a cell's point "
        "to the sides; yolox, the centre from that point and the logarithm of the extent.",
        choices=("xyxy", "cxcywh", "ltrb", "yolox"),
    )
    unit: str = setting(
        "pixels",
        "What the columns of a box count: pixels of the input, fractions of its size, or cells.",
        choices=("pixels", "fractions", "cells"),
    )
    strides: tuple[int, ...] = setting(
        (), "Pixels from cell to cell of each map; for ltrb and yolox.", low=1
    )
    point: float = setting(0.0, "Where in its cell a point lies: 0 corner, 0.5 middle.")
    box_outputs: tuple[str, ...] = setting((), "Outputs that hold boxes; empty: all.")
    box_column: int = setting(0, "First of the four columns of a box.", low=0)
    score_outputs: tuple[str, ...] = setting((), "Outputs that hold scores; empty: box_outputs.")
    score_column: int = setting(4, "Column of the score of people.", low=0)
    objectness_column: int | None = setting(
        None, "Column of a score that the other is multiplied by; empty: none.", low=0
    )
    activation: str = setting(
        "none", "What scores must still go through.", choices=("none", "sigmoid")
    )
    columns_last: bool = setting(True, "Columns are the outputs' last axis, else their second.")
    label_output: str = setting("", "Output that holds the label of each row; empty: none.")
    person: int = setting(0, "The label of people, where there are labels.")
    nms: float | None = setting(
        None, "Boxes that overlap a better one by more (IoU) are dropped; empty: none.", low=0
    )


DESCRIPTIONS = {
    "rtmdet": Description(
        colors="bgr",
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
        boxes="ltrb",
        strides=(8, 16, 32),
        box_column=1,
        score_column=0,
        activation="sigmoid",
        nms=0.65,
    ),
    "yolox": Description(
        colors="bgr",
        boxes="yolox",
        unit="cells",
        strides=(8, 16, 32),
        score_column=5,
        objectness_column=4,
        nms=0.65,
    ),
}
"""Of raw exports: RTMDet for people alone (Lyu et al., arXiv:2212.07784), a map (h, w, 5) of score
and distances for each stride; YOLOX (Ge et al., arXiv:2107.08430) as its own tool exports it."""


def recognize(shapes: Sequence[Sequence[Any]], size: Size) -> str | None:
    """The name in `DESCRIPTIONS` of a file by its outputs' shapes, which must be like no others."""
    width, height = size
    maps = [[height // stride, width // stride] for stride in (8, 16, 32)]
    inner = [list(shape[1:]) for shape in shapes]
    if inner == [[*cells, 5] for cells in maps]:
        return "rtmdet"
    rows = sum(columns * lines for lines, columns in maps)
    if len(inner) == 1 and len(inner[0]) == 2 and inner[0] in ([rows, 85], [rows, 6]):
        return "yolox"
    return None


def description_beside(model: Path) -> Path | None:
    """model.yaml, model.yml or model.json beside model.onnx; None where there is none."""
    found = (model.with_suffix(suffix) for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def read_description(path: Path) -> Description:
    """The description in a file; ConfigError of one line that names file and key."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    return describe({} if content is None else content, str(path))


def describe(content: Mapping[str, Any], source: str) -> Description:
    """A checked description; what is not given keeps its default."""
    values = dataclasses.asdict(Description())
    merge(values, content, Description, source, "")
    for key, count in {"input_size": (0, 2), "mean": (3,), "std": (3,)}.items():
        if len(values[key]) not in count:
            got = list(values[key])
            raise ValueError(f"{source}: {key} is {got}; expected {count[-1]} values")
    dense = values["boxes"] in ("ltrb", "yolox")
    if dense != bool(values["strides"]):
        verb = "needs" if dense else "takes no"
        raise ValueError(f"{source}: boxes: {values['boxes']} {verb} strides")
    units = {"ltrb": ("pixels", "cells"), "yolox": ("cells",)}
    allowed = units.get(values["boxes"], ("pixels", "fractions"))
    if values["unit"] not in allowed:
        raise ValueError(
            f"{source}: unit is '{values['unit']}'; boxes: {values['boxes']} takes "
            f"{' or '.join(allowed)}"
        )
    return Description(**values)
