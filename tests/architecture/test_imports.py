"""Folders and the rooms in them import only downwards, no files import each other in a circle, the core is pure."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import seamline

SOURCE = Path(seamline.__file__).parent
REPOSITORY = Path(__file__).parents[2]
FLOORS = {
    "core": 0, "config": 1, "heads": 3, "sinks": 4, "runtime": 5, "dashboard": 6, "serving": 6, "cli": 7,
} | dict.fromkeys(("model", "codec", "fabric", "identity", "meters", "testbed", "sim", "report"), 2)  # fmt: skip
ROOMS = {
    "core": (
        "vocabulary", "graph", "cost", "speed", "link", "planning", "adaptation", "switching", "session", "recording",
        "hosting", "analysis",
    ),
    "model": ("metadata", "onnx", "store", "engine", "remote", "zoo"),
    "fabric": ("bulk",),
    "runtime": (
        "inputs", "shared", "sources", "identity", "segments", "tracing", "node", "origin", "api", "metrics", "lab",
        "chaos",
    ),
    "cli": ("shared", "membership", "observing", "running", "demo", "reporting", "commands"),
}  # fmt: skip
"""Inside a folder, lowest first: a room imports only from itself and from those before it."""

MOST_FILES = 17
LARGER = {
    "cli/commands": "one file a command",
}
IMPURE = {
    "asyncio", "threading", "multiprocessing", "socket", "subprocess", "time", "datetime", "logging", "random",
    "os", "io", "pathlib", "pickle", "marshal",
}  # fmt: skip


@cache
def syntax(path: Path) -> ast.Module:
    """A file as a tree; every file is read and parsed once for all tests."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute module or name in one) of every import in a file, also inside functions and `TYPE_CHECKING`."""
    found = []
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def package_files(source: Path) -> dict[str, Path]:
    """Files by dotted name below `source`: ``core.cost.formulas``; a package by its folder's."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows(source: Path) -> Iterator[tuple[str, int, str]]:
    """(importing file, line, what is imported) inside the package, both dotted below `source`."""
    for name, path in package_files(source).items():
        for line, module in imports(path):
            if module.startswith("seamline."):
                yield name, line, module.removeprefix("seamline.")


def upward(source: Path) -> list[str]:
    """Imports from a folder on the same floor or above, or from a room above."""
    files, wrong = package_files(source), []
    for here, line, there in arrows(source):
        (folder, *inner), (other, *others) = here.split("."), there.split(".")
        where = f"{files[here].relative_to(source)}:{line}"
        if folder != other:
            if folder in FLOORS and other in FLOORS and FLOORS[folder] <= FLOORS[other]:
                wrong.append(f"{where} {folder} -> {other}")
            continue
        rooms = ROOMS.get(folder, ())
        if inner and others and inner[0] in rooms and others[0] in rooms[rooms.index(inner[0]) + 1 :]:
            wrong.append(f"{where} {folder}.{inner[0]} -> {folder}.{others[0]}")
    return wrong


def circles(source: Path) -> list[set[str]]:
    """Groups of files that import each other, by whatever detour (Tarjan's strongly connected components)."""
    files = package_files(source)
    graph: Mapping[str, set[str]] = defaultdict(set)
    for here, _, there in arrows(source):
        while there and there not in files:
            there = there.rpartition(".")[0]
        if there and there != here:
            graph[here].add(there)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(file: str) -> None:
        order[file] = lowest[file] = len(order)
        path.append(file)
        for other in sorted(graph[file]):
            if other not in order:
                visit(other)
            if other in path:
                lowest[file] = min(lowest[file], lowest[other])
        if lowest[file] == order[file]:
            at = path.index(file)
            if len(path) - at > 1:
                found.append(set(path[at:]))
            del path[at:]

    for file in files:
        if file not in order:
            visit(file)
    return found


def mutable_globals(path: Path) -> list[str]:
    """Names at the top of a file bound to a list, dict, set or other container that grows, and caches around functions.

    Tuples, frozensets, literals that nobody changes by their annotation (`Mapping`, `Final`) and constants in capitals
    pass.
    """
    tree, wrong = syntax(path), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            wrong += [f"{path.name}:{node.lineno} global {name}" for name in node.names]
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if "cache" in ast.unparse(decorator):
                    wrong.append(f"{path.name}:{node.lineno} {ast.unparse(decorator)} {node.name}")
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        names = [ast.unparse(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
        is_container = isinstance(node.value, ast.Dict | ast.List | ast.Set) or (
            isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in {"dict", "list", "set", "defaultdict"}
        )
        if is_container and not all(name.isupper() or name == "__all__" for name in names):
            wrong.append(f"{path.name}:{node.lineno} {', '.join(names)}")
    return wrong


def test_folders_and_rooms_import_only_downwards():
    assert upward(SOURCE) == []


def test_no_files_import_each_other_in_a_circle():
    assert circles(SOURCE) == []


def test_commands_share_through_their_own_room_only():
    wrong = [
        f"{here}:{line} {there}"
        for here, line, there in arrows(SOURCE)
        if here.startswith("cli.commands.") and there.startswith("cli.commands")
    ]
    assert wrong == []


def test_nothing_beside_the_package_takes_from_the_command_line():
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{line} {module}"
        for folder in ("experiments", "benchmarks", "examples")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for line, module in imports(path)
        if module == "seamline.cli" or module.startswith("seamline.cli.")
    ]
    assert wrong == []


def test_what_stands_beside_the_package_takes_only_names_that_exist():
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.module}.{alias.name}"
        for folder in ("experiments", "benchmarks", "examples", "docs")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "seamline"
        for alias in node.names
        if not is_there(str(node.module), alias.name)
    ]
    assert wrong == []


