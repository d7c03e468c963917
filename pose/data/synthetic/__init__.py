"""A data set of drawn people that needs no download: COCO's layout, 17 keypoints, true visibility.

A scene is a function of (seed, index): figures with jointed limbs in clothes (`figure`, `motions`,
`body`, `outfit`), painted in perspective from back to front (`paint`) into a cluttered place
(`backdrop`), and annotated from what is then seen (`scene`). `writing` puts sets on disk;
`clip` lets the people of a scene move.
"""

from pose.data.synthetic.clip import draw_clip
from pose.data.synthetic.scene import DrawnPerson, Scene, draw_scene
from pose.data.synthetic.writing import write_synthetic

__all__ = ["DrawnPerson", "Scene", "draw_clip", "draw_scene", "write_synthetic"]
