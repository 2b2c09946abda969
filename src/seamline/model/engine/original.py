"""Reference of `verify`: the user's own file in plain ONNX Runtime, past everything that this package does with it.

Reading, folding, normal form, weight store, preprocessing nodes and session options are all left out, so a fault in any
of them shows as a whole model that differs from its file. The file runs as its runtime runs it by default, and once
more without optimisation, which tells a fault of the runtime's optimiser from one of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.ports import Array, Engine
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.engine.comparison import is_blank, relative_error
from seamline.model.engine.plain_run import AGAIN, OPTIMISED, OTHER, PLAIN, UNLIKE, Request, run_file
from seamline.model.engine.verify import random_tensors
from seamline.model.metadata.preprocess import FRAME, Preprocess
from seamline.model.metadata.sidecar import read_sidecar
from seamline.model.onnx.prepending import prepend
from seamline.model.onnx.session import quiet_session
from seamline.model.store.stored import StoredModel


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


def check_file(
    engine: Engine,
    model: StoredModel,
    path: Path,
    *,
    seed: int = 0,
    values: Mapping[str, float] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> FileCheck:
    """Run the file `path`, which `model` was read from, and the whole `model` on the input of `verify_cuts`.

    values, shapes: of inputs that became constants, as given when the file was read. Raises `ModelError` when the whole
    model does not run; a file that does not is reported in the check.
    """
    whole = engine.prepare(model.model_id, model.whole)
    tensors = random_tensors(whole.inputs, seed)
    found, again = whole.run(tensors), whole.run(tensors)
    said = read_sidecar(path)
    request = Request(
        path=str(path.absolute()),
        values={**said.values, **(values or {})},
        shapes={**said.shapes, **(shapes or {})},
    )
    try:
        runs = run_file(request, _own_inputs(model, tensors))
    except ModelError as exc:
        return FileCheck(error=str(exc), random_outputs=_random(found, again))
    file, plain = runs[OPTIMISED], runs[PLAIN]
    # some operators draw in every run, others once for each session
    random = (*_random(found, again), *_random(file, runs[AGAIN]), *_random(plain, runs[OTHER]))
    compared = [name for name in plain if name not in random]
    return FileCheck(
        optimised_error=_largest(file, plain, compared),
        whole_error=_largest(found, file, compared),
        unoptimised_whole_error=_largest(found, plain, compared),
        random_outputs=tuple(dict.fromkeys(random)),
        missing_outputs=tuple(name for name in plain if name not in found),
        n_compared=len(compared),
        blank_outputs=tuple(name for name in compared if is_blank(plain[name])),
    )


def _own_inputs(model: StoredModel, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """What the model's own inputs are, behind the preprocessing of a camera frame."""
    if model.preprocess is None:
        return tensors
    target = model.preprocess.target(model.graph.input_specs)
    return {**tensors, **preprocessed(model.preprocess, target, tensors)}


def preprocessed(preprocess: Preprocess, target: TensorSpec, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The input `target` that `preprocess` makes of the camera frame in `tensors`."""
    return {target.name: preprocessing(preprocess, target)(tensors[FRAME])}


def preprocessing(preprocess: Preprocess, target: TensorSpec) -> Callable[[Array], Array]:
    """What makes the input `target` of a camera frame, as `preprocess` says."""
    made = ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    made.graph.name = "preprocessing"
    prepend(made.graph, preprocess, target.name)
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(target.dtype))
    made.graph.output.append(helper.make_tensor_value_info(target.name, dtype, list(target.shape)))
    session = quiet_session(made)

    def run(frame: Array) -> Array:
        (found,) = session.run([target.name], {FRAME: frame})
        return np.asarray(found)

    return run


def _random(one: Mapping[str, Array], other: Mapping[str, Array]) -> tuple[str, ...]:
    return tuple(name for name, value in one.items() if not relative_error(other[name], value) <= UNLIKE)


def _largest(found: Mapping[str, Array], expected: Mapping[str, Array], names: Sequence[str]) -> float:
    return max((relative_error(found[name], expected[name]) for name in names if name in found), default=0.0)
