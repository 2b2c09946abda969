"""A model file in plain ONNX Runtime, in a process of its own.

    python -m seamline.model.engine.plain_run FOLDER

The file comes from anywhere, and the runtime ends its process by a signal on some that are damaged: then only this one
is gone. FOLDER holds ``request.json`` (`Request`) and ``inputs.npz``; ``answer.json`` and ``outputs.npz`` are written
there. Nothing of this package runs here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.ports import Array
from seamline.model.engine.comparison import relative_error

_REQUEST, _INPUTS, _ANSWER, _OUTPUTS = "request.json", "inputs.npz", "answer.json", "outputs.npz"
_SEVERITY_FATAL = 4
_DTYPES = {"float": "float32", "double": "float64"}

OPTIMISED, AGAIN, PLAIN, OTHER = "optimised", "again", "plain", "other"
"""Runs: as by default, the same session once more, without optimisation, and that in another session.

The last one is made only where the first and the third are unlike.
"""

UNLIKE = 1e-3
"""Relative error of two runs from which on chance, and no rounding, is behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """path: of the file. values, shapes: of inputs that became constants, as they were given."""

    path: str
    values: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]]


def run_file(request: Request, tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Outputs by name, by run. Raises `ModelError` when the runtime refuses the file, or ends by a signal over it."""
    with tempfile.TemporaryDirectory(prefix="seamline-verify-") as name:
        folder = Path(name)
        said = {**asdict(request), "inputs": _saved(dict(tensors), folder / _INPUTS)}
        (folder / _REQUEST).write_text(json.dumps(said), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", __name__, name], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        what = f"`{Path(request.path).name}` does not run in plain ONNX Runtime"
        if done.returncode < 0:
            raise ModelError(f"`{Path(request.path).name}` ends plain ONNX Runtime by signal {-done.returncode}")
        if done.returncode != 0 or not (folder / _ANSWER).is_file():
            raise ModelError(f"{what}: its process ended with {done.returncode}")
        answer = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
        if "error" in answer:
            raise ModelError(f"{what}: {answer['error']}")
        found: dict[str, dict[str, Array]] = _loaded(answer["runs"], folder / _OUTPUTS)
        return found


def _main(name: str) -> None:
    folder = Path(name)
    request = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    tensors = _loaded(request["inputs"], folder / _INPUTS)
    try:
        found = _all_runs(request, tensors)
    except Exception as exc:  # the runtime's errors share no base class
        answer: dict[str, Any] = {"error": str(exc).replace("\n", " ")[:400]}
    else:
        answer = {"runs": _saved(found, folder / _OUTPUTS)}
    (folder / _ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _saved(value: Any, path: Path) -> Any:
    """Write the arrays in `value` to `path`; return the rest for JSON, maps and lists with what kind they are."""
    arrays: list[Array] = []

    def plain(each: Any) -> Any:
        if isinstance(each, np.ndarray):
            is_text = each.dtype == object  # written as text, since nothing is pickled
            arrays.append(each.astype(str) if is_text else each)
            return {"text" if is_text else "array": f"a{len(arrays) - 1}"}
        if isinstance(each, dict):
            return {"map": [[key, plain(inner)] for key, inner in each.items()]}
        if isinstance(each, list | tuple):
            return {"list": [plain(inner) for inner in each]}
        return {"value": each}

    written = plain(value)
    np.savez(path, allow_pickle=False, **{f"a{at}": array for at, array in enumerate(arrays)})
    return written


def _loaded(written: Any, path: Path) -> Any:
    """What `_saved` was given."""

    def value(each: Any) -> Any:
        ((kind, inner),) = each.items()
        match kind:
            case "text":
                return saved[inner].astype(object)
            case "array":
                return saved[inner]
            case "map":
                return {key: value(one) for key, one in inner}
            case "list":
                return [value(one) for one in inner]
        return inner

    with np.load(path, allow_pickle=False) as saved:
        return value(written)


def _all_runs(request: dict[str, Any], tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    session = _session(request, optimised=True)
    feeds = _feeds(session, tensors, request)
    found = {OPTIMISED: _run(session, feeds), AGAIN: _run(session, feeds)}
    del session
    found[PLAIN] = found[OTHER] = _run(_session(request, optimised=False), feeds)
    if any(not relative_error(found[OPTIMISED][name], value) <= UNLIKE for name, value in found[PLAIN].items()):
        found[OTHER] = _run(_session(request, optimised=False), feeds)
    return found


def _session(request: dict[str, Any], *, optimised: bool) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _SEVERITY_FATAL
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(request["path"], options, providers=["CPUExecutionProvider"])


def _run(session: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _feeds(session: Any, tensors: Mapping[str, Array], request: dict[str, Any]) -> dict[str, Array]:
    """A value for each input of the file; constants in the shape that it states, open axes being 1."""
    feeds = {}
    for value in session.get_inputs():
        if value.name in tensors:
            feeds[value.name] = tensors[value.name]
        elif value.name in request["values"]:
            stated = [extent if isinstance(extent, int) else 1 for extent in value.shape]
            shape = request["shapes"].get(value.name, stated)
            feeds[value.name] = np.full(shape, request["values"][value.name], _dtype(value.type))
        else:
            raise ModelError(f"its input `{value.name}` is none of the model that was read from it")
    return feeds


def _dtype(text: str) -> str:
    """``tensor(int64)`` as NumPy's ``int64``."""
    name = text.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)


if __name__ == "__main__":
    _main(sys.argv[1])
