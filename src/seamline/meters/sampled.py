"""Sampled energy meters: power readings of a sensor, integrated over time.

The sensors: the Raspberry Pi 5's power controller, INA monitors, a discharging battery, a recorded file. One thread
reads at most ten times a second, because a reading can take milliseconds (a process is started for the Pi's), which
must never fall into a measured time: `energy_j` only continues the last reading up to now.
"""

from __future__ import annotations

import bisect
import csv
import math
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from seamline.config.paths import read_text
from seamline.core.vocabulary.errors import ConfigError, MeterError
from seamline.core.vocabulary.ports import Clock

INTERVAL_S = 0.1
MAX_RECORDING_BYTES = 64 << 20
PMIC_TIMEOUT_S = 2.0
PMIC_SLOPE, PMIC_OFFSET_W = 1.1451, 0.5879
"""Whole board over the sum of the controller's rails, which see no USB and no 5 V header: fit by jfikar/RPi5-power."""

INA_CHIPS = ("ina219", "ina220", "ina226", "ina230", "ina231", "ina238", "ina3221")
_RAIL = re.compile(r"(?P<rail>\S+)_(?P<kind>[AV])\s+(?:current|volt)\(\d+\)=(?P<value>[0-9.]+)[AV]")

ReadWatts = Callable[[], float]


class SampledMeter:
    """Adds up `read_w` over time. `start` begins sampling; without it every `sample` is the caller's.

    Raises `MeterError` when the first reading fails or is no power; when a later one does, `energy_j` says so.
    """

    def __init__(self, name: str, scope: str, read_w: ReadWatts, clock: Clock) -> None:
        self._name = name
        self._scope = scope
        self._read_w = read_w
        self._clock = clock
        self._lock = threading.Lock()
        self._power_w = self._read()
        self._at_s = clock.now_s()
        self._counted_j = 0.0
        self._failure: MeterError | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def source(self) -> str:
        return f"measured:{self._name}"

    @property
    def scope(self) -> str:
        return self._scope

    def start(self) -> SampledMeter:
        """Sample on a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name=f"meter-{self._name}", daemon=True)
        self._thread.start()
        return self

    def energy_j(self) -> float:
        """Joules since the meter was opened; the last reading is taken to hold until now. Raises `MeterError`."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return self._counted_j + self._power_w * max(0.0, self._clock.now_s() - self._at_s)

    def sample(self) -> None:
        """Read the sensor once. The time since the last reading is charged at that reading, so sums never shrink."""
        try:
            power_w = self._read()
        except MeterError as error:
            with self._lock:
                self._failure = error
            return
        with self._lock:
            now_s = self._clock.now_s()
            self._counted_j += self._power_w * (now_s - self._at_s)
            self._power_w, self._at_s, self._failure = power_w, now_s, None

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=PMIC_TIMEOUT_S + 1.0)

    def _read(self) -> float:
        power_w = self._read_w()
        if not (math.isfinite(power_w) and power_w >= 0.0):
            raise MeterError(f"{self._name} reads {power_w:g} W")
        return power_w

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.sample()


