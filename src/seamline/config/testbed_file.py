"""Testbed files: TOML as people write it, into a `Testbed` that is consistent with itself.

The file speaks in Mbit/s and ms; the values hold bits per second and seconds. Everything is checked here, before
anything is started, and an error names file, key and what would be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seamline.config.machines import PUBLISHED_S
from seamline.config.testbed import ChangeSpec, LifeSpec, LinkSpec, LoadSpec, NodeSpec, SceneSpec, Testbed
from seamline.config.toml import load_toml, nearest_hint
from seamline.config.trace import MIN_RATE_BPS, read_trace, trace_path
from seamline.core.vocabulary.errors import ConfigError, UsageError
from seamline.core.vocabulary.nodes import node_id

MAX_AMOUNT = 1e6
"""Of megabits, milliseconds, seconds, frames a second, megabytes, watts: beyond what any machine or link has."""

MAX_SLOWDOWN = 1e4
MAX_THREADS = 1024


def load_testbed(path: Path) -> Testbed:
    """The testbed in the TOML file at `path`. Raises `ConfigError` naming file, key and what would be right."""
    return _checked(load_toml(path, _File), path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    between: tuple[str, str]
    rate_mbps: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Of a link or of a node."""

    link: str | None = None
    node: str | None = None
    at_s: float | None = None
    at_ratio: float | None = None
    rate_mbps: float | None = None
    delay_ms: float | None = None
    loss: float | None = None
    silent: bool | None = None
    slowdown: float | None = None
    up: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The file's own words; see docs for the format."""

    name: str = ""
    model: str | None = None
    fps: float | None = None
    private: int | None = None
    seconds: float | None = None
    node: tuple[NodeSpec, ...] = ()
    link: tuple[_Link, ...] = ()
    change: tuple[_Change, ...] = ()
    scene: tuple[SceneSpec, ...] = ()


def _checked(file: _File, path: Path) -> Testbed:
    names = _check_nodes(file.node, path)
    for key, value in (("fps", file.fps), ("seconds", file.seconds)):
        if value is not None and not 0.0 < value <= MAX_AMOUNT:
            raise ConfigError(f"{path}: `{key}` is {value}", hint=f"above 0, and at most {MAX_AMOUNT:g}")
    if file.private is not None and not 0 <= file.private <= MAX_AMOUNT:
        raise ConfigError(f"{path}: `private` is {file.private}", hint="0 lets raw frames leave the edge, 1 does not")
    links = tuple(_link(raw, f"link[{i}]", names, path) for i, raw in enumerate(file.link))
    _check_links_differ(links, path)
    changes: list[ChangeSpec] = []
    loads: list[LoadSpec] = []
    ends = dict(_link_names(links))
    lives: list[LifeSpec] = []
    for index, raw in enumerate(file.change):
        at = f"change[{index}]"
        _check_change(raw, at, path)
        if raw.node is not None and raw.up is not None:
            lives.append(_life(raw, raw.node, raw.up, at, file.node, path))
        elif raw.node is not None:
            loads.append(_load(raw, raw.node, at, names, path))
        else:
            changes.append(_change(raw, at, ends, path))
    for index, scene in enumerate(file.scene):
        _check_time(scene.at_s, scene.at_ratio, f"scene[{index}]", path)
    return Testbed(
        name=file.name or path.stem,
        nodes=file.node,
        links=links,
        changes=tuple(changes),
        loads=tuple(loads),
        lives=tuple(lives),
        scenes=file.scene,
        model=file.model,
        fps=file.fps,
        private=file.private,
        seconds=file.seconds,
    )


def _check_nodes(nodes: tuple[NodeSpec, ...], path: Path) -> Mapping[str, None]:
    """The names, in order."""
    names: dict[str, None] = {}
    for index, node in enumerate(nodes):
        at = f"node[{index}]"
        for key, name in (("name", node.name), ("tier", node.tier)):
            try:
                node_id(name)
            except UsageError as exc:
                raise ConfigError(f"{path}: `{at}.{key}`: {exc}") from exc
        if node.name in names:
            raise ConfigError(f"{path}: two nodes are called `{node.name}`", hint="give each node its own name")
        _check_slowdown(node.slowdown, at, path)
        if not 0 <= node.threads <= MAX_THREADS:
            hint = f"0 means all cores, and {MAX_THREADS} is the most"
            raise ConfigError(f"{path}: `{at}.threads` is {node.threads}", hint=hint)
        if node.machine is not None and node.machine not in PUBLISHED_S:
            hint = nearest_hint(node.machine, list(PUBLISHED_S))
            raise ConfigError(f"{path}: `{at}.machine`: nothing is published for `{node.machine}`", hint=hint)
        for key in ("memory_mb", "idle_w", "busy_w", "tx_j_per_mb", "rx_j_per_mb"):
            if (value := getattr(node, key)) is not None:
                _check_amount(value, f"{at}.{key}", path)
        _check_power(node, at, path)
        names[node.name] = None
    if not any(node.tier == "edge" for node in nodes):
        raise ConfigError(
            f"{path}: no node has the tier `edge`, and frames enter there", hint='give one [[node]] tier = "edge"'
        )
    return names


