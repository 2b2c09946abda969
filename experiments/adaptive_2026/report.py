"""The report of the experiment, as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION
from experiments.adaptive_2026.report_emulated import emulated
from experiments.adaptive_2026.scenario import PHASES, day
from experiments.adaptive_2026.simulated import POLICIES, Outcome
from seamline.report.course import Course, course_figure
from seamline.report.document import Document, Parts, bullets, heading, table, text

DRAWN = ("adaptive", "static_at_start", "static_best", "local", "offload")


def report(results: Mapping[str, Any], outcomes: Sequence[Outcome]) -> Document:
    """The whole of it."""
    models = results["models"]
    coded = [(name, model["with_codecs"]) for name, model in models.items() if "with_codecs" in model]
    parts = text(
        "Energy and latency against static cuts, after arXiv 2605.09623, of which only the abstract is to be had: "
        f"its scenario is not known, ours is stated. Published: energy {_range(ENERGY_REDUCTION)} and latency "
        f"{_range(LATENCY_REDUCTION)} lower than a static partition. Reductions are medians over "
        f"{min(model['n_runs'] for model in models.values())} drawn days, [lowest, highest] beside. All "
        "energy is modelled: of every machine above idle, the Pi's radio, and the Pi's idling until the answer."
    )
    parts += _left_out(results)
    parts += heading("Plain tensors (simulated)") + _reductions(models.items()) + _remarks(models)
    parts += heading("The same with Seamline's codecs (simulated)") + _reductions(coded)
    parts += heading("With one thing otherwise (simulated)") + text(
        "Plain tensors, reductions against the start's cut, in brackets against the best fixed one."
    )
    parts += _variants(models) + heading("What a frame takes in each phase (modelled)")
    parts += text("Joules, first day: all on the Pi / best split.") + _moments(models)
    parts += heading("The scenario") + _scenario(results) + heading("The machines") + _devices(results["devices"])
    if results["emulated"] is not None:
        parts += heading("In real processes (emulated)") + emulated(results["emulated"])
    parts += heading("Latency through the day (simulated, first day, latency as objective)")
    for each in outcomes:
        if each.case.variant == "main" and each.runs["adaptive"].latencies_s:
            parts += simulated_plot(each, results["duration_s"])
    parts += heading("Every policy (simulated, plain tensors)")
    for name, model in models.items():
        parts += _policies(name, model)
    return Document("Adaptive partitioning over edge, fog and cloud", parts)


def simulated_plot(outcome: Outcome, duration_s: float) -> Parts:
    """Latency of each answered frame in order, as if they had come evenly; phases as grey bounds."""
    series = {}
    for policy in DRAWN:
        values = outcome.runs[policy].latencies_s
        series[policy] = [(duration_s * at / max(1, len(values) - 1), value) for at, value in enumerate(values)]
    phases = zip(day(outcome.case.seed, duration_s).starts_s, PHASES, strict=True)
    course = Course(length_s=duration_s, latency_s=series, scenes=[(at_s, phase.what) for at_s, phase in phases])
    return heading(outcome.case.model, 3) + course_figure(course, f"day-{outcome.case.model}")


def _reductions(models: Iterable[tuple[str, Mapping[str, Any]]]) -> Parts:
    keys = [f"{what}_reduction_vs_{than}" for what in ("latency", "energy") for than in ("start", "best", "local")]
    head = ["", *(key.replace("_reduction_vs_", " vs ") for key in keys)]
    return table(head, ([name, *(_reduction(model, key) for key in keys)] for name, model in models))


def _reduction(model: Mapping[str, Any], key: str) -> str:
    low, high = model[f"{key}_spread"]
    return f"{model[key]:.1%} [{low:.0%}, {high:.0%}]"


def _remarks(models: Mapping[str, Any]) -> Parts:
    return bullets(
        f"{name}: {each}"
        for name, model in models.items()
        for each in (*(f"{what}: {words}" for what, words in model["why"].items() if words), *model["remarks"])
    )


def _left_out(results: Mapping[str, Any]) -> Parts:
    names = results["left_out"]
    if not names:
        return ()
    return text(
        f"{len(names)} cases were left out for lack of time ({', '.join(names)}); the same command plays them when it "
        "is started again."
    )


def _variants(models: Mapping[str, Any]) -> Parts:
    """A row for each thing that is otherwise, a column for each network and objective that it was played for."""
    words = {name: each["what"] for model in models.values() for name, each in model["variants"].items()}
    rows = []
    for variant, what in {"": "the scenario as it stands", **words}.items():
        cells = []
        for model in models.values():
            figures = model["variants"].get(variant, {}) if variant else model
            cells += [_both(figures, objective) for objective in ("latency", "energy")]
        rows.append((what, *cells))
    head = ("", *(f"{name}, {objective}" for name in models for objective in ("latency", "energy")))
    return table(head, rows)


def _both(figures: Mapping[str, Any], objective: str) -> str:
    vs_start, vs_best = (figures.get(f"{objective}_reduction_vs_{than}") for than in ("start", "best"))
    return "" if vs_start is None else f"{vs_start:.1%} ({vs_best:.1%})"


def _moments(models: Mapping[str, Any]) -> Parts:
    rows: list[tuple[str, ...]] = []
    for phases in zip(*(model["moments"] for model in models.values()), strict=True):
        cells = (f"{each['local']:.2f} / {_joules(each['split'])}" for each in phases)
        rows.append((phases[0]["what"], *cells))
    return table(("phase", *models), rows)


def _joules(energy_j: float | None) -> str:
    return "-" if energy_j is None else f"{energy_j:.2f}"


def _scenario(results: Mapping[str, Any]) -> Parts:
    rows = [
        (each["what"], f"{each['share']:.0%}", f"{each['wifi_mbps']:g}", f"{each['uplink_mbps']:g}",
         f"{each['edge_load']:g}x", f"{each['fog_load']:g}x", f"{each['cloud_load']:g}x")
        for each in results["scenario"]
    ]  # fmt: skip
    words = text(
        f"{results['duration_s']:.0f} s. Lengths vary by up to 20 %, rates by 15 % from day to day and 8 % every "
        "four seconds. Frames stay on the Pi, tensors may leave. So few frames come that every policy answers them."
    )
    head = ("phase", "share", "WiFi Mbit/s", "uplink Mbit/s", "Pi takes", "laptop takes", "desktop takes")
    return words + table(head, rows)


def _devices(devices: Mapping[str, Any]) -> Parts:
    rows = []
    for node, device in devices.items():
        times = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in device["whole_s"].items())
        power = f"{device['idle_w']:g} to {device['busy_w']:g} W"
        rows.append((node, device["stands_for"], times, power, device["power_source"]))
    return table(("", "stands for", "whole network, ms", "idle to busy", "power from"), rows)


def _policies(name: str, model: Mapping[str, Any]) -> Parts:
    rows = []
    for objective in ("latency", "energy"):
        for policy in POLICIES:
            each = model[f"policies_for_{objective}"][policy]
            rows.append((f"{objective}: {policy}", f"{1e3 * each['latency_s']:.0f} ms",
                         f"{each['energy_j_per_frame']:.2f} J", f"{each['switches']:g}",
                         str(each["frames_answered"]), each["first_plan"]))  # fmt: skip
    head = ("objective: policy", "latency", "energy (modelled)", "switches", "frames", "first plan")
    return heading(name, 3) + table(head, rows)


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2%} to {pair[1]:.2%}"
