"""Samples are functions of (seed, epoch, index), and their keypoints lie where the pixels are."""

import itertools
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pose.data.augment import CropPolicy
from pose.data.dataset import EvaluationOrder, PoseDataset, TrainingOrder, as_made, quiet_worker
from pose.data.parts import UnreadableError
from pose.geometry import Crop, to_image
from pose.images import ImageFolder, write_image
from pose.skeleton import COCO_17
from pose.structures import People

SIZE = (192, 256)
IMAGE_SIZE = (260, 220)
UPPER = tuple(int(i) for i in COCO_17.upper_index)
POLICY = CropPolicy(SIZE, upper_index=UPPER)
NUM_PEOPLE = 7


def make_people(num_people=NUM_PEOPLE, num_images=3, seed=0):
    """People about the middle of images of IMAGE_SIZE; a fifth of the keypoints unlabelled."""
    rng = np.random.default_rng(seed)
    index = np.arange(num_people) % num_images
    keypoints = (np.array([130, 110]) + rng.integers(-60, 61, (num_people, 17, 2))).astype("f4")
    return People(
        skeleton=COCO_17,
        images=np.array([f"{i}.png" for i in range(num_images)]),
        image_sizes=np.tile(np.array(IMAGE_SIZE, np.int32), (num_images, 1)),
        image_index=index,
        image_ids=index + 1,
        boxes=np.tile(np.array([70, 40, 190, 180], np.float32), (num_people, 1)),
        keypoints=keypoints,
        visibility=rng.choice([0, 1, 2], (num_people, 17), p=[0.2, 0.3, 0.5]).astype(np.uint8),
        areas=np.full(num_people, 9000.0),
        scores=np.ones(num_people),
        annotation_ids=np.arange(num_people) + 1,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures of noise."""
    path = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for i in range(3):
        noise = rng.integers(0, 256, (IMAGE_SIZE[1], IMAGE_SIZE[0], 3)).astype(np.uint8)
        write_image(path / f"{i}.png", noise)
    return path


def make_dataset(folder, policy=POLICY, seed=0):
    return PoseDataset(make_people(), ImageFolder(folder), SIZE, policy, seed)


def fields(batch):
    return (batch.images, batch.keypoints, batch.labelled, batch.matrices, batch.index)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(fields(one), fields(other), strict=True))


# Samples


def test_a_sample_has_the_stated_shapes(folder):
    sample = make_dataset(folder)[2, 5]
    assert [(tuple(t.shape), t.dtype) for t in fields(sample)] == [
        ((3, 256, 192), torch.uint8),
        ((17, 2), torch.float32),
        ((17,), torch.bool),
        ((2, 3), torch.float64),
        ((), torch.int64),
    ]
    assert sample.images.is_contiguous() and sample.index == 5


def test_samples_depend_on_seed_epoch_and_index_alone(folder):
    dataset = make_dataset(folder)
    first = dataset[1, 3]
    for key in ((0, 0), (1, 4), (5, 6)):
        assert not same(dataset[key], first)
    assert same(dataset[1, 3], first) and same(make_dataset(folder)[1, 3], first)
    for other in (dataset[2, 3], dataset[1, 0], make_dataset(folder, seed=1)[1, 3]):
        assert not torch.equal(other.matrices, first.matrices)


def test_without_a_policy_every_epoch_has_the_plain_crops(folder):
    dataset = make_dataset(folder, policy=None)
    for i in range(NUM_PEOPLE):
        sample, person = dataset[0, i], dataset.people[i]
        crop = Crop.of_box(person.box, SIZE)
        assert same(sample, dataset[9, i])
        assert np.array_equal(sample.matrices.numpy(), crop.matrix)
        picture = crop.warp(ImageFolder(folder).read(person.image))
        assert np.array_equal(sample.images.permute(1, 2, 0).numpy(), picture)
        assert sample.labelled.tolist() == (person.visibility > 0).tolist()


def test_mirrored_crops_swap_left_and_right(folder):
    dataset = make_dataset(folder)
    seen = set()
    for epoch in range(6):
        for i in range(NUM_PEOPLE):
            sample, person = dataset[epoch, i], dataset.people[i]
            mirrored = bool(torch.linalg.det(sample.matrices[:, :2]) < 0)
            order = COCO_17.flip_index if mirrored else np.arange(17)
            back = to_image(sample.keypoints[None].numpy(), sample.matrices[None].numpy())[0]
            assert back == pytest.approx(person.keypoints[order], abs=1e-3)
            assert sample.labelled.tolist() == (person.visibility[order] > 0).tolist()
            seen.add(mirrored)
    assert seen == {False, True}


def test_keypoints_lie_where_their_pixels_are(tmp_path):
    """A soft dot is painted at a keypoint; its centre of mass in the crop is the keypoint's."""
    people = make_people(num_people=4, num_images=4)
    left, right = COCO_17.index("left_wrist"), COCO_17.index("right_wrist")
    ys, xs = np.mgrid[: IMAGE_SIZE[1], : IMAGE_SIZE[0]]
    for i in range(4):
        x, y = people.keypoints[i, left]
        dot = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 3.0**2))
        write_image(tmp_path / f"{i}.png", np.repeat(dot[..., None], 3, axis=2).astype(np.uint8))
    dataset = PoseDataset(people, ImageFolder(tmp_path), SIZE, POLICY)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    measured = set()
    for epoch in range(12):
        for i in range(4):
            sample = dataset[epoch, i]
            mirrored = bool(torch.linalg.det(sample.matrices[:, :2]) < 0)
            x, y = sample.keypoints[right if mirrored else left].tolist()
            if not (30 < x < SIZE[0] - 30 and 30 < y < SIZE[1] - 30):
                continue
            mass = sample.images[0].numpy().astype(float)
            found = ((mass * columns).sum() / mass.sum(), (mass * rows).sum() / mass.sum())
            assert found == pytest.approx((x, y), abs=0.1)
            measured.add((i, mirrored))
    assert len(measured) > 4


