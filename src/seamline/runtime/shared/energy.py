"""The energy account of a node: its meter, the joules of each stage of a frame, and the names of their sources.

A stage is charged with what the meter counted while it ran, less the idle power where that is known, so that measured
and modelled joules mean the same as `core.cost.formulas.energy_j`: busy above idle, radio, and the origin's idling
meanwhile. A node without a meter or power figures has no energy, which is not zero energy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from seamline.config.power import PowerSpec
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.errors import MeterError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import EnergyMeter
from seamline.fabric.messages import StageReport
from seamline.meters.power_model import PowerModel
from seamline.runtime.shared.clock import MONOTONIC, now_s

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """Joules since the meter was opened, where they come from and what they are of."""

    source: str
    scope: str
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEnergy:
    """Joules of one frame as they count, and where they come from."""

    energy_j: float
    source: str


class StageEnergy:
    """Joules of one stage; made by `EnergyAccount.stage`."""

    def __init__(self, account: EnergyAccount) -> None:
        self._account = account
        self._begun_s = now_s()
        reading = account.reading()
        self._before_j = None if reading is None else reading.energy_j

    def drawn_j(self, *, n_sent: int = 0, n_received: int = 0) -> float | None:
        """Joules from its beginning until now, None without a meter. n_sent, n_received: bytes it moved."""
        reading, power = self._account.reading(), self._account.power
        if reading is None or self._before_j is None:
            return None
        drawn_j = reading.energy_j - self._before_j
        if power is not None:
            drawn_j = max(0.0, drawn_j - power.idle_w * (now_s() - self._begun_s))
        return drawn_j + self._account.radio_j(n_sent=n_sent, n_received=n_received)


class EnergyAccount:
    """Owner of one node's meter; safe from any thread.

    power: figures of the device. meter: what measures; without it the figures are the model, and without them too there
    is no energy. n_sent, n_received count the bytes of frames, which is what radios are charged for.
    """

    def __init__(self, power: PowerSpec | None = None, meter: EnergyMeter | None = None) -> None:
        self.power = power
        self._lock = threading.Lock()
        self._busy_s = 0.0
        self._busy_since_s: float | None = None
        self._n_sent = self._n_received = 0
        self._is_measured = meter is not None
        self._has_failed = False
        if meter is None and power is not None:
            meter = PowerModel(
                power, MONOTONIC, busy_s=self.busy_s, n_sent=lambda: self._n_sent, n_received=lambda: self._n_received
            )
        self._meter = meter

    @property
    def source(self) -> str:
        """``measured:rapl``, ``modelled:laptop``, or empty without a meter."""
        return "" if self._meter is None else self._meter.source

    def reading(self) -> EnergyReading | None:
        """Read the meter; None when there is none or it has failed (which is logged once)."""
        if self._meter is None:
            return None
        try:
            joules = self._meter.energy_j()
        except MeterError as error:
            if not self._has_failed:
                log.warning("energy is not counted: %s", error)
            self._has_failed = True
            return None
        self._has_failed = False
        return EnergyReading(source=self._meter.source, scope=self._meter.scope, energy_j=joules)

    def busy_s(self) -> float:
        """Seconds that this node was busy, with the stage that runs now."""
        with self._lock:
            running_s = 0.0 if self._busy_since_s is None else now_s() - self._busy_since_s
            return self._busy_s + running_s

    @contextmanager
    def stage(self) -> Iterator[StageEnergy]:
        """A stage computes; one at a time. The node counts as busy meanwhile."""
        with self._lock:
            self._busy_since_s = now_s()
        try:
            yield StageEnergy(self)
        finally:
            with self._lock:
                self._busy_s += now_s() - (self._busy_since_s or now_s())
                self._busy_since_s = None

    def worked(self, seconds: float) -> None:
        """The node has computed for `seconds` beside its stages; no frame is charged for it, the node's sum is."""
        with self._lock:
            self._busy_s += seconds

    def radio_j(self, *, n_sent: int = 0, n_received: int = 0) -> float:
        """Return the modelled joules of moved bytes; a meter of the board has them already."""
        if self.power is None or self._is_measured:
            return 0.0
        return self.power.tx_j_per_byte * n_sent + self.power.rx_j_per_byte * n_received

    def moved_bytes(self) -> tuple[int, int]:
        """Bytes of frames and their answers so far: (sent, received)."""
        with self._lock:
            return self._n_sent, self._n_received

    def sent(self, n_bytes: int) -> None:
        """A frame's message left."""
        with self._lock:
            self._n_sent += n_bytes

    def received(self, n_bytes: int) -> None:
        """A frame's message arrived."""
        with self._lock:
            self._n_received += n_bytes

    def frame(
        self,
        reports: Iterable[StageReport],
        latency_s: float,
        n_answer_bytes: int,
        *,
        origin: NodeId,
        scope: EnergyScope = EnergyScope.ALL,
    ) -> FrameEnergy | None:
        """Return the energy of one answered frame at its origin: its stages, the answer's way in, idling meanwhile.

        None when a stage that counts in `scope` has no energy, or this node's idle power is not known. Formula:
        `core.cost.formulas.energy_j`.
        """
        if self.power is None:
            return None
        waited_j = self.power.idle_w * latency_s + self.radio_j(n_received=n_answer_bytes)
        at_home = scope.weight(origin, origin)
        total_j, sources = at_home * waited_j, [self.source] if at_home else []
        for report in reports:
            weight = scope.weight(NodeId(report.node), origin)
            if weight == 0.0:
                continue
            if report.energy_j is None:
                return None
            total_j += weight * report.energy_j
            sources.append(report.energy_source)
        source = joint_source(sources)
        return None if source is None else FrameEnergy(energy_j=total_j, source=source)

    def close(self) -> None:
        if self._meter is not None:
            self._meter.close()


def joint_source(sources: Sequence[str]) -> str | None:
    """Return the name of joules of several sources: the one they share, else ``mixed (measured:..., modelled:...)``.

    Of models alone it is ``modelled:a+b``. None when one of them has no source: then there is no sum.
    """
    if not sources or not all(sources):
        return None
    known = list(dict.fromkeys(sources))
    kinds = {source.partition(":")[0] for source in known}
    if len(kinds) > 1:
        return f"mixed ({', '.join(known)})"
    return f"{kinds.pop()}:{'+'.join(source.partition(':')[2] for source in known)}"
