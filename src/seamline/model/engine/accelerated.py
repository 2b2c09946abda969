"""Engine that runs segments with ONNX Runtime on an accelerator: CUDA, TensorRT, Core ML, XNNPACK.

Operators that the accelerator does not have run on the processor, in the same session. On a device with memory of its
own a segment's inputs are copied there, everything in between stays there, and only what crosses the next cut comes
back (I/O binding). Weights are copied to the device by each session: two pipelines hold them twice, and nothing of what
`optimised.py` keeps, which is made for the processor, is used here.

Only the refusals and, on the processor's own memory, the binding are tested where there is no such device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime as ort

from seamline.config.cgroup import memory_total_bytes, n_usable_cores
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array
from seamline.model.engine.ort import graph_bytes, ort_segment
from seamline.model.engine.runnable import CheckedSegment, made_outputs
from seamline.model.onnx.session import Providers, open_bytes, translated
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel


class AcceleratedEngine:
    """Makes segments of the store's models runnable; implements `core.vocabulary.ports.Engine`. Safe from several
    threads.

    provider: its name in `core.vocabulary.providers`. providers: the runtime's, with options, for a model. device: name
    of the memory it computes in, as the runtime calls it; None where that is the host's.
    """

    computes_on_caller = False

    def __init__(
        self,
        store: ModelStore,
        provider: str,
        providers: Callable[[StoredModel], Providers],
        *,
        device: str | None = None,
        n_threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.store = store
        self.provider = provider
        self._providers = providers
        self._device = device
        self.n_threads = n_threads or n_usable_cores()
        self.memory_bytes = memory_bytes or memory_total_bytes()
        self._run_options = ort.RunOptions()

    @property
    def name(self) -> str:
        return f"onnxruntime {ort.__version__} {self.provider}"

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment` of a model, ready to run. Raises `ModelError`: unknown model, damaged weights, no such cut, no
        memory left on the device, or the runtime refuses."""
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        part.check_fits(self.memory_bytes)
        if part.model is None:
            return CheckedSegment(part)
        session = open_bytes(
            graph_bytes(part.model),
            model.folder,
            what=f"`{part.model.graph.name}`",
            n_threads=self.n_threads,
            prepacked=True,
            providers=self._providers(model),
        )
        if self._device is None or any(spec.is_local for spec in (*part.inputs, *part.outputs)):
            return ort_segment(part, session, self._run_options)
        names = [value.name for value in session.get_inputs()]
        return CheckedSegment(part, names, _OnDevice(session, made_outputs(part), self._device, self._run_options))

    def interrupt(self) -> None:
        """Break off every run of this engine's segments, now and from now on, with `ModelError`."""
        self._run_options.terminate = True


class _OnDevice:
    """Runs a session whose tensors stay in the memory of `device`, but for what is fed and fetched.

    An input's memory there is taken once and written to in every run.
    """

    def __init__(self, session: Any, fetches: list[str], device: str, run_options: Any) -> None:
        self._session = session
        self._fetches = fetches
        self._device = device
        self._run_options = run_options
        self._inputs: dict[str, Any] = {}

    def __call__(self, feed: dict[str, Array]) -> dict[str, Array]:
        with translated("the segment failed"):
            binding = self._session.io_binding()
            for name, array in feed.items():
                binding.bind_ortvalue_input(name, self._placed(name, array))
            for name in self._fetches:
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding, self._run_options)
            return dict(zip(self._fetches, binding.copy_outputs_to_cpu(), strict=True))

    def _placed(self, name: str, array: Array) -> Any:
        """`array` in the device's memory."""
        place = self._inputs.get(name)
        if place is None or tuple(place.shape()) != array.shape:
            place = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype.type, self._device)
            self._inputs[name] = place
        place.update_inplace(array)
        return place