# Images


def test_an_image_of_another_size_is_refused(folder):
    dataset = make_dataset(folder)
    sizes = dataset.people.image_sizes.copy()
    sizes[1] = (261, 220)
    dataset.parts.people = replace(dataset.people, image_sizes=sizes)
    assert dataset[0, 0] is not None
    with pytest.raises(ValueError, match=r"^1\.png: is 260x220 pixels, .* 261x220; .*") as raised:
        dataset[0, 1]
    assert "\n" not in str(raised.value)


def test_sizes_that_the_annotations_do_not_state_are_not_checked(folder):
    dataset = make_dataset(folder)
    sizes = np.zeros_like(dataset.people.image_sizes)
    dataset.parts.people = replace(dataset.people, image_sizes=sizes)
    assert same(dataset[0, 1], make_dataset(folder)[0, 1])


def test_a_missing_image_is_named(folder, tmp_path):
    dataset = make_dataset(folder)
    dataset.parts.images = ImageFolder(tmp_path)
    with pytest.raises(UnreadableError, match=r"0\.png: no such image file$"):
        dataset[0, 0]


def test_a_zip_file_gives_the_same_samples(folder, tmp_path):
    path = tmp_path / "noise.zip"
    with zipfile.ZipFile(path, "w") as target:
        for image in folder.iterdir():
            target.write(image, f"noise/{image.name}")
    for key in ((0, 0), (3, 4)):
        assert same(make_dataset(path)[key], make_dataset(folder)[key])
    order = TrainingOrder(NUM_PEOPLE, 3, seed=0)
    assert_same_batches(load(make_dataset(path), order, 2), load(make_dataset(folder), order, 0))


# Loading


def load(dataset, order, num_workers, method=None):
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=num_workers,
        collate_fn=as_made,
        worker_init_fn=quiet_worker if num_workers else None,
        multiprocessing_context=method,
    )
    return list(loader)


