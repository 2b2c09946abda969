"""Live audit: one frame in some is run whole on the origin as well, and its two answers compared.

The unsplit run takes its turn on the node's compute thread when nothing waits there, and no more than a fiftieth of
its time. Frames keep flowing meanwhile; what is found counts in `core.adaptation.agreement_audit`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from seamline.core.adaptation.agreement_audit import AgreementAudit, Boundary, coarsest_boundary
from seamline.core.session.events import LOCAL_GENERATION, CodecWithdrawn
from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.heads.agreement import Judge
from seamline.runtime.node.node import Node
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

SHARE_OF_TIME = 0.02
"""Of the compute thread, for audits."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What audits have found. withdrawn: boundaries that lost their codec, as in a plan, with the reason."""

    n_frames: int
    agreement_ratio: float | None
    withdrawn: tuple[str, ...]


@dataclass(slots=True)
class _State:
    due_s: float = 0.0
    is_busy: bool = False
    withdrawn: list[str] = field(default_factory=list)


class Auditor:
    """Audits the frames of one stream; every method is safe from any thread.

    judge: tells whether two answers mean the same. withdraw: takes the event that ends a codec's use at a cut.
    """

    def __init__(
        self, node: Node, stream: str, judge: Judge, min_agreement: float, withdraw: Callable[[CodecWithdrawn], None]
    ) -> None:
        self._node = node
        self._stream = stream
        self._judge = judge
        self._audit = AgreementAudit(min_agreement)
        self._withdraw = withdraw
        self._lock = threading.Lock()
        self._state = _State()

    def answered(self, plan: Plan, tensors: Tensors, outputs: Mapping[str, Array]) -> None:
        """A frame of `tensors` was answered by `plan`: audit it when one is due and the origin has time."""
        boundary = coarsest_boundary(plan)
        if boundary is None or not outputs or self._node.stages.queue_s > 0.0:
            return
        with self._lock:
            if self._state.is_busy or now_s() < self._state.due_s:
                return
            self._state.is_busy = True
        copied = {name: np.array(tensor) for name, tensor in tensors.items()}  # a source may fill its buffer again
        self._node.stages.in_turn(partial(self._compare, boundary, copied, outputs))

    def found(self) -> Audited:
        with self._lock:
            return Audited(self._audit.n_audited, self._audit.agreement_ratio, tuple(self._state.withdrawn))

    def _compare(self, boundary: Boundary, tensors: Tensors, outputs: Mapping[str, Array]) -> None:
        """On the compute thread."""
        began_s, agreement = now_s(), None
        try:
            whole = self._node.segments.find(self._stream, LOCAL_GENERATION, 0)
            agreement = self._judge.agreement_ratio(outputs, whole.run(tensors))
        except SeamlineError as error:  # the stream has ended, or the frame is one that the model refuses
            log.debug("a frame of %s was not audited: %s", self._stream, error)
        except Exception:
            log.warning("a frame of %s could not be audited", self._stream, exc_info=True)
        finally:
            self._count(boundary, agreement, began_s)

    def _count(self, boundary: Boundary, agreement: float | None, began_s: float) -> None:
        with self._lock:
            ended_s = now_s()
            self._state.due_s = ended_s + (ended_s - began_s) / SHARE_OF_TIME
            self._state.is_busy = False
            why = None if agreement is None else self._audit.observe(boundary, agreement)
            if why is not None:
                self._state.withdrawn.append(f"{boundary[1]} at cut {boundary[0]}: {why}")
        if why is not None:
            self._withdraw(CodecWithdrawn(*boundary, why))
