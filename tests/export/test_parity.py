"""What is compared: a difference is found, and only what truly hangs on it is counted apart."""

import numpy as np
import pytest
import torch

from pose.export.certificate import EXACT, bounds_of, certificate, faults_of, speeds
from pose.export.parity import Parity, compare, network_look
from pose.structures import PoseBatch
from tests.export.networks import FLIP_INDEX, codec_called, images, tiny


def batch(size=6):
    empty = torch.zeros(size, 17)
    matrices = torch.eye(3, dtype=torch.float64)[:2].expand(size, 2, 3)
    return PoseBatch(images(size), empty, empty, matrices, torch.arange(size))


def parity_of(codec, before, after, flip_index=None, apart=0.01, evaluators=None) -> Parity:
    looks = [network_look(network, codec, flip_index) for network in (before, after)]
    with torch.inference_mode():
        return compare(*looks, [batch()], codec, flip_index, apart, evaluators)


def given(maps):
    """A network that gives these maps whatever it sees."""
    return lambda pictures: maps[: len(pictures)].clone()


def bumps(codec, seed=0):
    """(6, 17, h, w): the targets of points away from the border."""
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.uniform((16, 16), (48, 80), (6, 17, 2)).astype(np.float32))
    return codec.encode(points, torch.ones(6, 17))[0]


@pytest.mark.parametrize("flip_index", [None, FLIP_INDEX])
@pytest.mark.parametrize("name", ["gaussian", "udp", "simcc", "integral"])
def test_a_network_is_no_different_from_itself(name, flip_index):
    codec = codec_called(name)
    network = tiny(codec)
    parity = parity_of(codec, network, network, flip_index)
    assert (parity.people, parity.maps, parity.scores) == (6, 0, 0)
    assert parity.distances.max() == 0
    assert len(parity.distances) == 6 * 17
    assert not len(parity.apart)


def test_the_largest_difference_counts_wherever_it_is():
    codec = codec_called("dark")
    maps = bumps(codec)
    other = maps.clone()
    other[4, 3, 0, 0] += 0.25
    parity = parity_of(codec, given(maps), given(other))
    assert parity.maps == pytest.approx(0.25)
    looks = [lambda x: torch.cat([maps, other])[: len(x)]] * 2
    assert parity_of(codec, looks[0], looks[1], FLIP_INDEX).maps == 0


def test_points_whose_peak_or_step_is_a_toss_up_are_counted_apart():
    codec = codec_called("gaussian")
    maps = bumps(codec)
    maps[0, 0] = 0
    maps[0, 0, 5, 5], maps[0, 0, 15, 10] = 0.5, 0.5 - 1e-5  # two equal peaks
    maps[1, 1, 12, 7], maps[1, 1, 12, 9] = 0.9, 0.9 + 1e-5  # a step between equal neighbours
    maps[1, 1, 12, 8] = 1.1
    other = maps.clone()
    other[0, 0, 15, 10] += 3e-5
    other[1, 1, 12, 7] += 3e-5
    parity = parity_of(codec, given(maps), given(other))
    assert sorted(parity.apart) == pytest.approx([2, 4 * np.hypot(10, 5)], abs=3)
    assert parity.distances.max() == 0


def test_a_point_that_moves_for_another_reason_is_not():
    """A decoding gone wrong, with maps that are nearly the same, is no toss-up."""
    codec = codec_called("dark")
    maps = bumps(codec)
    before = network_look(given(maps), codec, None)

    def after(pictures):
        found, keypoints, scores = before(pictures)
        moved = keypoints.clone()
        moved[2, 5, 0] += 0.5
        return found + 1e-6, moved, scores

    parity = compare(before, after, [batch()], codec, None, 0.01)
    assert not len(parity.apart)
    assert parity.distances.max() == pytest.approx(0.5)
    (fault,) = faults_of(parity, EXACT)
    assert fault == "a keypoint moves by 0.500 px (allowed 0.01)"


