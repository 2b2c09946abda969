"""Power model, energy without a meter: idle and busy power over time, and joules per byte sent and received.

    E(t) = idle_w t + (busy_w - idle_w) busy_s(t) + tx_j_per_byte sent(t) + rx_j_per_byte received(t)

Linear models of this kind fit a Raspberry Pi with an error below 3.3 % (PowerPi, Kaup et al., LCN 2014) where their
constants belong to that very board; with a named profile the constants are of another one, see `config.power`.
"""

from __future__ import annotations

from collections.abc import Callable

from seamline.config.power import PowerSpec
from seamline.core.vocabulary.ports import Clock


class PowerModel:
    """An energy meter that computes. busy_s: seconds of full load so far; n_sent, n_received: bytes so far.

    On a real machine busy seconds are CPU use times time; an emulated one says how long its engine was at work.
    """

    def __init__(
        self,
        power: PowerSpec,
        clock: Clock,
        *,
        busy_s: Callable[[], float],
        n_sent: Callable[[], int] = lambda: 0,
        n_received: Callable[[], int] = lambda: 0,
    ) -> None:
        self.power = power
        self._clock = clock
        self._busy_s = busy_s
        self._n_sent = n_sent
        self._n_received = n_received
        self._started_s = clock.now_s()
        self._before_j = self._above_idle_j()

    @property
    def source(self) -> str:
        return f"modelled:{self.power.name}"

    @property
    def scope(self) -> str:
        return "whole device"

    def energy_j(self) -> float:
        """Joules since the model was made."""
        idle_j = self.power.idle_w * (self._clock.now_s() - self._started_s)
        return idle_j + self._above_idle_j() - self._before_j

    def close(self) -> None:
        """Close nothing: nothing is open."""

    def _above_idle_j(self) -> float:
        power = self.power
        busy_j = (power.busy_w - power.idle_w) * self._busy_s()
        return busy_j + power.tx_j_per_byte * self._n_sent() + power.rx_j_per_byte * self._n_received()