def assert_same_batches(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert same(one, other)


@pytest.mark.parametrize(
    ("num_workers", "method"), [(1, "fork"), (2, "fork"), (2, "spawn")], ids=lambda v: str(v)
)
def test_batches_are_the_same_whatever_the_workers(folder, num_workers, method):
    order = TrainingOrder(NUM_PEOPLE, 3, seed=4)
    order.epoch = 2
    dataset = make_dataset(folder)
    expected = load(dataset, order, 0)
    assert len(expected) == 2 and expected[0].images.shape == (3, 3, 256, 192)
    assert_same_batches(load(dataset, order, num_workers, method), expected)


def test_two_processes_see_the_samples_of_one(folder):
    dataset = make_dataset(folder)
    whole = load(dataset, TrainingOrder(NUM_PEOPLE, 4, seed=0), 0)
    parts = [load(dataset, TrainingOrder(NUM_PEOPLE, 4, 0, rank, 2), 0) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for one, *others in zip(fields(batch), *map(fields, shares), strict=True):
            assert torch.equal(one, torch.cat(others))


def test_nobody_makes_no_batches(folder):
    dataset = PoseDataset(make_people(num_people=0), ImageFolder(folder), SIZE)
    assert len(dataset) == 0
    nobody = np.zeros(0, int)
    for order in (
        EvaluationOrder(nobody, 4),
        EvaluationOrder(nobody, 4, 1, 2),
        TrainingOrder(0, 4, 0),
    ):
        assert len(order) == 0 and load(dataset, order, 0) == []


# Orders

SETS = [(100, 10, 1), (103, 12, 3), (64, 64, 4), (7, 32, 1), (7, 32, 4), (1, 4, 2), (33, 32, 2)]


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


def epoch_of(num_people, batch_size, world_size, seed=0, epoch=0, first_batch=0):
    """The batches of each rank, as indices."""
    ranks = []
    for rank in range(world_size):
        order = TrainingOrder(num_people, batch_size, seed, rank, world_size)
        order.epoch, order.first_batch = epoch, first_batch
        batches = list(order)
        assert len(batches) == len(order) - first_batch
        assert {e for batch in batches for e, _ in batch} <= {epoch}
        ranks.append([[i for _, i in batch] for batch in batches])
    return ranks


@pytest.mark.parametrize(("num_people", "batch_size", "world_size"), SETS)
def test_ranks_share_each_batch_evenly(num_people, batch_size, world_size):
    ranks = epoch_of(num_people, batch_size, world_size)
    merged = [joined(shares) for shares in zip(*ranks, strict=True)]
    assert {len(share) for batches in ranks for share in batches} == {len(merged[0]) // world_size}
    if num_people >= batch_size:
        assert merged == epoch_of(num_people, batch_size, 1)[0]
        assert len(merged) == num_people // batch_size
        seen = joined(merged)
        assert len(set(seen)) == len(seen) and set(seen) <= set(range(num_people))
    else:
        assert len(merged) == 1 and set(merged[0]) == set(range(num_people))
        assert len(merged[0]) - num_people < world_size


def test_the_order_is_a_permutation_by_seed_and_epoch():
    first = epoch_of(60, 6, 1)[0]
    assert sorted(joined(first)) == list(range(60)) and joined(first) != list(range(60))
    assert epoch_of(60, 6, 1)[0] == first
    assert epoch_of(60, 6, 1, epoch=1)[0] != first
    assert epoch_of(60, 6, 1, seed=1)[0] != first
    assert epoch_of(60, 6, 1, epoch=1)[0] != epoch_of(60, 6, 1, seed=1)[0]


@pytest.mark.parametrize("world_size", [1, 2])
def test_an_epoch_goes_on_where_it_was_interrupted(world_size):
    whole = epoch_of(50, 8, world_size, epoch=3)
    for done in (0, 1, 5, 6):
        rest = epoch_of(50, 8, world_size, epoch=3, first_batch=done)
        assert rest == [batches[done:] for batches in whole]


def test_a_batch_that_does_not_divide_is_refused():
    message = r"train\.batch_size 10 .* must be a multiple of their number, 3"
    with pytest.raises(ValueError, match=message):
        TrainingOrder(100, 10, 0, 0, 3)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize(("num_people", "batch_size"), [(0, 4), (1, 4), (5, 4), (64, 16), (65, 16)])
def test_evaluation_covers_all_once(num_people, batch_size, world_size):
    image_index = np.arange(num_people) // 3
    alone = list(EvaluationOrder(image_index, batch_size))
    assert [key for batch in alone for key in batch] == [(0, i) for i in range(num_people)]
    together = []
    for rank in range(world_size):
        order = EvaluationOrder(image_index, batch_size, rank, world_size)
        batches = list(order)
        assert len(batches) == len(order) and all(0 < len(b) <= batch_size for b in batches)
        assert abs(len(batches) - len(alone) / world_size) < 1
        together += batches
    assert together == alone


def test_real_photographs(test_data):
    """The published layout, from file to batch; every labelled keypoint maps back."""
    from pose.data.coco import load_coco

    coco = test_data / "coco"
    people = load_coco(coco / "annotations/person_keypoints_val2017.json")
    dataset = PoseDataset(people, ImageFolder(coco / "images/val2017"), SIZE, POLICY)
    (batch,) = load(dataset, TrainingOrder(len(people), 16, 0), 0)[:1]
    back = to_image(batch.keypoints.numpy(), batch.matrices.numpy())
    for keypoints, labelled, matrix, i in zip(
        back, batch.labelled, batch.matrices, batch.index.tolist(), strict=True
    ):
        mirrored = torch.linalg.det(matrix[:, :2]) < 0
        order = COCO_17.flip_index if mirrored else np.arange(17)
        assert keypoints == pytest.approx(people[i].keypoints[order], abs=0.01)
        assert labelled.sum() == (people[i].visibility > 0).sum() > 0
