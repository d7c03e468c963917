"""What a figure wears: colours of skin, hair and clothes, lengths of sleeves and legs, prints."""

from dataclasses import dataclass

import numpy as np

SKIN = np.array(
    [
        (250, 222, 200),
        (240, 200, 172),
        (225, 180, 145),
        (200, 150, 115),
        (165, 115, 80),
        (125, 82, 56),
        (88, 58, 42),
    ],
    float,
)
HAIR = np.array(
    [
        (28, 22, 20),
        (60, 40, 26),
        (96, 64, 38),
        (142, 100, 58),
        (206, 170, 108),
        (150, 70, 36),
        (168, 166, 164),
    ],
    float,
)


@dataclass(frozen=True, eq=False)
class Outfit:
    """Clothes of one person.

    colours: RGB by slot (skin, shirt, legs, shoe, ...), prints only where worn; sleeve and leg
    are lengths in 0..2 limb segments; skirt its length in thighs, 0 none; parts: the optional
    tubes worn; pattern: how the shirt is striped.
    """

    colours: dict[str, np.ndarray]
    sleeve: float
    leg: float
    sock: float
    skirt: float
    hips: float
    parts: frozenset[str]
    pattern: str

    def worn(self, parts: np.ndarray) -> np.ndarray:
        """(S,) bool: which strips of these parts are there at all."""
        optional = ("hair", "long_hair", "tail", "brim", "bat", "racket", "ball")
        absent = [part for part in optional if part not in self.parts]
        return ~np.isin(parts, absent)

    def strip_colours(self, parts: np.ndarray, along: np.ndarray, sides: int) -> np.ndarray:
        """RGB (S, sides, 3) of strips, given their part and their place along it in 0..1."""
        slot = np.full(len(parts), "skin", dtype="U10")
        slot[parts == "torso"] = "shirt"
        slot[(parts == "torso") & (along < self.hips)] = "legs"
        reach = along + np.isin(parts, ("forearm", "shank"))
        arm, leg = np.isin(parts, ("upper_arm", "forearm")), np.isin(parts, ("thigh", "shank"))
        slot[arm & (reach < self.sleeve)] = "shirt"
        slot[leg & (reach > 2 - self.sock)] = "sock"
        slot[leg & (reach < self.leg)] = "legs"
        for part in ("foot", "hair", "long_hair", "tail", "brim", "bat", "racket", "ball", "nose"):
            slot[parts == part] = part
        table = np.stack([self.colours[name] for name in slot])
        colours = np.repeat(table[:, None], sides, 1)
        shirt = slot == "shirt"
        if self.pattern == "hoops":
            banded = shirt & (np.arange(len(parts)) % 2 == 0)
            colours[banded] = self.colours["stripe"]
        elif self.pattern == "stripes":
            colours[np.ix_(shirt, np.arange(0, sides, 2))] = self.colours["stripe"]
        elif self.pattern == "seams":
            colours[np.ix_(shirt | (slot == "legs"), [0, sides // 2])] = self.colours["stripe"]
        elif self.pattern == "yoke":
            colours[shirt & ((parts == "torso") & (along > 0.62) | arm)] = self.colours["stripe"]
        return colours

    def skirt_colours(self, strips: int, sides: int) -> np.ndarray:
        """RGB (strips, sides, 3), every second fold darker."""
        folds = np.where(np.arange(sides) % 2 == 0, 1.0, 0.88)[None, :, None]
        return np.broadcast_to(self.colours["skirt"] * folds, (strips, sides, 3))


def fabric(rng: np.random.Generator) -> np.ndarray:
    """A cloth's RGB (3,): dull and dark ones are as common as bright ones."""
    kind = rng.random()
    if kind < 0.30:
        grey = rng.uniform(22, 238)
        return (grey + rng.uniform(-12, 12, 3)).clip(0, 255)
    hue = rng.random() * 6 + np.array([0.0, 4.0, 2.0])
    pure = (np.abs(hue % 6 - 3) - 1).clip(0, 1)
    saturation = rng.uniform(0.25, 0.65) if kind < 0.65 else rng.uniform(0.65, 1.0)
    return 255 * rng.uniform(0.3, 0.98) * (1 - saturation * (1 - pure))


def draw_outfit(rng: np.random.Generator, backdrop: np.ndarray) -> Outfit:
    """Clothes at random; now and then in a colour of the scene, `backdrop` (3,)."""
    skin = SKIN[rng.integers(len(SKIN))] * rng.uniform(0.92, 1.04) + rng.uniform(-7, 7, 3)
    hair = HAIR[rng.integers(len(HAIR))] * rng.uniform(0.8, 1.15)
    shirt, legs = fabric(rng), fabric(rng)
    if rng.random() < 0.06:
        shirt = backdrop + rng.uniform(-18, 18, 3)
    if rng.random() < 0.06:
        legs = backdrop + rng.uniform(-18, 18, 3)
    if rng.random() < 0.12:
        legs = shirt.copy()
    capped = rng.random() < 0.2
    colours = {
        "skin": skin,
        "nose": skin * 0.93,
        "shirt": shirt,
        "stripe": fabric(rng),
        "legs": legs,
        "skirt": shirt if rng.random() < 0.4 else legs,
        "sock": fabric(rng) if rng.random() < 0.5 else np.array([232.0, 230, 226]),
        "foot": fabric(rng),
        "hair": fabric(rng) if capped else hair,
        **dict.fromkeys(("long_hair", "tail", "brow"), hair),
        "brim": fabric(rng),
        "eye_white": np.array([240.0, 240, 236]),
        "iris": np.array([44.0, 34, 28]) + rng.uniform(0, 42, 3),
        "mouth": skin * (0.78, 0.5, 0.5),
        **{name: fabric(rng) for name in ("bat", "racket", "ball")},
    }
    if rng.random() < 0.35:
        colours["logo"] = fabric(rng)
    if rng.random() < 0.25:
        colours["number"] = fabric(rng)
    skirted = rng.random() < 0.16
    return Outfit(
        colours={name: np.clip(colour, 0, 255) for name, colour in colours.items()},
        sleeve=(0.15, 0.62, 0.75, 1.2, 1.85, 1.85)[rng.integers(6)],
        leg=(0.4, 0.65, 0.95, 1.4, 1.9, 1.9, 1.9)[rng.integers(7)] if not skirted else 0.3,
        sock=(0.0, 0.2, 0.45, 0.8)[rng.integers(4)],
        skirt=rng.uniform(0.55, 0.95) if skirted else 0.0,
        hips=0.0 if skirted and rng.random() < 0.5 else 0.3,
        parts=_draw_parts(rng, capped),
        pattern=("plain", "plain", "plain", "hoops", "stripes", "seams", "yoke")[rng.integers(7)],
    )


def _draw_parts(rng: np.random.Generator, capped: bool) -> frozenset[str]:
    """The optional tubes: hair or cap, something in the right hand."""
    parts = set()
    if capped or rng.random() < 0.93:
        parts.add("hair")
        style = rng.random()
        if style < 0.28:
            parts.add("long_hair")
        elif style < 0.42:
            parts.add("tail")
    if capped and rng.random() < 0.8:
        parts.add("brim")
    if rng.random() < 0.2:
        parts.add(("bat", "racket", "ball")[rng.integers(3)])
    return frozenset(parts)
