"""Reference of `verify`: the user's own file in plain ONNX Runtime, past everything that this package does with it.

Reading, folding, normal form, weight store, preprocessing nodes and session options are all left out, so a fault in any
of them shows as a whole model that differs from its file. The file runs as its runtime runs it by default, and once
more without optimisation, which tells a fault of the runtime's optimiser from one of ours.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.ports import Array, Engine
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.engine.comparison import is_blank, relative_error
from seamline.model.engine.verify import random_tensors
from seamline.model.metadata.preprocess import FRAME, Preprocess
from seamline.model.metadata.sidecar import read_sidecar
from seamline.model.onnx.prepending import prepend
from seamline.model.onnx.protobuf import parse_outline
from seamline.model.onnx.session import quiet_options, translated
from seamline.model.store.stored import StoredModel

LARGE_BYTES = 1024

RANDOM_ERROR = 1e-3
"""Two runs of one session that differ by more draw at random; threads that sum in another order differ by less."""

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What became of a model file, run beside the whole model that was read from it. Errors as `relative_error`.

    error: why the file does not run in plain ONNX Runtime on this input; the errors are then None.
    optimised_error: of the file as the runtime optimises it, against the file without. whole_error: of the whole model
    against the optimised file. unoptimised_whole_error: of the whole model against the file without optimisation.
    random_outputs: outputs that differ between two runs or sessions on the same input, and are not compared.
    missing_outputs: outputs of the file that the whole model does not have. n_compared: outputs that errors are of.
    blank_outputs: outputs without a finite number on this input, whose equality proves nothing.
    """

    error: str | None = None
    optimised_error: float | None = None
    whole_error: float | None = None
    unoptimised_whole_error: float | None = None
    random_outputs: tuple[str, ...] = ()
    missing_outputs: tuple[str, ...] = ()
    n_compared: int = 0
    blank_outputs: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[float | None, float | None, float | None]:
        """Those of the file, of the whole model, and of the whole model without optimisation of the file."""
        return self.optimised_error, self.whole_error, self.unoptimised_whole_error


@dataclass(frozen=True, slots=True)
class _Constants:
    """Inputs that became constants: their values, and the shapes of those whose file leaves an axis open."""

    values: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]]


def check_file(
    engine: Engine,
    model: StoredModel,
    path: Path,
    *,
    seed: int = 0,
    values: Mapping[str, float] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    n_threads: int = 1,
) -> FileCheck:
    """Run the file `path`, which `model` was read from, and the whole `model` on the input of `verify_cuts`.

    values, shapes: of inputs that became constants, as given when the file was read. Raises `ModelError` when the whole
    model does not run; a file that does not is reported in the check.
    """
    whole = engine.prepare(model.model_id, model.whole)
    tensors = random_tensors(whole.inputs, seed)
    found, again = whole.run(tensors), whole.run(tensors)
    said = read_sidecar(path)
    fixed = _Constants({**said.values, **(values or {})}, {**said.shapes, **(shapes or {})})
    try:
        _check_opens(path)
        file = _runs(path, model, tensors, fixed, n_threads, optimised=True)
        (plain,) = _runs(path, model, tensors, fixed, n_threads, optimised=False, n_runs=1)
        random = [*_random(found, again), *_random(*file)]
        if _random(file[0], plain):  # some operators draw once for each session
            (other,) = _runs(path, model, tensors, fixed, n_threads, optimised=False, n_runs=1)
            random += _random(plain, other)
    except ModelError as exc:
        return FileCheck(error=str(exc), random_outputs=_random(found, again))
    compared = [name for name in plain if name not in random]
    return FileCheck(
        optimised_error=_largest(file[0], plain, compared),
        whole_error=_largest(found, file[0], compared),
        unoptimised_whole_error=_largest(found, plain, compared),
        random_outputs=tuple(dict.fromkeys(random)),
        missing_outputs=tuple(name for name in plain if name not in found),
        n_compared=len(compared),
        blank_outputs=tuple(name for name in compared if is_blank(plain[name])),
    )


def _check_opens(path: Path) -> None:
    """Raises `ModelError` when plain ONNX Runtime ends by a signal as it opens the file.

    Release 1.31 does on crafted functions, which are inlined here before it sees them. Files with functions of their
    own are therefore opened in a process of its own first; that costs a second, and other files nothing.
    """
    if not parse_outline(path, LARGE_BYTES).model.functions:
        return
    child = subprocess.run([sys.executable, "-c", _OPENS, str(path)], capture_output=True, check=False)
    if child.returncode < 0:
        raise ModelError(f"`{path.name}` ends plain ONNX Runtime by signal {-child.returncode}")


_OPENS = """
import sys
import onnxruntime
try:
    onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
except Exception:
    pass  # said by whoever opens it next
"""


def _runs(
    path: Path,
    model: StoredModel,
    tensors: Mapping[str, Array],
    fixed: _Constants,
    n_threads: int,
    *,
    optimised: bool,
    n_runs: int = 2,
) -> list[dict[str, Array]]:
    """Outputs by name of that many runs of one session of the file."""
    options = ort.SessionOptions() if optimised else quiet_options()
    options.intra_op_num_threads = n_threads
    with translated(f"`{path.name}` does not run in plain ONNX Runtime"):
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = _feeds(session.get_inputs(), _own_inputs(model, tensors), fixed)
        names = [output.name for output in session.get_outputs()]
        return [dict(zip(names, session.run(names, feeds), strict=True)) for _ in range(n_runs)]


def _own_inputs(model: StoredModel, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """What the model's own inputs are, behind the preprocessing of a camera frame."""
    if model.preprocess is None:
        return tensors
    target = model.preprocess.target(model.graph.input_specs)
    return {**tensors, **preprocessed(model.preprocess, target, tensors)}


def preprocessed(preprocess: Preprocess, target: TensorSpec, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The input `target` that `preprocess` makes of the camera frame in `tensors`."""
    made = ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    made.graph.name = "preprocessing"
    prepend(made.graph, preprocess, target.name)
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(target.dtype))
    made.graph.output.append(helper.make_tensor_value_info(target.name, dtype, list(target.shape)))
    session = ort.InferenceSession(made.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"])
    return {target.name: session.run([target.name], {FRAME: tensors[FRAME]})[0]}


def _feeds(inputs: Sequence[Any], tensors: Mapping[str, Array], fixed: _Constants) -> dict[str, Array]:
    """A value for each input of the file; constants in the shape that it states, open axes being 1."""
    feeds = {}
    for value in inputs:
        if value.name in tensors:
            feeds[value.name] = tensors[value.name]
        elif value.name in fixed.values:
            stated = [extent if isinstance(extent, int) else 1 for extent in value.shape]
            shape = fixed.shapes.get(value.name, stated)
            feeds[value.name] = np.full(shape, fixed.values[value.name], _dtype(value.type))
        else:
            raise ModelError(f"its input `{value.name}` is none of the model that was read from it")
    return feeds


def _dtype(text: str) -> str:
    """``tensor(int64)`` as NumPy's ``int64``."""
    return _DTYPES.get(text, text.removeprefix("tensor(").removesuffix(")"))


def _random(one: Mapping[str, Array], other: Mapping[str, Array]) -> tuple[str, ...]:
    return tuple(name for name, value in one.items() if not relative_error(other[name], value) <= RANDOM_ERROR)


def _largest(found: Mapping[str, Array], expected: Mapping[str, Array], names: Sequence[str]) -> float:
    return max((relative_error(found[name], expected[name]) for name in names if name in found), default=0.0)