def is_there(module: str, name: str) -> bool:
    package = importlib.import_module(module)
    return hasattr(package, name) or (
        hasattr(package, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
    )


def test_every_folder_and_room_has_its_place():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"data"} <= FLOORS.keys()
    for folder, rooms in ROOMS.items():
        assert {path.name for path in (SOURCE / folder).iterdir() if (path / "__init__.py").exists()} <= set(rooms)


def test_no_room_holds_more_files_than_one_can_keep_in_mind():
    counts = Counter(str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if path.stem != "__init__")
    assert {room: n for room, n in counts.items() if n > MOST_FILES and room not in LARGER} == {}


def test_the_core_keeps_nothing_between_calls():
    wrong = {
        str(path.relative_to(SOURCE)): found
        for path in sorted((SOURCE / "core").rglob("*.py"))
        if (found := mutable_globals(path))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("core/a.py", "from seamline.runtime.node import Node", "core/a.py:1 core -> runtime"),
        ("core/a.py", "def f():\n    import seamline.model.store", "core/a.py:2 core -> model"),
        ("codec/a.py", "from seamline import model", "codec/a.py:1 codec -> model"),
        ("config.py", "from seamline.testbed import file", "config.py:1 config -> testbed"),
        ("dashboard/a.py", "import seamline.cli.main", "dashboard/a.py:1 dashboard -> cli"),
        (
            "core/link/a.py",
            "from seamline.core.planning.planner import plan",
            "core/link/a.py:1 core.link -> core.plan",
        ),
        ("runtime/node/a.py", "import seamline.runtime.origin.b", "runtime/node/a.py:1 runtime.node -> runtime.origin"),
    ],
)
def test_an_upward_import_is_named_by_file_and_line(tmp_path: Path, file: str, line: str, wrong: str):
    (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / file).write_text(line + "\n")
    (found,) = upward(tmp_path)
    assert found.startswith(wrong)


def test_a_circle_is_found_through_a_detour_and_under_type_checking(tmp_path: Path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text("from seamline.core.b import B\n")
    (tmp_path / "core" / "b.py").write_text("if TYPE_CHECKING:\n    from seamline.core.c import C\n")
    (tmp_path / "core" / "c.py").write_text("def f():\n    from seamline.core import a\n")
    (tmp_path / "core" / "d.py").write_text("from seamline.core import a\n")
    assert circles(tmp_path) == [{"core.a", "core.b", "core.c"}]


@pytest.mark.parametrize(
    "line",
    ["_known = {}", "seen: set[int] = set()", "_cache = dict()", "@lru_cache\ndef f(): ...", "def f():\n    global x"],
)
def test_a_mutable_global_is_found(tmp_path: Path, line: str):
    (tmp_path / "a.py").write_text(line + "\n")
    assert mutable_globals(tmp_path / "a.py")


def test_the_core_imports_only_pure_parts_of_the_standard_library_and_numpy():
    wrong = [
        f"{path.name}:{line} {module}"
        for path in sorted((SOURCE / "core").rglob("*.py"))
        for line, module in imports(path)
        if (top := module.split(".")[0]) in IMPURE or top not in sys.stdlib_module_names | {"numpy", "seamline"}
    ]
    assert wrong == []


def test_tests_are_skipped_by_what_they_need_only():
    tests = [path for path in (REPOSITORY / "tests").rglob("test_*.py") if path != Path(__file__)]
    ways = re.compile(r"importorskip|skipif|pytest\.skip\(|unittest")
    assert [str(path) for path in tests if ways.search(path.read_text())] == []


FRESH = """
import importlib, pathlib, sys
import numpy, numpy.typing
before = set(sys.modules)
import seamline
root = pathlib.Path(seamline.__file__).parent
for path in sorted((root / "core").rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    importlib.import_module(".".join(("seamline", *parts)).removesuffix(".__init__"))
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded & set(sys.argv[1].split(","))))
"""


def test_importing_the_core_loads_no_input_output_and_no_engine():
    banned = "asyncio,socket,selectors,ssl,multiprocessing,subprocess,logging,onnx,onnxruntime,zenoh,msgspec,cv2,psutil"
    done = subprocess.run([sys.executable, "-c", FRESH, banned], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
