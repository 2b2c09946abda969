"""Meters over a made-up /sys and a made-up clock: what they count, and what they say when they cannot."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from seamline.config.power import PROFILES, RADIOS, parse_power
from seamline.core.vocabulary.errors import ConfigError, MeterError, UsageError
from seamline.meters.counters import NvmlMeter, RaplMeter
from seamline.meters.energy import METERS, Sensors, find_meters, open_meter
from seamline.meters.power_model import PowerModel
from seamline.meters.sampled import SampledMeter, battery_reader, ina_reader, pmic_power_w, pmic_reader, replay_reader


class _Clock:
    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in files.items():
        (folder / name).write_text(f"{words}\n", encoding="ascii")
    return folder


def _package(root: Path, name: str, energy_uj: int, inside: Path | None = None, label: str = "package-0") -> Path:
    return _write((inside or root) / name, name=label, energy_uj=energy_uj, max_energy_range_uj=1_000_000)


# -- RAPL --------------------------------------------------------------------------------------------------------------


def test_rapl_adds_up_packages_and_memory_but_no_part_of_a_package(tmp_path: Path):
    one = _package(tmp_path, "intel-rapl:0", 100)
    memory = _package(tmp_path, "intel-rapl:0:0", 0, inside=one, label="dram")
    core = _package(tmp_path, "intel-rapl:0:1", 0, inside=one, label="core")
    psys = _package(tmp_path, "intel-rapl:1", 0, label="psys")
    meter = RaplMeter(tmp_path)
    assert meter.energy_j() == 0.0
    for folder, energy_uj in ((one, 600_100), (memory, 200_000), (core, 999), (psys, 900_000)):
        (folder / "energy_uj").write_text(str(energy_uj), encoding="ascii")
    assert meter.energy_j() == pytest.approx(0.8)
    assert meter.source == "measured:rapl"
    assert meter.scope == "processor packages, memory"


def test_a_rapl_counter_that_starts_again_goes_on_counting(tmp_path: Path):
    package = _package(tmp_path, "intel-rapl:0", 900_000)
    meter = RaplMeter(tmp_path)
    readings = []
    for energy_uj in (50_000, 950_000, 20_000):
        (package / "energy_uj").write_text(str(energy_uj), encoding="ascii")
        readings.append(meter.energy_j())
    assert readings == pytest.approx([0.15, 1.05, 1.12])


def test_rapl_counters_for_root_only_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = _package(tmp_path, "intel-rapl:0", 1)
    original = Path.read_text

    def refuse(path: Path, *arguments: object, **named: object) -> str:  # tests may run as root, who may read anything
        if path == package / "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match=r"may not be read; hint: since PLATYPUS .* only root"):
        RaplMeter(tmp_path)


def test_no_rapl_is_a_meter_error_that_names_the_way_out(tmp_path: Path):
    with pytest.raises(MeterError, match=r"no RAPL counter under .*use a power profile"):
        RaplMeter(tmp_path / "absent")


# -- NVML --------------------------------------------------------------------------------------------------------------


class _NvmlError(Exception):
    pass


def _nvml(millijoules: list[int], *, fails: bool = False) -> SimpleNamespace:
    def total(gpu: int) -> int:
        if fails:
            raise _NvmlError("Not Supported")
        return millijoules[gpu]

    return SimpleNamespace(
        NVMLError=_NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(millijoules),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )


def test_nvml_counts_what_all_gpus_drew_since_the_start():
    millijoules = [5_000, 7_000]
    meter = NvmlMeter(_nvml(millijoules))
    millijoules[:] = [6_500, 7_250]
    assert meter.energy_j() == pytest.approx(1.75)
    assert (meter.source, meter.scope) == ("measured:nvml", "2 GPUs")


def test_a_gpu_without_a_counter_is_a_meter_error():
    with pytest.raises(MeterError, match=r"NVML cannot count energy: Not Supported; hint: .*Volta"):
        NvmlMeter(_nvml([0], fails=True))
    with pytest.raises(MeterError, match="no GPU"):
        NvmlMeter(_nvml([]))


# -- sensors of power --------------------------------------------------------------------------------------------------


def test_a_sampled_meter_charges_each_reading_until_the_next(clock: _Clock):
    watts = [4.0, 10.0]
    meter = SampledMeter("sensor", "whole board", lambda: watts[0], clock)
    clock.time_s += 0.5
    assert meter.energy_j() == pytest.approx(2.0)
    watts.pop(0)
    meter.sample()
    assert meter.energy_j() == pytest.approx(2.0)
    clock.time_s += 0.1
    assert meter.energy_j() == pytest.approx(3.0)


@pytest.mark.parametrize("watts", [-3.0, math.nan, math.inf])
def test_a_first_reading_that_is_no_power_is_refused(clock: _Clock, watts: float):
    with pytest.raises(MeterError, match="sensor reads"):
        SampledMeter("sensor", "whole board", lambda: watts, clock)


def test_a_sampled_meter_says_when_its_sensor_stopped_making_sense(clock: _Clock):
    watts = [4.0]
    meter = SampledMeter("sensor", "whole board", lambda: watts[0], clock)
    watts[0] = -1.0
    meter.sample()
    with pytest.raises(MeterError, match="reads -1 W"):
        meter.energy_j()
    watts[0] = 4.0
    meter.sample()
    assert meter.energy_j() >= 0.0


PMIC = """
   3V7_WL_SW_A current(0)=0.10000000A
   VDD_CORE_A current(7)=2.00000000A
   HDMI_A current(22)=0.50000000A
   EXT5V_V volt(24)=5.12080000V
   3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.80000000V
