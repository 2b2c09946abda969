"""ONNX Runtime sessions with weights mapped from the store and errors translated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnx import ModelProto

from seamline.config.cgroup import memory_total_bytes
from seamline.core.vocabulary.errors import ModelError

ARENA_RATIO = 0.9
_SEVERITY_FATAL = 4  # every error is raised as well; a second copy on stderr says nothing new
_FLOAT32 = "1"  # of the accuracy levels of MatMulNBits
ort.set_default_logger_severity(_SEVERITY_FATAL)

Providers = Sequence[str | tuple[str, Mapping[str, str]]]
"""Execution providers of the runtime, the preferred first, each with its options."""

PROCESSOR: Providers = ("CPUExecutionProvider",)


def open_session(
    model: ModelProto, folder: Path, *, n_threads: int, optimised: bool = True, prepacked: bool = False
) -> Any:
    """A session of `model`, as `open_bytes` makes it. Raises `ModelError` with the runtime's reason."""
    data, what = model.SerializeToString(), f"`{model.graph.name}`"
    return open_bytes(data, folder, what=what, n_threads=n_threads, optimised=optimised, prepacked=prepacked)


def open_bytes(
    model: bytes,
    folder: Path,
    *,
    what: str,
    n_threads: int,
    optimised: bool = True,
    prepacked: bool = False,
    save_to: Path | None = None,
    providers: Providers = PROCESSOR,
) -> Any:
    """A session of the serialised `model`, whose weights are references into `folder`, with `n_threads` per run.

    prepacked: whether kernels copy their weights into the layout they like; see `model.onnx.prepacking` for what that
    brings and which weights it should leave alone. Without, a session is ready sooner and slower to run.
    All sessions take working memory from one arena of the process: with one each, a second VGG-19 pipeline adds 25 %
    physical memory, so 17 %.
    Products of 4-bit weights (DequantizeLinear > MatMul) compute in float32, as the file says: the runtime rounds their
    inputs to 8 bits by default, 1 % of the answer, in segments that hold both operators and not in others.
    Waiting threads sleep: several sessions share the processor, and spinning ones would take it from each other.
    providers: what computes; an operator that none of them has is refused.
    save_to: file for the optimised graph; references stay references, values that the optimiser made are written there.
    Raises `ModelError` naming `what`, with the runtime's reason.
    """
    options = _options(folder, n_threads=n_threads, optimised=optimised, prepacked=prepacked)
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    with translated(f"{what} cannot be prepared"):
        return ort.InferenceSession(model, options, providers=list(providers))


def save_packed(model: ModelProto, folder: Path, path: Path, weights: str) -> None:
    """Save `model` at `path` as it is, all its weights in the file `weights` beside it, and packed copies of them too.

    Which are packed is its kernels' choice; the entries ``prepacked_0`` ... of a weight's external data say where.
    Raises `ModelError` with the runtime's reason.
    """
    options = _options(folder, n_threads=1, optimised=False, prepacked=True)
    options.optimized_model_filepath = str(path)
    for key, value in (
        ("session.save_external_prepacked_constant_initializers", "1"),
        ("session.optimized_model_external_initializers_file_name", weights),
        ("session.optimized_model_external_initializers_min_size_in_bytes", "0"),
    ):
        options.add_session_config_entry(key, value)
    with translated("packed weights cannot be kept"):
        ort.InferenceSession(model.SerializeToString(), options, providers=list(PROCESSOR))


def _options(folder: Path, *, n_threads: int, optimised: bool, prepacked: bool) -> Any:
    options = _plain_options(n_threads=n_threads, optimised=optimised)
    options.add_session_config_entry("session.disable_prepacking", "0" if prepacked else "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", _FLOAT32)
    return options


def _plain_options(*, n_threads: int, optimised: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_FATAL
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return options


def quiet_session(model: ModelProto) -> Any:
    """A session that computes a few small values while `model` is read. Raises what the runtime raises."""
    options = _plain_options(n_threads=1, optimised=False)
    return ort.InferenceSession(model.SerializeToString(), options, providers=list(PROCESSOR))


def check_runs(model: ModelProto, folder: Path) -> None:
    """Raises `ModelError` when the runtime does not know an operator of `model` or finds it inconsistent."""
    open_session(model, folder, n_threads=1, optimised=False)


def _share_arena() -> None:
    """Of most of the memory and no more: a tensor beyond it, whose size a frame decides, is refused, and this process
    lives where the system would end it, or another."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    default = -1
    ort.create_and_register_allocator(
        place, ort.OrtArenaCfg(int(ARENA_RATIO * memory_total_bytes()), default, default, default)
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the errors of ONNX Runtime, which share no base class of their own, into `ModelError`.

    So is memory that runs out, here or in the runtime: whoever asked can go on with what he has.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as exc:
        raise _model_error(what, exc) from exc
    except Exception as exc:  # the runtime's are told by where they are defined
        if type(exc).__module__.startswith("onnxruntime"):
            raise _model_error(what, exc) from exc
        raise


_NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "Cannot allocate memory", "smaller than requested")
"""How the runtime says that it got no memory: from C++, from its arena, when it maps a file, at the arena's limit."""


def _model_error(what: str, exc: Exception) -> ModelError:
    if isinstance(exc, MemoryError) or any(words in str(exc) for words in _NO_MEMORY):
        return ModelError(
            f"{what}: there is not enough memory for it here", hint="cut so that this node runs fewer layers"
        )
    return ModelError(f"{what}: {_reason(exc)}")


def _reason(exc: Exception) -> str:
    """The runtime's message without its code and source position."""
    text = str(exc).replace("\n", " ")
    return text.split(" : ", 2)[-1][:400]


_share_arena()  # once per process, under the import lock: registering twice is an error
