"""One picture: who stands where, what hides whom, and what an annotator would write down.

Keypoints are in image pixels (pixel centres at integers) with COCO's visibility: 2 seen; 1 inside
the image but hidden by the own body, another person or a thing, while a keypoint at the other end
of a limb is seen, so that an annotator can tell where it must be; 0 (and x = y = 0) otherwise.
Area and box are those of the visible silhouette, as COCO's come from the visible region. Nobody
who shows less than `MIN_SEEN` of the silhouette stays in the picture: it would be a person whom no
annotator marks.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pose.data.synthetic.backdrop import noise, paint_backdrop, paint_occluder
from pose.data.synthetic.figure import draw_figure
from pose.data.synthetic.outfit import draw_outfit
from pose.data.synthetic.paint import (
    Actor,
    Camera,
    build_shell,
    facing,
    hidden_by_body,
    paint_shell,
)
from pose.skeleton import COCO_17

MIN_SEEN = 0.35
"""Least visible share of a silhouette inside the image."""
MIN_AREA = 120
"""Least visible area, pixels of a 320x240 image."""

_JOINED = np.zeros((17, 17), bool)
"""Which keypoints share a limb."""
_JOINED[COCO_17.limb_index[:, 0], COCO_17.limb_index[:, 1]] = True
_JOINED |= _JOINED.T


@dataclass(frozen=True, eq=False)
class DrawnPerson:
    """keypoints (17, 3): x, y, visibility; box (4,) xyxy of the visible silhouette; area its
    pixels; seen: its share of the silhouette inside the image; mask (H, W) bool; motion's name."""

    keypoints: np.ndarray
    box: np.ndarray
    area: int
    seen: float
    mask: np.ndarray
    motion: str


@dataclass(frozen=True, eq=False)
class Scene:
    """image (H, W, 3) RGB uint8 and its people, from the farthest to the nearest."""

    image: np.ndarray
    people: tuple[DrawnPerson, ...]


def draw_scene(seed: int, index: int, size: tuple[int, int] = (320, 240)) -> Scene:
    """The scene `index` of `seed`: the same on every call, whatever was drawn before."""
    rng = np.random.default_rng([seed, index])
    camera = draw_camera(rng, size)
    horizon = (size[1] - 1) / 2 - camera.focal * np.tan(camera.pitch)
    backdrop = paint_backdrop(rng, size, horizon)
    actors = draw_actors(rng, camera, horizon, backdrop)
    count = int(rng.choice(4, p=(0.6, 0.3, 0.08, 0.02)))
    least = MIN_AREA * size[0] * size[1] / (320 * 240)
    while True:
        # a generator of their own keeps the occluders in place when somebody leaves the picture
        front = np.random.default_rng([seed, index, 1])
        canvas, people = compose(front, camera, backdrop, actors, count)
        kept = [
            actor
            for actor, person in zip(actors, people, strict=True)
            if person.seen >= MIN_SEEN and person.area >= least
        ]
        if len(kept) == len(actors):
            return Scene(develop(rng, canvas, size), tuple(people))
        if kept:
            actors = kept
        elif count:
            count = 0
        else:
            actors = draw_actors(rng, camera, horizon, backdrop)


def draw_camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    """A wide to a long lens, most often level, now and then from above or below."""
    light = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-1.0, -0.2), rng.uniform(-1.0, 0.3)])
    return Camera(
        focal=size[0] * rng.uniform(0.75, 2.0),
        size=size,
        pitch=float(np.radians(np.clip(rng.normal(5, 10), -18, 38))),
        light=light / np.linalg.norm(light),
        ambient=rng.uniform(0.35, 0.65),
    )


def draw_actors(
    rng: np.random.Generator, camera: Camera, horizon: float, backdrop: np.ndarray
) -> list[Actor]:
    """One to four people, the later ones mostly close to an earlier one; farthest first."""
    width, height = camera.size
    actors: list[Actor] = []
    spots: list[tuple[float, float, float]] = []
    eye_height = rng.uniform(0.6, 1.15)
    for _ in range(int(rng.choice(4, p=(0.4, 0.35, 0.17, 0.08))) + 1):
        if spots and rng.random() < 0.4:
            x, y, stature = spots[rng.integers(len(spots))]
            stature *= rng.uniform(0.72, 1.35)
            x += stature * rng.normal(0, 0.33)
            y += stature * rng.normal(0, 0.10)
        else:
            stature = height * np.exp(rng.uniform(np.log(0.36), np.log(1.1)))
            x = width * rng.uniform(0.06, 0.94)
            y = horizon + (eye_height - 0.5) * stature
            if rng.random() < 0.35:
                y = height * rng.uniform(0.3, 0.75)
        stature = float(np.clip(stature, 0.25 * height, 1.25 * height))
        x, y = (
            float(np.clip(x, 0.04 * width, 0.96 * width)),
            float(np.clip(y, 0.3 * height, 0.78 * height)),
        )
        spots.append((x, y, stature))
        actors.append(_draw_actor(rng, camera, np.array([x, y]), stature, backdrop))
    return sorted(actors, key=lambda actor: -actor.position[2])


def _draw_actor(
    rng: np.random.Generator,
    camera: Camera,
    pixel: np.ndarray,
    stature: float,
    backdrop: np.ndarray,
) -> Actor:
    """A person whose middle is seen at `pixel` and who measures `stature` pixels upright."""
    figure = draw_figure(rng)
    yaw = rng.normal(0, 0.6) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    turn = facing(float(yaw), camera.pitch)
    depth = max(camera.focal / stature, 1.15)
    middle = 0.5 * (figure.keypoints.min(0) + figure.keypoints.max(0))
    row, column = rng.integers(backdrop.shape[0]), rng.integers(backdrop.shape[1])
    return Actor(
        figure=figure,
        outfit=draw_outfit(rng, backdrop[row, column].astype(float)),
        rotation=turn,
        position=camera.ray(pixel) * depth - turn @ middle,
    )


