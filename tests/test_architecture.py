"""The house's laws, read from the source: floors, lengths, and calls that have no place here."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pose"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FLOORS = (
    {"skeleton", "geometry", "config", "files", "devices", "interrupts", "telemetry"},
    {"structures", "records", "images", "video", "download"},
    {"codecs", "models", "losses", "data", "metrics", "references"},
    {"inference"},
    {"engine", "reports", "export"},
    {"build"},
    {"benchmarks"},
    {"commands"},
    {"__main__"},
)
"""The rooms of each floor, from the ground; a room is a module or a folder of pose/."""

ROOM_OF = {
    "skeletons": "skeleton",
    "layers": "config",
    "recipes": "config",
    "schema": "config",
    "schema_network": "config",
    "seals": "files",
    "once": "devices",
    "growing_json": "records",
    "published": "build",
    "build_data": "build",
    "build_network": "build",
    "build_training": "build",
    "build_predictor": "build",
    "build_detector": "build",
    "build_runtime": "build",
    "build_evaluation": "build",
    "build_export": "build",
    "build_small_set": "build",
    "scale": "build",
    "shards": "build",
    "image_headers": "images",
    "inputs": "images",
    "mat_files": "records",
    "pillow_images": "images",
    "video": "images",
    "video_decoding": "images",
    "video_sound": "images",
    "video_source": "images",
    "video_writer": "images",
}
"""Modules that share a room with another one."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "json_tricks.load", "json_tricks.loads"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """pose.data.coco -> data; the package itself, which holds only its version, is ''."""
    name = module.partition(".")[2].partition(".")[0]
    return ROOM_OF.get(name, name)


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module a file imports, wherever in it; `from pose import x` counts as pose.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import by the absolute name"
            if node.module == "pose":
                yield from (f"pose.{a.name}" for a in node.names if not a.name.startswith("__"))
            else:
                yield str(node.module)


def local_names(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for: `import numpy as np` gives np -> numpy."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom):
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`np.load` -> numpy.load; an expression that is no plain dotted name gives ''."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def import_faults(source: str, module: str) -> Iterator[str]:
    for target in imported(ast.parse(source)):
        if target.partition(".")[0] in FORBIDDEN_MODULES:
            yield f"{module} imports {target}"
        if module == "pose":  # the public names, for type checkers; test_public.py looks at them
            continue
        if target.partition(".")[0] != "pose" or room(target) in ("", room(module)):
            continue
        if room(target) not in FLOOR_OF:
            yield f"{module} imports {target}, which stands on no floor"
        elif FLOOR_OF[room(target)] >= FLOOR_OF[room(module)]:
            yield f"{module} imports {target}, which is not on a floor below"
        elif room(target) == "references" and room(module) != "benchmarks":
            yield f"{module} imports {target}: only the benchmark reads the references"


def call_faults(source: str, module: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = local_names(tree)
    safe_loaders = {"yaml.SafeLoader", "yaml.CSafeLoader"} | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and [dotted(base, names) for base in node.bases] == ["yaml.SafeLoader"]
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func, names)
        given = {k.arg: k.value for k in node.keywords}
        where = f"{module}:{node.lineno}: {called}"
        if called in FORBIDDEN_CALLS:
            yield where
        if called == "torch.load" and not is_constant(given.get("weights_only"), True):
            yield f"{where} without weights_only=True"
        if called == "numpy.load" and not is_constant(given.get("allow_pickle", False), False):
            yield f"{where} with allow_pickle"
        if called in ("yaml.load", "yaml.load_all"):
            loader = given.get("Loader")
            if loader is None or dotted(loader, names) not in safe_loaders:
                yield f"{where} without a SafeLoader"
        if called in ("yaml.unsafe_load", "yaml.full_load"):
            yield where
        if called.endswith("tqdm") and "disable" not in given:
            yield f"{where} without disable: a bar is quiet where there is no terminal"
        if called == "print" and room(module) != "commands":
            yield f"{where} outside commands"


def is_constant(node: ast.expr | bool | None, value: bool) -> bool:
    return node is value or (isinstance(node, ast.Constant) and node.value is value)


def length_faults(source: str, module: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{module} has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{module}.{node.name} has {lines} lines"


@pytest.mark.parametrize("faults", [import_faults, call_faults, length_faults])
def test_the_package_keeps_its_laws(faults):
    found = [fault for path in SOURCES for fault in faults(path.read_text(), module_name(path))]
    assert not found, "\n".join(found)


def test_every_module_stands_on_a_floor():
    assert {room(module_name(path)) for path in SOURCES} <= {"", *FLOOR_OF}


def test_every_folder_with_code_is_a_package():
    missing = {path.parent for path in SOURCES if not (path.parent / "__init__.py").is_file()}
    assert not missing, f"without __init__.py a wheel leaves out {sorted(map(str, missing))}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pose.data.coco", "from pose.codecs import gaussian"),
        ("pose.geometry", "import pose.skeleton"),
        ("pose.metrics.oks", "def f():\n    from pose import models"),
        ("pose.engine.trainer", "from pose.references.crop import crop"),
        ("pose.images", "from pose.attic import box"),
        ("pose.commands.app", "from pose import load"),
        ("pose.data.cache", "import pickle"),
    ],
)
def test_a_forbidden_import_is_seen(module, source):
    assert len(list(import_faults(source, module))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pose.data.coco", "from pose.data import sources\nfrom pose.geometry import Crop"),
        ("pose.commands.main", "from pose import __version__"),
        ("pose.benchmarks.data", "from pose.references import crops"),
    ],
)
def test_an_import_from_below_or_beside_is_not(module, source):
    assert not list(import_faults(source, module))


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec('1')",
        "print(1)",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from torch import load\nload('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "from json_tricks import loads as read\nread('{}')",
        "import yaml\nyaml.load('x')",
        "import yaml\nyaml.load('x', Loader=yaml.Loader)",
        "from tqdm import tqdm\ntqdm([1])",
    ],
)
def test_a_forbidden_call_is_seen(source):
    assert len(list(call_faults(source, "pose.images"))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import torch\ntorch.load('x', weights_only=True)",
        "import numpy as np\nnp.load('x')",
        "import yaml\nclass L(yaml.SafeLoader): pass\nyaml.load('x', Loader=L)",
    ],
)
def test_a_safe_call_is_not(source):
    assert not list(call_faults(source, "pose.images"))


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torchvision", "pycocotools", "torch", "cv2", "numpy"}
    program = f"import sys, pose; print(*({heavy!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
