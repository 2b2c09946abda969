"""The scene of `seamline simulate`, read from its flags: profiles, links, traces, and a testbed's changes.

What happens in a scene is `seamline.sim`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from seamline.cli.shared.options import choice
from seamline.cli.shared.output import TERMINAL, progress_console
from seamline.cli.shared.planning_options import checked_codecs
from seamline.cli.shared.simulate_flags import SimulateFlags
from seamline.config import Trace, load_testbed, read_trace, trace_path
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


def scene_of(model: str | None, flags: SimulateFlags) -> Scene:
    """Read from its files. Raises `UsageError` for what does not fit together.

    model: a name where profiles are given, what is profiled here where slowdowns are.
    """
    checked_codecs(flags.codecs)
    objective = choice(flags.objective, tuple(Objective), "an objective")
    profiles = _profiles(model, flags)
    links, seconds = _links(flags)
    return Scene(
        origin=next(iter(profiles)),
        profiles=profiles,
        links=links,
        fps=flags.fps,
        duration_s=seconds,
        objective=objective,
        energy_scope=EnergyScope.parse(flags.energy_scope).among(list(profiles)),
        constraints=limits_of(profiles, flags.codecs, n_private_cuts=flags.private),
        slowdowns=_loads(flags.testbed, seconds),
        noise_ratio=flags.noise,
        seed=flags.seed,
    )


def _profiles(model: str | None, flags: SimulateFlags) -> Mapping[NodeId, Profile]:
    """By node, in the order given. Raises `UsageError` when there is none or they are not of one model."""
    is_name = not flags.slowdown  # without a slowdown, the profiles are enough
    profiles = profiles_of(
        None if is_name else model, flags.profile, flags.slowdown, powers=flags.power, progress=TERMINAL
    )
    names = {known.model.name for known in profiles.values()} | ({model} if model and is_name else set())
    if len(names) > 1:
        raise UsageError(f"the profiles are of different models: {', '.join(sorted(names))}")
    return profiles


def _links(flags: SimulateFlags) -> tuple[tuple[SceneLink, ...], float]:
    """All links, later ones in place of earlier ones between the same nodes, and how long the run is."""
    found: dict[frozenset[str], SceneLink] = {}
    lengths: list[float] = []
    if flags.testbed is not None:
        bed = load_testbed(flags.testbed)
        lengths.append(flags.seconds or bed.seconds or DEFAULT_SECONDS)
        found = {frozenset(link.between): link for link in links_of(bed, lengths[0])}
        for what in left_out(bed):
            progress_console().print(f"not simulated: {what}")
    for text in flags.link:
        one, other, values = _ends(text, "A:B=RATE[,DELAY], e.g. edge:fog=20mbps,2ms")
        rate_bps, delay_s = _rate_and_delay(values, text)
        found[frozenset((one, other))] = SceneLink.steady(one, other, rate_bps, delay_s)
    for text in flags.trace:
        one, other, value = _ends(text, "A:B=FILE, e.g. edge:fog=trace.csv")
        before = found.get(frozenset((one, other)))
        read = _trace(value)
        found[frozenset((one, other))] = SceneLink(
            between=(one, other), trace=read, delay_s=before.delay_s if before is not None else 0.0
        )
        lengths += [read.length_s] if math.isfinite(read.length_s) else []
    return tuple(found.values()), flags.seconds or max(lengths, default=DEFAULT_SECONDS)


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
    """A file, or a recorded or generated trace by its name."""
    is_generated = value.partition(":")[0] in KINDS and not Path(value).exists()
    return generated(value) if is_generated else read_trace(trace_path(value))