def compose(
    rng: np.random.Generator,
    camera: Camera,
    backdrop: np.ndarray,
    actors: list[Actor],
    num_occluders: int,
) -> tuple[np.ndarray, list[DrawnPerson]]:
    """The painted canvas and the people on it, who are only told from its labels."""
    width, height = camera.size
    grounded = _cast_shadows(backdrop, camera, actors)
    labelled = np.zeros((height, width, 4), np.uint8)
    labelled[..., :3] = grounded
    canvas = cv2.resize(labelled, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    shells = [build_shell(actor, camera) for actor in actors]
    silhouettes = []
    for rank, shell in enumerate(shells):
        paint_shell(canvas, shell, rank)
        silhouettes.append(
            int(np.count_nonzero(cv2.extractChannel(canvas, 3)[::2, ::2] == 2 * rank + 1))
        )
    for _ in range(num_occluders):
        actor = actors[rng.integers(len(actors))]
        spot = camera.project(actor.to_camera(actor.figure.keypoints[rng.integers(17)]))
        reach = camera.focal / actor.position[2] * rng.uniform(0.2, 0.62)
        place = np.clip(2 * spot, (0, 0), (2 * width, 2 * height))
        paint_occluder(rng, canvas, place, 2 * reach)
    labels = np.ascontiguousarray(cv2.extractChannel(canvas, 3)[::2, ::2])
    people = []
    for rank, (actor, shell) in enumerate(zip(actors, shells, strict=True)):
        points = actor.to_camera(actor.figure.keypoints)
        hidden = hidden_by_body(shell, points, actor.figure.depths, camera)
        keypoints = _mark_keypoints(camera.project(points), hidden, labels, rank)
        people.append(
            _mark_person(keypoints, np.equal(labels, 2 * rank + 1), silhouettes[rank], actor)
        )
    return canvas, people


def _cast_shadows(backdrop: np.ndarray, camera: Camera, actors: list[Actor]) -> np.ndarray:
    """The backdrop with a soft dark spot under each pair of feet."""
    height, width = backdrop.shape[:2]
    shade = np.full((height // 4 + 1, width // 4 + 1), 255, np.uint8)
    for actor in actors:
        ankles = actor.to_camera(actor.figure.origins[[11, 14]])
        feet = camera.project(ankles).mean(0) / 4
        reach = camera.focal / ankles[:, 2].mean() / 4
        axes = (max(1, int(0.20 * reach)), max(1, int(0.05 * reach)))
        centre = (int(feet[0]), int(feet[1] + 0.04 * reach))
        cv2.ellipse(shade, centre, axes, 0, 0, 360, 110.0, -1)
    shade = cv2.resize(cv2.blur(shade, (3, 3)), (width, height))
    return cv2.multiply(backdrop, cv2.merge([shade, shade, shade]), scale=1 / 255)


def _mark_keypoints(
    pixels: np.ndarray, hidden: np.ndarray, labels: np.ndarray, rank: int
) -> np.ndarray:
    """Keypoints (17, 3) with visibility, from their pixels (17, 2) and the picture's labels."""
    height, width = labels.shape
    limits = np.array([width - 1, height - 1])
    inside = np.asarray(((pixels >= 0) & (pixels <= limits)).all(1))
    nearest = np.rint(pixels.clip(0, limits)).astype(int)
    covered = labels[nearest[:, 1], nearest[:, 0]] > 2 * rank + 2
    seen = inside & ~hidden & ~covered
    visibility = np.where(seen, 2, np.where(inside & (_JOINED @ seen), 1, 0))
    return np.concatenate([pixels * (visibility > 0)[:, None], visibility[:, None]], 1)


def _mark_person(
    keypoints: np.ndarray, mask: np.ndarray, silhouette: int, actor: Actor
) -> DrawnPerson:
    area = int(np.count_nonzero(mask))
    box = np.zeros(4, np.float32)
    if area:
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    seen = area / silhouette if silhouette else 0.0
    return DrawnPerson(keypoints, box, area, seen, mask, actor.figure.motion)


def develop(rng: np.random.Generator, canvas: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photograph (H, W, 3) of a canvas: uneven light, blur, noise, white balance."""
    width, height = size
    image = cv2.cvtColor(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGBA2RGB)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.35, 0.9))
    if rng.random() < 0.05:
        length = int(rng.integers(3, 7))
        kernel = np.eye(length, dtype=np.float32) if rng.random() < 0.5 else np.ones((1, length))
        image = cv2.filter2D(image, -1, (kernel / kernel.sum()).astype(np.float32))
    tilt = rng.uniform(-0.18, 0.18, 2)
    ramp_x = 1 + tilt[0] * np.linspace(-1, 1, width, dtype=np.float32)
    ramp_y = 1 + tilt[1] * np.linspace(-1, 1, height, dtype=np.float32)
    gain = rng.uniform(0.72, 1.22) * rng.uniform(0.93, 1.07, (3, 1))
    light = cv2.transform(np.multiply.outer(ramp_y, ramp_x), gain.astype(np.float32))
    grain = noise(rng, 0, 3 * width, height).astype(np.float32).reshape(height, width, 3)
    strength = rng.uniform(0.0, 0.35) ** 1.5
    haze = rng.uniform(0, 22) if rng.random() < 0.3 else 0.0
    exposed = cv2.multiply(image, light, dtype=cv2.CV_32F)
    return cv2.addWeighted(exposed, 1.0, grain, strength, haze, dtype=cv2.CV_8U)
