"""Tensors that lie of their size, and networks with parts that lie elsewhere."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose.models.weights import save_weights
from tests.trust.hostile import Case, Place
from tests.trust.hostile_pickles import Call

TERABYTES = 2**43


def torch_files() -> dict[str, Callable[[Path], None]]:
    """Files of plain tensors that no network's are."""

    def saved(content: Any) -> Callable[[Path], None]:
        return lambda path: torch.save(content, path)

    small = torch.zeros(4)
    wide = torch.as_strided(small, (2**20, 2**20), (0, 0))
    jagged = torch.nested.nested_tensor([small, small[:2]], layout=torch.jagged)
    return {
        "sparse": saved({"w": torch.eye(3).to_sparse()}),
        "sparse rows": saved({"w": torch.eye(4).to_sparse_csr()}),
        "sparse out of range": _sparse_outside,
        "strides of zero": saved({"w": wide}),
        "beyond its storage": _strides_outside,
        "storage of terabytes": _storage_of_terabytes,
        "of no device": saved({"w": torch.empty(2**40, device="meta")}),
        "quantized": saved({"w": torch.quantize_per_tensor(small, 0.1, 0, torch.qint8)}),
        "complex": saved({"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.complex64)}),
        "nested": saved({"w": jagged}),
        "a list": saved([small]),
        "numbers as names": saved({1: small, (2, 3): small}),
        "itself": saved(_recursive()),
        "deep": saved(_deep(small)),
        "a script": _script,
    }


def _recursive() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


def _deep(leaf: torch.Tensor) -> Any:
    content: Any = {"w": leaf}
    for _ in range(150):
        content = {"model": content}
    return content


def _script(path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


def _rebuilt(path: Path, *values: Any) -> None:
    """A file whose one tensor is made by torch's own function from `values` of our choice."""
    torch.save({"w": Call(torch._utils._rebuild_tensor_v2, *values)}, path)


def _strides_outside(path: Path) -> None:
    storage = torch.zeros(4).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    _rebuilt(path, typed, 2**40, (2**20, 2**20), (2**40, 1), False, {})


def _sparse_outside(path: Path) -> None:
    indices, values = torch.tensor([[10**9, -(10**9)]]), torch.ones(2)
    rebuild = torch._utils._rebuild_sparse_tensor
    torch.save(
        {"w": Call(rebuild, torch.sparse_coo, (indices, values, torch.Size([3]), False))}, path
    )


def _storage_of_terabytes(path: Path) -> None:
    """The file of before 2020, whose storages state their own length."""
    storage = torch.zeros(4).untyped_storage()
    content = {"w": torch.zeros(4)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    at = data.rindex(struct.pack("<q", storage.nbytes() // 4))
    path.write_bytes(data[:at] + struct.pack("<q", TERABYTES) + data[at + 8 :])


def torches(place: Place) -> Iterator[Case]:
    folder = place.folder("tensors")
    readers = ("weights", "network", "convert", "weights and config")
    for number, (name, write) in enumerate(torch_files().items()):
        reader = readers[number % 4] if name != "complex" else "convert"
        path = place.folder(f"tensors/{number}") / "net.pth"
        write(path)
        # a dict of tensors may also be read: the network then refuses their shapes
        yield Case(f"torch: {name}: {reader}", reader, str(path), harmless=reader != "network")
    for reader in ("network", "convert"):
        path = folder / f"array-{reader}.pth"
        content = {"meta": np.array([Call(os.system, f"touch {place.canary}")], object)}
        torch.save({"state_dict": {"w": torch.zeros(1)}, **content}, path)
        yield Case(f"torch: array of objects: {reader}", reader, str(path))


def safetensors_headers() -> dict[str, bytes]:
    """Headers that claim more than is there, or what cannot be."""

    def header(content: Any, data: bytes = bytes(16)) -> bytes:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        return struct.pack("<Q", len(text)) + text + data

    def tensor(shape: list[int], ends: list[int], kind: str = "F32") -> dict[str, Any]:
        return {"dtype": kind, "shape": shape, "data_offsets": ends}

    return {
        "header of terabytes": struct.pack("<Q", TERABYTES) + b"{}",
        "header of all": struct.pack("<Q", 2**64 - 1) + b"{}",
        "tensor of terabytes": header({"w": tensor([TERABYTES // 4], [0, TERABYTES])}),
        "more than the file": header({"w": tensor([8], [0, 32])}),
        "overlapping": header({"a": tensor([2], [0, 8]), "b": tensor([2], [4, 12])}),
        "with a hole": header({"a": tensor([1], [0, 4]), "b": tensor([1], [12, 16])}),
        "backwards": header({"w": tensor([2], [8, 0])}),
        "negative": header({"w": tensor([-2], [-8, 0])}),
        "another shape": header({"w": tensor([3], [0, 16])}),
        "shape beyond numbers": header({"w": tensor([2**63, 2**63], [0, 16])}),
        "unknown kind": header({"w": tensor([16], [0, 16], "PY")}),
        "twice": header(
            b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
            b'"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
        ),
        "deep": header(b'{"a":' * 20_000),
        "a list": header([1, 2]),
        "no text": header(b"\xff" * 64),
        "pickle": pickle.dumps({"w": 1}, 2),
        "a link": b"",
    }


def safetensors_files(place: Place) -> Iterator[Case]:
    for number, (name, data) in enumerate(safetensors_headers().items()):
        reader = ("weights", "network", "weights and config")[number % 3]
        path = place.folder(f"safetensors/{number}") / "net.safetensors"
        path.write_bytes(data)
        # of two equal names the library takes one; the config of such a file is none
        yield Case(f"safetensors: {name}: {reader}", reader, str(path), harmless=name == "twice")
    configs = {
        "objects": {"__instance_type__": ["os", "system"], "attributes": {}},
        "a path": {"model": {"name": str(place.outside / "secret.txt")}},
        "a list": [1],
    }
    for name, config in configs.items():
        path = place.folder(f"safetensors/config-{name}".replace(" ", "-")) / "net.safetensors"
        save_weights(path, {"w": torch.zeros(1)}, config)  # type: ignore[arg-type]
        yield Case(f"safetensors: config is {name}", "network", str(path))


def onnx_networks(place: Place) -> dict[str, Any]:
    """ONNX networks with data outside of their folder, or of any size."""
    from onnx import TensorProto, helper

    bin_file = place.outside / "secret.bin"

    def model(weight: Any, sides: tuple[Any, ...] = (1, 3, 64, 64)) -> Any:
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, sides)
        maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, (1, 17, 64, 64))
        node = helper.make_node("Conv", ["images", "w"], ["maps"])
        graph = helper.make_graph([node], "g", [images], [maps], [weight])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        made.ir_version = 9
        return made

    def external(location: str, shape: tuple[int, ...] = (17, 3, 1, 1), **more: int) -> Any:
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape)
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            weight.external_data.add(key=key, value=str(value))
        return model(weight)

    plain = helper.make_tensor("w", TensorProto.FLOAT, (17, 3, 1, 1), [0.0] * 51)
    lying = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(2**20, 2**20, 1, 1))
    up = "/".join([".."] * 3) + "/outside/secret.bin"
    custom = model(plain)
    custom.graph.node[0].domain = "evil.library"
    return {
        "data above": external(up),
        "data at an absolute path": external(str(bin_file)),
        "data behind a link": external("link.bin"),
        "data in a device": external("/dev/zero"),
        "data at an address": external(f"http://127.0.0.1:{place.port}/w"),
        "data of terabytes": external("near.bin", (2**21, 2**20, 1, 1), length=TERABYTES),
        "data beyond its file": external("near.bin", offset=TERABYTES, length=204),
        "data before its file": external("near.bin", offset=-204, length=204),
        "a weight without data": model(lying),
        "a picture of terabytes": model(plain, (1, 3, 2**20, 2**20)),
        "a picture of gigabytes": model(plain, (1, 3, 2**14, 2**14)),
        "an empty picture": model(plain, (1, 3, 0, 0)),
        "a library of its own": custom,
    }


def onnx_files(place: Place) -> Iterator[Case]:
    for number, (name, model) in enumerate(onnx_networks(place).items()):
        folder = place.folder(f"onnx/{number}")
        path = folder / "net.onnx"
        path.write_bytes(model.SerializeToString())
        (folder / "near.bin").write_bytes(bytes(17 * 3 * 4))
        if os.name == "posix":
            (folder / "link.bin").symlink_to(place.outside / "secret.bin")
        # the two that run such files, in turn; what leads outside is given to both
        readers = ("network", "openvino") if number < 6 else (("detector", "network")[number % 2],)
        for reader in readers:
            yield Case(f"onnx: {name}: {reader}", reader, str(path))


def openvino_files(place: Place) -> Iterator[Case]:
    out = place.outside
    sides = "".join(f"<dim>{side}</dim>" for side in (1, 3, 64, 64))
    port = f'<port id="0" precision="FP32">{sides}</port>'

    def network(head: str = "", data: str = "", offset: int = 0, size: int = 49152) -> str:
        return (
            f'<?xml version="1.0"?>{head}<net name="a" version="11"><layers>'
            f'<layer id="0" name="images" type="Parameter" version="opset1">'
            f'<data shape="1,3,64,64" element_type="f32"/><output>{port}</output></layer>'
            f'<layer id="1" name="w" type="Const" version="opset1"><data element_type="f32" '
            f'shape="1,3,64,64" offset="{offset}" size="{size}" {data}/><output>{port}</output>'
            f'</layer><layer id="2" name="sum" type="Add" version="opset1"><input>{port}'
            f"{port.replace('0', '1', 1)}</input><output>{port.replace('0', '2', 1)}</output>"
            f'</layer><layer id="3" name="maps" type="Result" version="opset1"><input>{port}'
            '</input></layer></layers><edges><edge from-layer="0" from-port="0" to-layer="2" '
            'to-port="0"/><edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>'
            '<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/></edges></net>'
        )

    entity = f'<!DOCTYPE net [<!ENTITY a SYSTEM "file://{out}/secret.txt">]>'
    laughs = "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' if n else '<!ENTITY a0 "ha">' for n in range(10)
    )
    texts = {
        "entity": network(entity).replace('name="a"', 'name="&a;"'),
        "laughs": network(f"<!DOCTYPE net [{laughs}]>").replace('name="a"', 'name="&a9;"'),
        "data elsewhere": network(data=f'path="{out}/secret.bin" location="{out}/secret.bin"'),
        "data beyond its file": network(offset=TERABYTES),
        "data of terabytes": network(size=TERABYTES),
        "a layer from a library": network().replace('type="Add"', f'type="{out}/secret.so"'),
        "deep": "<net>" * 5000,
    }
    for number, (name, text) in enumerate(texts.items()):
        folder = place.folder(f"openvino/{number}")
        (folder / "net.xml").write_text(text, encoding="utf-8")
        (folder / "net.bin").write_bytes(bytes(100))
        reader = ("openvino", "network")[number % 2]
        # pugixml leaves entities as they are: such a name is text
        yield Case(f"openvino: {name}: {reader}", reader, str(folder / "net.xml"))


def transformers_folders(place: Place) -> Iterator[Case]:
    """Folders of detectors that bring code, fetch parts or hold pickles."""
    code = f"open({str(place.canary)!r}, 'w').close()\n"
    mapped = {"AutoModelForObjectDetection": "evil.Net", "AutoConfig": "evil.Config",
              "AutoImageProcessor": "evil.Processor"}  # fmt: skip
    away = {"AutoModelForObjectDetection": "somebody/evil--net.Net"}
    detr = {"model_type": "detr", "num_labels": 1, "id2label": {"0": "person"}, "d_model": 8,
            "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8,
            "encoder_attention_heads": 1, "decoder_attention_heads": 1, "num_queries": 2,
            "use_timm_backbone": False, "backbone_config": {"model_type": "resnet",
            "hidden_sizes": [4, 4], "depths": [1, 1], "embedding_size": 4,
            "out_features": ["stage2"]}}  # fmt: skip
    configs = {
        "code": {"model_type": "evil", "auto_map": mapped},
        "code elsewhere": {"model_type": "evil", "auto_map": away},
        "a known network with code": {**detr, "auto_map": mapped},
        "pickled weights": detr,
        "a trunk from elsewhere": {**detr, "use_timm_backbone": True, "backbone": "resnet50",
                                   "use_pretrained_backbone": True},
        "a trunk of a hub": {**detr, "backbone": "somebody/evil", "backbone_config": None,
                             "use_pretrained_backbone": True},
        "a kernel": {**detr, "attn_implementation": "somebody/evil"},
        "a kernel below": {**detr, "backbone_config": {**detr["backbone_config"],
                           "attn_implementation": "somebody/evil"}},
        "a quantizer": {**detr, "quantization_config": {"quant_method": "somebody/evil"}},
        "an adapter": detr,
    }  # fmt: skip
    for number, (name, config) in enumerate(configs.items()):
        folder = place.folder(f"transformers/{number}") / "net"
        folder.mkdir()
        (folder / "evil.py").write_text(code)
        (folder / "config.json").write_text(json.dumps(config))
        processor = {"image_processor_type": "DetrImageProcessor"}
        if name == "code":
            processor = {"image_processor_type": "Evil", "auto_map": mapped}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        if name == "pickled weights":
            evil = {"w": Call(os.system, f"touch {place.canary}")}
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps(evil, 2))
        else:
            save_weights(folder / "model.safetensors", {"w": torch.zeros(1)}, {})
        if name == "an adapter":
            adapter = {"base_model_name_or_path": "somebody/evil", "peft_type": "LORA"}
            (folder / "adapter_config.json").write_text(json.dumps(adapter))
        yield Case(f"transformers: {name}", "detector", str(folder))
    index = {"weight_map": {"w": "../../../../outside/secret.bin"}}
    folder = place.folder("transformers/parts") / "net"
    shutil.copytree(place.root / "transformers/2/net", folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    yield Case("transformers: parts elsewhere", "detector", str(folder))
