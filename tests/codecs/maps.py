"""Maps as a network might make them, and OpenCV's blur of them."""

import cv2
import numpy as np


def noisy_maps(codec, count, seed=0):
    """(count, h, w) float64: a blob and a lesser one, anywhere, with noise."""
    rng = np.random.default_rng(seed)
    width, height = codec.heatmap_size
    rows, columns = np.indices((height, width))

    def blobs():
        x, y = rng.uniform(-1, width, (count, 1, 1)), rng.uniform(-1, height, (count, 1, 1))
        return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * codec.sigma**2))

    return 0.8 * blobs() + 0.4 * blobs() + rng.normal(0, 0.02, (count, height, width))


def slow_blur(heatmap, kernel):
    blurred = cv2.GaussianBlur(heatmap, (kernel, kernel), 0, borderType=cv2.BORDER_CONSTANT)
    return blurred * heatmap.max() / blurred.max()