"""


def test_the_pmic_model_takes_rails_with_both_current_and_voltage():
    assert pmic_power_w(PMIC) == pytest.approx(1.1451 * (0.37 + 1.6) + 0.5879)


def test_the_pmic_is_asked_by_its_command_and_its_refusal_is_passed_on(tmp_path: Path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(f"#!/bin/sh\n[ $1 = pmic_read_adc ] && cat <<END\n{PMIC}END\n", encoding="ascii")
    bad.write_text("#!/bin/sh\necho 'VCHI initialization failed' >&2; exit 255\n", encoding="ascii")
    for command in (good, bad):
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    assert pmic_reader(str(good))() == pytest.approx(1.1451 * 1.97 + 0.5879)
    with pytest.raises(MeterError, match=r"VCHI initialization failed; hint: .*video"):
        pmic_reader(str(bad))()
    with pytest.raises(MeterError, match="cannot be run"):
        pmic_reader(str(tmp_path / "absent"))()
    with pytest.raises(MeterError, match="no rail"):
        pmic_power_w('error=1 error_msg="Command not registered"')


def test_ina_monitors_are_read_in_their_own_units(tmp_path: Path):
    _write(tmp_path / "hwmon0", name="cpu_thermal", temp1_input=40_000)
    _write(tmp_path / "hwmon1", name="ina219", power1_input=2_500_000)
    _write(
        tmp_path / "hwmon2", name="ina3221", in1_input=5_000, curr1_input=300, in1_label="VDD_A",
        in2_input=12_000, curr2_input=100, in4_input=1,
    )  # fmt: skip
    read_w, watched = ina_reader(tmp_path)
    assert read_w() == pytest.approx(2.5 + 1.5 + 1.2)
    assert watched == "ina219, VDD_A, channel 2"


def test_a_rail_that_feeds_the_others_is_not_counted_twice(tmp_path: Path):
    _write(
        tmp_path / "hwmon0", name="ina3221", in1_input=19_000, curr1_input=500, in1_label="VDD_IN",
        in2_input=1_000, curr2_input=2_000, in2_label="VDD_CPU_GPU_CV",
    )  # fmt: skip
    read_w, watched = ina_reader(tmp_path)
    assert (read_w(), watched) == (pytest.approx(9.5), "VDD_IN")


def test_a_battery_measures_only_while_it_discharges(tmp_path: Path):
    battery = _write(tmp_path / "BAT0", type="Battery", status="Discharging", power_now=8_400_000)
    _write(tmp_path / "AC", type="Mains", online=0)
    _write(tmp_path / "hidpp_battery_0", type="Battery", scope="Device", status="Discharging")
    read_w = battery_reader(tmp_path)
    assert read_w() == pytest.approx(8.4)
    _write(battery, status="Charging")
    with pytest.raises(MeterError, match="BAT0 is charging; hint: unplug"):
        read_w()


def test_a_battery_without_power_is_read_by_current_and_voltage(tmp_path: Path):
    _write(tmp_path / "BAT1", type="Battery", status="Discharging", current_now=-1_500_000, voltage_now=12_000_000)
    assert battery_reader(tmp_path)() == pytest.approx(18.0)


def test_a_recording_is_replayed_and_begins_again(tmp_path: Path, clock: _Clock):
    path = tmp_path / "power.csv"
    path.write_text("time_s,power_w\n0,2\n1,6\n3,0\n", encoding="ascii")
    read_w = replay_reader(path, clock)
    seen = []
    for at_s in (0.0, 0.9, 1.0, 2.9, 3.5, 4.5):
        clock.time_s = 100.0 + at_s
        seen.append(read_w())
    assert seen == [2.0, 2.0, 6.0, 6.0, 2.0, 6.0]


def test_a_recording_that_is_not_there_is_said_with_a_hint(tmp_path: Path, clock: _Clock):
    with pytest.raises(ConfigError, match="there is no file"):
        replay_reader(tmp_path / "absent.csv", clock)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time_s,mbps\n0,1\n1,2\n", "no power recording"),
        ("time_s,power_w\n0,1\n", "no power recording"),
        ("time_s,power_w\n0,1\n1,x\n", "line 3 is not two numbers"),
        ("time_s,power_w\n0,1\n0,2\n", "line 3 cannot be"),
        ("time_s,power_w\n0,1\n1,-2\n", "line 3 cannot be"),
        ("time_s,power_w\n0,1\n1,inf\n", "line 3 cannot be"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_line(tmp_path: Path, clock: _Clock, text: str, reason: str):
    path = tmp_path / "power.csv"
    path.write_text(text, encoding="ascii")
    with pytest.raises(ConfigError, match=reason):
        replay_reader(path, clock)


# -- which there are ---------------------------------------------------------------------------------------------------


def _sensors(root: Path) -> Sensors:
    return Sensors(
        powercap=root / "powercap", hwmon=root / "hwmon", power_supply=root / "supply", vcgencmd=str(root / "none")
    )


def test_every_kind_of_meter_is_reported_with_its_scope_or_its_reason(tmp_path: Path, clock: _Clock):
    _package(tmp_path / "powercap", "intel-rapl:0", 1)
    findings = {finding.name: finding for finding in find_meters(clock, _sensors(tmp_path))}
    assert tuple(findings) == METERS
    assert (findings["rapl"].is_usable, findings["rapl"].fact) == (True, "processor packages")
    assert not findings["pmic"].is_usable
    assert "no battery" in findings["battery"].fact
    assert all(finding.is_usable or finding.hint for finding in findings.values())


def test_auto_takes_the_first_that_works_and_says_why_none_did(tmp_path: Path, clock: _Clock):
    with pytest.raises(MeterError, match=r"no energy meter works here \(ina: .*rapl: .*--power PROFILE"):
        open_meter("auto", clock, _sensors(tmp_path))
    _package(tmp_path / "powercap", "intel-rapl:0", 1)
    assert open_meter("auto", clock, _sensors(tmp_path)).source == "measured:rapl"
    with pytest.raises(UsageError, match="`rappl` is not a meter; hint: did you mean `rapl`"):
        open_meter("rappl", clock)


def test_a_recording_can_be_opened_as_a_meter(tmp_path: Path, clock: _Clock):
    path = tmp_path / "power.csv"
    path.write_text("time_s,power_w\n0,3\n10,0\n", encoding="ascii")
    meter = open_meter(f"replay:{path}", clock)
    try:
        clock.time_s += 2.0
        assert meter.energy_j() == pytest.approx(6.0)
        assert meter.source == "measured:replay of power.csv"
    finally:
        meter.close()


# -- the model ---------------------------------------------------------------------------------------------------------


def test_the_power_model_adds_idle_busy_and_radio_since_it_was_made(clock: _Clock):
    done = SimpleNamespace(busy_s=10.0, n_sent=500, n_received=0)
    meter = PowerModel(
        parse_power("idle=2,busy=6,tx=3,rx=1"), clock,
        busy_s=lambda: done.busy_s, n_sent=lambda: done.n_sent, n_received=lambda: done.n_received,
    )  # fmt: skip
    clock.time_s += 4.0
    done.busy_s, done.n_sent, done.n_received = 11.5, 1_000_500, 2_000_000
    assert meter.energy_j() == pytest.approx(2 * 4.0 + 4 * 1.5 + 3.0 + 2.0)
    assert meter.source == "modelled:given"


@pytest.mark.parametrize("spec", PROFILES.values(), ids=lambda spec: spec.name)
def test_a_named_profile_lies_within_its_range_and_names_its_source(spec):
    assert spec.idle_range_w[0] <= spec.idle_w <= spec.idle_range_w[1]
    assert spec.busy_range_w[0] <= spec.busy_w <= spec.busy_range_w[1]
    assert spec.idle_w < spec.busy_w
    assert len(spec.source) > 20


@pytest.mark.parametrize(
    "text", ["raspberry-pi-4", "raspberry-pi-5+wifi", "idle=1.6,busy=5", "idle=1,busy=2,tx=2.3,rx=1.1"]
)
def test_power_figures_are_read_as_they_are_written(text: str):
    spec = parse_power(text)
    assert parse_power(spec.to_text()) == spec
    if "+" in text:
        assert (spec.tx_j_per_byte, spec.rx_j_per_byte) == (RADIOS["wifi"].tx_j_per_byte, RADIOS["wifi"].rx_j_per_byte)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raspbery-pi-4", "did you mean `raspberry-pi-4`"),
        ("laptop+bluetooth", "`bluetooth` is not a radio"),
        ("idle=1", "does not say `busy`"),
        ("idle=1,busy=x", "`x` is not a number"),
        ("idle=1,busy=nan", "from 0 up"),
        ("idle=5,busy=1", "busy >= idle"),
        ("idle=1,busy=5,volts=3", "`volts=3` is not a power figure"),
    ],
)
def test_power_figures_that_cannot_be_are_refused(text: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        parse_power(text)


def test_a_radios_joules_are_the_watts_of_its_source_at_the_stated_rate():
    for radio in RADIOS.values():
        assert "seen in" in radio.source, "where the figures were read is said: none of the papers was at hand"
        assert radio.tx_j_per_byte >= radio.rx_j_per_byte > 0.0
    assert RADIOS["pi-wifi"].tx_j_per_byte * 20e6 / 8 == pytest.approx(0.064 + 20 * 4.813e-3)
    assert RADIOS["wifi"].rx_j_per_byte * 5e6 / 8 == pytest.approx(0.13286 + 5 * 0.13701)
    assert RADIOS["lte"].tx_j_per_byte * 5e6 / 8 == pytest.approx(1.28804 + 5 * 0.43839)
