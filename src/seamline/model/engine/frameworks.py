"""Import of models of other frameworks: export to ONNX, then verification that the result computes the same.

The framework is imported when asked for, from an extra (`pip install 'seamline[torch]'`). Its model runs once on random
input, and the stored ONNX model, run by the engine, must agree. Importing a torch model runs the function that the user
names; a Keras file is data only (`safe_mode`), and no file is unpickled.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seamline.config.durable import move_into_place
from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.engine.comparison import relative_error
from seamline.model.engine.ort import OrtEngine
from seamline.model.engine.verify import random_tensors
from seamline.model.store.models import ModelStore

OPSET = 20
"""Has Gelu and LayerNormalization as one node each; every ONNX Runtime since 1.17 takes it."""

SINGLE_FILE_BYTES = 3 << 29
"""Models with more weights get a second file beside the ONNX one: a protobuf message ends at 2 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A model that was exported and checked.

    path: the ONNX file. n_files: 2 when the weights stand beside it. framework: name and version.
    max_relative_error: largest deviation of any output from the framework's own, relative to the largest output.
    """

    path: Path
    model_id: str
    name: str
    framework: str
    n_files: int
    n_cuts: int
    max_relative_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A model in its framework. run: outputs for inputs, both in order. write: export to an ONNX file."""

    framework: str
    inputs: tuple[TensorSpec, ...]
    run: Callable[[Sequence[Array]], list[Array]]
    write: Callable[[Path], None]


def import_torch(
    target: str, inputs: Sequence[TensorSpec], path: Path, store: ModelStore, *, seed: int = 0
) -> Imported:
    """Export the PyTorch module that ``PACKAGE.MODULE:FUNCTION`` returns to the ONNX file `path`, and check it.

    inputs: what the module takes, in order. Raises `UsageError` when torch or the function is missing, `ModelError`
    when the function fails, torch cannot export the module, or the results differ in shape.
    """
    torch = _framework("torch")
    module = _made(target)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"`{target}` returns {type(module).__name__}, which is no torch.nn.Module")
    module = module.eval().to("cpu")
    n_bytes = sum(value.numel() * value.element_size() for value in module.state_dict().values())

    def run(arrays: Sequence[Array]) -> list[Array]:
        with torch.no_grad():
            return [np.asarray(value) for value in _leaves(module(*map(torch.from_numpy, arrays)))]

    def write(file: Path) -> None:
        arrays = tuple(torch.from_numpy(array) for array in random_tensors(inputs, seed).values())
        names = [spec.name for spec in inputs]
        torch.onnx.export(
            module, arrays, str(file), input_names=names, opset_version=OPSET, dynamo=True, verbose=False,
            external_data=n_bytes > SINGLE_FILE_BYTES,
        )  # fmt: skip

    source = _Source(framework=f"torch {torch.__version__}", inputs=tuple(inputs), run=run, write=write)
    return _import(source, path, store, seed)


def import_keras(
    file: Path, path: Path, store: ModelStore, *, shapes: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0
) -> Imported:
    """Export the Keras model in `file` (``.keras``) to the ONNX file `path`, and check it.

    shapes: of inputs with open axes, by name. Raises `UsageError` when Keras or the file is missing, `ModelError` when
    it is no Keras model, holds code of its own, or cannot be exported.
    """
    if not file.is_file():
        raise UsageError(f"there is no file `{file}`")
    if file.suffix != ".keras":
        raise UsageError(f"`{file.name}` is not a .keras file", hint="load it in Keras 3 and save it as NAME.keras")
    os.environ.setdefault("KERAS_BACKEND", "torch")  # the only backend whose export needs no TensorFlow
    keras = _framework("keras")
    try:
        model = keras.saving.load_model(str(file), compile=False, safe_mode=True)
    except Exception as exc:  # whatever a damaged or foreign file makes Keras raise
        raise ModelError(f"Keras cannot load `{file.name}`: {_first_line(exc)}") from exc
    inputs = tuple(_keras_spec(value, shapes or {}) for value in model.inputs)

    def run(arrays: Sequence[Array]) -> list[Array]:
        found = model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)
        return [np.asarray(keras.ops.convert_to_numpy(value)) for value in _leaves(found)]

    def write(target: Path) -> None:
        signature = [keras.InputSpec(shape=spec.shape, dtype=spec.dtype, name=spec.name) for spec in inputs]
        model.export(str(target), format="onnx", verbose=False, input_signature=signature, opset_version=OPSET)

    source = _Source(framework=f"keras {keras.__version__}", inputs=inputs, run=run, write=write)
    return _import(source, path, store, seed)