def _check_slowdown(slowdown: float, at: str, path: Path) -> None:
    if not slowdown >= 1.0:
        raise ConfigError(
            f"{path}: `{at}.slowdown` is {slowdown:g}, faster than this machine",
            hint="1.0 or more; only slower machines can be imitated",
        )
    if slowdown > MAX_SLOWDOWN:
        raise ConfigError(f"{path}: `{at}.slowdown` is {slowdown:g}", hint=f"at most {MAX_SLOWDOWN:g}")


def _check_power(node: NodeSpec, at: str, path: Path) -> None:
    if node.power is not None and (node.idle_w is not None or node.busy_w is not None):
        raise ConfigError(f"{path}: `{at}` has both `power` and watts", hint="keep one of them")
    if (node.idle_w is None) != (node.busy_w is None):
        raise ConfigError(f"{path}: `{at}` has only one of `idle_w` and `busy_w`", hint="energy needs both")
    if (node.tx_j_per_mb or node.rx_j_per_mb) and node.idle_w is None:
        raise ConfigError(f"{path}: `{at}` has a radio but no `idle_w` and `busy_w`", hint='or write power = "..."')
    try:
        _ = node.power_spec
    except UsageError as exc:
        raise ConfigError(f"{path}: `{at}.power`: {exc}") from exc


def _link(raw: _Link, at: str, names: Mapping[str, None], path: Path) -> LinkSpec:
    for name in raw.between:
        if name not in names:
            raise ConfigError(f"{path}: `{at}.between` names no node `{name}`", hint=nearest_hint(name, names))
    if raw.between[0] == raw.between[1]:
        raise ConfigError(f"{path}: `{at}` joins `{raw.between[0]}` with itself", hint="name two different nodes")
    _check_rate(raw.rate_mbps, at, path)
    for key in ("delay_ms", "jitter_ms", "loss"):
        _check_amount(getattr(raw, key), f"{at}.{key}", path)
    if raw.loss >= 1.0:
        raise ConfigError(f"{path}: `{at}.loss` is {raw.loss:g}", hint="it is a ratio: 0.01 is one packet in a hundred")
    if raw.jitter_ms > raw.delay_ms:
        raise ConfigError(
            f"{path}: `{at}.jitter_ms` is more than `delay_ms`",
            hint="a delay cannot vary to below zero; raise delay_ms",
        )
    trace = None if raw.trace is None else _trace(raw.trace, at, path)
    return LinkSpec(
        between=raw.between,
        rate_bps=raw.rate_mbps * 1e6,
        delay_s=raw.delay_ms / 1e3,
        jitter_s=raw.jitter_ms / 1e3,
        loss_ratio=raw.loss,
        trace=trace,
    )


