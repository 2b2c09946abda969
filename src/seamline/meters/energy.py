"""Energy meters of this machine: which there are, which can be used, and why others cannot.

`find_meters` looks, `open_meter` opens one by name. Counters that count joules are `counters.py`, sensors of power
`sampled.py`, and what computes from a profile when nothing measures is `power_model.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from seamline.config.toml import nearest_hint
from seamline.core.vocabulary.errors import MeterError, UsageError
from seamline.core.vocabulary.ports import Clock, EnergyMeter
from seamline.meters.counters import NvmlMeter, RaplMeter
from seamline.meters.sampled import SampledMeter, battery_reader, ina_reader, pmic_reader, replay_reader

AUTO, REPLAY = "auto", "replay:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """Folders to look in. A test gives a tree of its own."""

    powercap: Path = Path("/sys/class/powercap")
    hwmon: Path = Path("/sys/class/hwmon")
    power_supply: Path = Path("/sys/class/power_supply")
    vcgencmd: str = "vcgencmd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Availability of one kind of meter. fact: what it covers, or why it cannot be used; hint: what to do then."""

    name: str
    is_usable: bool
    fact: str
    hint: str | None = None


def find_meters(clock: Clock, sensors: Sensors | None = None) -> tuple[Finding, ...]:
    """Every kind of meter, whole boards before parts of them; each is opened and read once."""
    return tuple(_try(name, opener, clock, sensors or Sensors()) for name, opener in _OPENERS.items())


def open_meter(name: str, clock: Clock, sensors: Sensors | None = None) -> EnergyMeter:
    """The meter `name`: one of `METERS`, ``auto`` for the first that works, or ``replay:FILE`` (CSV).

    Raises `UsageError` for an unknown name, `MeterError` when it cannot be used here.
    """
    sensors = sensors or Sensors()
    if name.startswith(REPLAY):
        path = Path(name.removeprefix(REPLAY))
        return SampledMeter(f"replay of {path.name}", "as recorded", replay_reader(path, clock), clock).start()
    if name == AUTO:
        return _first_usable(clock, sensors)
    opener = _OPENERS.get(name)
    if opener is None:
        raise UsageError(f"`{name}` is not a meter", hint=nearest_hint(name, (*_OPENERS, AUTO, f"{REPLAY}FILE")))
    return opener(clock, sensors)


def _first_usable(clock: Clock, sensors: Sensors) -> EnergyMeter:
    reasons = []
    for name, opener in _OPENERS.items():
        try:
            return opener(clock, sensors)
        except MeterError as error:
            reasons.append(f"{name}: {error.message}")
    raise MeterError(f"no energy meter works here ({'; '.join(reasons)})", hint="give --power PROFILE to model it")


def _try(name: str, opener: Callable[[Clock, Sensors], EnergyMeter], clock: Clock, sensors: Sensors) -> Finding:
    try:
        meter = opener(clock, sensors)
    except MeterError as error:
        return Finding(name=name, is_usable=False, fact=error.message, hint=error.hint)
    try:
        meter.energy_j()
        return Finding(name=name, is_usable=True, fact=meter.scope)
    except MeterError as error:
        return Finding(name=name, is_usable=False, fact=error.message, hint=error.hint)
    finally:
        meter.close()


def _pmic(clock: Clock, sensors: Sensors) -> EnergyMeter:
    return SampledMeter("pmic", "whole board", pmic_reader(sensors.vcgencmd), clock).start()


def _ina(clock: Clock, sensors: Sensors) -> EnergyMeter:
    read_w, watched = ina_reader(sensors.hwmon)
    return SampledMeter("ina", watched, read_w, clock).start()


def _battery(clock: Clock, sensors: Sensors) -> EnergyMeter:
    return SampledMeter("battery", "whole machine", battery_reader(sensors.power_supply), clock).start()


def _rapl(clock: Clock, sensors: Sensors) -> EnergyMeter:
    return RaplMeter(sensors.powercap)


def _nvml(clock: Clock, sensors: Sensors) -> EnergyMeter:
    return NvmlMeter()


_OPENERS: Mapping[str, Callable[[Clock, Sensors], EnergyMeter]] = {
    "ina": _ina,
    "pmic": _pmic,
    "battery": _battery,
    "rapl": _rapl,
    "nvml": _nvml,
}
METERS = tuple(_OPENERS)
