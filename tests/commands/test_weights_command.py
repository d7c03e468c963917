"""`pose weights` from end to end, against a server on this machine that holds made files."""

import functools
import hashlib
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision

from pose import files, published
from pose.build import load_network
from pose.commands.main import main
from pose.data.synthetic import write_synthetic
from pose.download import download
from pose.models import zoo
from pose.models.pose_model import build_model
from pose.models.weights import load_weights, load_with_config, save_weights
from pose.published import cached, described, find_weights
from tests.models.test_layouts import as_mmpose
from tests.models.test_weights import imagenet_leftovers
from tests.serving import serving

NAME = "small"
IMAGES = torch.randint(
    0, 256, (1, 3, 256, 192), dtype=torch.uint8, generator=torch.Generator().manual_seed(4)
)


@pytest.fixture(scope="module")
def state():
    """The weights of a small network, all of them different from a fresh one's."""
    torch.manual_seed(1)
    model = build_model("hrnet_small", channels=17)
    return {n: torch.rand_like(t.float()).to(t.dtype) for n, t in model.state_dict().items()}


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The server, as the one place to fetch from; the cache is empty."""
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setattr(published, "download", functools.partial(download, loopback=True))
    with serving() as server:
        yield server


@pytest.fixture
def publish(server, monkeypatch):
    """Puts a file on the server and its row into the table."""

    def put(content: bytes, file: str = "w.pth", **others) -> zoo.Weights:
        server.files[file] = content
        terms = {
            "name": NAME,
            "model": "hrnet_small",
            "sha256": hashlib.sha256(content).hexdigest()[:8],
            "address": server.url(file),
            "page": None,
        }
        row = replace(zoo.WEIGHTS["hrnet_w32_coco_256x192"], **{**terms, **others})
        monkeypatch.setitem(zoo.WEIGHTS, NAME, row)
        return row

    return put


def torch_file(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def arrays() -> dict:
    return {"sigmas": np.full(17, 0.05, np.float32), "colors": np.zeros((17, 3), np.uint8)}


LAYOUTS = {
    "bare": lambda s: torch_file(s),
    "before 2020": lambda s: torch_file(s, _use_new_zipfile_serialization=False),
    "training": lambda s: torch_file({"state_dict": {f"module.{n}": t for n, t in s.items()}}),
    "best": lambda s: torch_file({"best_state_dict": s, "epoch": 210, "optimizer": {"lr": 0.1}}),
    "mmpose 0.x": lambda s: torch_file(
        {"meta": {"epoch": 210}, "state_dict": as_mmpose(s, "keypoint_head.")}
    ),
    "mmpose 1.x": lambda s: torch_file(
        {"meta": {"dataset_meta": arrays()}, "state_dict": as_mmpose(s, "head.")}
    ),
}


def test_the_table_and_a_row_of_it(capsys):
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(zoo.WEIGHTS) + 2
    row = next(line for line in lines if line.startswith("hrnet_w48_coco_384x288_udp_mmpose1 "))
    for cell in ("384x288", "udp", "COCO", "AP 77.3", "Apache-2.0", "unverified"):
        assert cell in row
    assert main(["weights", "list", "resnet50_imagenet"]) == 0
    said = capsys.readouterr().out
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in said
    assert "BSD-3-Clause" in said


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fetch_converts_every_layout(layout, state, publish, capsys):
    row = publish(LAYOUTS[layout](state))
    assert main(["weights", "fetch", NAME]) == 0
    output, said = capsys.readouterr()
    assert "left over: 0" in output
    assert f"fetching {NAME} (licence MIT), " in said
    path = cached(row)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = load_weights(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    network = load_network(Path(NAME))
    assert (network.skeleton.name, network.cfg.codec.name) == ("coco_17", "gaussian")
    assert main(["weights", "fetch", NAME]) == 0
    assert "already here" in capsys.readouterr().out


def test_the_network_of_a_name_is_the_network(publish, server):
    torch.manual_seed(6)
    model = build_model("hrnet_small", channels=17).eval()
    publish(LAYOUTS["mmpose 1.x"](model.state_dict()))
    network = load_network(Path(NAME))
    with torch.inference_mode():
        assert (network.model.eval()(IMAGES) - model(IMAGES)).abs().max() < 1e-5
    load_network(Path(NAME))
    assert server.ranges == [None]


def test_weights_on_bgr_come_out_for_rgb(publish):
    torch.manual_seed(5)
    theirs = build_model("simplebaseline_r50", channels=17).eval()
    content = torch_file({f"module.{n}": t for n, t in theirs.state_dict().items()})
    publish(content, model="simplebaseline_r50", bgr=True)
    ours = load_network(Path(NAME)).model.eval()
    with torch.inference_mode():
        difference = ours(IMAGES) - theirs(IMAGES.flip(1))
    assert difference.abs().max() < 1e-5


def test_an_imagenet_trunk_starts_a_network(state, publish):
    trunk = {n: t for n, t in state.items() if not n.startswith("final_layer")}
    content = safetensors.torch.save({**trunk, **imagenet_leftovers()})
    terms = {"skeleton": None, "codec": None, "sha256": "", "data": "ImageNet-1k"}
    row = publish(content, "model.safetensors", **terms)
    report = published.fetch(row)
    assert (len(report.matched), len(report.left_over)) == (len(trunk), 204)
    assert load_weights(cached(row)).keys() == trunk.keys()
    assert load_with_config(cached(row))[1] == {"trunk_of": "hrnet_small", "data": "ImageNet-1k"}
    with pytest.raises(ValueError, match="says nothing of its network and keypoints"):
        load_network(Path(NAME))


def test_a_torchvision_classifier_gives_its_trunk(publish):
    classifier = torchvision.models.resnet50().state_dict()
    terms = {"skeleton": None, "codec": None, "model": "simplebaseline_r50"}
    row = publish(torch_file(classifier), **terms)
    report = published.fetch(row)
    assert report.left_over == ("fc.weight", "fc.bias")
    assert len(load_weights(cached(row))) == 318


def test_a_cut_transfer_goes_on_where_it_stopped(state, publish, server, capsys):
    row = publish(LAYOUTS["bare"](state))
    server.cut = 100_000
    assert main(["weights", "fetch", NAME]) == 2
    assert "run it again to go on" in capsys.readouterr().err
    assert not cached(row).exists()
    server.cut = None
    assert main(["weights", "fetch", NAME]) == 0
    assert server.ranges == [None, "bytes=100000-"]
    assert cached(row).is_file()


def test_a_wrong_hash_leaves_nothing(state, publish, capsys):
    row = publish(LAYOUTS["bare"](state), sha256="0123abcd")
    assert main(["weights", "fetch", NAME]) == 2
    said = capsys.readouterr().err
    assert "expected a SHA-256 of 0123abcd..., got " in said
    assert not list(cached(row).parent.iterdir())


def test_plain_http_is_refused(publish, monkeypatch, capsys):
    publish(b"")
    monkeypatch.setattr(published, "download", download)
    assert main(["weights", "fetch", NAME]) == 2
    assert "only https addresses are fetched" in capsys.readouterr().err


def damaged(kind: str, state) -> bytes:
    if kind == "sparse":
        state = {**state, "final_layer.bias": torch.ones(17).to_sparse()}
    elif kind == "complex":
        state = {**state, "final_layer.bias": torch.ones(17, dtype=torch.complex64)}
    elif kind == "without numbers":
        state = {**state, "final_layer.bias": torch.ones(17, device="meta")}
    elif kind == "object":
        state = {"state_dict": state, "args": io.StringIO}
    elif kind == "missing":
        state = {n: t for n, t in state.items() if n != "conv1.weight"}
    elif kind == "left over":
        state = {**state, "neck.weight": torch.ones(1)}
    elif kind == "shape":
        state = {**state, "final_layer.bias": torch.ones(16)}
    return torch_file(state)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sparse", "is a sparse tensor"),
        ("complex", "is a complex tensor"),
        ("without numbers", "is a missing tensor"),
        ("object", "objects beside tensors"),
        ("missing", "1 missing (conv1.weight)"),
        ("left over", "1 left over (neck.weight)"),
        ("shape", "final_layer.bias (16,), expected (17,)"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_written(kind, words, state, publish, capsys):
    row = publish(damaged(kind, state))
    assert main(["weights", "fetch", NAME]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pose: error: ")
    assert words in error
    assert not list(cached(row).parent.iterdir())


def test_where_there_is_a_page_alone_it_is_printed(state, publish, tmp_path, capsys):
    row = publish(b"", address=None, page="https://example.org/models", sha256="")
    assert main(["weights", "fetch", NAME]) == 1
    said = capsys.readouterr().out
    assert "https://example.org/models" in said
    command = said.splitlines()[-1].split()
    assert command[:6] == ["pose", "weights", "convert", "FILE", "--like", NAME]
    with pytest.raises(
        ValueError, match=r"only a page.*https://example.org/models; then run: pose"
    ):
        find_weights(NAME)
    (tmp_path / "w.pth").write_bytes(LAYOUTS["training"](state))
    line = [*command[1:], ""][:-1]
    line[2], line[-1] = str(tmp_path / "w.pth"), line[-1].strip('"')
    assert main(line) == 0
    assert find_weights(NAME) == cached(row)


def test_offline_is_an_error_with_the_remedy(state, publish, server, monkeypatch, tmp_path, capsys):
    row = publish(LAYOUTS["bare"](state))
    monkeypatch.setenv("POSE_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"POSE_OFFLINE.*pose weights convert FILE --like small"):
        find_weights(NAME)
    assert server.ranges == []
    config = described(published.config_of(row), published.SKELETONS["coco_17"])
    save_weights(cached(row), state, config)
    assert find_weights(NAME) == cached(row)  # what is in the cache needs no net


def test_convert_says_whether_it_is_the_published_file(state, publish, tmp_path, capsys):
    publish(LAYOUTS["bare"](state))
    for layout, words in (("bare", "(the published file)"), ("best", "(not the published file)")):
        source = tmp_path / f"{layout}.pth"
        source.write_bytes(LAYOUTS[layout](state))
        assert main(["weights", "convert", str(source), "--like", NAME]) == 0
        said = capsys.readouterr().out
        assert words in said
        assert f"matched: {len(state)} (" in said
        assert load_weights(tmp_path / f"{layout}.safetensors").keys() == state.keys()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fetch", "needs a NAME"),
        ("fetch hrnet_w32_coco_256x129", "did you mean 'hrnet_w32_coco_256x192"),
        ("list nothing_like_it", "pose weights list"),
        ("list --out x.safetensors", "belong to pose weights convert"),
        ("convert w.pth", "--like NAME"),
        ("convert --like hrnet_w32_imagenet", "needs a FILE"),
        ("convert gone.pth --like hrnet_w32_imagenet", "gone.pth: no such weights file"),
        ("convert w.pth --like hrnet_w32_imagenet --out w.pt", "ends in .safetensors"),
        ("convert w.safetensors --like hrnet_w32_imagenet", "name another with --out"),
    ],
)
def test_mistakes_are_one_line(line, words, capsys):
    assert main(["weights", *line.split()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


def test_a_file_wins_over_a_name_and_neither_is_an_error(publish, server, tmp_path, monkeypatch):
    publish(b"")
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_bytes(b"mine")
    assert find_weights(NAME) == Path(NAME)
    with pytest.raises(FileNotFoundError, match="did you mean 'resnet50_imagenet'"):
        find_weights("resnet50_imagnet")
    assert server.ranges == []


def test_the_cache_lies_where_the_system_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.setenv("POSE_CACHE", str(tmp_path))
    assert files.cache_folder("weights") == tmp_path / "weights"
    monkeypatch.delenv("POSE_CACHE")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    for platform, folder in {
        "linux": Path.home() / ".cache",
        "darwin": Path.home() / "Library" / "Caches",
        "win32": tmp_path,
    }.items():
        monkeypatch.setattr(files.sys, "platform", platform)
        assert files.cache_folder("weights") == folder / "pose" / "weights"


def test_predict_takes_a_name(publish, tmp_path, capsys):
    torch.manual_seed(6)
    publish(LAYOUTS["mmpose 0.x"](build_model("hrnet_small", channels=17).state_dict()))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((80, 60, 3), 90, np.uint8))
    line = ["predict", str(tmp_path / "a.png"), "--weights", NAME, "--boxes", "5,5,50,70"]
    assert main([*line, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert capsys.readouterr().err.count("fetching small (licence MIT), ") == 1
    assert (tmp_path / "out" / "poses.json").is_file()


def test_training_starts_from_a_name_and_evaluation_takes_one(
    state, publish, server, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_synthetic(tmp_path / "set", {"train": 2, "val": 1}, seed=1)
    trunk = {n: t for n, t in state.items() if not n.startswith("final_layer")}
    content = safetensors.torch.save({**trunk, **imagenet_leftovers()})
    publish(content, "model.safetensors", skeleton=None, codec=None)
    line = ["synthetic/quickstart", "data.root=set", "data.workers=0", "model.input_size=[64, 64]"]
    line += ["model.name=hrnet_small", "codec.name=gaussian", "codec.sigma=2", "--device", "cpu"]
    run = ["train.epochs=1", "train.batch_size=2", f"init={NAME}", "--out", "run"]
    assert main(["train", *line, *run]) == 0
    said = capsys.readouterr().err
    assert said.count("fetching small (licence MIT), ") == 1
    assert "small: trunk taken over, head fresh (nose, " in said

    Path(cached(zoo.WEIGHTS[NAME])).unlink()
    publish(LAYOUTS["mmpose 1.x"](state), input_size=(64, 64))
    assert main(["evaluate", *line, "--weights", NAME, "--boxes", "gt"]) == 0
    assert capsys.readouterr().err.count("fetching small (licence MIT), ") == 1
    assert (tmp_path / "runs" / NAME / "evaluation" / "results.json").is_file()
