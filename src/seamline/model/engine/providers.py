"""Choice of what a node computes with: which providers work on this machine, what the others lack, and their engines.

A provider is looked for where its software is, and then tried: ONNX Runtime lists CUDA wherever it was built with it,
and without a driver computes on the processor without a word.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.providers import (
    AUTO,
    COREML,
    CPU,
    CUDA,
    OPENVINO,
    PROVIDERS,
    TENSORRT,
    XNNPACK,
    require_provider,
)
from seamline.model.engine.accelerated import AcceleratedEngine
from seamline.model.engine.optimised import OPTIMISED, machine_key
from seamline.model.engine.ort import OrtEngine
from seamline.model.onnx.session import PROCESSOR, Providers
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel

_IN_PLACE_OF = "pip uninstall onnxruntime, then pip install"
_GPU = "'onnxruntime-gpu[cuda,cudnn]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one provider. missing: why it does not work here, None when it does; hint: what to do then."""

    provider: str
    missing: str | None = None
    hint: str | None = None


class InterruptibleEngine(Engine, Protocol):
    """An engine of this package: its runs can be broken off."""

    @property
    def store(self) -> ModelStore: ...

    def interrupt(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Execution:
    """An execution provider of ONNX Runtime. runtime: its name there. get: what to install. device: see
    `AcceleratedEngine`. options: for a model, by provider, the preferred first."""

    runtime: str
    get: str
    device: str | None = None
    options: Callable[[StoredModel | None], Providers]


def _cuda(model: StoredModel | None) -> Providers:
    options = {
        "use_tf32": "0",  # float32 means float32, as on the other nodes
        "cudnn_conv_algo_search": "HEURISTIC",  # trying all takes seconds for every segment
        "arena_extend_strategy": "kSameAsRequested",  # powers of two would take twice what a segment needs
    }
    return (("CUDAExecutionProvider", options),)


def _tensorrt(model: StoredModel | None) -> Providers:
    options = {}
    if model is not None:  # building takes a minute and more: built engines are kept, as optimised forms are
        folder = str(model.folder / OPTIMISED / machine_key() / TENSORRT)
        options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder, "trt_timing_cache_enable": "1"}
    return (("TensorrtExecutionProvider", options), *_cuda(model))


_EXECUTION = {
    CUDA: _Execution(runtime="CUDAExecutionProvider", get=f"{_IN_PLACE_OF} {_GPU}", device="cuda", options=_cuda),
    TENSORRT: _Execution(
        runtime="TensorrtExecutionProvider",
        get=f"{_IN_PLACE_OF} {_GPU} tensorrt",
        device="cuda",
        options=_tensorrt,
    ),
    COREML: _Execution(
        runtime="CoreMLExecutionProvider",
        get="on macOS it is in the package onnxruntime",
        options=lambda model: (("CoreMLExecutionProvider", {"ModelFormat": "MLProgram"}),),
    ),
    XNNPACK: _Execution(
        runtime="XnnpackExecutionProvider",
        get="build ONNX Runtime with --use_xnnpack: no package has it",
        options=lambda model: (("XnnpackExecutionProvider", {}),),
    ),
}


@cache
def look(provider: str) -> Finding:
    """Whether `provider`, one of `PROVIDERS`, works here; tried once for each process."""
    if provider == CPU:
        return Finding(provider=CPU)
    if provider == OPENVINO:
        return _look_for_openvino()
    wanted = _EXECUTION[provider]
    if wanted.runtime not in ort.get_available_providers():
        return Finding(
            provider=provider, missing=f"this ONNX Runtime {ort.__version__} comes without it", hint=wanted.get
        )
    if reason := _why_not(wanted):
        return Finding(
            provider=provider,
            missing=f"it does not start: {reason}",
            hint=f"is the driver there, and what it needs? {wanted.get}",
        )
    return Finding(provider=provider)


def look_for_all() -> tuple[Finding, ...]:
    """Whether each of `PROVIDERS` works here."""
    return tuple(look(provider) for provider in PROVIDERS)


def choose(name: str) -> Finding:
    """What was found of the provider `name`; of the best that works for ``auto``: CUDA, else the processor.

    The others are taken only when they are asked for: TensorRT builds for minutes, and OpenVINO, XNNPACK and Core ML
    are not quicker everywhere. Raises `UsageError` for a name that is none.
    """
    require_provider(name)
    if name != AUTO:
        return look(name)
    return next(found for found in map(look, (CUDA, CPU)) if found.missing is None)


def require(name: str) -> str:
    """The provider that `name` stands for. Raises `UsageError` when it does not work here."""
    found = choose(name)
    if found.missing is not None:
        raise UsageError(f"`{found.provider}` cannot be used: {found.missing}", hint=found.hint)
    return found.provider


def open_engine(
    provider: str, store: ModelStore, n_threads: int | None = None, *, memory_bytes: int | None = None
) -> InterruptibleEngine:
    """The engine of a provider that works here. n_threads, memory_bytes: as of `OrtEngine`."""
    if provider == CPU:
        return OrtEngine(store, n_threads, memory_bytes=memory_bytes)
    if provider == OPENVINO:
        from seamline.model.engine.openvino import OpenVinoEngine

        return OpenVinoEngine(store, n_threads, memory_bytes=memory_bytes)
    wanted = _EXECUTION[provider]
    return AcceleratedEngine(
        store,
        provider,
        lambda model: (*wanted.options(model), *PROCESSOR),
        device=wanted.device,
        n_threads=n_threads,
        memory_bytes=memory_bytes,
    )


def _look_for_openvino() -> Finding:
    if importlib.util.find_spec(OPENVINO) is None:
        return Finding(
            provider=OPENVINO,
            missing="the package `openvino` is not installed",
            hint="pip install 'seamline[openvino]'",
        )
    try:
        import openvino

        devices = openvino.Core().available_devices
    except (ImportError, RuntimeError, OSError) as error:
        return Finding(
            provider=OPENVINO, missing=f"it does not start: {error}", hint="pip install --force-reinstall openvino"
        )
    if "CPU" not in devices:
        return Finding(provider=OPENVINO, missing="OpenVINO has no plugin for this processor", hint="--provider cpu")
    return Finding(provider=OPENVINO)


def _why_not(wanted: _Execution) -> str | None:
    """Why the runtime does not compute with `wanted`, tried with one operator; None when it does."""
    with redirect_stdout(io.StringIO()) as said:  # the package prints what it lacks, where data belongs
        try:
            if wanted.device is not None:
                _load_libraries()
            session = ort.InferenceSession(_one_operator(), providers=[*wanted.options(None), *PROCESSOR])
            if wanted.runtime in session.get_providers():
                session.run(None, {"x": np.ones((1, 1), np.float32)})
                return None
        except Exception as error:  # the runtime's errors share no base class
            return str(error).replace("\n", " ")[:200]
    first = said.getvalue().partition("\n")[0]
    return first[:200] or "the runtime falls back to the processor"


def _load_libraries() -> None:
    """Have the runtime find the libraries of NVIDIA's Python packages, where its build knows of them."""
    if (preload := getattr(ort, "preload_dlls", None)) is not None:
        preload()


def _one_operator() -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "probe", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
