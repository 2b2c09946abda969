"""Folders import only to their left, and the core stays pure."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seamline

SOURCE = Path(seamline.__file__).parent
RANK = {"core": 0, "config": 1, "runtime": 3, "cli": 4, "dashboard": 4} | dict.fromkeys(
    ("model", "codec", "fabric", "meters", "testbed", "sim"), 2
)
IMPURE = {
    "asyncio", "threading", "multiprocessing", "socket", "subprocess", "time", "datetime", "logging", "random",
    "os", "io", "pathlib", "pickle", "marshal",
}  # fmt: skip


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute module) of every import in a file, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def folder(module: str) -> str:
    """``core`` for ``seamline.core.cost``; a file in the package itself is its own folder."""
    return module.split(".")[1] if module.count(".") else ""


def violations(source: Path) -> list[str]:
    wrong = []
    for path in sorted(source.rglob("*.py")):
        here = path.relative_to(source).parts[0].removesuffix(".py")
        for line, module in imports(path):
            there = folder(module) if module.split(".")[0] == "seamline" else ""
            if here in RANK and there in RANK and here != there and RANK[here] <= RANK[there]:
                wrong.append(f"{path.relative_to(source)}:{line} {here} -> {there}")
    return wrong


def test_folders_import_only_to_their_left():
    assert violations(SOURCE) == []


def test_every_folder_has_its_place():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"data"} <= RANK.keys()


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("core/a.py", "from seamline.runtime.node import Node", "core/a.py:1 core -> runtime"),
        ("core/a.py", "def f():\n    import seamline.model.store", "core/a.py:2 core -> model"),
        ("codec/a.py", "from seamline import model", "codec/a.py:1 codec -> model"),
        ("config.py", "from seamline.testbed import file", "config.py:1 config -> testbed"),
        ("cli/a.py", "import seamline.dashboard.web", "cli/a.py:1 cli -> dashboard"),
    ],
)
def test_an_import_to_the_right_is_named_by_file_and_line(tmp_path: Path, file: str, line: str, wrong: str):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line + "\n")
    assert violations(tmp_path) == [wrong]


def test_the_core_imports_only_pure_parts_of_the_standard_library_and_numpy():
    wrong = [
        f"{path.name}:{line} {module}"
        for path in sorted((SOURCE / "core").rglob("*.py"))
        for line, module in imports(path)
        if (top := module.split(".")[0]) in IMPURE or top not in sys.stdlib_module_names | {"numpy", "seamline"}
    ]
    assert wrong == []


FRESH = """
import importlib, pathlib, sys
import numpy, numpy.typing
before = set(sys.modules)
import seamline.core
for path in sorted(pathlib.Path(seamline.core.__file__).parent.glob("*.py")):
    importlib.import_module("seamline.core" if path.stem == "__init__" else f"seamline.core.{path.stem}")
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded & set(sys.argv[1].split(","))))
"""


def test_importing_the_core_loads_no_input_output_and_no_engine():
    banned = "asyncio,socket,selectors,ssl,multiprocessing,subprocess,logging,onnx,onnxruntime,zenoh,msgspec,cv2,psutil"
    done = subprocess.run([sys.executable, "-c", FRESH, banned], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
