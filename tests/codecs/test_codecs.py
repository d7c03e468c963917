"""Laws of every codec. A new one is covered unasked, once it says how exact its round trip is."""

import math

import pytest
import torch

from pose.codecs import CODECS, build_codec
from pose.skeleton import COCO_17

SIZES = [((192, 256), 2.0), ((288, 384), 3.0)]
STRIDE = 4

ROUND_TRIP = {
    # name: (largest error of a coordinate in px, sigmas from the outermost cells' centres).
    # The nearest cell of a point beyond the outermost one lies on no map.
    "gaussian": (STRIDE / math.sqrt(2), 0.0),
    # Nearer to the border the blur sees the zeros outside (at exactly 2 sigma the error is 0.03 px
    # for sigma 2, 0.054 px for sigma 3), and within two cells no step is taken.
    "dark": (0.05, 2.1),
    "udp": (0.05, 2.1),
    "simcc": (0.25, 0.0),  # half a bin
    "integral": (1e-3, 0.0),  # exact but for rounding
}


@pytest.fixture(params=[(n, *s) for n in CODECS for s in SIZES], ids=lambda p: f"{p[0]}-{p[2]:g}")
def codec(request):
    name, size, sigma = request.param
    return build_codec(name, size, sigma, STRIDE)


def name_of(codec):
    return next(name for name, kind in CODECS.items() if type(codec) is kind)


def random_points(codec, people=6, seed=0, margin=0.0):
    """(people, 17, 2) input pixels, `margin` cells inside the centres of the outermost cells."""
    generator = torch.Generator().manual_seed(seed)
    outermost = torch.tensor([side - STRIDE for side in codec.input_size])
    points = torch.rand(people, 17, 2, generator=generator)
    return STRIDE * margin + points * (outermost - 2 * STRIDE * margin)


def shape_of_maps(codec, people=1, keypoints=17):
    """What a network makes for this codec: heatmaps, or simcc's vectors."""
    shape = (sum(codec.bins),) if hasattr(codec, "bins") else codec.heatmap_size[::-1]
    return (people, keypoints, *shape)


def all_labelled(points):
    return torch.ones(points.shape[:2], dtype=torch.bool)


def test_shapes_and_scores(codec):
    points = random_points(codec)
    targets, weights = codec.encode(points, all_labelled(points))
    assert targets.shape == shape_of_maps(codec, 6, codec.channels(17))
    assert targets.dtype == torch.float32
    assert weights.tolist() == [[1.0] * 17] * 6
    decoded, scores = codec.decode(targets)
    assert (decoded.shape, scores.shape) == ((6, 17, 2), (6, 17))
    assert ((scores > 0.8) & (scores <= 1)).all()


def test_decoding_undoes_encoding(codec):
    tolerance, sigmas = ROUND_TRIP[name_of(codec)]
    points = random_points(codec, people=25, margin=sigmas * codec.sigma)
    decoded, _ = codec.decode(codec.encode(points, all_labelled(points))[0])
    assert (decoded - points).abs().max() <= tolerance


def test_near_the_border_the_error_stays_within_two_cells(codec):
    """All of the input, also beyond the outermost cells; measured: dark 4.3 px, gaussian 4.3."""
    points = random_points(codec, people=25)
    stretch = torch.tensor([(side - 1) / (side - STRIDE) for side in codec.input_size])
    points = points * stretch
    decoded, _ = codec.decode(codec.encode(points, all_labelled(points))[0])
    assert (decoded - points).norm(dim=-1).max() < 2 * STRIDE


def test_batched_is_one_by_one(codec):
    points = random_points(codec)
    labelled = torch.rand(6, 17, generator=torch.Generator().manual_seed(1)) < 0.7
    targets, weights = codec.encode(points, labelled)
    noisy = targets + 0.1 * torch.rand(targets.shape, generator=torch.Generator().manual_seed(2))
    decoded, scores = codec.decode(noisy)
    for i in range(6):
        one, weight = codec.encode(points[i : i + 1], labelled[i : i + 1])
        assert (one[0] - targets[i]).abs().max() <= 1e-5
        assert torch.equal(weight[0], weights[i])
        point, score = codec.decode(noisy[i : i + 1])
        assert (point[0] - decoded[i]).abs().max() <= 1e-3  # pixels
        assert torch.equal(score[0], scores[i])


def test_permuting_people_permutes_results(codec):
    points = random_points(codec)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    targets, _ = codec.encode(points, all_labelled(points))
    permuted, _ = codec.encode(points[order], all_labelled(points))
    assert (permuted - targets[order]).abs().max() <= 1e-5
    assert (codec.decode(permuted)[0] - codec.decode(targets)[0][order]).abs().max() <= 1e-3