def _trace(text: str, at: str, path: Path) -> Path:
    try:
        trace = trace_path(text, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: `{at}.trace`: {error}") from error
    if not trace.is_file():
        raise ConfigError(
            f"{path}: `{at}.trace`: there is no file {trace}", hint="paths are relative to the testbed file"
        )
    try:
        read_trace(trace)
    except ConfigError as error:
        raise ConfigError(f"{path}: `{at}.trace`: {error}") from error
    return trace


def _check_links_differ(links: tuple[LinkSpec, ...], path: Path) -> None:
    seen: set[frozenset[str]] = set()
    for link in links:
        if frozenset(link.between) in seen:
            raise ConfigError(f"{path}: two links join {' and '.join(link.between)}", hint="keep one of them")
        seen.add(frozenset(link.between))
    counts = Counter(name for name, _ in _link_names(links))
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two links are both called `{twice}`", hint="rename a node, dashes join the names")


def _check_change(raw: _Change, at: str, path: Path) -> None:
    """What changes of links and of nodes have in common: one of them, when, and only what belongs to it."""
    if (raw.link is None) == (raw.node is None):
        raise ConfigError(f"{path}: `{at}` needs either `link` or `node`", hint='e.g. link = "edge-fog"')
    for key in ("slowdown", "up"):
        if raw.link is not None and getattr(raw, key) is not None:
            raise ConfigError(f"{path}: `{at}.{key}` is of a node, and this is a link", hint='write node = "..."')
    for key in ("rate_mbps", "delay_ms", "loss", "silent"):
        if raw.node is not None and getattr(raw, key) is not None:
            raise ConfigError(f"{path}: `{at}.{key}` is of a link, and this is a node", hint='write link = "..."')
    _check_time(raw.at_s, raw.at_ratio, at, path)
    if raw.rate_mbps is not None:
        _check_rate(raw.rate_mbps, at, path)
    for key in ("at_s", "delay_ms", "loss"):
        if getattr(raw, key) is not None:
            _check_amount(getattr(raw, key), f"{at}.{key}", path)


def _check_time(at_s: float | None, at_ratio: float | None, at: str, path: Path) -> None:
    if (at_s is None) == (at_ratio is None):
        raise ConfigError(f"{path}: `{at}` needs either `at_s` or `at_ratio`", hint="e.g. at_ratio = 0.33")
    if at_ratio is not None and not 0.0 <= at_ratio <= 1.0:
        raise ConfigError(f"{path}: `{at}.at_ratio` is {at_ratio:g}", hint="a fraction of the run, from 0 to 1")


def _life(raw: _Change, node: str, up: bool, at: str, nodes: tuple[NodeSpec, ...], path: Path) -> LifeSpec:
    names = [each.name for each in nodes]
    if node not in names:
        raise ConfigError(f"{path}: `{at}.node` names no node `{node}`", hint=nearest_hint(node, names))
    if raw.slowdown is not None:
        raise ConfigError(f"{path}: `{at}` has both `up` and `slowdown`", hint="write two changes")
    if node == next(each.name for each in nodes if each.tier == "edge"):
        raise ConfigError(f"{path}: `{at}`: frames enter at `{node}`, which stays", hint="name another node")
    return LifeSpec(node=node, up=up, at_s=raw.at_s, at_ratio=raw.at_ratio)


def _load(raw: _Change, node: str, at: str, names: Mapping[str, None], path: Path) -> LoadSpec:
    if node not in names:
        raise ConfigError(f"{path}: `{at}.node` names no node `{node}`", hint=nearest_hint(node, names))
    if raw.slowdown is None:
        raise ConfigError(f"{path}: `{at}` changes nothing", hint="give it slowdown or up")
    _check_slowdown(raw.slowdown, at, path)
    return LoadSpec(node=node, slowdown=raw.slowdown, at_s=raw.at_s, at_ratio=raw.at_ratio)


def _change(raw: _Change, at: str, links: Mapping[str, tuple[str, str]], path: Path) -> ChangeSpec:
    """links: their ends, by both of their names."""
    assert raw.link is not None, "checked before"
    between = links.get(raw.link)
    if between is None:
        hint = nearest_hint(raw.link, links) if links else "the file has no [[link]]"
        raise ConfigError(f"{path}: `{at}.link` names no link `{raw.link}`", hint=hint)
    if raw.loss is not None and raw.loss >= 1.0:
        raise ConfigError(f"{path}: `{at}.loss` is {raw.loss:g}", hint="it is a ratio: 0.01 is one packet in a hundred")
    if all(value is None for value in (raw.rate_mbps, raw.delay_ms, raw.loss, raw.silent)):
        raise ConfigError(f"{path}: `{at}` changes nothing", hint="give it rate_mbps, delay_ms, loss or silent")
    if raw.rate_mbps == 0.0:
        raise ConfigError(f"{path}: `{at}.rate_mbps` is 0", hint="silent = true cuts the link")
    return ChangeSpec(
        between=between,
        at_s=raw.at_s,
        at_ratio=raw.at_ratio,
        rate_bps=None if raw.rate_mbps is None else raw.rate_mbps * 1e6,
        delay_s=None if raw.delay_ms is None else raw.delay_ms / 1e3,
        loss_ratio=raw.loss,
        silent=raw.silent,
    )


def _link_names(links: tuple[LinkSpec, ...]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Every link by both of its names, ``edge-fog`` and ``fog-edge``."""
    for link in links:
        yield link.name, link.between
        yield "-".join(reversed(link.between)), link.between


def _check_rate(rate_mbps: float, at: str, path: Path) -> None:
    _check_amount(rate_mbps, f"{at}.rate_mbps", path)
    if 0.0 < rate_mbps * 1e6 < MIN_RATE_BPS:
        hint = "0 is as fast as it goes, and 1e-6 one bit a second"
        raise ConfigError(f"{path}: `{at}.rate_mbps` is {rate_mbps:g}", hint=hint)


def _check_amount(value: float, key: str, path: Path) -> None:
    if not 0.0 <= value <= MAX_AMOUNT:
        hint = f"at most {MAX_AMOUNT:g}"
        raise ConfigError(f"{path}: `{key}` is {value:g}, and must be a number from 0 up", hint=hint)
