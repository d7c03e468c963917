"""Person detectors: what all of them give, torchvision's and transformers' against the libraries'
own output, names and files found or refused."""

import functools
import hashlib
import io
import json
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pose import build_detector
from pose.build_detector import DEFAULT_DETECTORS, detector_of
from pose.download import download
from pose.inference.boxes import Boxes
from pose.inference.detectors import MIN_SIDE, person_boxes
from pose.inference.detectors.torchvision_detectors import (
    NETWORKS,
    load_torchvision,
    published_file,
)
from tests.serving import serving

CPU = torch.device("cpu")
SSD = "ssdlite320_mobilenet_v3_large"
PERSON = 1
NUM_CLASSES = 91


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


IMAGES = [noise(60, 80), noise(90, 50), noise(60, 80)]


@pytest.fixture
def no_net(monkeypatch):
    """Nothing may open a connection."""

    def refuse(*args, **kwargs):
        raise AssertionError("the net was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def network(name):
    """An untrained one that takes most of what it sees for people; its norms let differences
    through, as training leaves them."""
    torch.manual_seed(3)
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        maps = list(model.backbone(torch.rand(2, 3, 320, 320)).values())
        if name == SSD:
            model.head(maps)
    state = model.state_dict()
    for key, tensor in state.items():
        if key.endswith("bias") and len(tensor) % NUM_CLASSES == 0:
            tensor[PERSON::NUM_CLASSES] += 3
    return model.eval(), state


@pytest.fixture(scope="module")
def ssd(tmp_path_factory):
    """A network of torchvision's, and the file of its weights."""
    model, state = network(SSD)
    path = tmp_path_factory.mktemp("ssd") / "weights.pth"
    torch.save(state, path)
    return model, path


def check_protocol(found, images, threshold):
    """What every detector promises."""
    assert len(found) == len(images)
    for given_boxes, image in zip(found, images, strict=True):
        boxes, scores = given_boxes.boxes, given_boxes.scores
        assert isinstance(given_boxes, Boxes)
        assert boxes.dtype == scores.dtype == np.float32
        assert boxes.shape == (len(scores), 4)
        assert (np.diff(scores) <= 0).all() and (scores >= threshold).all()
        height, width = image.shape[:2]
        assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all()


def check_same(one, other, tolerance=1e-3):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.boxes.shape == b.boxes.shape
        assert np.abs(a.boxes - b.boxes).max(initial=0) <= tolerance
        # float32 through fifty random layers: other batches and threads sum in other orders
        assert np.abs(a.scores - b.scores).max(initial=0) <= 1e-4


@given(
    arrays(np.float32, (12, 4), elements=st.floats(-50, 150, width=32)),
    arrays(np.float32, 12, elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
)
def test_raw_boxes_become_clean_ones(boxes, scores, threshold):
    found = person_boxes(boxes, scores, (100, 80), threshold)
    check_protocol([found], [np.zeros((80, 100, 3))], np.float32(threshold))
    kept = []
    for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True):
        x1, x2 = (min(max(x, 0), 100) for x in (x1, x2))
        y1, y2 = (min(max(y, 0), 80) for y in (y1, y2))
        if score >= np.float32(threshold) and np.float32(x2) - np.float32(x1) >= 1:
            kept += [score] if np.float32(y2) - np.float32(y1) >= 1 else []
    assert found.scores.tolist() == sorted(kept, reverse=True)


def test_what_is_not_finite_is_no_box():
    boxes = np.array([[0, 0, 9, 9], [0, 0, np.nan, 9], [0, 0, np.inf, 9]])
    found = person_boxes(boxes, np.array([0.5, 0.9, 0.9]), (20, 20), 0.1)
    assert found.boxes.tolist() == [[0, 0, 9, 9]]
    nobody = person_boxes(np.zeros((0, 4)), np.zeros(0), (20, 20), 0.1)
    assert nobody.boxes.shape == (0, 4) and nobody.scores.shape == (0,)


def test_torchvision_people_are_those_of_its_own_output(ssd):
    model, path = ssd
    detector = load_torchvision(SSD, path, CPU, 0.02)
    found = detector(IMAGES)
    check_protocol(found, IMAGES, 0.02)
    for image, people in zip(IMAGES, found, strict=True):
        with torch.inference_mode():
            raw = model([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
        expected = [
            (score, box)
            for box, score, label in zip(
                *(raw[k].tolist() for k in ("boxes", "scores", "labels")), strict=True
            )
            if label == PERSON and score > 0.02 and box[2] - box[0] >= 1 and box[3] - box[1] >= 1
        ]
        assert len(expected) > 3
        expected.sort(key=lambda row: -row[0])
        assert np.allclose(people.scores, [score for score, _ in expected], atol=1e-5)
        assert np.allclose(people.boxes, [box for _, box in expected], atol=1e-3)


def test_torchvision_batched_is_one_by_one_and_in_threads(ssd):
    detector = load_torchvision(SSD, ssd[1], CPU, 0.02)
    together = detector(IMAGES)
    check_same(together, [detector([image])[0] for image in IMAGES])
    check_same(together[::-1], detector(IMAGES[::-1]))
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(detector, [IMAGES] * 3):
            check_same(together, found, tolerance=0)
    assert detector([]) == []
    check_protocol(detector([noise(1, 1), noise(2, 300)]), [noise(1, 1), noise(2, 300)], 0.02)


def test_torchvision_takes_views_and_leaves_pictures_alone(ssd):
    detector = load_torchvision(SSD, ssd[1], CPU, 0.02)
    image = IMAGES[0].copy()
    image.setflags(write=False)
    check_same(detector([image[::-1, ::-1]]), detector([image[::-1, ::-1].copy()]), tolerance=0)
    assert np.array_equal(image, IMAGES[0])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "resnet50" in name else [])
        for name in NETWORKS[1:]
    ],
)
def test_every_network_takes_published_weights(name, tmp_path, no_net):
    """The published file of one lacks the counts of batches, as frozen norms have none."""
    _, state = network(name)
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    detector = load_torchvision(name, tmp_path / "w.safetensors", CPU, 0.05)
    assert detector.person == PERSON
    taken = detector.model.state_dict()
    assert all(torch.equal(taken[key], tensor) for key, tensor in state.items())
    check_protocol(detector([IMAGES[0]]), IMAGES[:1], 0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_published_files_are_those_of_torchvision(name):
    address, digits = published_file(name)
    assert address.startswith("https://download.pytorch.org/models/") and name in address
    assert len(digits) == 8 and address.endswith(f"-{digits}.pth")


def test_weights_of_another_network_are_refused(ssd, tmp_path):
    with pytest.raises(ValueError, match=r"not the weights of this network: .* missing") as error:
        load_torchvision(NETWORKS[1], ssd[1], CPU, 0.3)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        load_torchvision(SSD, tmp_path / "gone.pth", CPU, 0.3)


# transformers


def tiny(kind, **labels):
    """An untrained network of a few thousand weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    sixteen = ("d_model", "encoder_hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim")
    two = ("encoder_attention_heads", "decoder_attention_heads", "decoder_layers")
    shared = {**dict.fromkeys(sixteen, 16), **dict.fromkeys((*two, "decoder_n_points"), 2)}
    shared |= dict.fromkeys(("encoder_in_channels", "decoder_in_channels"), [16] * 3)
    shared |= {"id2label": labels or {0: "dog", 1: "Person"}, "num_queries": 20}
    shared |= {"hidden_expansion": 0.5}
    stages = {"hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4, "embedding_size": 8}
    stages["out_features"] = ["stage2", "stage3", "stage4"]
    if kind == "rt_detr_v2":
        backbone = transformers.RTDetrResNetConfig(layer_type="basic", **stages)
        config = transformers.RTDetrV2Config(backbone_config=backbone, **shared)
        model = transformers.RTDetrV2ForObjectDetection(config)
    else:
        stages |= dict.fromkeys(("stage_num_blocks", "stage_numb_of_layers"), [1] * 4)
        stages |= {"stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 16]}
        stages |= {"stage_mid_channels": [8] * 4, "stage_out_channels": [8, 16, 16, 16]}
        backbone = transformers.HGNetV2Config(**stages)
        config = transformers.DFineConfig(backbone_config=backbone, depth_mult=0.34, **shared)
        model = transformers.DFineForObjectDetection(config)
    with torch.no_grad():  # people and dogs alike, boxes of every kind
        for layers in (model.model.decoder.class_embed, model.model.decoder.bbox_embed):
            for parameter in layers.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    processor = transformers.RTDetrImageProcessor(size={"height": 64, "width": 64})
    return model.eval(), processor


@pytest.fixture(scope="module", params=["rt_detr_v2", "d_fine"])
def folder(request, tmp_path_factory):
    model, processor = tiny(request.param)
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path, model, processor


def test_transformers_people_are_those_of_the_raw_output(folder, no_net):
    path, model, processor = folder
    detector = detector_of(path, CPU, 0.2)
    found = detector(IMAGES)
    check_protocol(found, IMAGES, 0.2)
    total = 0
    for image, people in zip(IMAGES, found, strict=True):
        with torch.inference_mode():
            raw = model(**processor(images=[image], return_tensors="pt"))
        scores = raw.logits[0].sigmoid()
        best = sorted(((float(s), q, c) for q, row in enumerate(scores) for c, s in enumerate(row)))
        height, width = image.shape[:2]
        expected = []
        for score, query, label in best[::-1][: len(scores)]:
            x, y, w, h = (
                raw.pred_boxes[0, query] * torch.tensor([width, height, width, height])
            ).tolist()
            box = [max(0, x - w / 2), max(0, y - h / 2), min(width, x + w / 2)]
            box.append(min(height, y + h / 2))
            if label == 1 and score > 0.2 and box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
                expected.append((score, box))
        total += len(expected)
        assert np.allclose(people.scores, [score for score, _ in expected], atol=1e-5)
        assert np.allclose(people.boxes.ravel(), np.ravel([b for _, b in expected]), atol=1e-3)
    assert total > 3


def test_transformers_batched_is_one_by_one_and_in_threads(folder):
    detector = detector_of(folder[0], CPU, 0.2)
    together = detector(IMAGES)
    check_same(together, [detector([image])[0] for image in IMAGES])
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(detector, [IMAGES] * 3):
            check_same(together, found, tolerance=0)
    assert detector([]) == []


def test_transformers_loads_quietly(folder, capfd):
    detector_of(folder[0], CPU, 0.2)
    assert capfd.readouterr().err == ""


def damaged(kind, path):
    """A folder with one fault, of a tiny network."""
    labels = {"0": "dog"} if kind == "no people" else {}
    model, processor = tiny("rt_detr_v2", **labels)
    model.config.id2label = {int(k): v for k, v in model.config.id2label.items()}
    model.save_pretrained(path)
    processor.save_pretrained(path)
    weights = path / "model.safetensors"
    if kind == "missing":
        state = safetensors.torch.load_file(weights)
        state.pop("model.enc_score_head.weight")
        safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    elif kind == "pickled":
        torch.save(safetensors.torch.load_file(weights), path / "pytorch_model.bin")
        weights.unlink()
    elif kind == "no config":
        (path / "config.json").unlink()
    elif kind == "cut":
        weights.write_bytes(weights.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "1 weights are missing (model.enc_score_head.weight"),
        ("no people", "no label is called 'person' (known: dog"),
        ("pickled", "not a detector of transformers in safetensors"),
        ("no config", "not a detector of transformers in safetensors"),
        ("cut", "not a detector of transformers in safetensors"),
    ],
)
def test_a_folder_with_a_fault_is_one_line(kind, words, tmp_path):
    damaged(kind, tmp_path)
    with pytest.raises(ValueError) as error:
        detector_of(tmp_path, CPU, 0.3)
    assert str(error.value).startswith(f"{tmp_path}: ") and "\n" not in str(error.value)
    assert words in str(error.value)


def test_code_in_a_folder_is_never_run(folder, tmp_path):
    marker = tmp_path / "was_run"
    for file in folder[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass C: pass\n")
    for name, key in (
        ("config.json", "AutoModelForObjectDetection"),
        ("preprocessor_config.json", "AutoImageProcessor"),
    ):
        content = json.loads((tmp_path / name).read_text())
        (tmp_path / name).write_text(json.dumps({**content, "auto_map": {key: "evil.C"}}))
    check_protocol(detector_of(tmp_path, CPU, 0.2)(IMAGES), IMAGES, 0.2)
    assert not marker.exists()


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    for name in ("transformers", "huggingface_hub"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for text in (tmp_path, "somebody/detector"):
        with pytest.raises(ValueError, match=r"transformers is not installed.*pip install transfo"):
            detector_of(text, CPU, 0.3)


# names and files


def test_every_device_has_a_default_that_needs_nothing_more(monkeypatch, caplog):
    assert set(DEFAULT_DETECTORS.values()) <= set(NETWORKS)
    monkeypatch.setattr(build_detector, "fetched_weights", lambda name: name)
    monkeypatch.setattr(build_detector, "load_torchvision", lambda name, *others: name)
    with caplog.at_level(logging.INFO, logger="pose"):
        for kind in ("cpu", "cuda", "mps"):
            expected = DEFAULT_DETECTORS.get(kind, DEFAULT_DETECTORS["cpu"])
            assert detector_of("default", torch.device(kind), 0.3) == expected
            assert f"detector: {expected}" in caplog.text


def test_a_name_and_file_together(ssd):
    detector = detector_of(f"{SSD}={ssd[1]}", CPU, 0.02)
    check_same(detector(IMAGES), load_torchvision(SSD, ssd[1], CPU, 0.02)(IMAGES), tolerance=0)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("ssdlite320", FileNotFoundError, "did you mean 'ssdlite320_mobilenet_v3_large'?"),
        ("models/person.onnx", FileNotFoundError, "models/person.onnx: no such detector"),
        ("models/person.pth", FileNotFoundError, "no such detector"),
        ("a/b/c", FileNotFoundError, "no such detector"),
        ("rtmdet=gone.onnx", FileNotFoundError, "gone.onnx: no such .onnx file"),
        (f"{SSD}=gone.pth", FileNotFoundError, "gone.pth: no such weights file"),
        ("rtmdat=gone.onnx", ValueError, "did you mean 'rtmdet'?"),
        ("gone.yaml=gone.onnx", ValueError, "'gone.yaml' is no file that describes another"),
        ("{ssd}", ValueError, "say whose weights they are: NAME="),
    ],
)
def test_a_name_that_is_none_says_what_there_is(text, kind, words, ssd, no_net):
    with pytest.raises(kind) as error:
        detector_of(text.format(ssd=ssd[1]), CPU, 0.3)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def server(monkeypatch, tmp_path, ssd):
    """Serves the weights of `SSD`; the cache is empty."""
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setattr(build_detector, "download", functools.partial(download, loopback=True))
    content = ssd[1].read_bytes()
    file = f"{SSD}_coco-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with serving() as server:
        server.files[file] = content
        published = (server.url(file), file[-12:-4])
        monkeypatch.setattr(build_detector, "published_file", lambda name: published)
        yield server


def test_a_name_is_fetched_once_and_said(server, caplog, tmp_path):
    with caplog.at_level(logging.INFO, logger="pose"):
        detector = detector_of(SSD, CPU, 0.02)
    assert f"fetching {SSD} (licence BSD-3-Clause), " in caplog.text
    assert " MB, from http://127.0.0.1" in caplog.text
    check_protocol(detector(IMAGES), IMAGES, 0.02)
    detector_of(SSD, CPU, 0.3)
    assert server.ranges == [None]
    assert [p.parent.name for p in (tmp_path / "cache").rglob("*.pth")] == ["weights"]


def test_nothing_is_fetched_offline(server, monkeypatch):
    monkeypatch.setenv("POSE_OFFLINE", "1")
    with pytest.raises(ValueError, match=rf"POSE_OFFLINE forbids.*give {SSD}=FILE"):
        detector_of(SSD, CPU, 0.3)
    assert server.ranges == []


def test_a_damaged_transfer_is_not_kept(server, tmp_path):
    server.files = dict.fromkeys(server.files, b"damaged")
    with pytest.raises(ValueError, match="not kept"):
        detector_of(SSD, CPU, 0.3)
    assert not list((tmp_path / "cache").rglob("*.pth*"))


@pytest.fixture
def hub(monkeypatch, folder):
    """The hub's library with one model, which is not in its cache; `hub.asked` are its calls."""
    library = pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", False)
    state = SimpleNamespace(asked=[], cached=False, known=True)

    def snapshot_download(name, *, allow_patterns, local_files_only=False, dry_run=False, **others):
        assert "*.safetensors" in allow_patterns and not any("bin" in p for p in allow_patterns)
        if local_files_only:
            if not state.cached:
                raise library.errors.LocalEntryNotFoundError("no such snapshot")
            return str(folder[0])
        state.asked.append("dry run" if dry_run else "files")
        if dry_run:
            return [SimpleNamespace(file_size=41_500_000), SimpleNamespace(file_size=None)]
        return str(folder[0])

    def model_info(name):
        state.asked.append("info")
        if not state.known:
            raise OSError("404 Not Found\n(Request ID: 7)")
        return SimpleNamespace(sha="0" * 40, card_data=SimpleNamespace(license="apache-2.0"))

    monkeypatch.setattr(library, "snapshot_download", snapshot_download)
    monkeypatch.setattr(library, "model_info", model_info)
    return state


def test_a_hub_model_is_fetched_and_said(hub, caplog):
    with caplog.at_level(logging.INFO, logger="pose"):
        detector = detector_of("somebody/detector", CPU, 0.2)
    check_protocol(detector(IMAGES), IMAGES, 0.2)
    assert hub.asked == ["info", "dry run", "files"]
    lines = [record.getMessage() for record in caplog.records]
    page = "https://huggingface.co/somebody/detector"
    assert lines == [
        f"somebody/detector is no folder here; asking {page}",
        f"fetching somebody/detector (licence apache-2.0), 41.5 MB, from {page}",
    ]


def test_a_hub_model_in_the_cache_needs_no_net(hub, monkeypatch, no_net):
    hub.cached = True
    monkeypatch.setenv("POSE_OFFLINE", "1")
    check_protocol(detector_of("somebody/detector", CPU, 0.2)(IMAGES), IMAGES, 0.2)
    assert hub.asked == []


@pytest.mark.parametrize("name", ["POSE_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_hub_is_not_asked_offline(name, hub, monkeypatch):
    if name == "POSE_OFFLINE":
        monkeypatch.setenv(name, "1")
    else:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=f"not in the hub's cache, and {name} forbids fetching"):
        detector_of("somebody/detector", CPU, 0.3)
    assert hub.asked == []


def test_a_model_that_the_hub_has_not_is_one_line(hub):
    hub.known = False
    with pytest.raises(OSError, match=r"^somebody/nothing: cannot be fetched from .*404") as error:
        detector_of("somebody/nothing", CPU, 0.3)
    assert "\n" not in str(error.value)


def test_a_python_callable_is_a_detector_too():
    """The protocol asks for nothing but the call."""

    def everything(images):
        return [person_boxes([[0, 0, *i.shape[1::-1]]], [1], i.shape[1::-1], 0) for i in images]

    check_protocol(everything(IMAGES), IMAGES, 1)
    assert everything(IMAGES)[1].boxes.tolist() == [[0, 0, 50, 90]]


def test_files_of_torch_are_read_as_data(tmp_path):
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "args": Path}, buffer)
    (tmp_path / "w.pth").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="objects beside tensors"):
        detector_of(f"{SSD}={tmp_path / 'w.pth'}", CPU, 0.3)
