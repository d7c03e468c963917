"""Painting figures: perspective, light, and faces filled from back to front.

Camera frame: x right, y down, z away from the viewer. The canvas is (2H, 2W, 4) uint8, twice the
image's resolution: RGB, and a label that says what a pixel shows: 0 the backdrop, 2i + 1 the i-th
person counted from the back, 2i + 2 what that person holds, OCCLUDER a thing in front of all.
Image pixel centres are at integers, so image x lies at canvas 2x + 0.5.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pose.data.synthetic.body import Faces, build_faces
from pose.data.synthetic.figure import Figure
from pose.data.synthetic.outfit import Outfit

OCCLUDER = 255
_SHIFT = 3
_NEAREST = 0.25


@dataclass(frozen=True, eq=False)
class Camera:
    """focal length in image pixels, image size (w, h), pitch in radians (looking down: positive),
    light (3,): the unit direction towards the light; ambient: share of light from everywhere."""

    focal: float
    size: tuple[int, int]
    pitch: float
    light: np.ndarray
    ambient: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera points (..., 3) to image pixels (..., 2)."""
        centre = np.array([(self.size[0] - 1) / 2, (self.size[1] - 1) / 2])
        return centre + self.focal * points[..., :2] / np.maximum(points[..., 2:], _NEAREST)

    def ray(self, pixel: np.ndarray) -> np.ndarray:
        """The camera point (3,) at depth 1 that an image pixel (2,) shows."""
        x, y = (pixel - (np.array(self.size) - 1) / 2) / self.focal
        return np.array([x, y, 1.0])


@dataclass(frozen=True, eq=False)
class Actor:
    """A dressed figure in its place: rotation (3, 3) and position (3,) from body to camera."""

    figure: Figure
    outfit: Outfit
    rotation: np.ndarray
    position: np.ndarray

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        return points @ self.rotation.T + self.position


def facing(yaw: float, pitch: float) -> np.ndarray:
    """Rotation (3, 3) from body to camera; yaw 0 looks at the viewer, 90 degrees to the right."""
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    look = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    return look @ np.diag([1.0, -1.0, -1.0]) @ turn


@dataclass(frozen=True, eq=False)
class Shell:
    """The faces of an actor that look at the viewer, from back to front.

    pixels (F, 4, 2) image pixels; planes (F, 4): normal and offset in the camera frame;
    colours (F, 3) lit RGB; held (F,).
    """

    pixels: np.ndarray
    planes: np.ndarray
    colours: np.ndarray
    held: np.ndarray


def build_shell(actor: Actor, camera: Camera) -> Shell:
    """Turn, cull, light and sort the faces of an actor."""
    faces: Faces = build_faces(actor.figure, actor.outfit)
    corners = actor.to_camera(faces.corners)
    centre = corners.mean(1)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    length = np.sqrt(np.einsum("fi,fi->f", normals, normals))
    normals /= np.maximum(length, 1e-12)[:, None]
    outwards = np.einsum("fi,fi->f", normals, centre - actor.to_camera(faces.inside))
    normals *= np.where(outwards < 0, -1.0, 1.0)[:, None]
    offset = np.einsum("fi,fi->f", normals, centre)
    keep = np.flatnonzero((offset < 0) & (length > 1e-12) & (corners[..., 2].min(1) > _NEAREST))
    order = keep[np.argsort(faces.lift[keep] - centre[keep, 2], kind="stable")]
    lit = np.maximum(0.0, normals[order] @ camera.light)
    shade = camera.ambient + (1.12 - camera.ambient) * lit
    return Shell(
        pixels=camera.project(corners[order]),
        planes=np.concatenate([normals[order], offset[order, None]], 1),
        colours=np.clip(faces.colours[order] * shade[:, None], 0, 255),
        held=faces.held[order],
    )


def paint_shell(canvas: np.ndarray, shell: Shell, rank: int) -> None:
    """Fill the faces onto the canvas with the labels of the person at `rank`."""
    points = (shell.pixels * 2 + 0.5) * (1 << _SHIFT)
    points = np.rint(points.clip(-60000, 60000)).astype(np.int32)
    labels = np.where(shell.held, 2 * rank + 2, 2 * rank + 1)
    colours = np.concatenate([shell.colours, labels[:, None]], 1).tolist()
    for polygon, colour in zip(points, colours, strict=True):
        cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_8, _SHIFT)


def hidden_by_body(
    shell: Shell, points: np.ndarray, depths: np.ndarray, camera: Camera
) -> np.ndarray:
    """Whether the body covers camera points (N, 3) with more than `depths` (N,) before them: (N,).

    A point's ray is cut with the plane of every face whose outline holds the point's pixel.
    """
    pixels = camera.project(points)
    low, high = shell.pixels.min(1)[:, None], shell.pixels.max(1)[:, None]
    face, point = np.nonzero(((low <= pixels) & (pixels <= high)).all(-1))
    outline = shell.pixels[face]
    edge = outline[:, [1, 2, 3, 0]] - outline
    to_point = pixels[point][:, None] - outline
    side = edge[..., 0] * to_point[..., 1] - edge[..., 1] * to_point[..., 0]
    holds = (side >= 0).all(1) | (side <= 0).all(1)
    face, point = face[holds], point[holds]
    planes, rays = shell.planes[face], points[point] / points[point, 2:]
    # the faces look at the viewer, so the slope is negative but for rounding
    slope = np.minimum(np.einsum("ni,ni->n", planes[:, :3], rays), -1e-9)
    nearest = np.full(len(points), np.inf)
    np.minimum.at(nearest, point, planes[:, 3] / slope)
    return nearest < points[:, 2] - depths
