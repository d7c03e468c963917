"""A moving picture: the people of one scene go on with their motions before a camera that stands.

Every half second a person reaches another moment of the same motion, left and right in turn, so
that legs walk; angles in between are eased. Who is drawn first stays first: a person's place in
`Scene.people` is the same in every frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pose.data.synthetic.backdrop import paint_backdrop
from pose.data.synthetic.figure import pose_figure
from pose.data.synthetic.motions import draw_moment, mirrored
from pose.data.synthetic.paint import Actor
from pose.data.synthetic.scene import Scene, compose, develop, draw_actors, draw_camera

MOMENT_SECONDS = 0.5
SWAY = 0.3
"""How far people walk to either side, in statures, at most."""
SWAY_SECONDS = (4.0, 9.0)

_CLIP, _EXPOSURE = 2, 3
"""Apart from the numbers that `draw_scene` seeds its generators with."""


@dataclass(frozen=True, eq=False)
class Mover:
    """An actor, the angles (M, 15, 3) of its moments, and its way from side to side."""

    actor: Actor
    moments: np.ndarray
    reach: float
    seconds: float

    def at(self, time: float) -> Actor:
        """The actor at `time` seconds, its lowest keypoint as high as in the first frame."""
        place = time / MOMENT_SECONDS
        before = int(place) % len(self.moments)
        share = place - int(place)
        eased = share * share * (3 - 2 * share)
        after = self.moments[(before + 1) % len(self.moments)]
        angles = (1 - eased) * self.moments[before] + eased * after
        first = self.actor.figure
        figure = pose_figure(first.build, first.motion, angles)
        down = self.actor.rotation[1]
        sink = (first.keypoints @ down).max() - (figure.keypoints @ down).max()
        aside = self.reach * np.sin(2 * np.pi * time / self.seconds)
        position = self.actor.position + np.array([aside, sink, 0.0])
        return replace(self.actor, figure=figure, position=position)


def draw_clip(
    seed: int, num_frames: int, fps: float = 15.0, size: tuple[int, int] = (320, 240)
) -> Iterator[Scene]:
    """The frames of the clip of `seed`, drawn as they are asked for; nothing stands in front."""
    rng = np.random.default_rng([seed, 0, _CLIP])
    camera = draw_camera(rng, size)
    horizon = (size[1] - 1) / 2 - camera.focal * np.tan(camera.pitch)
    backdrop = paint_backdrop(rng, size, horizon)
    actors = draw_actors(rng, camera, horizon, backdrop)
    movers = [_draw_mover(rng, actor, num_frames / fps) for actor in actors]
    for frame in range(num_frames):
        now = [mover.at(frame / fps) for mover in movers]
        canvas, people = compose(rng, camera, backdrop, now, num_occluders=0)
        exposure = np.random.default_rng([seed, 0, _EXPOSURE])
        yield Scene(develop(exposure, canvas, size), tuple(people))


def _draw_mover(rng: np.random.Generator, actor: Actor, seconds: float) -> Mover:
    count = int(seconds / MOMENT_SECONDS) + 2
    count += count % 2  # the last moment leads back to the first, a mirrored one to a plain one
    moments = [draw_moment(rng, actor.figure.motion) for _ in range(count)]
    moments[1::2] = [mirrored(angles) for angles in moments[1::2]]
    reach = rng.uniform(-SWAY, SWAY)
    return Mover(actor, np.stack(moments), reach, rng.uniform(*SWAY_SECONDS))
