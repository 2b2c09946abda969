"""What devices draw: named power figures with their source, and the words of ``--power`` and the testbed file.

A figure here is somebody's measurement of somebody's board, so each carries the range that others found. What is
computed from it is called ``modelled:<name>`` wherever it is shown. Meters that measure are `seamline.meters`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from seamline.config.toml import nearest_hint
from seamline.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSpec:
    """Watts of a whole device idle and with all cores computing, and joules its radio adds per byte.

    idle_range_w, busy_range_w: what different sources and loads give, (lowest, highest). source: where it is from.
    """

    name: str
    idle_w: float
    busy_w: float
    tx_j_per_byte: float = 0.0
    rx_j_per_byte: float = 0.0
    idle_range_w: tuple[float, float] | None = None
    busy_range_w: tuple[float, float] | None = None
    source: str = "given by hand"

    def to_text(self) -> str:
        """The same as `parse_power` reads it; a name where it has one."""
        if self.name != HAND_GIVEN:
            return self.name
        radio = f",tx={1e6 * self.tx_j_per_byte:g},rx={1e6 * self.rx_j_per_byte:g}"
        return f"idle={self.idle_w:g},busy={self.busy_w:g}" + (
            radio if self.tx_j_per_byte or self.rx_j_per_byte else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioSpec:
    """Joules per byte above idle at the stated rate."""

    tx_j_per_byte: float
    rx_j_per_byte: float
    source: str


HAND_GIVEN = "given"

PROFILES: Mapping[str, PowerSpec] = {
    spec.name: spec
    for spec in (
        PowerSpec(
            name="raspberry-pi-3b-plus", idle_w=3.1, busy_w=5.6,
            idle_range_w=(2.5, 3.1), busy_range_w=(5.6, 5.6),
            source="wall, stress-ng matrix: geerlingguy/sbc-reviews#16; idle from 0.5 A at 5 V: its documentation",
        ),
        PowerSpec(
            name="raspberry-pi-4", idle_w=1.6, busy_w=5.0,
            idle_range_w=(1.6, 3.0), busy_range_w=(5.0, 7.2),
            source="wall, stress-ng and HPL: geerlingguy/sbc-reviews#4; 2.24 + 3.48 u: PowerJoular, hal-03912723",
        ),
        PowerSpec(
            name="raspberry-pi-400", idle_w=1.82, busy_w=6.85,
            idle_range_w=(1.82, 3.0), busy_range_w=(5.0, 7.2),
            source="1.82 + 5.03 u: PowerJoular, hal-03912723; range of the Raspberry Pi 4, the same processor",
        ),
        PowerSpec(
            name="raspberry-pi-5", idle_w=2.4, busy_w=8.5,
            idle_range_w=(2.4, 4.4), busy_range_w=(7.86, 11.5),
            source="wall, compute module 5 and Pi 500: geerlingguy/sbc-reviews#58, #60; 4.40 + 3.46 u: PowerJoular",
        ),
        PowerSpec(
            name="laptop", idle_w=7.5, busy_w=30.0, idle_range_w=(5.0, 10.0), busy_range_w=(15.0, 45.0),
            source="middle of the class's range (processor's design power), no measurement: use RAPL or give your own",
        ),
        PowerSpec(
            name="desktop", idle_w=45.0, busy_w=108.0, idle_range_w=(30.0, 60.0), busy_range_w=(65.0, 150.0),
            source="middle of the class's range (processor's design power), no measurement: use RAPL or give your own",
        ),
    )
}  # fmt: skip
"""By name, as in ``--power raspberry-pi-4``."""

FROM_MEMORY = "from memory, not looked up again"

RADIOS: Mapping[str, RadioSpec] = {
    "pi-wifi": RadioSpec(
        tx_j_per_byte=6e-8,
        rx_j_per_byte=6e-8,
        source=f"about 5 mW per Mbit/s over 60 mW, at 20 Mbit/s: PowerPi, Kaup et al., LCN 2014, a stick on the first "
        f"Raspberry Pi; {FROM_MEMORY}",
    ),
    "wifi": RadioSpec(
        tx_j_per_byte=2.3e-6,
        rx_j_per_byte=1.15e-6,
        source="283.2 and 137.0 mW per Mbit/s over 133 mW: Huang et al., MobiSys 2012, a phone at a few Mbit/s; "
        f"{FROM_MEMORY}; 1.9 and 0.42 uJ a byte for an 802.11 card: energy model in slides of T. Kunz, Carleton",
    ),
    "lte": RadioSpec(
        tx_j_per_byte=5.6e-6,
        rx_j_per_byte=2.5e-6,
        source="438.4 and 52.0 mW per Mbit/s over 1288 mW, at 5 Mbit/s, without the tail: Huang et al., MobiSys 2012; "
        f"{FROM_MEMORY}",
    ),
}
"""By name, as in ``--power raspberry-pi-4+wifi``; a cable adds nothing. Published radios differ by a factor of 40 and
more: a whole laptop drew 7 uJ more for every byte it fetched at 700 kB/s (Fedora's wiki, WifiSpeedPowerConsumption).
Joules per byte hold near the rate they were measured at: `wifi` at 20 Mbit/s is 5.8 W, more than a board draws."""

_KEYS = ("idle", "busy", "tx", "rx")


def parse_power(text: str) -> PowerSpec:
    """The power figures that `text` names: ``PROFILE``, ``PROFILE+RADIO``, or ``idle=W,busy=W[,tx=J/MB,rx=J/MB]``.

    Raises `UsageError` naming what is wrong and what would be right.
    """
    if "=" in text:
        return _by_hand(text)
    name, plus, radio = text.strip().partition("+")
    spec = PROFILES.get(name)
    if spec is None:
        raise UsageError(f"`{name}` is not a power profile", hint=f"{nearest_hint(name, PROFILES)}; or idle=W,busy=W")
    if not plus:
        return spec
    if radio not in RADIOS:
        raise UsageError(f"`{radio}` is not a radio", hint=nearest_hint(radio, RADIOS))
    chosen = RADIOS[radio]
    return replace(
        spec,
        name=f"{name}+{radio}",
        tx_j_per_byte=chosen.tx_j_per_byte,
        rx_j_per_byte=chosen.rx_j_per_byte,
        source=f"{spec.source}; radio: {chosen.source}",
    )


def power_by_hand(idle_w: float, busy_w: float, tx_j_per_byte: float = 0.0, rx_j_per_byte: float = 0.0) -> PowerSpec:
    """Figures without a name. Raises `UsageError` when they cannot be."""
    if not all(math.isfinite(value) and value >= 0.0 for value in (idle_w, busy_w, tx_j_per_byte, rx_j_per_byte)):
        raise UsageError("power figures are numbers from 0 up", hint="e.g. idle=1.6,busy=5")
    if busy_w < idle_w:
        raise UsageError(f"a device that draws {busy_w:g} W busy and {idle_w:g} W idle is not", hint="busy >= idle")
    return PowerSpec(
        name=HAND_GIVEN, idle_w=idle_w, busy_w=busy_w, tx_j_per_byte=tx_j_per_byte, rx_j_per_byte=rx_j_per_byte
    )


def _by_hand(text: str) -> PowerSpec:
    values: dict[str, float] = {}
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key not in _KEYS or key in values:
            raise UsageError(f"`{part.strip()}` is not a power figure", hint="write idle=1.6,busy=5.0[,tx=2.3,rx=1.1]")
        try:
            values[key] = float(value)
        except ValueError:
            raise UsageError(f"`{value}` is not a number", hint="watts for idle and busy, J/MB for tx and rx") from None
    missing = [key for key in ("idle", "busy") if key not in values]
    if missing:
        raise UsageError(f"`{text}` does not say `{missing[0]}`", hint="write idle=1.6,busy=5.0")
    return power_by_hand(values["idle"], values["busy"], 1e-6 * values.get("tx", 0.0), 1e-6 * values.get("rx", 0.0))
