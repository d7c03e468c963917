"""The published decoding: maps brought to the host, read person by person in numpy loops.

The arithmetic of the released code of Sun et al. (CVPR 2019) for the quarter offset, of Zhang et
al. (CVPR 2020) for dark's step and of Huang et al. (CVPR 2020) for udp's, written from the papers.
"""

from collections.abc import Sequence

import cv2
import numpy as np

KERNEL = 11
"""Side of the blur before dark's and udp's steps, in cells, for targets of sigma 2."""


def pairs_of(flip_index: np.ndarray) -> list[tuple[int, int]]:
    """Left and right keypoints, of which flip_index (K,) names the other of each."""
    return [(i, int(j)) for i, j in enumerate(flip_index) if i < j]


def mean_with_mirrored(
    maps: np.ndarray, mirrored: np.ndarray, pairs: Sequence[tuple[int, int]], shift: int
) -> np.ndarray:
    """Maps (B, K, h, w) averaged with those of the mirrored crops, brought back: columns reversed,
    pairs swapped, `shift` columns to the right (1 in the published code, 0 for udp)."""
    back = mirrored[:, :, :, ::-1].copy()
    for left, right in pairs:
        kept = back[:, left].copy()
        back[:, left] = back[:, right]
        back[:, right] = kept
    if shift:
        back[:, :, :, 1:] = back.copy()[:, :, :, :-1]
    return (maps + back) * 0.5


def peaks(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells (B, K, 2) of the maxima, (0, 0) where nothing is above 0, and their values (B, K)."""
    people, keypoints, _, width = maps.shape
    flat = maps.reshape(people, keypoints, -1)
    place, scores = flat.argmax(axis=2), flat.max(axis=2)
    cells = np.stack([place % width, np.floor(place / width)], axis=-1).astype(np.float32)
    return cells * (scores > 0)[..., None], scores


def decode_gaussian(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peaks in cells (B, K, 2), a quarter cell towards the higher neighbour, and scores (B, K)."""
    points, scores = peaks(maps)
    height, width = maps.shape[2:]
    for person in range(len(maps)):
        for keypoint in range(maps.shape[1]):
            heat = maps[person, keypoint]
            x, y = (int(np.floor(v + 0.5)) for v in points[person, keypoint])
            if 1 < x < width - 1 and 1 < y < height - 1:
                slope = [heat[y, x + 1] - heat[y, x - 1], heat[y + 1, x] - heat[y - 1, x]]
                points[person, keypoint] += np.sign(slope) * 0.25
    return points, scores


def decode_dark(maps: np.ndarray, kernel: int = KERNEL) -> tuple[np.ndarray, np.ndarray]:
    """Peaks in cells moved by a Newton step on the logarithm of the blurred map."""
    points, scores = peaks(maps)
    height, width = maps.shape[2:]
    for person in range(len(maps)):
        for keypoint in range(maps.shape[1]):
            log = np.log(np.maximum(blurred(maps[person, keypoint], kernel), 1e-10))
            x, y = (int(v) for v in points[person, keypoint])
            if not (1 < x < width - 2 and 1 < y < height - 2):
                continue
            gradient = np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
            dxx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
            dyy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
            dxy = (
                log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]
            ) / 4
            if dxx * dyy - dxy**2 != 0:
                hessian = np.array([[dxx, dxy], [dxy, dyy]])
                points[person, keypoint] -= np.linalg.inv(hessian) @ gradient
    return points, scores


def decode_udp(maps: np.ndarray, kernel: int = KERNEL) -> tuple[np.ndarray, np.ndarray]:
    """Peaks in cells moved by a Newton step everywhere; beyond the border its values repeat."""
    points, scores = peaks(maps)
    for person in range(len(maps)):
        for keypoint in range(maps.shape[1]):
            heat = np.clip(blurred(maps[person, keypoint], kernel), 1e-3, 50)
            log = np.pad(np.log(heat), 1, mode="edge")
            x, y = (int(v) + 1 for v in points[person, keypoint])
            gradient = np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
            dxx = log[y, x + 1] - 2 * log[y, x] + log[y, x - 1]
            dyy = log[y + 1, x] - 2 * log[y, x] + log[y - 1, x]
            cross = log[y + 1, x + 1] + log[y - 1, x - 1] + 2 * log[y, x]
            for neighbour in (log[y, x + 1], log[y, x - 1], log[y + 1, x], log[y - 1, x]):
                cross = cross - neighbour
            hessian = np.array([[dxx, cross / 2], [cross / 2, dyy]])
            hessian += np.finfo(np.float32).eps * np.eye(2)
            points[person, keypoint] -= np.linalg.inv(hessian) @ gradient
    return points, scores


def blurred(heat: np.ndarray, kernel: int) -> np.ndarray:
    """One map, blurred with zeros beyond its borders and rescaled to its old maximum."""
    margin = (kernel - 1) // 2
    framed = np.zeros((heat.shape[0] + 2 * margin, heat.shape[1] + 2 * margin), heat.dtype)
    framed[margin:-margin, margin:-margin] = heat
    sigma = 0.3 * (margin - 1) + 0.8  # OpenCV's own for 0, but that it has a table up to 7
    soft = cv2.GaussianBlur(framed, (kernel, kernel), sigma)[margin:-margin, margin:-margin]
    top = soft.max()
    return soft * (heat.max() / top) if top > 0 else soft


def to_image(points: np.ndarray, matrices: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Cells (B, K, 2) back into each person's image, point by point: `pitch` (2,) is input pixels
    a cell, matrices (B, 2, 3) go from the image to the input."""
    found = np.zeros_like(points)
    for person in range(len(points)):
        back = cv2.invertAffineTransform(matrices[person])
        for keypoint in range(points.shape[1]):
            x, y = points[person, keypoint] * pitch
            found[person, keypoint] = back @ np.array([x, y, 1.0])
    return found