def test_unlabelled_keypoints_have_no_target_and_no_weight(codec):
    points = random_points(codec)
    labelled = all_labelled(points)
    labelled[2, 5] = labelled[4] = False
    targets, weights = codec.encode(points, labelled)
    assert torch.equal(weights, labelled.float())
    assert not targets[~labelled].any()
    _, scores = codec.decode(targets)
    assert (scores[labelled] > 0.8).all()
    assert (scores[~labelled] < 0.1).all()


def test_heat_lies_where_the_point_is_and_nowhere_for_an_unlabelled_keypoint(codec):
    points = random_points(codec)
    labelled = all_labelled(points)
    labelled[0, 3] = False
    heat = codec.heat(codec.encode(points, labelled)[0])
    assert heat.shape[:2] == (6, 17)
    assert (heat.min() >= 0) & (heat.max() <= 1)
    assert heat[0, 3].max() < 0.1
    cell = torch.tensor(codec.input_size) / torch.tensor(heat.shape[:1:-1])
    place = heat.flatten(2).argmax(dim=-1)
    peak = torch.stack([place % heat.shape[-1], place // heat.shape[-1]], dim=-1) * cell
    assert (peak - points)[labelled].abs().max() <= 1.5 * STRIDE


@pytest.mark.parametrize("place", [(-60, 50), (50, -60), (400, 50), (50, 500)])
def test_far_outside_the_input_is_unlabelled(codec, place):
    points = torch.tensor(place).float().expand(1, 17, 2)
    targets, weights = codec.encode(points, all_labelled(points))
    assert not targets.any()
    assert not weights.any()


def test_unflip_twice_keeps_every_peak_within_a_cell(codec):
    """Reversing is undone by reversing: what remains is the shift of the grid."""
    flip_index = torch.from_numpy(COCO_17.flip_index)
    points = random_points(codec, margin=4)
    targets, _ = codec.encode(points, all_labelled(points))
    twice = codec.unflip(codec.unflip(targets, flip_index), flip_index)
    assert (codec.decode(twice)[0] - codec.decode(targets)[0]).abs().max() <= STRIDE


def test_the_maps_of_a_mirrored_crop_lie_over_the_crops_own_where_the_grid_is_its_mirror_image():
    flip_index = torch.from_numpy(COCO_17.flip_index)
    for size, sigma in SIZES:
        codec = build_codec("udp", size, sigma, STRIDE)
        points = random_points(codec, people=20)
        mirrored = torch.stack([size[0] - 1 - points[..., 0], points[..., 1]], -1)[:, flip_index]
        maps, seen_in_mirror = (codec.encode(p, all_labelled(p))[0] for p in (points, mirrored))
        assert (codec.unflip(seen_in_mirror, flip_index) - maps).abs().max() <= 1e-5


def test_flipping_swaps_sides(codec):
    """Only the maps of the left shoulder are seen in the mirror: they are the right one's."""
    maps = codec.encode(
        *[v[:1] for v in (random_points(codec), all_labelled(torch.ones(1, 17, 2)))]
    )
    only_left = torch.zeros_like(maps[0])
    left, right = COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")
    only_left[:, left] = maps[0][:, left]
    back = codec.unflip(only_left, torch.from_numpy(COCO_17.flip_index))
    assert back[:, right].any()
    assert not back[:, left].any()


def test_unflipped_maps_are_written_into_and_the_networks_stay_as_they_are(codec):
    points = random_points(codec)
    maps, _ = codec.encode(points, all_labelled(points))
    kept = maps.clone()
    codec.unflip(maps, torch.arange(17)).fill_(7)
    assert torch.equal(maps, kept)


def test_no_people_is_an_input(codec):
    targets, weights = codec.encode(torch.zeros(0, 17, 2), torch.zeros(0, 17, dtype=torch.bool))
    points, scores = codec.decode(targets)
    assert (weights.shape, points.shape, scores.shape) == ((0, 17), (0, 17, 2), (0, 17))
    assert codec.unflip(targets, torch.arange(17)).shape == targets.shape


def test_empty_heatmaps_decode_to_the_origin(codec):
    """Of logits no map is empty: the lowest of them are as good as any."""
    if name_of(codec) in ("simcc", "integral"):
        points, scores = codec.decode(torch.full(shape_of_maps(codec), -100.0))
        assert points.isfinite().all() and (scores < 0.1).all()
        return
    maps = torch.zeros(1, 2, *reversed(codec.heatmap_size))
    maps[0, 1] = -1
    points, scores = codec.decode(maps)
    assert not points.any()
    assert scores.tolist() == [[0, -1]]


def test_each_codec_is_given_what_it_reads():
    options = {"blur_kernel": 11, "offset_gate": "each"}
    udp, gaussian = (build_codec(n, (288, 384), 3.0, 4, **options) for n in ("udp", "gaussian"))
    assert (udp.blur_kernel, gaussian.offset_gate) == (11, "each")


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match=r"unknown codec 'udq' \(known: gaussian, dark"):
        build_codec("udq", (192, 256), 2.0, STRIDE)
