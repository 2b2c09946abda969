"""The prepared segments of a node, by generation of a stream and stage.

Segments of the mode `shared` are shared: two generations, or two streams, that need the same layers of the same model
use one session. Such a segment lives as long as some generation holds it, and then `IDLE_S` more (at most `keep_idle`
of them), so that switching back and forth costs nothing and a second pipeline costs memory for a moment only. Segments
of the other modes (`core.switching.PreparationMode`) belong to one generation and end with it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakSet

from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.ports import Engine, RunnableSegment
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.trimming import trim

IDLE_S = 1.5

GenerationKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """Equal keys share one segment. owner: the generation it belongs to alone; None when it is shared."""

    model_id: str
    segment: Segment
    form: PreparationMode = PreparationMode.SHARED
    owner: GenerationKey | None = None


class PreparedSegments:
    """Owner of the runnable segments of one node; safe from any thread.

    engines: those for the forms that `engine` does not prepare; a segment that has `close` is closed.
    on_prepared(model_id, segment, seconds): told of every segment of the form `shared` that was prepared.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        keep_idle: int = 2,
        engines: Mapping[PreparationMode, Engine] | None = None,
        on_prepared: Callable[[str, Segment, float], None] | None = None,
    ) -> None:
        self._engines: dict[PreparationMode, Engine] = {
            PreparationMode.SHARED: engine,
            PreparationMode.PRIVATE_SESSION: engine,
            **(engines or {}),
        }
        self._keep_idle = keep_idle
        self._on_prepared = on_prepared
        self._lock = threading.Lock()
        self._segments: dict[SegmentKey, RunnableSegment] = {}
        self._held: dict[GenerationKey, dict[int, SegmentKey]] = {}
        self._idle: OrderedDict[SegmentKey, float] = OrderedDict()
        self._listed: WeakSet[RunnableSegment] = WeakSet()
        self._is_trim_due = False

    def prepare(
        self,
        stream: str,
        generation: int,
        model_id: str,
        plan: Plan,
        stage_numbers: tuple[int, ...],
        form: PreparationMode = PreparationMode.SHARED,
    ) -> None:
        """Make the given stages of `plan` runnable; a second call for the same generation changes nothing.

        Raises `ModelError` when a segment cannot be prepared; then nothing is held for this generation. Raises
        `PlanError` when segments of `form` are not prepared here.
        """
        if form not in self._engines:
            raise PlanError(f"segments of the form `{form}` are not made on this node", hint="choose another strategy")
        owner = None if form is PreparationMode.SHARED else (stream, generation)
        wanted = {
            number: SegmentKey(model_id, plan.stages[number].segment, form, owner)
            for number in stage_numbers
            if not plan.stages[number].segment.is_empty
        }
        with self._lock:  # held from the start, so that a release meanwhile does not drop what is being prepared
            self._held[(stream, generation)] = wanted
            for key in wanted.values():
                self._idle.pop(key, None)
        try:
            for key in wanted.values():
                self._ensure(key)
        except Exception:  # whatever it was, this generation will not serve
            self.release(stream, generation)
            raise
        finally:
            self._is_trim_due = True  # preparing a segment leaves as much behind as ending one

    def _ensure(self, key: SegmentKey) -> None:
        with self._lock:
            if key in self._segments:
                return
        began_s = now_s()
        prepared = self._engines[key.form].prepare(key.model_id, key.segment)
        if self._on_prepared is not None and key.form is PreparationMode.SHARED:
            self._on_prepared(key.model_id, key.segment, now_s() - began_s)
        with self._lock:
            is_wanted = key.owner is None or key.owner in self._held
            if is_wanted:
                self._segments.setdefault(key, prepared)
        if not is_wanted:
            _close([prepared])

    def find(self, stream: str, generation: int, stage: int) -> RunnableSegment:
        """The segment of one stage. Raises `PlanError` when this node was never asked to prepare it, or released it."""
        with self._lock:
            key = self._held.get((stream, generation), {}).get(stage)
            segment = self._segments.get(key) if key is not None else None
        if segment is None:
            raise PlanError(f"stage {stage} of generation {generation} of stream {stream} is not prepared here")
        return segment

    def shared_by_streams(self) -> list[tuple[SegmentKey, RunnableSegment]]:
        """Segments of several streams that were not in such a list before."""
        with self._lock:
            users: dict[SegmentKey, set[str]] = {}
            for (stream, _), held in self._held.items():
                for key in held.values():
                    users.setdefault(key, set()).add(stream)
            found = [
                (key, self._segments[key])
                for key, streams in users.items()
                if len(streams) > 1 and key in self._segments and self._segments[key] not in self._listed
            ]
            self._listed.update(segment for _, segment in found)
        return found

    def release(self, stream: str, generation: int) -> None:
        """Let go of one generation (-1: all generations of the stream); unknown ones are ignored."""
        with self._lock:
            gone = [key for key in self._held if key[0] == stream and generation in (-1, key[1])]
            for key in gone:
                del self._held[key]
            in_use = {segment for held in self._held.values() for segment in held.values()}
            unused = self._segments.keys() - in_use
            dropped = [self._segments.pop(key) for key in unused if key.owner is not None]
            for segment in (key for key in unused - self._idle.keys() if key.owner is None):
                self._idle[segment] = now_s()
            while len(self._idle) > self._keep_idle:
                oldest, _ = self._idle.popitem(last=False)
                if (idle := self._segments.pop(oldest, None)) is not None:
                    dropped.append(idle)
            self._is_trim_due |= bool(dropped)
        _close(dropped)

    def tidy(self, now: float) -> None:
        """Drop what has been idle for long, and give the memory back; call it about twice a second."""
        with self._lock:
            for key in [key for key, since_s in self._idle.items() if now - since_s >= IDLE_S]:
                del self._idle[key]
                self._is_trim_due |= self._segments.pop(key, None) is not None
            is_trim_due, self._is_trim_due = self._is_trim_due, False
        if is_trim_due:
            trim()

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()
            self._idle.clear()
            dropped = list(self._segments.values())
            self._segments.clear()
        _close(dropped)

    @property
    def n_generations(self) -> int:
        with self._lock:
            return len(self._held)


def _close(segments: Iterable[RunnableSegment]) -> None:
    """End what a segment keeps outside this process; most keep nothing."""
    for segment in segments:
        if (close := getattr(segment, "close", None)) is not None:
            close()
