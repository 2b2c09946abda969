"""Codec costs and compression ratios at each candidate cut of one model, measured on this node.

What lossless saves depends on the values, and what a codec takes on how they lie in memory, so a model is run once, cut
by cut, and what crosses is encoded and decoded. Its frame is synthetic; real frames correct the sizes (see
`stream_view.py`). What a codec costs wherever this was not measured is `codec.measure_costs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from seamline import codec
from seamline.core.cost.payload import offered_codecs, payload_bytes
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.core.vocabulary.ports import Array, Clock, Engine
from seamline.core.vocabulary.profiles import CodecCost, Cut
from seamline.model import StoredModel
from seamline.model.engine.verify import random_tensors
from seamline.model.metadata.preprocess import FRAME

MAX_CUTS = 64
"""Of more candidates every second, third, ... is measured."""

N_RUNS = 3
_Done = TypeVar("_Done")
_CODECS = (Codec.LOSSLESS, Codec.F16, Codec.U8)


def measure_boundaries(engine: Engine, model: StoredModel, clock: Clock) -> tuple[CodecCost, ...]:
    """Costs of the codecs for tensors at the inner candidate cuts of `model`, each the quickest of `N_RUNS`.

    A codec that refuses the tensors is left out there. Raises `ModelError` when the model does not run.
    """
    candidates = [cut for cut in model.cuts[1:-1] if cut.is_candidate and cut.payload_bytes > 0]
    chosen = candidates[:: 1 + len(candidates) // MAX_CUTS]
    costs: list[CodecCost] = []
    values: Mapping[str, Array] = {}
    at = 0
    for cut in chosen:
        segment = engine.prepare(model.model_id, Segment(at, cut.index))
        if at == 0:
            values = _inputs(model)
        values, at = segment.run(values), cut.index
        for name in _CODECS:
            if name not in offered_codecs(cut, None):
                continue
            try:
                costs.append(_cost(values, cut, name, clock))
            except CodecError:
                continue
    return tuple(costs)


def _inputs(model: StoredModel) -> dict[str, Array]:
    values = random_tensors(model.inputs, seed=0)
    if model.preprocess is not None:
        values[FRAME] = codec.sample_frame(model.preprocess.height, model.preprocess.width)
    return values


def _cost(values: Mapping[str, Array], cut: Cut, name: Codec, clock: Clock) -> CodecCost:
    exact = cut.exact
    encode_s, encoded = _quickest(lambda: codec.encode(values, name, exact=exact), clock)
    decode_s, _ = _quickest(lambda: codec.decode(encoded.encoding, encoded.buffers), clock)
    return CodecCost(
        codec=name,
        encode_s_per_byte=encode_s / cut.payload_bytes,
        decode_s_per_byte=decode_s / cut.payload_bytes,
        cut=cut.index,
        compression_ratio=encoded.n_bytes / payload_bytes(cut, name, None),
    )


def _quickest(run: Callable[[], _Done], clock: Clock) -> tuple[float, _Done]:
    """Return the shortest time of `N_RUNS`: other threads of the node only ever make it longer."""
    shortest_s = float("inf")
    for _ in range(N_RUNS):
        begin_s = clock.now_s()
        done = run()
        shortest_s = min(shortest_s, clock.now_s() - begin_s)
    return shortest_s, done
