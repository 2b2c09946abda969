"""Summary of a simulation: every policy's figures, and what adaptive reached beside the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from seamline.config import Trace
from seamline.core.recording.provenance import Provenance
from seamline.core.vocabulary.documented import INLINED, copied
from seamline.core.vocabulary.quantities import percentiles
from seamline.meters.provenance import provenance
from seamline.sim import Comparison, Run, Scene, summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Where values lie, beside their mean."""

    p50: Annotated[float | None, "its median"]
    p95: Annotated[float | None, "its 95th percentile"]
    p99: Annotated[float | None, "its 99th percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of answered frames."""

    mean: Annotated[float | None, "from acceptance to answer, seconds, of answered frames; null without any"]
    quantiles: Quantiles = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Of all frames, the age that an answer has when it is as new as the frame."""

    mean: Annotated[float | None, "from a frame, also a dropped one, to the first answer at least as new, seconds"]
    quantiles: Quantiles = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFigures:
    """One policy's run."""

    latency_s: Latency
    wait_s: Wait
    energy_j_per_frame: Annotated[float | None, "joules per answered frame, modelled; null without power figures"]
    throughput_fps: Annotated[float, "answers per second"]
    frames_answered: Annotated[int, "frames accepted and answered"]
    frames_late: Annotated[int, "of these, how many missed their deadline and were run again"]
    frames_dropped: Annotated[int, "frames a newer one replaced before there was room"]
    switches: Annotated[int, "how often the plan changed"]
    plan: Annotated[str, "the plan longest in use"]
    latency_percentiles_s: Annotated[tuple[float, ...], "latency's 0th to 100th percentile, for its distribution"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSwitch:
    """One change of adaptive's plan."""

    at_s: Annotated[float, "when adaptive switched"]
    from_plan: Annotated[str, "the plan before"]
    to_plan: Annotated[str, "the plan after"]
    reason: Annotated[str, "why, in words and numbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSummary:
    """What `seamline simulate --json` prints."""

    model: Annotated[str, "name of the model in the profiles"]
    objective: Annotated[str, "what plans are judged by"]
    energy_scope: Annotated[str, "whose joules count"]
    seconds: Annotated[float, "how long frames came, in virtual time"]
    fps: Annotated[float, "frames per second of the source"]
    private: Annotated[int, "as given with --private"]
    seed: Annotated[int, "of noise and losses"]
    n_frames: Annotated[int, "frames the source brought to each policy"]
    policies: Mapping[str, PolicyFigures]
    energy_source: Annotated[str, "`modelled`: nothing is metered here"]
    offload_allowed: Annotated[bool, "whether the constraints allow `offload`, which is measured in any case"]
    regret_ratio: Annotated[
        float | None, "by how much adaptive was worse than the oracle in the objective, 0.03 for 3 %"
    ]
    gain_ratio: Annotated[
        float | None, "the share of the oracle's gain over static_at_start that adaptive has; null without a gain"
    ]
    switches: tuple[SimulatedSwitch, ...]
    made_by: Provenance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedTrace:
    """Rates over time."""

    times_s: Annotated[tuple[float, ...], "with --generate: when each rate begins"]
    rates_bps: Annotated[tuple[float, ...], "with --generate: bits per second, 0 for an outage"]
    length_s: Annotated[float, "with --generate: how long the trace is"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSummary:
    """What `seamline simulate --generate --json` prints."""

    trace: GeneratedTrace


def simulate_summary(scene: Scene, comparison: Comparison) -> SimulateSummary:
    """The figures of `comparison`, all of whose policies were put through `scene`."""
    adaptive = comparison.runs.get("adaptive")
    return SimulateSummary(
        model=scene.profiles[scene.origin].model.name,
        objective=str(scene.objective),
        energy_scope=str(scene.energy_scope),
        seconds=scene.duration_s,
        fps=scene.fps,
        private=scene.constraints.n_private_cuts,
        seed=scene.seed,
        n_frames=scene.n_frames,
        policies={name: _figures(run) for name, run in comparison.runs.items()},
        energy_source="modelled",
        offload_allowed=comparison.is_offload_allowed,
        regret_ratio=comparison.regret_ratio,
        gain_ratio=comparison.gain_ratio,
        switches=tuple(
            copied(SimulatedSwitch, switch, from_plan=str(switch.from_plan), to_plan=str(switch.to_plan))
            for switch in (adaptive.switches if adaptive is not None else ())
        ),
        made_by=provenance(),
    )


def generate_summary(trace: Trace) -> GenerateSummary:
    """`trace` as it is printed."""
    return GenerateSummary(trace=copied(GeneratedTrace, trace))


def _figures(run: Run) -> PolicyFigures:
    found = summary(run)
    latency_s, wait_s = found["latency_s"], found["wait_s"]
    return PolicyFigures(
        latency_s=Latency(mean=latency_s["mean"], quantiles=_quantiles(latency_s)),
        wait_s=Wait(mean=wait_s["mean"], quantiles=_quantiles(wait_s)),
        latency_percentiles_s=percentiles(run.latency_s.tolist()),
        **{name: figure for name, figure in found.items() if name not in ("latency_s", "wait_s")},
    )


def _quantiles(spread: Mapping[str, float | None]) -> Quantiles:
    return Quantiles(p50=spread["p50"], p95=spread["p95"], p99=spread["p99"])
