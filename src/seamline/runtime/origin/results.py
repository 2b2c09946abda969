"""Results of a stream: the answer to each frame. How frames get there is `core.session.ledger`."""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array, FrameArray
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.fabric import messages as msg


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one frame, delivered in order of acceptance.

    outputs: the model's outputs by name; empty when `error` says why there are none. latency_s: from acceptance to the
    answer. plan: the one that produced it. reports: what each stage spent. n_attempts: more than 1 when the
    frame had to be completed elsewhere. energy_j: joules of the stages that produced the answer and of the origin until
    it was here (`core.cost.formulas.energy_j`), None when a node has no meter or power figures; energy_source: whose
    they are. stamp: where the frame came from and when; None only for frames that no source gave. transform: how its
    picture became the model's input, None when it is none. picture: as its source gave it, only when `Stream.run` was
    asked to keep pictures. reduced: what the last stage's node read of the outputs (`heads.reduced`), where the stream
    was opened with a head: then `outputs` is empty.
    """

    frame: int
    outputs: dict[str, Array]
    latency_s: float
    accepted_s: float
    plan: Plan
    generation: int
    reports: tuple[msg.StageReport, ...]
    n_attempts: int
    error: str | None = None
    energy_j: float | None = None
    energy_source: str | None = None
    stamp: FrameStamp | None = None
    transform: PictureTransform | None = None
    picture: FrameArray | None = None
    reduced: dict[str, Array] | None = None

    @property
    def transfer_s(self) -> float:
        """What no stage accounts for: the links, and waiting in buffers."""
        spent_s = sum(r.queue_s + r.decode_s + r.compute_s + r.encode_s for r in self.reports)
        return max(0.0, self.latency_s - spent_s)
