"""Person AP of boxes is pycocotools' own, on the images that were looked at."""

import contextlib
import io
import json
import math

import pytest

from pose.metrics.box_ap import FIGURES, box_figures, read_box_truth


def box(image_id, x, size=50, **fields):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, 10, size, size * 2], **fields}


def content(**fields):
    annotations = [
        {**a, "id": i, "area": a["bbox"][2] * a["bbox"][3], "iscrowd": a.get("iscrowd", 0)}
        for i, a in enumerate(
            [box(7, 0), box(7, 100, 80), box(9, 30, 20), box(9, 300, iscrowd=1)], start=1
        )
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (7, 9, 11)],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [*annotations, {**annotations[0], "id": 9, "category_id": 2}],
        **fields,
    }


FOUND = [
    box(7, 3, score=0.9),
    box(7, 108, 80, score=0.6),
    box(7, 200, score=0.7),
    box(9, 31, 22, score=0.5),
    box(9, 310, score=0.4),
    box(11, 5, score=0.95),
]


def published(path, entries, image_ids):
    """The same through pycocotools' own reading of both files."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(path))
        evaluation = COCOeval(labels, labels.loadRes(entries), "bbox")
        evaluation.params.catIds = [1]
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("image_ids", [[7, 9, 11], [9, 7], [9]])
def test_the_figures_are_those_of_pycocotools(image_ids, save):
    path = save(content())
    found = box_figures(FOUND, read_box_truth(path), image_ids)
    entries = [entry for entry in FOUND if entry["image_id"] in image_ids]
    stats = published(path, entries, image_ids)
    assert 0 < found["AP"] < 1
    for name, place in FIGURES.items():
        expected = stats[place] if stats[place] >= 0 else math.nan
        assert found[name] == pytest.approx(expected, abs=0, nan_ok=True), name


def test_on_real_detections_too(test_data):
    folder = test_data / "coco"
    path = folder / "annotations/person_keypoints_val2017.json"
    name = "COCO_val2017_detections_AP_H_56_person.json"
    entries = json.loads((folder / "person_detection_results" / name).read_text())
    truth = read_box_truth(path)
    entries = [entry for entry in entries if entry["image_id"] in truth.names]
    found = box_figures(entries, truth, list(truth.names))
    stats = published(path, entries, list(truth.names))
    assert [found[name] for name in FIGURES] == [stats[place] for place in FIGURES.values()]


def test_ids_mean_nothing(save):
    whole = read_box_truth(save(content()))
    for ids in ([0] * 5, [5, 4, 3, 2, 1]):
        other = content()
        for annotation, new_id in zip(other["annotations"], ids, strict=True):
            annotation["id"] = new_id
        truth = read_box_truth(save(other))
        assert box_figures(FOUND, truth, [7, 9]) == box_figures(FOUND, whole, [7, 9])


def test_nobody_found_is_zero_and_nobody_there_is_nan(save):
    truth = read_box_truth(save(content()))
    assert box_figures([], truth, [7, 9])["AP"] == 0
    assert math.isnan(box_figures(FOUND, truth, [11])["AP"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"images": None}, "'images' is missing or not a list of objects"),
        ({"images": [{"id": 1}]}, "images[0]: has no 'file_name'"),
        ({"categories": []}, "'categories' is empty"),
        ({"annotations": [{"image_id": 1, "category_id": 1}]}, "annotation 0: has no 'bbox'"),
        ({"annotations": [box(1, math.nan)]}, "annotation 0: bbox[0] is nan"),
        ({"annotations": [box("one", 1)]}, "annotation 0: image_id is 'one'"),
    ],
)
def test_a_broken_file_is_named_with_entry_and_field(fields, words, save):
    path = save(content(**fields))
    with pytest.raises(ValueError) as error:
        read_box_truth(path)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value)
