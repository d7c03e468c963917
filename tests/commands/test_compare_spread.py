"""`pose compare`: intervals of a difference on the same drawn images, and several seeds."""

import copy
import io
import json

import numpy as np
import pytest

from pose.commands.main import main
from pose.metrics.bootstrap import drawn_images, interval, sampled_figures
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import FIGURES, as_columns, entries_of, score_results
from pose.reports.spread import (
    MATCHES,
    interval_of_difference,
    intervals_of,
    outcomes_from,
    read_outcomes,
    write_outcomes,
)
from tests.commands.test_compare import RECEIPT
from tests.metrics.conftest import make_dataset, make_results

DATASET = make_dataset(num_images=15)
TRUTH = ground_truth_from(DATASET, "gt")


def outcomes_of_error(error):
    results = make_results(DATASET, error=error)
    return outcomes_from(as_columns(entries_of(results, TRUTH), TRUTH), TRUTH), results


@pytest.fixture
def evaluation(tmp_path):
    """Writes the folder of an evaluation of predictions that err by so much."""

    def write(name, error, seed, **recipe):
        outcomes, results = outcomes_of_error(error)
        receipt = copy.deepcopy(RECEIPT)
        receipt["figures"] = score_results(results, TRUTH)
        receipt["weights"]["sha256"] = f"{seed}" * 64
        receipt["recipe"] = {"seed": seed, "train": {"lr": 0.001}, **recipe}
        folder = tmp_path / name
        folder.mkdir()
        (folder / "receipt.json").write_text(json.dumps(receipt))
        write_outcomes(folder / MATCHES, outcomes)
        return folder

    return write


def numbers(line):
    return [float(word) for word in line.split()[-5:]]


def test_the_difference_has_an_interval_on_the_same_images(evaluation, capsys):
    a, b = evaluation("a", 0.05, 0), evaluation("b", 0.03, 1, model={"name": "other"})
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[2].split() == ["A", "B", "B", "-", "A", "95", "%", "from", "to"]
    first, second = (outcomes_of_error(error)[0] for error in (0.05, 0.03))
    counts = drawn_images(15)
    differences = sampled_figures(second, counts) - sampled_figures(first, counts)
    value = (sampled_figures(second) - sampled_figures(first))[:, 0]
    low, high = interval(value, differences)
    assert numbers(lines[4])[2:] == pytest.approx([value[0], low[0], high[0]], abs=1e-4)
    assert "seed" not in said.err


def test_paired_intervals_are_narrower_than_those_of_each():
    """What all networks find hard or easy cancels."""
    first, second = (outcomes_of_error(error)[0] for error in (0.05, 0.045))
    low, high = interval_of_difference(first, second)["AP"]
    widths = [b - a for a, b in (intervals_of(o)["AP"] for o in (first, second))]
    assert high - low < 0.8 * np.hypot(*widths)
    assert interval_of_difference(first, first)["AP"] == (0, 0)


def test_two_of_one_recipe_are_said_to_be(evaluation, capsys):
    a, b = evaluation("a", 0.05, 0), evaluation("b", 0.049, 1)
    assert main(["compare", str(a / "receipt.json"), str(b)]) == 0
    assert "one recipe: A and B differ in the seed alone" in capsys.readouterr().err