def pmic_reader(command: str = "vcgencmd") -> ReadWatts:
    """Watts of a whole Raspberry Pi 5, from its power controller's rails."""

    def read_w() -> float:
        try:
            done = subprocess.run(
                [command, "pmic_read_adc"], capture_output=True, text=True, timeout=PMIC_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise MeterError(f"`{command}` cannot be run: {exc}", hint="it comes with Raspberry Pi OS") from exc
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise MeterError(f"`{command} pmic_read_adc` failed: {words}", hint="join the group `video`; needs a Pi 5")
        return pmic_power_w(done.stdout)

    return read_w


def pmic_power_w(said: str) -> float:
    """Watts of the board from the words of `vcgencmd pmic_read_adc`. Raises `MeterError`: no rail has both values."""
    volts: dict[str, float] = {}
    amperes: dict[str, float] = {}
    for match in _RAIL.finditer(said):
        (volts if match["kind"] == "V" else amperes)[match["rail"]] = float(match["value"])
    rails = volts.keys() & amperes.keys()
    if not rails:
        raise MeterError("`vcgencmd pmic_read_adc` names no rail with current and voltage", hint="it needs a Pi 5")
    return PMIC_SLOPE * math.fsum(volts[rail] * amperes[rail] for rail in rails) + PMIC_OFFSET_W


def ina_reader(root: Path) -> tuple[ReadWatts, str]:
    """Watts of the INA monitors under `root` (``/sys/class/hwmon``) and what they watch. Raises `MeterError`: none.

    Where a channel is called VDD_IN (Jetson boards) it feeds all others and is read alone.
    """
    channels: list[tuple[str, ReadWatts]] = []
    for folder in sorted(root.glob("hwmon*")):
        chip = _words(folder / "name")
        if chip not in INA_CHIPS:
            continue
        channels += _ina3221(folder) if chip == "ina3221" else [(chip, _micro(folder / "power1_input", 1e-6))]
    if not channels:
        raise MeterError(f"no INA power monitor under {root}", hint=f"known: {', '.join(INA_CHIPS)}, as hwmon drivers")
    chosen = [channel for channel in channels if channel[0] == "VDD_IN"] or channels
    readers = [read_w for _, read_w in chosen]
    return (lambda: math.fsum(read_w() for read_w in readers)), ", ".join(name for name, _ in chosen)


def battery_reader(root: Path) -> ReadWatts:
    """Watts drawn from the batteries under `root` (``/sys/class/power_supply``) while they discharge.

    Raises `MeterError` when there is none, and on reading while one is charged: then the charger is measured too.
    """
    batteries = [folder for folder in sorted(root.glob("*")) if _words(folder / "type") == "Battery"]
    batteries = [folder for folder in batteries if _words(folder / "scope") != "Device"]  # a mouse's own battery
    if not batteries:
        raise MeterError(f"no battery under {root}", hint="only machines that run on one can be measured so")

    def read_w() -> float:
        for folder in batteries:
            if (status := _words(folder / "status")) != "Discharging":
                raise MeterError(f"battery {folder.name} is {status.lower() or 'silent'}", hint="unplug the charger")
        return math.fsum(_battery_w(folder) for folder in batteries)

    return read_w


def replay_reader(path: Path, clock: Clock) -> ReadWatts:
    """Watts recorded in a CSV file with the columns ``time_s,power_w``; each holds until the next, then all again.

    The time of the last line ends it. Raises `ConfigError` naming file and line when it is not that.
    """
    times_s, powers_w = _read_recording(path)
    started_s, length_s = clock.now_s(), times_s[-1]

    def read_w() -> float:
        at_s = (clock.now_s() - started_s) % length_s
        return powers_w[max(0, bisect.bisect_right(times_s, at_s) - 1)]

    return read_w


def _read_recording(path: Path) -> tuple[list[float], list[float]]:
    text = read_text(path, max_bytes=MAX_RECORDING_BYTES, hint="replay:FILE wants a CSV of watts")
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error as exc:
        raise ConfigError(f"{path} is no power recording: {exc}", hint="replay:FILE wants a CSV of watts") from exc
    if len(rows) < 2 or not {"time_s", "power_w"} <= rows[0].keys():
        raise ConfigError(f"{path} is no power recording", hint="header `time_s,power_w` and at least two lines")
    times_s: list[float] = []
    powers_w: list[float] = []
    for number, row in enumerate(rows, start=2):
        try:
            time_s, power_w = float(row["time_s"]), float(row["power_w"])
        except (TypeError, ValueError) as exc:
            hint = "lines read like 0.5,3.2: seconds and watts"
            raise ConfigError(f"{path}: line {number} is not two numbers", hint=hint) from exc
        is_later = time_s > times_s[-1] if times_s else time_s == 0.0
        if not (is_later and math.isfinite(time_s) and math.isfinite(power_w) and power_w >= 0.0):
            raise ConfigError(f"{path}: line {number} cannot be", hint="times grow from 0, watts are 0 or more")
        times_s.append(time_s)
        powers_w.append(power_w)
    return times_s, powers_w


def _ina3221(folder: Path) -> list[tuple[str, ReadWatts]]:
    """Its three channels in millivolts and milliamperes."""
    channels: list[tuple[str, ReadWatts]] = []
    for number in (1, 2, 3):
        volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
        if volts.exists() and amperes.exists():
            name = _words(folder / f"in{number}_label") or f"channel {number}"
            channels.append((name, _product(_micro(volts, 1e-3), _micro(amperes, 1e-3))))
    return channels


def _battery_w(folder: Path) -> float:
    if (folder / "power_now").exists():
        return _micro(folder / "power_now", 1e-6)()
    return _product(_micro(folder / "voltage_now", 1e-6), _micro(folder / "current_now", 1e-6))()


def _product(one: ReadWatts, other: ReadWatts) -> ReadWatts:
    return lambda: one() * abs(other())


def _micro(path: Path, unit: float) -> ReadWatts:
    def read() -> float:
        try:
            return unit * int(path.read_text(encoding="ascii"))
        except PermissionError as exc:
            raise MeterError(f"{path} may not be read", hint="run as root, or let your group read it") from exc
        except (OSError, ValueError) as exc:
            raise MeterError(f"{path} cannot be read: {exc}") from exc

    return read


def _words(path: Path) -> str:
    """The first line of a sysfs file; empty when it cannot be read: such a sensor cannot be named, so not used."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