class Counting:
    """An evaluator that notes what it is given."""

    def __init__(self, figure):
        self.figure, self.rows = figure, {}

    def update(self, index, keypoints, scores):
        self.rows.update(zip(index, keypoints, strict=True))

    def compute(self):
        return {"AP": self.figure, "AR": float("nan")}


def test_figures_are_of_what_each_look_found():
    codec = codec_called("dark")
    evaluators = (Counting(0.6), Counting(0.58))
    parity = parity_of(
        codec, given(bumps(codec)), given(bumps(codec, seed=1)), None, 1.0, evaluators
    )
    assert parity.figures[0]["AP"] == 0.6
    assert len(evaluators[0].rows) == len(evaluators[1].rows) == 6
    expected, _ = codec.decode(bumps(codec, seed=1))
    assert evaluators[1].rows[3] == pytest.approx(expected[3].numpy())
    assert faults_of(parity, bounds_of("int8")) == ["AP falls from 0.6000 to 0.5800 (allowed 0.01)"]
    assert not faults_of(parity, bounds_of("int8", 0.03))
    assert faults_of(parity, bounds_of("bf16"))


def test_logits_are_measured_against_their_size_and_heatmaps_are_not():
    for name, expected in (("udp", 1), ("integral", 20)):
        codec = codec_called(name)
        maps = 20 * bumps(codec_called("udp"))
        network = given(maps / maps.max() * 20)
        parity = parity_of(codec, network, network)
        assert parity.unit == pytest.approx(expected)
    points = (np.zeros(17), np.zeros(0), None)
    assert faults_of(Parity(1, 2e-4, 1.0, 0.0, *points), EXACT)
    assert not faults_of(Parity(1, 2e-4, 20.0, 0.0, *points), EXACT)


def test_maps_that_are_not_numbers_are_a_fault():
    codec = codec_called("gaussian")
    maps = bumps(codec)
    other = maps.clone()
    other[3, 2, 4, 4] = float("nan")
    evaluators = (Counting(0.6), Counting(0.6))
    parity = parity_of(codec, given(maps), given(other), None, 1.0, evaluators)
    assert "not finite" in faults_of(parity, bounds_of("fp16"))[0]
    assert not evaluators[1].rows
    lost = ({"AP": 0.5}, {"AP": float("nan")})
    assert faults_of(Parity(1, 0.0, 1.0, 0.0, np.zeros(17), np.zeros(0), lost), bounds_of("fp16"))


def test_the_certificate_says_it_all_in_plain_values(tmp_path):
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"abc")
    figures = ({"AP": 0.5, "AR": float("nan")}, {"AP": 0.49, "AR": float("nan")})
    parity = Parity(3, 0.25, 1.0, 0.1, np.linspace(0, 1, 101), np.array([7.0]), figures)
    text = certificate(
        parity,
        bounds_of("int8"),
        export={"to": "onnx"},
        weights=weights,
        files=[weights],
        crops={"drawn": True},
        calibration=None,
        speed={},
        versions={},
    )
    assert text["weights"]["sha256"].startswith("ba7816bf")
    assert text["keypoints"]["percentile_99_px"] == pytest.approx(0.99)
    assert (text["keypoints"]["apart"], text["keypoints"]["apart_max_px"]) == (1, 7.0)
    assert text["figures"]["AP"] == {"before": 0.5, "after": 0.49}
    assert text["figures"]["AR"] == {"before": None, "after": None}
    assert text["bounds"]["loss"] == 0.01
    assert text["crops"] == {"drawn": True, "people": 3}


def test_speed_is_that_of_batches_of_one_and_eight(monkeypatch):
    monkeypatch.setattr("pose.export.certificate.SECONDS", 0.01)
    seen = []

    def find(pictures):
        seen.append(len(pictures))
        return pictures, pictures

    table = speeds({"before": find, "after": find}, images(3))
    assert table.keys() == {"batch 1", "batch 8"}
    assert set(seen) == {1, 8}
    assert all(speed > 0 for row in table.values() for speed in row.values())
