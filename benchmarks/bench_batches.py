"""What batches bring: 8 streams through one node's queue and engine, each with one frame on its way, with and without.

Frames come as tensors and answers are taken from the queue's threads; no network is in it, so this is what a node can
gain at most. Rounds with and without batches take turns. Answers are compared with those of frames alone.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from reporting import Report, parser, spread

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.model import ModelStore, OrtEngine
from seamline.model.engine.runnable import CheckedSegment
from seamline.model.locate import zoo_path
from seamline.runtime.node.stages import Arrival, Finished, StageWorker, Turn
from seamline.runtime.segments.batching import open_batch

N_STREAMS, N_ROUNDS, ROUND_S, BATCH_WAIT_S = 8, 3, 1.5, 0.002
TAILS = {"vgg19": (0.9,), "mobilenetv2": (0.0, 0.5, 0.9)}
"""By model, at which of its candidate cuts the segment begins, as a share of them; it ends with the model."""

(STAGE,) = Plan.parse("cloud[0:1]").stages


def main() -> None:
    options = parser("What batches bring a node")
    options.add_argument("--models", default=",".join(TAILS))
    chosen = options.parse_args()
    report, rows = Report("batches", "What batches bring a node", chosen), []
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        engine = OrtEngine(store)
        for name in chosen.models.split(","):
            model = store.add(zoo_path(name))
            cuts = [cut.index for cut in model.cuts if cut.is_candidate]
            for share in TAILS[name]:
                segment = Segment(cuts[int(share * len(cuts))] if share else 0, len(model.cuts) - 1)
                rows.append(_row(report, engine, model.model_id, name, segment, 2 if chosen.quick else N_ROUNDS))
    report.say(
        f"{N_STREAMS} streams, each with one frame on its way, through one compute queue; median (p10-p90) of "
        f"rounds of {ROUND_S:g} s in turns. Together: frames that were found to pay when tried, 1 for no batches.",
        "",
    )
    head = ("segment", "together", "frames/s alone", "with batches", "gain", "p95 alone, ms", "with batches, ms")
    report.table(head, rows)
    report.finish()


def _row(report: Report, engine: OrtEngine, model_id: str, name: str, segment: Segment, n_rounds: int) -> tuple:
    alone, together = (engine.prepare(model_id, segment) for _ in range(2))
    open_batch(engine, model_id, segment, together)
    _check(together)
    rounds: dict[str, list[tuple[float, float]]] = {"alone": [], "batches": []}
    for _ in range(n_rounds):
        rounds["alone"].append(_round(alone, 0.0))
        rounds["batches"].append(_round(together, BATCH_WAIT_S))
    report.data[f"{name}{segment}"] = {"n_most": together.n_most, **rounds}
    fps = {key: [one[0] for one in each] for key, each in rounds.items()}
    p95_s = {key: [one[1] for one in each] for key, each in rounds.items()}
    gain = [after / before for before, after in zip(fps["alone"], fps["batches"], strict=True)]
    return (
        f"{name}{segment}",
        together.n_most,
        spread(fps["alone"]).text(digits=1),
        spread(fps["batches"]).text(digits=1),
        spread(gain).text(),
        spread(p95_s["alone"]).text(1e3, 1),
        spread(p95_s["batches"]).text(1e3, 1),
    )


def _frames(segment: CheckedSegment) -> list[dict[str, np.ndarray]]:
    rng, frames = np.random.default_rng(0), []
    for _ in range(N_STREAMS):
        frame = {}
        for one in segment.inputs:
            pixels = rng.integers(0, 256, one.shape) if one.dtype == "uint8" else rng.standard_normal(one.shape)
            frame[one.name] = pixels.astype(one.dtype)
        frames.append(frame)
    return frames


def _check(segment: CheckedSegment) -> None:
    """Frames together are answered as alone."""
    frames = _frames(segment)
    for one, together in zip(frames, segment.run_many(frames), strict=True):
        for name, output in segment.run(one).items():
            np.testing.assert_allclose(together[name], output, rtol=1e-3, atol=1e-4 * float(np.abs(output).max()))


def _round(segment: CheckedSegment, batch_wait_s: float) -> tuple[float, float]:
    """(frames/s of all streams, p95 of a frame in seconds)."""
    worker, took_s, lock = StageWorker(NodeId("cloud"), batch_wait_s=batch_wait_s), list[float](), threading.Lock()
    ends_s = time.perf_counter() + ROUND_S
    left, all_done = [N_STREAMS], threading.Event()

    def put(number: int, frame: dict[str, np.ndarray]) -> None:
        began_s = time.perf_counter()

        def done(_: Finished | Exception) -> None:
            now_s = time.perf_counter()
            with lock:
                took_s.append(now_s - began_s)
                left[0] -= now_s >= ends_s
                if not left[0]:
                    all_done.set()
            if now_s < ends_s:
                put(number, frame)

        turn = Turn(stream=f"stream-{number}")
        worker.put(STAGE, segment, Arrival(tensors=frame), done=done, failed=done, turn=turn)

    for number, frame in enumerate(_frames(segment)):
        put(number, frame)
    all_done.wait(60.0)
    worker.close()
    return len(took_s) / ROUND_S, float(np.percentile(took_s, 95))


if __name__ == "__main__":
    main()
