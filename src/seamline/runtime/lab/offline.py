"""Profiles and links of a planning problem from words and files alone: no node runs.

Profiles come from files, or this machine stands for a node that is a given number of times slower; only then is the
model itself needed. What a plan costs over them is `seamline.core`'s business. Engines are imported where a model is
profiled, so that reading the words of a flag loads none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seamline.core.cost.payload import with_calibrated_sizes
from seamline.core.vocabulary.calibration import CutCalibration, limits_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.quantities import parse_duration, parse_rate
from seamline.model.locate import ModelOptions, load_model
from seamline.model.progress import SILENT, Progress
from seamline.model.store.calibration import calibration_of

if TYPE_CHECKING:
    from seamline.core.vocabulary.profiles import Profile
    from seamline.model.store.models import StoredModel

_LINK = re.compile(r"(?P<source>[^:>=]+)(?P<kind>[:>])(?P<target>[^:>=]+)=(?P<rate>[^,]+)(?:,(?P<delay>.+))?")


def parse_link(text: str) -> tuple[LinkEstimate, ...]:
    """``edge:cloud=20mbps,20ms`` as both directions, ``edge>cloud=...`` as one; the round trip is twice the delay.

    Raises `UsageError` when it does not read so. A rate of 0 is a link that is down.
    """
    match = _LINK.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"`{text}` is not a link", hint="write e.g. edge:cloud=20mbps,20ms")
    ends = node_id(match["source"].strip()), node_id(match["target"].strip())
    if ends[0] == ends[1]:
        raise UsageError(f"`{text}` links `{ends[0]}` to itself", hint="name two nodes")
    rate_bps = parse_rate(match["rate"])
    delay_s = parse_duration(match["delay"]) if match["delay"] else 0.0
    directions = [ends, ends[::-1]] if match["kind"] == ":" else [ends]
    return tuple(
        LinkEstimate(source=source, target=target, rtt_s=2 * delay_s, goodput_bps=rate_bps)
        for source, target in directions
    )


def parse_links(texts: Iterable[str]) -> dict[Link, LinkEstimate]:
    """All of them by their ends; what stands later replaces what stands earlier."""
    return {(link.source, link.target): link for text in texts for link in parse_link(text)}


def by_node(texts: Iterable[str], what: str) -> dict[NodeId, str]:
    """``["edge=a.json"]`` by node. what: the flag, for the `UsageError` of one that does not read so or comes twice."""
    found: dict[NodeId, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f"`{what} {text}` names no node or nothing for it", hint=f"write {what} edge=...")
        node = node_id(name.strip())
        if node in found:
            raise UsageError(f"`{what}` names `{node}` twice", hint="once is enough")
        found[node] = value
    return found


def parse_slowdowns(texts: Iterable[str]) -> dict[NodeId, float]:
    """``["edge=8"]`` by node. Raises `UsageError`."""
    return {node: _slowdown(node, text) for node, text in by_node(texts, "--slowdown").items()}


def profiles_of(
    model: str | None,
    files: Sequence[str],
    slowdowns: Sequence[str],
    *,
    powers: Sequence[str] = (),
    options: ModelOptions | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> dict[NodeId, Profile]:
    """A profile per node, those from `files` first, in the order given; each carries the node's name.

    options: what is said of the model. threads: of the profile made here. powers: figures that take the place of those
    in the profiles. Raises `UsageError` when there is no profile, a node has two, or they are of different models.
    """
    from seamline.meters.profile_file import read_profile

    profiles: dict[NodeId, Profile] = {}
    for node, path in by_node(files, "--profile").items():
        profile = read_profile(Path(path).expanduser())
        profiles[node] = replace(profile, device=replace(profile.device, name=node))
    slow = parse_slowdowns(slowdowns)
    if twice := profiles.keys() & slow.keys():
        raise UsageError(f"`{min(twice)}` has a --profile and a --slowdown", hint="give it one of them")
    if slow:
        if model is None:
            raise UsageError("--slowdown profiles a model on this machine, and none is named", hint="name a MODEL")
        profiles |= _profiles_here(model, slow, options, threads, progress)
    if not profiles:
        raise UsageError("no node has a profile", hint="--profile edge=edge.json, or MODEL and --slowdown edge=8")
    _refuse_different_models(profiles)
    if model is not None and not slow:  # otherwise one of them was just made of this file
        _refuse_another_file(next(iter(profiles.values())), model, options)
    calibration = _calibration_for(profiles)
    sized = {node: with_calibrated_sizes(profile, calibration) for node, profile in profiles.items()}
    return sized | _powered(sized, by_node(powers, "--power"))


def limits_of(
    profiles: Mapping[NodeId, Profile], codecs: str, *, min_agreement: float | None = None, n_private_cuts: int = 0
) -> Constraints:
    """The limits of plans for the model of `profiles`, with what its calibration says when that is asked for.

    Raises `UsageError` when `codecs` or `min_agreement` is no limit, see `core.vocabulary.calibration`.
    """
    limits = Constraints(n_private_cuts=n_private_cuts)
    return limits_named(codecs, _calibration_for(profiles), limits, min_agreement=min_agreement)


def _calibration_for(profiles: Mapping[NodeId, Profile]) -> tuple[CutCalibration, ...]:
    ids = [profile.model.sha256 for profile in profiles.values() if profile.model.sha256 is not None]
    return calibration_of(ids[0] if ids else None)


def _powered(profiles: Mapping[NodeId, Profile], powers: Mapping[NodeId, str]) -> dict[NodeId, Profile]:
    """The profiles of the nodes in `powers`, with those figures."""
    from seamline.config.power import parse_power
    from seamline.runtime.node.profiling import powered

    if unknown := powers.keys() - profiles.keys():
        raise UsageError(
            f"`--power` names `{min(unknown)}`, which has no profile", hint=f"one of {', '.join(profiles)}"
        )
    return {
        node: replace(profiles[node], device=powered(profiles[node].device, parse_power(text)))
        for node, text in powers.items()
    }


def _profiles_here(
    model: str,
    ratios: Mapping[NodeId, float],
    options: ModelOptions | None,
    threads: int | None,
    progress: Progress,
) -> dict[NodeId, Profile]:
    """Measured on this machine, or found in its cache; the others are that profile times the slowdown."""
    from seamline.meters.profiler import slowed
    from seamline.model.engine.ort import OrtEngine
    from seamline.runtime.node.profiling import Profiler

    store, stored = load_model(model, options, progress=progress)
    n_threads = threads or 1
    profiler = Profiler(OrtEngine(store, n_threads), node_id("this"), n_threads)
    with progress.working(f"profiling {stored.name}"):
        here = profiler.profile(stored, profiler.usual_budget_s(stored))
    return {
        node: replace(slowed(here, ratio), device=replace(here.device, name=node)) for node, ratio in ratios.items()
    }


def _slowdown(node: NodeId, text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 0.0 < ratio < 1e6:
        raise UsageError(f"`--slowdown {node}={text}` is no slowdown", hint="a number above 0, 1 for this machine")
    return ratio


def _refuse_different_models(profiles: Mapping[NodeId, Profile]) -> None:
    first = next(iter(profiles.values()))
    for node, profile in profiles.items():
        known = None not in (first.model.sha256, profile.model.sha256)
        is_other = len(profile.cuts) != len(first.cuts) or (known and first.model.sha256 != profile.model.sha256)
        if is_other:
            raise UsageError(
                f"`{node}` has a profile of `{profile.model.name}` with {len(profile.cuts)} cuts, "
                f"`{first.device.name}` one of `{first.model.name}` with {len(first.cuts)}",
                hint="profile the same model on every node",
            )


def _refuse_another_file(profile: Profile, model: str, options: ModelOptions | None) -> None:
    """A profile says which model it is of; without that, its cuts have to fit those of the file."""
    stored: StoredModel = load_model(model, options)[1]
    is_other = profile.model.sha256 not in (None, stored.model_id) or len(stored.cuts) != len(profile.cuts)
    if is_other:
        raise UsageError(
            f"the profile of `{profile.device.name}` is of another `{profile.model.name}` than {model}",
            hint="profile this file, with the same flags, or leave MODEL out: profiles carry the cuts",
        )
