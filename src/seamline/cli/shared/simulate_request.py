"""Request of `seamline simulate`, and the scene that is read from it: profiles, links, traces, and a testbed's changes.

The flags that a request is made of are read in `commands/simulate.py`; what happens in a scene is `seamline.sim`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seamline.cli.shared.output import TERMINAL, progress_console
from seamline.config import Trace, load_testbed, read_trace
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.profiles import Profile
from seamline.core.vocabulary.quantities import parse_duration, parse_rate
from seamline.runtime.lab.offline import limits_of, profiles_of
from seamline.sim import KINDS, Scene, SceneLink, generated
from seamline.sim.from_testbed import left_out, links_of, loads_of

DEFAULT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateRequest:
    """The scene that policies are put through, as it was given.

    model: a name where profiles are given, what is profiled here where slowdowns are. profiles, slowdowns, powers,
    traces, links: per node or link, a link's steady rate or, beside a trace, its delay. testbed: file of further links,
    changes and loads. seconds: as long as the longest trace when None. noise_ratio: scatter of compute times.
    """

    model: str | None
    profiles: tuple[str, ...]
    slowdowns: tuple[str, ...]
    powers: tuple[str, ...]
    traces: tuple[str, ...]
    links: tuple[str, ...]
    testbed: Path | None
    objective: Objective
    energy_scope: str
    n_private_cuts: int
    codecs: str
    fps: float
    seconds: float | None
    noise_ratio: float
    seed: int


def scene_of(request: SimulateRequest) -> Scene:
    """Read from its files. Raises `UsageError` for what does not fit together."""
    profiles = _profiles(request)
    links, seconds = _links(request)
    return Scene(
        origin=next(iter(profiles)),
        profiles=profiles,
        links=links,
        fps=request.fps,
        duration_s=seconds,
        objective=request.objective,
        energy_scope=EnergyScope.parse(request.energy_scope).among(list(profiles)),
        constraints=limits_of(profiles, request.codecs, n_private_cuts=request.n_private_cuts),
        slowdowns=_loads(request.testbed, seconds),
        noise_ratio=request.noise_ratio,
        seed=request.seed,
    )


def _profiles(request: SimulateRequest) -> Mapping[NodeId, Profile]:
    """By node, in the order given. Raises `UsageError` when there is none or they are not of one model."""
    model, is_name = request.model, not request.slowdowns  # without a slowdown, the profiles are enough
    profiles = profiles_of(
        None if is_name else model, request.profiles, request.slowdowns, powers=request.powers, progress=TERMINAL
    )
    names = {known.model.name for known in profiles.values()} | ({model} if model and is_name else set())
    if len(names) > 1:
        raise UsageError(f"the profiles are of different models: {', '.join(sorted(names))}")
    return profiles


def _links(request: SimulateRequest) -> tuple[tuple[SceneLink, ...], float]:
    """All links, later ones in place of earlier ones between the same nodes, and how long the run is."""
    found: dict[frozenset[str], SceneLink] = {}
    lengths: list[float] = []
    if request.testbed is not None:
        bed = load_testbed(request.testbed)
        lengths.append(request.seconds or bed.seconds or DEFAULT_SECONDS)
        found = {frozenset(link.between): link for link in links_of(bed, lengths[0])}
        for what in left_out(bed):
            progress_console().print(f"not simulated: {what}", markup=False)
    for text in request.links:
        one, other, values = _ends(text, "A:B=RATE[,DELAY], e.g. edge:fog=20mbps,2ms")
        rate_bps, delay_s = _rate_and_delay(values, text)
        found[frozenset((one, other))] = SceneLink.steady(one, other, rate_bps, delay_s)
    for text in request.traces:
        one, other, value = _ends(text, "A:B=FILE, e.g. edge:fog=trace.csv")
        before = found.get(frozenset((one, other)))
        read = _trace(value)
        found[frozenset((one, other))] = SceneLink(
            between=(one, other), trace=read, delay_s=before.delay_s if before is not None else 0.0
        )
        lengths += [read.length_s] if math.isfinite(read.length_s) else []
    return tuple(found.values()), request.seconds or max(lengths, default=DEFAULT_SECONDS)


def _loads(testbed: Path | None, seconds: float) -> Mapping[NodeId, tuple[tuple[float, float], ...]]:
    """How nodes slow down during the run, where a testbed says so."""
    return {} if testbed is None else loads_of(load_testbed(testbed), seconds)


def _ends(text: str, form: str) -> tuple[NodeId, NodeId, str]:
    ends, separator, value = text.partition("=")
    one, colon, other = ends.partition(":")
    if not (separator and colon and value):
        raise UsageError(f"`{text}` is not a link", hint=f"write {form}")
    if one == other:
        raise UsageError(f"`{text}` links `{one}` to itself", hint="name two nodes")
    return node_id(one), node_id(other), value


def _rate_and_delay(values: str, text: str) -> tuple[float, float]:
    """``20mbps,2ms``, or ``20,2`` for the same. A link is up: what is down at times is a trace."""
    rate, _, delay = (part.strip() for part in values.partition(","))
    rate_bps = parse_rate(f"{rate}mbps" if _is_number(rate) else rate)
    delay_s = parse_duration(f"{delay}ms" if _is_number(delay) else delay) if delay else 0.0
    if rate_bps <= 0.0:
        raise UsageError(f"`{text}` carries nothing", hint="write A:B=RATE[,DELAY], e.g. edge:fog=20mbps,2ms")
    return rate_bps, delay_s


def _is_number(text: str) -> bool:
    return text[-1:].isdecimal()  # a unit ends in a letter


def _trace(value: str) -> Trace:
    """A file, or a generated trace by its name."""
    is_generated = value.partition(":")[0] in KINDS and not Path(value).exists()
    return generated(value) if is_generated else read_trace(Path(value))
