"""The moving people: a clip is a function of its seed, and nobody leaps."""

import numpy as np

from pose.data.synthetic import draw_clip

FPS, NUM_FRAMES, SEED = 15.0, 24, 32


def frames(**changes):
    return list(draw_clip(**{"seed": SEED, "num_frames": NUM_FRAMES, "fps": FPS, **changes}))


def test_the_same_seed_gives_the_same_clip():
    first, again = frames(), frames()
    assert len(first) == NUM_FRAMES and first[0].image.shape == (240, 320, 3)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].image, frames(seed=1, num_frames=1)[0].image)


def test_people_keep_their_place_and_move_without_leaps():
    clip = frames()
    assert len({len(scene.people) for scene in clip}) == 1
    moved = []
    for place in range(len(clip[0].people)):
        people = [scene.people[place] for scene in clip]
        assert len({person.motion for person in people}) == 1
        points = np.stack([person.keypoints for person in people])
        shown = (points[1:, :, 2] > 0) & (points[:-1, :, 2] > 0)
        steps = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1)[shown]
        stature = np.median([person.box[3] - person.box[1] for person in people])
        # A hand at 4 statures a second is a throw; a leap would be most of a stature in a frame.
        assert steps.max() < 0.3 * stature
        moved.append(np.ptp(points[:, 9, :2], axis=0).max() > 0.03 * stature)
    assert any(moved)


def test_feet_stay_on_their_ground():
    """The lowest keypoint stays in its row: the camera stands level or looks down a little."""
    clip = frames()
    for place, person in enumerate(clip[0].people):
        lowest = [scene.people[place].box[3] for scene in clip]
        assert np.ptp(lowest) < 0.12 * (person.box[3] - person.box[1])
