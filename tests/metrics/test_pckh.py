"""PCKh: the slow obvious count, the published figures of real predictions, MPII's files."""

import argparse
import json

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pose.commands import score
from pose.commands.tables import figures_table
from pose.metrics.mpii import MpiiEvaluator, score_predictions
from pose.metrics.mpii_files import NAMES, read_predictions, read_truth, write_predictions
from pose.metrics.pckh import GROUPS, pckh, pckh_figures
from pose.skeleton import MPII_16
from pose.structures import People

FIGURES = ["PCKh@0.5", *GROUPS, "PCKh@0.1", "PCKh@0.11 (published as 0.1)"]


def random_truth(num_people=40, seed=0):
    """The variables of a ground truth file, 1-based; a quarter of the labels is missing."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(50, 200, (2, num_people))
    return {
        "jnt_missing": (rng.random((16, num_people)) < 0.25).astype(np.uint8),
        "pos_gt_src": np.round(rng.uniform(1, 400, (16, 2, num_people))),
        "headboxes_src": np.stack([corners, corners + rng.uniform(20, 80, corners.shape)]),
        "dataset_joints": np.array([list(NAMES)], dtype=object),
    }


def near(truth, seed=1):
    """(N, 16, 2) predictions of which some lie on every side of every threshold."""
    labels = truth["pos_gt_src"].transpose(2, 0, 1)
    return labels + np.random.default_rng(seed).normal(0, 15, labels.shape)


def people_of(count):
    return People(
        skeleton=MPII_16,
        images=np.array([f"{i}.jpg" for i in range(count)], np.str_),
        image_sizes=np.zeros((count, 2), np.int32),
        image_index=np.arange(count),
        image_ids=np.arange(1, count + 1),
        boxes=np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1)),
        keypoints=np.zeros((count, 16, 2), np.float32),
        visibility=np.zeros((count, 16), np.uint8),
        areas=np.full(count, 81.0),
        scores=np.ones(count),
        annotation_ids=np.arange(1, count + 1),
    )


def slow_figures(truth, predictions):
    """One keypoint after the other, names and numbers of the published table."""

    def share(places, threshold):
        correct = count = 0
        for k in places:
            for n in range(predictions.shape[0]):
                if truth["jnt_missing"][k, n]:
                    continue
                x1, y1 = truth["headboxes_src"][0, :, n]
                x2, y2 = truth["headboxes_src"][1, :, n]
                head = 0.6 * ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
                dx, dy = predictions[n, k] - truth["pos_gt_src"][k, :, n]
                count += 1
                correct += (dx * dx + dy * dy) ** 0.5 / head <= threshold
        return correct / count

    names = list(NAMES)
    counted = [k for k in range(16) if names[k] not in ("pelv", "thor")]
    figures = {"PCKh@0.5": share(counted, 0.5), "Head": share([names.index("head")], 0.5)}
    parts = {"Shoulder": "sho", "Elbow": "elb", "Wrist": "wri"}
    for group, part in {**parts, "Hip": "hip", "Knee": "kne", "Ankle": "ank"}.items():
        sides = [share([names.index(side + part)], 0.5) for side in "lr"]
        figures[group] = sum(sides) / 2
    figures["PCKh@0.1"] = share(counted, 0.1)
    figures["PCKh@0.11 (published as 0.1)"] = share(counted, 0.11)
    return figures


@pytest.fixture
def truth():
    return random_truth()


@pytest.fixture
def save(tmp_path):
    def write(content, name="gt_valid.mat"):
        savemat(tmp_path / name, content)
        return tmp_path / name

    return write


def fault(call, *arguments):
    with pytest.raises(ValueError) as raised:
        call(*arguments)
    line = str(raised.value)
    assert "\n" not in line and len(line) < 400
    return line


# The figures


@pytest.mark.parametrize("seed", range(3))
def test_fast_equals_slow(save, tmp_path, seed):
    truth = random_truth(seed=seed)
    predictions = near(truth, seed + 10)
    write_predictions(tmp_path / "pred.mat", predictions)
    figures = score_predictions(tmp_path / "pred.mat", save(truth))
    assert figures == pytest.approx(slow_figures(truth, predictions), abs=1e-12)
    assert list(figures) == FIGURES
    assert 0 < figures["PCKh@0.1"] < figures["PCKh@0.5"] < 1


def test_the_distance_itself_counts_and_the_unlabelled_do_not():
    errors = np.array([[0.5, 0.0], [np.nextafter(0.5, 1), 9.0], [np.nan, 0.0]])
    labelled = np.array([[True, False], [True, False], [True, False]])
    assert pckh(errors, labelled, 0.5).tolist() == pytest.approx([1 / 3, np.nan], nan_ok=True)


def test_figures_without_labels_are_nan():
    points, labelled = np.zeros((2, 16, 2)), np.ones((2, 16), bool)
    labelled[:, MPII_16.index("left_knee")] = False
    figures = pckh_figures(points, points, labelled, np.ones(2))
    assert np.isnan(figures.pop("Knee")) and set(figures.values()) == {1.0}
    nobody = pckh_figures(points, points, np.zeros((2, 16), bool), np.ones(2))
    assert np.isnan(list(nobody.values())).all()


def test_keypoints_go_by_their_names(save, truth, tmp_path):
    """A file in another order gives the same figures."""
    order = np.random.default_rng(5).permutation(16)
    shuffled = {
        **truth,
        "jnt_missing": truth["jnt_missing"][order],
        "pos_gt_src": truth["pos_gt_src"][order],
        "dataset_joints": truth["dataset_joints"][:, order],
        "pos_pred_src": near(truth).transpose(1, 2, 0)[order],
    }
    write_predictions(tmp_path / "pred.mat", near(truth))
    expected = score_predictions(tmp_path / "pred.mat", save(truth))
    path = save(shuffled, "shuffled.mat")
    assert score_predictions(tmp_path / "pred.mat", path) == expected
    assert score_predictions(path, path) == expected


# The evaluator


def test_the_evaluator_is_what_scores_its_file(save, truth, tmp_path):
    evaluator = MpiiEvaluator(save(truth), people_of(40))
    predictions = near(truth) - 1
    for index in np.array_split(np.random.default_rng(0).permutation(40), 3):
        evaluator.update(index, predictions[index], np.ones((len(index), 16)))
    evaluator.update([7], predictions[[7]], np.ones((1, 16)))  # a padded batch
    assert evaluator.results() == pytest.approx(predictions + 1, abs=1e-4)
    write_predictions(tmp_path / "pred.mat", evaluator.results())
    written = loadmat(tmp_path / "pred.mat")["preds"]
    assert written.shape == (40, 16, 2) and np.array_equal(written, evaluator.results())
    assert score_predictions(tmp_path / "pred.mat", tmp_path / "gt_valid.mat") == (
        evaluator.compute()
    )
    assert evaluator.has_labels


def test_processes_merge_and_who_never_came_is_missed(save, truth, tmp_path):
    whole, half, other = (MpiiEvaluator(save(truth), people_of(40)) for _ in range(3))
    perfect = truth["pos_gt_src"].transpose(2, 0, 1) - 1
    whole.update(np.arange(40), perfect, np.ones((40, 16)))
    half.update(np.arange(20), perfect[:20], np.ones((20, 16)))
    other.update(np.arange(15, 40), perfect[15:], np.ones((25, 16)))
    assert whole.compute() == dict.fromkeys(FIGURES, 1.0)
    assert 0.3 < half.compute()["PCKh@0.5"] < 0.7
    line = fault(write_predictions, tmp_path / "pred.mat", half.results())
    assert line.endswith("not written, person 20 has no finite prediction")
    assert not (tmp_path / "pred.mat").exists()
    half.update(*other.predictions())
    assert half.compute() == whole.compute()
    half.reset()
    assert half.compute()["PCKh@0.5"] == 0 and not len(half.predictions()[0])


def test_predictions_that_are_not_finite_are_refused(save, truth):
    evaluator = MpiiEvaluator(save(truth), people_of(40))
    predictions = near(truth)[:3]
    predictions[1, 4, 0] = np.nan
    line = fault(evaluator.update, [5, 6, 7], predictions, np.ones((3, 16)))
    assert "the prediction for a person in 6.jpg is not finite" in line


def test_another_number_of_people_is_refused(save, truth, tmp_path):
    path = save(truth)
    assert "has 40 people, the annotations have 39" in fault(MpiiEvaluator, path, people_of(39))
    write_predictions(tmp_path / "pred.mat", np.zeros((41, 16, 2)))
    line = fault(score_predictions, tmp_path / "pred.mat", path)
    assert line == f"{tmp_path / 'pred.mat'}: holds predictions for 41 people, {path} has 40"


# Files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jnt_missing": None}, "has no 'jnt_missing' (it has: "),
        ({"pos_gt_src": None}, "has no 'pos_gt_src'"),
        ({"headboxes_src": None}, "has no 'headboxes_src'"),
        ({"dataset_joints": None}, "has no 'dataset_joints'"),
        ({"jnt_missing": np.full((16, 40), 2)}, "jnt_missing has a value other than 0 or 1"),
        ({"jnt_missing": np.zeros((14, 40))}, "jnt_missing has shape (14, 40), expected (16, N)"),
        ({"jnt_missing": "none"}, "jnt_missing is no array of numbers"),
        ({"pos_gt_src": np.zeros((16, 2, 39))}, "(16, 2, 39), expected (16, 2, 40)"),
        ({"pos_gt_src": np.full((16, 2, 40), np.nan)}, "pos_gt_src holds a number that is not fin"),
        ({"headboxes_src": np.ones((2, 2, 40))}, "headboxes_src[..., 0] is a box without size"),
        ({"dataset_joints": np.array([["rank"] * 16], object)}, "dataset_joints are not the names"),
        ({"dataset_joints": np.zeros((1, 16))}, "dataset_joints are not the names rank, rkne"),
        ({"dataset_joints": np.empty((0, 0))}, "dataset_joints are not the names"),
    ],
)
def test_a_broken_truth_is_named(save, truth, changes, message):
    content = {name: v for name, v in (truth | changes).items() if v is not None}
    path = save(content)
    line = fault(read_truth, path)
    assert line.startswith(f"{path}: ") and message in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1}, "has neither 'preds' nor 'pos_pred_src' (it has: other)"),
        ({"pos_pred_src": np.zeros((16, 2, 5))}, "has no 'dataset_joints' (it has: pos_pred_src)"),
        ({"preds": np.zeros((5, 16, 3))}, "preds has shape (5, 16, 3), expected (N, 16, 2)"),
        ({"preds": np.zeros((16, 2))}, "preds has shape (16, 2), expected (N, 16, 2)"),
        ({"preds": np.full((5, 16, 2), np.inf)}, "preds holds a number that is not finite"),
        ({"preds": "none"}, "preds is no array of numbers"),
    ],
)
def test_broken_predictions_are_named(save, content, message):
    path = save(content, "pred.mat")
    assert fault(read_predictions, path) == f"{path}: {message}"


# The command


def run_score(*words):
    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    return score.run(parser.parse_args([str(word) for word in words]))


def test_pose_score_prints_and_writes_pckh(save, truth, tmp_path, capsys):
    results, out = tmp_path / "pred.mat", tmp_path / "figures.json"
    write_predictions(results, near(truth))
    annotations = save(truth)
    assert run_score(results, "--annotations", annotations, "--json", out) == 0
    figures = score_predictions(results, annotations)
    assert json.loads(out.read_text()) == figures
    assert figures_table({"pred.mat": figures}) in capsys.readouterr().out
    with pytest.raises(ValueError, match="is an input file"):
        run_score(results, "--annotations", annotations, "--json", results)


def test_coco_s_and_mpii_s_files_do_not_mix(save, truth):
    path = save(truth)
    with pytest.raises(ValueError, match="do not belong together"):
        run_score("results.json", "--annotations", path)
    with pytest.raises(ValueError, match="do not belong together"):
        run_score(path, "--annotations", "labels.json")


def test_the_table_has_a_row_a_figure():
    lines = figures_table({"a.mat": {"PCKh@0.5": 0.5, "Head": float("nan")}}).splitlines()
    assert [line.split() for line in lines[2:]] == [["PCKh@0.5", "0.5000"], ["Head", "n/a"]]


# Published files


@pytest.fixture(scope="module")
def published(test_data):
    return test_data / "mpii/gt_valid.mat"


def test_the_oracle(published):
    """Stored predictions of a real network, already 1-based."""
    figures = score_predictions(published, published)
    assert list(figures) == FIGURES
    percent = [100 * value for value in figures.values()]
    means = [82.3367, 28.9748, 33.1382]
    assert [percent[0], *percent[-2:]] == pytest.approx(means, abs=5.1e-5)
    groups = [95.60, 92.71, 83.36, 76.74, 81.93, 73.36, 65.45]
    assert percent[1:-2] == pytest.approx(groups, abs=5.1e-3)


def test_the_labels_that_count(published):
    truth = read_truth(published)
    assert len(truth) == 2958
    assert truth.labelled.sum() == 44_240  # pelvis and thorax included; the mean is of 38,430
    inside = [k for k, name in enumerate(MPII_16.keypoints) if name not in ("pelvis", "thorax")]
    assert truth.labelled[:, inside].sum() == 38_430


def test_a_pixel_counted_twice_shows(published, tmp_path):
    """What adding 1 to 1-based predictions costs."""
    write_predictions(tmp_path / "pred.mat", read_predictions(published) + 1)
    figures = score_predictions(tmp_path / "pred.mat", published)
    shifted = [100 * figures[name] for name in ("PCKh@0.5", "PCKh@0.1")]
    assert shifted == pytest.approx([82.3055, 27.5904], abs=5.1e-5)


def test_the_evaluator_adds_the_one_pixel(published):
    evaluator = MpiiEvaluator(published, people_of(2958))
    predictions = read_predictions(published) - 1
    evaluator.update(np.arange(2958), predictions, np.ones((2958, 16)))
    expected = score_predictions(published, published)
    # float32 predictions: a keypoint or two may change sides
    assert evaluator.compute() == pytest.approx(expected, abs=1e-4)
