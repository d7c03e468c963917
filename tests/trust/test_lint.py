"""What could run a stranger's file has no place in the sources, called or only mentioned.

`tests/test_architecture.py` holds the calls for the package; here are the mentions, and the rest of
the repository. Tests that make hostile files are named, each with what it needs.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.test_architecture import FORBIDDEN_MODULES, call_faults, dotted, imported, local_names

ROOT = Path(__file__).parents[2]

NEVER = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "input"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.startfile", "pty.spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "runpy.run_path", "code.interact"),
    *("json_tricks.load", "json_tricks.loads", "yaml.unsafe_load", "yaml.full_load"),
    *(
        "yaml.Loader",
        "yaml.CLoader",
        "yaml.FullLoader",
        "yaml.UnsafeLoader",
        "yaml.add_constructor",
    ),
    *("numpy.fromregex", "numpy.lib.format.read_array", "pandas.read_pickle", "pandas.eval"),
    *("torch.hub", "torch.hub.load", "torch.jit.load", "torch.package", "torch.storage"),
    *("shutil.unpack_archive", "tempfile.mktemp", "ssl._create_unverified_context"),
    *("urllib.request.urlopen", "urllib.request.urlretrieve"),
}
"""Names that are not even mentioned."""
ONLY_CALLED = {"torch.load", "numpy.load", "yaml.load", "yaml.load_all"}
"""What may be called as the architecture says, but not handed on under another name."""
NEVER_METHODS = {"extractall", "read_pickle", "to_pickle", "loads_unsafe"}
NEVER_TRUE = {"shell", "trust_remote_code", "allow_pickle", "enable_unsafe_deserialization"}
"""Arguments that are never anything but false."""
MODULES = FORBIDDEN_MODULES | {"telnetlib", "ftplib", "xml", "lxml", "jsonpickle", "imp", "hickle"}


def faults(source: str, module: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = local_names(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for target in imported(tree):
        if target.partition(".")[0] in MODULES:
            yield f"{module} imports {target}"
    for node in ast.walk(tree):
        where = f"{module}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = dotted(node, names)
            if name in NEVER or (name in ONLY_CALLED and id(node) not in called):
                yield f"{where}: {name}"
            if isinstance(node, ast.Attribute) and node.attr in NEVER_METHODS:
                yield f"{where}: .{node.attr}"
        if isinstance(node, ast.keyword) and node.arg in NEVER_TRUE:
            is_false = isinstance(node.value, ast.Constant) and node.value.value is False
            yield from () if is_false else (f"{where}: {node.arg}",)
        if isinstance(node, ast.ClassDef):
            bases = {dotted(base, names) for base in node.bases}
            loaders = {base for base in bases if base.startswith("yaml.") and "Loader" in base}
            if loaders - {"yaml.SafeLoader", "yaml.CSafeLoader"}:
                yield f"{where}: class {node.name} of {', '.join(loaders)}"


def unsafe_calls(source: str, module: str) -> Iterator[str]:
    """Those of the architecture, where printing is no matter."""
    yield from (fault for fault in call_faults(source, module) if ": print" not in fault)


def found_in(place: str, *reads: Callable[[str, str], Iterator[str]]) -> list[str]:
    path = ROOT / place
    return [
        fault
        for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))
        for read in reads
        for fault in read(file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix())
    ]


OWN = ("pose/export/writers.py:", ": torch.jit.load")
"""The writer of a TorchScript file reads it once, to see what it gives: its own bytes."""


@pytest.mark.parametrize("place", ["pose", "tools", "demo", "setup.py"])
def test_nothing_that_is_shipped_could_run_a_file(place):
    found = found_in(place, faults, unsafe_calls)
    found = [fault for fault in found if not (fault.startswith(OWN[0]) and fault.endswith(OWN[1]))]
    assert not found, "\n".join(found)


def test_tests_read_files_as_carefully():
    """They run the programs of the documentation, and pickle objects of ours; a file of others
    they read as the package does, but for the readers by which the watch itself is tested."""
    found = [
        fault
        for fault in found_in("tests", unsafe_calls)
        if not fault.endswith(": exec") and not fault.startswith("tests/trust/readers.py")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "f = eval",
        "list(map(exec, texts))",
        "import torch\nread = torch.load",
        "from torch import load as read\nf(read)",
        "import os\nos.system('x')",
        "from os import system\nsystem('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import subprocess\nsubprocess.run('x', shell=given)",
        "f(trust_remote_code=True)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import yaml\nclass L(yaml.Loader): pass",
        "import yaml\nL = yaml.UnsafeLoader",
        "import pickle",
        "from pickle import loads",
        "import xml.etree.ElementTree",
        "archive.extractall('.')",
        "import torch\ntorch.hub.load('a', 'b')",
        "import pandas as pd\npd.read_pickle('x')",
    ],
)
def test_a_fault_is_seen(source):
    assert list(faults(source, "x"))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile('x')",
        "import torch\ntorch.load('x', weights_only=True)",
        "import yaml\nclass L(yaml.SafeLoader): pass",
        "import subprocess\nsubprocess.run(['x'])",
        "f(trust_remote_code=False)",
    ],
)
def test_what_is_safe_is_none(source):
    assert not list(faults(source, "x"))
