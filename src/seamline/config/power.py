"""What devices draw: named power figures with their source, and the words of ``--power`` and the testbed file.

A figure here is somebody's measurement of somebody's board, so each carries the range that others found. What is
computed from it is called ``modelled:<name>`` wherever it is shown. Meters that measure are `seamline.meters`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from seamline.config.toml import nearest_hint
from seamline.core.vocabulary.errors import UsageError


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
            name="laptop", idle_w=12.0, busy_w=34.5, idle_range_w=(7.3, 16.0), busy_range_w=(26.0, 81.0),
            source="wall, Latitude E5400: lid closed, and 22.5 W more with both cores busy: s-anand.net/blog/"
            "laptop-power-usage; range: X230T 7.3 (codeablereason), K53E 16 (hothardware), Inspiron 300m 26 "
            "(codinghorror), a quad core 81 (techspot 433)",
        ),
        PowerSpec(
            name="desktop", idle_w=58.0, busy_w=143.8, idle_range_w=(43.0, 88.0), busy_range_w=(102.0, 158.0),
            source="wall, i7-6700K, its processor busy: pcper.com review of 2015-08; range: i7-3770K without a card 43 "
            "and 102 (hothardware), with a GTX 580 88 and 158 (guru3d)",
        ),
    )
}  # fmt: skip
"""By name, as in ``--power raspberry-pi-4``."""


def _j_per_byte(base_mw: float, mw_per_mbps: float, at_mbps: float) -> float:
    """Joules a byte takes of a radio that draws ``base_mw + mw_per_mbps * rate`` while it carries `at_mbps`."""
    return 8e-9 * (base_mw / at_mbps + mw_per_mbps)


RADIOS: Mapping[str, RadioSpec] = {
    "pi-wifi": RadioSpec(
        tx_j_per_byte=_j_per_byte(64.0, 4.813, at_mbps=20.0),
        rx_j_per_byte=_j_per_byte(57.0, 4.813, at_mbps=20.0),
        source="64 (sending) or 57 mW + 4.813 mW per Mbit/s, at 20 Mbit/s: PowerPi, Kaup et al., LCN 2014, a stick on "
        "the first Raspberry Pi; seen in two public implementations of that model, not in the paper",
    ),
    "wifi": RadioSpec(
        tx_j_per_byte=_j_per_byte(132.86, 283.17, at_mbps=5.0),
        rx_j_per_byte=_j_per_byte(132.86, 137.01, at_mbps=5.0),
        source="132.86 mW + 283.17 (sending) or 137.01 mW per Mbit/s, at 5 Mbit/s: Huang et al., MobiSys 2012, a "
        "phone; seen in public code that cites it, not in the paper; 1.9 and 0.42 uJ a byte for an 802.11 card: energy "
        "model in slides of T. Kunz, Carleton; a whole laptop drew 3 W more in a bandwidth test (codinghorror, 2006)",
    ),
    "lte": RadioSpec(
        tx_j_per_byte=_j_per_byte(1288.04, 438.39, at_mbps=5.0),
        rx_j_per_byte=_j_per_byte(1288.04, 51.97, at_mbps=5.0),
        source="1288.04 mW + 438.39 (sending) or 51.97 mW per Mbit/s, at 5 Mbit/s, without the tail: Huang et al., "
        "MobiSys 2012; seen in public code that cites it, not in the paper; 80.2 mW per Mbit/s sent for a phone of "
        "2020: notes on Narayanan et al., SIGCOMM 2021",
    ),
}
"""By name, as in ``--power raspberry-pi-4+wifi``; a cable adds nothing. Published radios differ by a factor of 40 and
more: a whole laptop drew 7 uJ more for every byte it fetched at 700 kB/s (Fedora's wiki, WifiSpeedPowerConsumption).
Joules per byte hold near the rate they were measured at: `wifi` at 20 Mbit/s is 6.2 W, more than a board draws."""

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
