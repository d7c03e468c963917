"""`pose compare`: alike is ranked, unlike is refused with what differs."""

import copy
import json

import pytest

from pose.commands.main import main

RECEIPT = {
    "figures": {"AP": 0.744, "AP (M)": None},
    "weights": {"file": "a.safetensors", "sha256": "1" * 64},
    "annotations": {"file": "val.json", "sha256": "2" * 64},
    "boxes": {"source": "detections", "file": "boxes.json", "sha256": "3" * 64, "number": 618},
    "protocol": {
        "flip": True,
        "codec": {"name": "gaussian", "sigma": 2.0},
        "input_size": [192, 256],
        "nms_threshold": 0.9,
    },
    "network": "hrnet_w32",
    "runtime": {"name": "torch", "precision": "float32", "device": "cpu"},
    "versions": {"pose": "0.1.0", "opencv": "5.0.0"},
}


@pytest.fixture
def compare(tmp_path, capsys):
    """Compares RECEIPT with a changed copy, {(key, ...): value}; its status and what it said."""

    def run(changes):
        other = copy.deepcopy(RECEIPT)
        for path, value in changes.items():
            section = other
            for key in path[:-1]:
                section = section[key]
            section[path[-1]] = value
        (tmp_path / "b").mkdir()
        (tmp_path / "a.json").write_text(json.dumps(RECEIPT))
        (tmp_path / "b/receipt.json").write_text(json.dumps(other))
        status = main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b")])
        return status, capsys.readouterr()

    return run


def test_every_figure_side_by_side(compare):
    changes = {("figures", "AP"): 0.751, ("boxes", "file"): "same_under_another_name.json"}
    status, said = compare({**changes, ("weights", "file"): "b.safetensors"})
    lines = said.out.splitlines()
    assert status == 0 and lines[0] == "A: a.safetensors (hrnet_w32)"
    assert lines[-2].split() == ["AP", "0.7440", "0.7510", "0.0070"]
    assert lines[-1].split() == ["AP", "(M)", "n/a", "n/a", "n/a"]
    assert "differs" not in said.err


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("annotations", "sha256"), "9" * 64, "annotations.sha256: 22222222..., 99999999..."),
        (("boxes", "source"), "ground truth", "boxes.source: detections, ground truth"),
        (("boxes", "sha256"), "9" * 64, "boxes.sha256"),
        (("protocol", "flip"), False, "flip: True, False"),
        (("protocol", "codec", "name"), "udp", "codec.name: gaussian, udp"),
        (("protocol", "input_size"), [288, 384], "input_size: [192, 256], [288, 384]"),
        (("protocol", "soft_nms"), True, "soft_nms: none, True"),
    ],
)
def test_what_was_not_measured_alike_is_not_ranked(compare, path, value, part):
    status, said = compare({path: value})
    assert status == 2 and not said.out
    assert "were not measured alike and are not ranked: " in said.err and part in said.err


def test_other_versions_are_said(compare):
    status, said = compare({("versions", "opencv"): "4.10.0", ("runtime", "device"): "cuda"})
    assert status == 0
    assert "may move the last digits: versions.opencv: 5.0.0, 4.10.0" in said.err
    assert "runtime.device: cpu, cuda" in said.err


@pytest.mark.parametrize("content", ["[]", "{}", '{"figures": {}}', "{"])
def test_what_is_no_receipt_is_refused(tmp_path, content, capsys):
    path = tmp_path / "r.json"
    path.write_text(content)
    assert main(["compare", str(path), str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"pose: error: {path}: ")


def test_the_help_calls_receipts_receipts(capsys):
    assert main(["compare", "--help"]) == 0
    assert "RECEIPT [RECEIPT ...]" in " ".join(capsys.readouterr().out.split())


def test_without_labels_there_is_nothing_to_compare(compare):
    status, said = compare({("figures",): None})
    assert status == 2 and "holds no figures; its split has no labels" in said.err
