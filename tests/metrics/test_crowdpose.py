"""CrowdPose's files load and score as crowdposetools would; OCHuman's as COCO's.

The files here are made in the published layout; no real ones were at hand.
"""

import json

import numpy as np
import pytest

from pose.build_data import FORMATS, evaluator_of, load_people
from pose.commands.main import main
from pose.config import load_config
from pose.data.forms import read_crowdpose
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import score_results
from pose.metrics.crowdpose import score_crowdpose
from pose.skeletons import CROWDPOSE_14

LIMBS_OF_COCO = [[16, 14], [14, 12], [17, 15], [15, 13]]
"""As in the published files, whose `skeleton` was never renumbered for 14 keypoints."""


def crowded(dataset):
    """A made data set in CrowdPose's layout: no areas, a crowdIndex for every image."""
    for annotation in dataset["annotations"]:
        del annotation["area"]
    for number, image in enumerate(dataset["images"]):
        image["crowdIndex"] = [0.05, 0.15, 0.2, 0.5, 0.79, 0.8, 0.95][number % 7]
    dataset["categories"][0] = {
        "id": 1,
        "name": "person",
        "keypoints": list(CROWDPOSE_14.keypoints),
        "skeleton": LIMBS_OF_COCO,
    }
    return dataset


@pytest.fixture
def labels(coco):
    return crowded(coco.make_dataset(CROWDPOSE_14, num_images=30))


@pytest.fixture
def found(labels, coco):
    return coco.make_results(labels)


def truth_of(path):
    return ground_truth_from(read_crowdpose(path), str(path))


def with_areas(labels, low=-1.0, high=2.0):
    """For pycocotools: areas are 0.53 of the boxes; only images of that crowdIndex."""
    images = [image for image in labels["images"] if low <= image["crowdIndex"] < high]
    ids = {image["id"] for image in images}
    annotations = [
        {**a, "area": 0.53 * a["bbox"][2] * a["bbox"][3]}
        for a in labels["annotations"]
        if a["image_id"] in ids
    ]
    return {**labels, "images": images, "annotations": annotations}


def test_the_figures_are_those_of_pycocotools_on_such_areas(labels, found, save, coco):
    figures = score_crowdpose(found, truth_of(save(labels)))
    assert list(figures) == [
        *("AP", "AP .5", "AP .75", "AR", "AR .5", "AR .75", "AP (E)", "AP (M)", "AP (H)")
    ]
    bare = coco.bare(with_areas(labels), found, CROWDPOSE_14.sigmas).stats
    expected = [bare[i] for i in (0, 1, 2, 5, 6, 7)]
    for low, high in ((-1.0, 0.2), (0.2, 0.8), (0.8, 2.0)):
        part = with_areas(labels, low, high)
        ids = {image["id"] for image in part["images"]}
        results = [entry for entry in found if entry["image_id"] in ids]
        expected.append(coco.bare(part, results, CROWDPOSE_14.sigmas).stats[0])
    assert list(figures.values()) == expected
    assert len({round(value, 6) for value in expected}) == 9


def test_a_kind_without_images_is_nan(labels, found, save):
    for image in labels["images"]:
        image["crowdIndex"] = 0.5
    figures = score_crowdpose(found, truth_of(save(labels)))
    assert np.isnan(figures["AP (E)"]) and np.isnan(figures["AP (H)"])
    assert figures["AP (M)"] == figures["AP"]


def test_an_image_without_crowd_index_is_named(labels, found, save):
    del labels["images"][3]["crowdIndex"]
    path = save(labels)
    with pytest.raises(ValueError) as raised:
        score_crowdpose(found, truth_of(path))
    assert str(raised.value) == (f"{path}: images[3]: crowdIndex is None, expected a finite number")


def test_people_are_read_with_crowdpose_s_skeleton_and_areas(labels, save):
    path = save(labels)
    people = FORMATS["crowdpose"].load(path, None, "published")
    assert people.skeleton == CROWDPOSE_14 == FORMATS["crowdpose"].skeleton(path)
    raw = {a["id"]: a["bbox"] for a in labels["annotations"]}
    assert len(people) > 20
    for person in people:
        _, _, width, height = raw[person.annotation_id]
        assert person.area == pytest.approx(0.53 * width * height)


def test_other_keypoints_are_refused(labels, save):
    labels["categories"][0]["keypoints"][0] = "nose"
    with pytest.raises(ValueError, match=r"'crowdpose_14' \(different: left_shoulder, nose\)"):
        read_crowdpose(save(labels))
    labels["categories"][0]["keypoints"] = [*CROWDPOSE_14.keypoints[::-1]]
    with pytest.raises(ValueError, match=r"\(different: their order\)"):
        read_crowdpose(save(labels))


def test_the_evaluator_and_pose_score_agree(labels, found, save, tmp_path, capsys):
    cfg = load_config(
        "crowdpose/hrnet_w32_256x192",
        [f"data.root={tmp_path}", "data.val_annotations=annotations.json"],
    )
    path = save(labels)
    people = load_people(cfg, "val")
    evaluator = evaluator_of(cfg, people)
    noise = np.random.default_rng(0).normal(size=people.keypoints.shape) * 4
    ones = np.ones(people.visibility.shape)
    evaluator.update(np.arange(len(people)), people.keypoints + noise, ones)
    figures = evaluator.compute()
    assert next(iter(figures)) == "AP" and 0.1 < figures["AP"] < 1
    results = save(evaluator.results(), "results.json")
    out = tmp_path / "out.json"
    command = ["score", str(results), "--annotations", str(path), "--format", "crowdpose"]
    assert main([*command, "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == figures
    assert "AP (H)" in capsys.readouterr().out


def test_ochuman_loads_and_scores_as_coco(dataset, results, save, coco):
    """Its converted files: boxes of whole numbers, areas of masks, no iscrowd in some copies."""
    for annotation in dataset["annotations"]:
        del annotation["iscrowd"]
        annotation["segmentation"] = {"counts": "abc", "size": [10, 10]}
    path = save(dataset)
    assert len(FORMATS["coco"].load(path, None, "published")) > 10
    for annotation in dataset["annotations"]:
        del annotation["segmentation"]
        annotation["iscrowd"] = 0
    sigmas = FORMATS["coco"].skeleton(path).sigmas
    expected = coco.bare(dataset, results, sigmas).stats
    assert list(score_results(results, path).values()) == list(expected)