def _import(source: _Source, path: Path, store: ModelStore, seed: int) -> Imported:
    arrays = list(random_tensors(source.inputs, seed).values())
    try:
        expected = source.run(arrays)
    except Exception as exc:  # the user's own code runs here
        shapes = ", ".join(str(list(spec.shape)) for spec in source.inputs)
        raise ModelError(f"the model does not run on inputs {shapes}: {_first_line(exc)}") from exc
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".importing-") as folder:
        written = Path(folder) / path.name
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
                warnings.simplefilter("ignore")  # exporters warn about their own innards
                source.write(written)
        except Exception as exc:  # exporters raise whatever their innards do
            raise ModelError(f"{source.framework} cannot export the model: {_first_line(exc)}") from exc
        stored = store.add(written)
        specs = stored.graph.input_specs
        if len(specs) != len(arrays):
            raise ModelError(f"the exported model takes {len(specs)} of the {len(arrays)} inputs given")
        feed = {spec.name: array for spec, array in zip(specs, arrays, strict=True)}
        found = OrtEngine(store).prepare(stored.model_id, stored.whole).run(feed)
        error = _deviation(list(found.values()), expected)
        files = sorted(Path(folder).iterdir())
        for file in files:
            move_into_place(file, path.parent / file.name)
    return Imported(
        path=path,
        model_id=stored.model_id,
        name=stored.name,
        framework=source.framework,
        n_files=len(files),
        n_cuts=len(stored.cuts),
        max_relative_error=error,
    )


def _deviation(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """Largest relative deviation of any output. Raises `ModelError` when number or shapes differ."""
    if [array.shape for array in found] != [array.shape for array in expected]:
        shapes = ([list(array.shape) for array in arrays] for arrays in (found, expected))
        raise ModelError("the exported model returns shapes {}, the framework {}".format(*shapes))
    return max(relative_error(array, value) for array, value in zip(found, expected, strict=True))


def _framework(name: str) -> Any:
    """The module `name`, which an extra of that name brings along."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise UsageError(f"`{name}` is not installed ({exc})", hint=f"pip install 'seamline[{name}]'") from exc


def _made(target: str) -> Any:
    """Result of the function that `target` names. Modules are looked for in the working folder as well."""
    module_name, _, function_name = target.partition(":")
    if not module_name or not function_name:
        raise UsageError(f"`{target}` names no function", hint="write PACKAGE.MODULE:FUNCTION")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except ImportError as exc:
        raise UsageError(f"cannot import `{module_name}`: {exc}", hint="is its folder the working folder?") from exc
    except AttributeError as exc:
        raise UsageError(f"`{module_name}` has no `{function_name}`") from exc
    try:
        return function()
    except Exception as exc:  # the user's own code runs here
        raise ModelError(f"`{target}` failed: {_first_line(exc)}") from exc


def _leaves(value: Any) -> list[Any]:
    """The tensors in what a model returns: one, a sequence, a mapping, or these nested."""
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [] if value is None else [value]


def _keras_spec(value: Any, shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    """The input `value` with a fixed shape: the given one, else an open batch is 1."""
    shape = shapes.get(value.name, (value.shape[0] or 1, *value.shape[1:]))
    if any(extent is None for extent in shape):
        axis = shape.index(None)
        hint = f"fix it, e.g. --shape {value.name}={','.join(str(extent or 224) for extent in shape)}"
        raise ModelError(f"axis {axis} of input `{value.name}` is open", hint=hint)
    return TensorSpec(name=value.name, dtype=str(value.dtype), shape=tuple(shape))


def _first_line(exc: Exception) -> str:
    text = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {text[0][:300]}" if text else type(exc).__name__
