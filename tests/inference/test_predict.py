"""The flip test is its published formula; a predictor finds each person by itself, in image pixels.

The networks here see colours: map k of a crop is its channel k, averaged over each cell.
"""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pose.codecs import CODECS, build_codec
from pose.geometry import box_center_extent
from pose.inference.boxes import Boxes
from pose.inference.predict import predict_keypoints, torch_runtime
from pose.inference.predictor import Predictor
from pose.skeleton import Skeleton

SIZE = (96, 128)
CPU = torch.device("cpu")
SPOTS = Skeleton("spots", ("red", "green", "blue"))
HANDS = Skeleton(
    "hands", ("head", "left_hand", "right_hand"), mirrored=(("left_hand", "right_hand"),)
)


class ColourNetwork(nn.Module):
    """uint8 (B, 3, H, W) -> maps (B, 3, H/4, W/4) in [0, 1]; counts the crops it is shown."""

    def __init__(self):
        super().__init__()
        self.crops_seen = []

    def forward(self, images):
        assert images.dtype == torch.uint8
        self.crops_seen.append(len(images))
        # 5 x 5 about every fourth pixel, since cell x shows input pixel 4 x
        return F.avg_pool2d(F.pad(images.float() / 255, [2] * 4), 5, stride=4)


class RandomNetwork(nn.Module):
    """One fixed convolution: no symmetry for a mistake to hide behind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 4, stride=4)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.conv.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, images):
        return self.conv(images.float() / 255)


def random_crops(count=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 128, 96), generator=generator, dtype=torch.uint8)


def picture_of_spots(places, width=300, height=200):
    """RGB: for each person three Gaussian spots, one in each colour, at `places` (N, 3, 2)."""
    image = np.zeros((height, width, 3), np.float64)
    rows, columns = np.indices((height, width))
    for person in places:
        for channel, (x, y) in enumerate(person):
            spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
            image[..., channel] = np.maximum(image[..., channel], spot)
    return np.round(image).astype(np.uint8)


PLACES = np.array([[[60, 50], [40, 90], [85, 110]], [[210, 60], [190, 120], [240, 95]]], float)
BOXES = np.array([[20, 20, 110, 140], [165, 30, 265, 150]], np.float32)


def spot_predictor(codec="dark", flip=True, model=None, **options):
    model = model or ColourNetwork()
    runtime = torch_runtime(model, build_codec(codec, SIZE, 2.0, 4), SPOTS, CPU, flip=flip)
    return Predictor(runtime, **options)


@pytest.mark.parametrize("name", [name for name in CODECS if name != "simcc"])
def test_the_flip_test_is_its_published_formula(name):
    """p = (f(I) + S(unflip(f(flip I)))) / 2, every column written out; udp's grid needs no S.

    (simcc has no columns: its own test is in test_simcc.py.)"""
    model, codec, images = RandomNetwork(), build_codec(name, SIZE, 2.0, 4), random_crops()
    flip_index = torch.from_numpy(HANDS.flip_index)
    points, scores = predict_keypoints(model, codec, images, flip_index)
    with torch.no_grad():
        plain = model(images)
        flipped = model(torch.stack([images[..., 95 - x] for x in range(96)], dim=-1))
    mean, shift = torch.empty_like(plain), 0 if codec.pixel_grid == "udp" else 1
    for k, other in enumerate([0, 2, 1]):
        for x in range(24):
            seen_at = 23 - max(x - shift, 0)
            mean[:, k, :, x] = (plain[:, k, :, x] + flipped[:, other, :, seen_at]) / 2
    expected_points, expected_scores = codec.decode(mean)
    assert (points - expected_points).abs().max() < 1e-3
    assert (scores - expected_scores).abs().max() < 1e-6


def test_without_flip_it_is_one_look():
    codec, images = build_codec("gaussian", SIZE, 2.0, 4), random_crops()
    model = ColourNetwork()
    points, _ = predict_keypoints(model, codec, images)
    assert torch.equal(points, codec.decode(ColourNetwork()(images))[0])
    assert model.crops_seen == [3]


@pytest.mark.parametrize(("codec", "flip"), [("dark", False), ("dark", True), ("gaussian", True)])
def test_people_are_found_in_image_pixels(codec, flip):
    """Within half a cell of the crop: 2 input pixels, here at most 3 image pixels."""
    given = Boxes(BOXES, np.array([0.9, 0.4]))
    poses = spot_predictor(codec, flip=flip)(picture_of_spots(PLACES), given)
    assert np.abs(poses.keypoints - PLACES).max() < (1.0 if codec == "dark" else 3.0)
    assert (poses.scores > 0.5).all()
    assert np.array_equal(poses.boxes, BOXES)
    assert poses.box_scores.tolist() == [np.float32(0.9), np.float32(0.4)]
    assert poses.skeleton is SPOTS


def test_many_are_found_as_one_by_one():
    """Whatever the batches, order and neighbours: a predictor holds no state between calls."""
    image = picture_of_spots(PLACES)
    boxes = BOXES[[0, 1, 0, 1, 1]] + np.arange(5, dtype=np.float32)[:, None]
    together = spot_predictor(batch_size=64)(image, boxes)
    model = ColourNetwork()
    poses = spot_predictor(model=model, batch_size=2)(image, boxes)
    assert model.crops_seen == [4, 4, 2], "two, two and one, each mirrored too"
    one_by_one = spot_predictor()
    for i in range(5):
        alone = one_by_one(image, boxes[i : i + 1])
        for found in (together, poses):
            assert np.abs(found.keypoints[i] - alone.keypoints[0]).max() < 1e-3
            assert np.abs(found.scores[i] - alone.scores[0]).max() < 1e-5
    back = together[::-1]
    again = spot_predictor()(image, boxes[::-1])
    assert np.abs(back.keypoints - again.keypoints).max() < 1e-3


@pytest.mark.parametrize("flip", [False, True])
def test_the_mirrored_picture_gives_the_mirrored_poses(flip):
    """But for the grid: a flip average lies half an input pixel to the right, either way round."""
    image, mirror = picture_of_spots(PLACES), np.array([-1, 1])
    width = image.shape[1]
    flipped_boxes = BOXES[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [width - 1, 0, width - 1, 0]
    predictor = spot_predictor(flip=flip)
    straight = predictor(image, BOXES)
    flipped = predictor(np.ascontiguousarray(image[:, ::-1]), flipped_boxes)
    gap = straight.keypoints - (flipped.keypoints * mirror + [width - 1, 0])
    pixel = box_center_extent(BOXES, SIZE)[1][:, 0] / SIZE[0]
    assert np.abs(gap[..., 0] - flip * pixel[:, None]).max() < 0.05
    assert np.abs(gap[..., 1]).max() < 0.05
    assert np.abs(flipped.scores - straight.scores).max() < 0.1


def test_a_view_of_an_image_is_an_image():
    image = picture_of_spots(PLACES)
    reversed_view = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)[..., ::-1]
    assert not reversed_view.flags.c_contiguous
    poses = spot_predictor()(reversed_view, BOXES)
    assert np.array_equal(poses.keypoints, spot_predictor()(image, BOXES).keypoints)


def test_sides_are_swapped_back():
    """A network that knows only what is on the left of the picture: mirrored, it says 'right'."""

    class SideNetwork(nn.Module):
        def forward(self, images):
            maps = torch.zeros(len(images), 3, 32, 24)
            maps[:, 1, 16, 6] = maps[:, 2, 16, 18] = 1
            return maps

    codec = build_codec("gaussian", SIZE, 2.0, 4)
    flip_index = torch.from_numpy(HANDS.flip_index)
    points, scores = predict_keypoints(SideNetwork(), codec, random_crops(1), flip_index)
    assert points[0, 1:, 0].tolist() == [24, 72]
    assert scores[0].tolist() == [0, 1, 1], "column 23 - 18 + 1 = 6: both looks fall together"


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), [], np.zeros(0)])
def test_no_boxes_no_poses(boxes):
    model = ColourNetwork()
    poses = spot_predictor(model=model)(picture_of_spots(PLACES), boxes)
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 3, 2)
    assert model.crops_seen == []


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[10, 10, 10, 50]], r"box \[10.0, 10.0, 10.0, 50.0\]: expected x1,y1,x2,y2 in pixels"),
        ([[0, 0, 5, 5], [10, 50, 40, 20]], r"box \[10.0, 50.0, 40.0, 20.0\]: .* x2 > x1 and y2"),
        ([[0, 0, float("nan"), 5]], r"box \[0.0, 0.0, nan, 5.0\]"),
        ([[0, 0, float("inf"), 5]], r"box \[0.0, 0.0, inf, 5.0\]"),
        (np.ones((4, 5)), r"boxes have shape \(4, 5\); expected \(N, 4\)"),
    ],
)
def test_a_bad_box_is_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        spot_predictor()(picture_of_spots(PLACES), np.array(boxes))


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)],
)
def test_another_kind_of_image_is_named(image):
    with pytest.raises(ValueError, match=r"expected RGB uint8 \(H, W, 3\)"):
        spot_predictor()(image, BOXES)


def test_a_network_is_evaluated_not_trained():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.AvgPool2d(4))
    torch_runtime(model, build_codec("dark", SIZE, 2.0, 4), SPOTS, CPU)
    assert not model.training
