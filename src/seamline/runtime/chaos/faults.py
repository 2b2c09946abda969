"""Faults of `seamline chaos`: which there are, and rounds of them drawn from a seed. Values; nothing happens here."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

Place = tuple[str, ...]
"""A node, or the two ends of a link."""


class FaultKind(StrEnum):
    """What can happen to a node (up to `HOSTILE`) or to a link; docs/faults.md explains each."""

    KILL = "kill"
    TERMINATE = "terminate"
    FREEZE = "freeze"
    SLOW = "slow-node"
    DISK = "full-disk"
    DAMAGE = "damaged-cache"
    MEMORY = "no-memory"
    NOISE = "noise"
    HOSTILE = "hostile-peer"
    SILENCE = "silence"
    ONE_WAY = "one-way-silence"
    RATE = "low-rate"
    LOSS = "loss"
    DELAY = "delay"
    DISCONNECT = "disconnect"


ON_NODES = frozenset(
    {
        FaultKind.KILL,
        FaultKind.TERMINATE,
        FaultKind.FREEZE,
        FaultKind.SLOW,
        FaultKind.DISK,
        FaultKind.DAMAGE,
        FaultKind.MEMORY,
        FaultKind.NOISE,
        FaultKind.HOSTILE,
    }
)
SKIPPED = (
    "loss, jitter and partitions of the kernel (tc and nft in network namespaces) need root; the relay of the testbed "
    "stands in",
    "a share of a processor and of memory (control groups) need root; a node that computes slower and a limit to what "
    "a process may take stand in",
    "a full file system (a small tmpfs) needs root; a limit to the size of files stands in",
    "a clock that jumps needs root",
)
"""What is not tried, and why."""

SHORTEST_S, LONGEST_S = 0.3, 2.0
SECOND_RATIO = 0.25
"""Share of rounds in which two faults happen at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, which begins `at_s` after its round and lasts `length_s`.

    value: the slowdown, Mbit/s, share of packets, or ms of `kind`; 0.0 for kinds that have none.
    """

    kind: FaultKind
    place: Place
    at_s: float
    length_s: float
    value: float = 0.0

    @property
    def ends_s(self) -> float:
        return self.at_s + self.length_s

    def __str__(self) -> str:
        value = f" {self.value:.3g}" if self.value else ""
        return f"{self.kind} {'-'.join(self.place)}{value} for {self.length_s:.1f} s"


Round = tuple[Fault, ...]
"""Faults that happen together, each at another place."""


def rounds(seed: int, kinds: Sequence[FaultKind], nodes: Sequence[str], links: Sequence[Place]) -> Iterator[Round]:
    """Rounds without end. Every kind comes once before any comes again."""
    rng = random.Random(f"chaos {seed}")
    deck: list[FaultKind] = []
    while True:
        if not deck:
            deck = rng.sample(list(kinds), len(kinds))
        first = _fault(rng, deck.pop(), 0.0, nodes, links)
        if rng.random() < SECOND_RATIO:
            second = _fault(rng, rng.choice(list(kinds)), rng.uniform(0.0, first.length_s), nodes, links)
            yield (first, second) if second.place != first.place else (first,)
        else:
            yield (first,)


def _fault(rng: random.Random, kind: FaultKind, at_s: float, nodes: Sequence[str], links: Sequence[Place]) -> Fault:
    place = (rng.choice(nodes),) if kind in ON_NODES else rng.choice(links)
    if kind is FaultKind.ONE_WAY and rng.random() < 0.5:
        place = place[::-1]
    length_s = 0.0 if kind is FaultKind.DISCONNECT else rng.uniform(SHORTEST_S, LONGEST_S)
    return Fault(kind=kind, place=place, at_s=at_s, length_s=length_s, value=_value(rng, kind))


def _value(rng: random.Random, kind: FaultKind) -> float:
    match kind:
        case FaultKind.SLOW:
            return rng.uniform(3.0, 10.0)
        case FaultKind.RATE:
            return rng.uniform(0.5, 5.0)
        case FaultKind.LOSS:
            return rng.uniform(0.01, 0.1)
        case FaultKind.DELAY:
            return rng.uniform(20.0, 100.0)
        case _:
            return 0.0