def test_several_seeds_give_mean_and_spread(evaluation, capsys):
    folders = [evaluation(str(i), error, i) for i, error in enumerate((0.05, 0.04, 0.045))]
    assert main(["compare", *map(str, folders)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "hrnet_w32: 3 networks, seeds 0, 1, 2"
    aps = [json.loads((f / "receipt.json").read_text())["figures"]["AP"] for f in folders]
    columns = [float(word) for word in lines[3].split()[1:]]
    expected = [np.mean(aps), np.std(aps, ddof=1), min(aps), max(aps)]
    assert columns[:4] == pytest.approx(expected, abs=6e-5)
    assert columns[4] < columns[0] < columns[5]
    assert lines[-1] == "95 %: of the mean, over images drawn anew"


def test_several_of_different_recipes_are_refused(evaluation, capsys):
    folders = [evaluation("0", 0.05, 0), evaluation("1", 0.05, 1)]
    folders.append(evaluation("2", 0.05, 2, train={"lr": 0.01}))
    assert main(["compare", *map(str, folders)]) == 2
    said = capsys.readouterr().err
    assert "are not of one recipe: train.lr: 0.001, 0.01; give two receipts, or several" in said


def test_what_moves_nothing_parts_no_seeds(evaluation, capsys):
    train = {"lr": 0.001, "save_minutes": 15.0, "failed_save": "go_on", "max_skipped": 10}
    train["sheet_every"] = 10
    data = {"root": "a", "workers": 2, "unreadable": "error"}
    folders = [evaluation("0", 0.05, 0, train=train, data=data, test={"flip": True})]
    train = {"lr": 0.001, "save_minutes": 5.0, "failed_save": "stop", "max_skipped": 3}
    train["sheet_every"] = 0
    data = {"root": "b", "workers": 8, "unreadable": "skip"}
    for seed, test in enumerate(({"flip": False}, {"batch_size": 2}), 1):
        folders.append(evaluation(f"{seed}", 0.05, seed, train=train, data=data, test=test))
    assert main(["compare", *map(str, folders)]) == 0
    assert "3 networks, seeds 0, 1, 2" in capsys.readouterr().out


def test_the_same_weights_are_no_second_seed(evaluation, capsys):
    folders = [evaluation(str(i), 0.05, 4) for i in range(3)]
    assert main(["compare", *map(str, folders)]) == 2
    assert "the weights are the same" in capsys.readouterr().err


def test_receipts_without_a_recipe_are_refused(evaluation, capsys):
    folders = [evaluation(str(i), 0.05, i) for i in range(3)]
    path = folders[1] / "receipt.json"
    receipt = json.loads(path.read_text())
    del receipt["recipe"]
    path.write_text(json.dumps(receipt))
    assert main(["compare", *map(str, folders)]) == 2
    assert "does not say how its network was trained" in capsys.readouterr().err


def test_one_alone_is_refused(evaluation, capsys):
    assert main(["compare", str(evaluation("a", 0.05, 0))]) == 2
    assert "nothing to compare it with; give a second receipt" in capsys.readouterr().err


def test_without_matches_there_are_no_intervals(evaluation, capsys):
    a, b = evaluation("a", 0.05, 0), evaluation("b", 0.03, 1)
    (b / MATCHES).unlink()
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr()
    assert "95 %" not in said.out
    assert f"no intervals: there is no {MATCHES} beside {b}" in said.err


def test_matches_of_another_evaluation_are_refused(evaluation, capsys):
    a, b = evaluation("a", 0.05, 0), evaluation("b", 0.03, 1)
    (b / MATCHES).write_bytes((a / MATCHES).read_bytes())
    assert main(["compare", str(a), str(b)]) == 2
    assert "is of another evaluation than" in capsys.readouterr().err


def test_what_is_kept_reads_back(tmp_path):
    outcomes, _ = outcomes_of_error(0.05)
    write_outcomes(tmp_path / MATCHES, outcomes)
    again = read_outcomes(tmp_path / MATCHES)
    np.testing.assert_array_equal(sampled_figures(again), sampled_figures(outcomes))
    assert list(intervals_of(again)) == list(FIGURES)


def saved(**columns):
    file = io.BytesIO()
    np.savez_compressed(file, **columns)
    return file.getvalue()


def columns_of(outcomes):
    return {name: getattr(outcomes, name) for name in outcomes.__dataclass_fields__}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: b"no archive", "cannot be read"),
        (lambda c: b"", "cannot be read"),
        (lambda c: saved(**c)[:-40], "cannot be read"),
        (lambda c: saved(**{**c, "scores": np.array([{}], object)}), "cannot be read"),
        (lambda c: saved(images=c["images"]), "cannot be read"),
        (lambda c: saved(**{**c, "right": c["right"][:2]}), r"right is bool \(2, 10"),
        (lambda c: saved(**{**c, "images": c["images"] + 100}), "names images"),
        (lambda c: saved(**{**c, "images": c["images"] * 1.0}), "images is float64"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, said):
    path = tmp_path / MATCHES
    path.write_bytes(change(columns_of(outcomes_of_error(0.05)[0])))
    with pytest.raises(ValueError, match=said) as error:
        read_outcomes(path)
    assert str(error.value).startswith(f"{path}: ") and "evaluate again" in str(error.value)


def test_flipped_bytes_are_refused_or_change_nothing_but_numbers(tmp_path):
    path = tmp_path / MATCHES
    whole = saved(**columns_of(outcomes_of_error(0.05)[0]))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read_outcomes(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 100


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pose.reports.spread.MOST_BYTES", 100)
    write_outcomes(tmp_path / MATCHES, outcomes_of_error(0.05)[0])
    with pytest.raises(ValueError, match="unpacked it takes more than 100 bytes"):
        read_outcomes(tmp_path / MATCHES)


def test_score_prints_intervals_where_asked(save, capsys):
    truth, results = save(DATASET), save(make_results(DATASET), "results.json")
    assert main(["score", str(results), "--annotations", str(truth), "--spread"]) == 0
    lines = capsys.readouterr().out.splitlines()
    value, low, high = (float(line.split()[-10]) for line in lines[2:5])
    assert lines[3].startswith("95 % from") and low < value < high


def test_score_has_no_intervals_of_other_figures(save, capsys):
    truth, results = save(DATASET), save(make_results(DATASET), "results.json")
    command = ["score", str(results), "--annotations", str(truth), "--format", "aic", "--spread"]
    assert main(command) == 2
    assert "--spread: only COCO's figures" in capsys.readouterr().err
