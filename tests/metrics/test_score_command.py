"""`pose score` and the tables that commands print."""

import argparse
import json

import pytest

from pose.commands import score
from pose.commands.tables import ap_table, format_table
from pose.metrics.coco_score import score_results


def arguments(*words):
    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def files(dataset, results, save):
    return save(results, "results.json"), save(dataset)


def test_prints_and_writes_the_figures(files, tmp_path, capsys):
    results, annotations = files
    before = [path.read_bytes() for path in files]
    out = tmp_path / "sub" / "figures.json"
    assert score.run(arguments(results, "--annotations", annotations, "--json", out)) == 0
    figures = score_results(results, annotations)
    assert json.loads(out.read_text()) == figures
    printed = capsys.readouterr().out
    assert f"{figures['AP']:.4f}" in printed
    assert "AP (M)" in printed and str(out) in printed
    assert [path.read_bytes() for path in files] == before


def test_a_figure_without_members_is_na_and_null(dataset, results, save, tmp_path, capsys):
    for annotation in dataset["annotations"]:
        annotation["area"] = 2000.0
    out = tmp_path / "figures.json"
    score.run(
        arguments(save(results, "results.json"), "--annotations", save(dataset), "--json", out)
    )
    printed = capsys.readouterr().out
    assert printed.count("n/a") == 2
    assert "-1.0" not in printed
    assert json.loads(out.read_text())["AP (L)"] is None


def test_an_input_is_never_overwritten(files):
    for given in files:
        with pytest.raises(ValueError, match="is an input file"):
            score.run(arguments(files[0], "--annotations", files[1], "--json", given))


def test_missing_files_are_named(files, tmp_path):
    missing = tmp_path / "none.json"
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        score.run(arguments(missing, "--annotations", files[1]))
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        score.run(arguments(files[0], "--annotations", missing))


def test_annotations_are_required(files, capsys):
    with pytest.raises(SystemExit):
        arguments(files[0])
    assert "--annotations" in capsys.readouterr().err


def test_truth_as_prediction_is_one_on_real_annotations(test_data, tmp_path, capsys):
    path = test_data / "coco/annotations/person_keypoints_val2017.json"
    annotations = json.loads(path.read_text())["annotations"]
    results = [
        {**{key: a[key] for key in ("image_id", "category_id", "keypoints")}, "score": 1.0}
        for a in annotations
        if a["num_keypoints"] and not a["iscrowd"]
    ]
    given = tmp_path / "results.json"
    given.write_text(json.dumps(results))
    assert score.run(arguments(given, "--annotations", path)) == 0
    figures = score_results(given, path)
    assert figures == pytest.approx(dict.fromkeys(figures, 1.0), abs=1e-12)


def test_table_aligns_text_left_and_numbers_right():
    table = format_table(["name", "n", "AP"], [["a", 5, 0.5], ["longer", 123, float("nan")]])
    assert table.splitlines() == [
        "name      n      AP",
        "------  ---  ------",
        "a         5  0.5000",
        "longer  123     n/a",
    ]
    assert format_table(["name", "AP"], []).splitlines() == ["name  AP", "----  --"]


def test_ap_table_has_a_row_a_name_and_all_figures():
    lines = ap_table({"net": {"AP": 0.25, "AR": 0.5}, "ceiling": {"AP": 1.0}}).splitlines()
    assert lines[0].split() == ["AP", "AR"]
    assert lines[2].split() == ["net", "0.2500", "0.5000"]
    assert lines[3].split() == ["ceiling", "1.0000", "n/a"]
