"""`seamline chaos`: two streams over three nodes in real processes, faults drawn from a seed, and an oracle.

A run is a sequence of rounds. In each, one fault or two happen, end, and the streams get `RECOVERY_S` to be back on
their best plan. What must hold throughout: every accepted frame is answered once, in order, as the unsplit model
answers it (`watched_stream.py`); nodes end when asked, never by themselves, and never crash (`bed.py`); after the
last round the streams are back in time. The same in virtual time, a million frames long, is `seamline.sim.storm`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seamline.core.adaptation.recovery import why_unrecovered
from seamline.core.vocabulary.pictures import Fit
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.ports import LEASE_S
from seamline.model.metadata.preprocess import Preprocess
from seamline.model.zoo.network import Network
from seamline.model.zoo.writing import N_CLASSES, write_network
from seamline.runtime.chaos.bed import ORIGIN, ChaosBed
from seamline.runtime.chaos.faults import SKIPPED, FaultKind, Round, rounds
from seamline.runtime.chaos.summary import ChaosStream, ChaosSummary, Footprint, RoundFigures, by_kind
from seamline.runtime.chaos.watched_stream import KnownAnswers, WatchedStream
from seamline.runtime.origin.summary import run_summary
from seamline.runtime.shared.clock import now_s
from seamline.sim.storm import RECOVERY_S

CALM_S = (0.2, 0.8)
"""Between two rounds."""

POLL_S = 0.02
PROFILE_BUDGET_S = 0.5
EXACT = (Codec.RAW, Codec.LOSSLESS)
"""A JPEG would change answers by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Small:
    """A small convolutional network of random weights. n_private_cuts: of its stream."""

    name: str
    extent: int
    channels: tuple[int, ...]
    n_private_cuts: int

    def write(self, folder: Path, seed: int) -> Path:
        pixels = Preprocess(
            height=self.extent, width=self.extent, mean=(127.0,) * 3, std=(64.0,) * 3, fit=Fit.LETTERBOX
        )
        net = Network(self.name, preprocess=pixels)
        x = net.input
        for at, channels in enumerate(self.channels):
            x = net.relu(net.conv(x, channels, 3, stride=1 + at % 2, rectified=at > 0))
        net.dense(net.flatten(net.global_average(x)), N_CLASSES, is_output=True)
        return write_network(net, folder / f"{self.name}.onnx", seed)


MODELS = (
    _Small(name="chaos-narrow", extent=96, channels=(16, 16, 32, 32, 64, 64, 128, 128), n_private_cuts=1),
    _Small(name="chaos-wide", extent=64, channels=(24, 24, 48, 48, 96, 96, 192), n_private_cuts=0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRequest:
    """kinds: of faults. said: hears of every round in words, as it ends."""

    seed: int
    minutes: float
    kinds: tuple[FaultKind, ...] = tuple(FaultKind)
    fps: float = 8.0
    lease_s: float = LEASE_S
    said: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """A round that is over. begin_s, end_s: from its first fault until the streams had recovered, or were given up."""

    faults: Round
    begin_s: float
    end_s: float
    recovered_s: float | None
    unrecovered: str | None


def run_chaos(request: ChaosRequest) -> ChaosSummary:
    """Play rounds for so many minutes. Raises `SeamlineError` when nodes or streams cannot even begin."""
    with ChaosBed(lease_s=request.lease_s) as bed:
        with _streams(bed, request) as streams:
            began_s, before = now_s(), Footprint.now()
            played = list(_played(bed, streams, request, began_s + 60.0 * request.minutes))
            after = Footprint.now()
            for each in streams:
                each.finish()
            found = [_figures(each, streams, began_s) for each in played]
            shown = [_shown(each) for each in streams]
        bed.end_nodes()
    complaints = [*(words for each in streams for words in each.complaints), *bed.complaints]
    if found and (last := found[-1]).unrecovered is not None:
        complaints.append(f"{RECOVERY_S:g} s after the last fault {last.unrecovered}")
    return ChaosSummary(
        seed=request.seed,
        minutes=request.minutes,
        passed=not complaints,
        complaints=tuple(complaints),
        load=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
        faults=by_kind(found),
        streams=tuple(shown),
        before=before,
        after=after,
        rounds=tuple(found),
        skipped=SKIPPED,
    )


@contextmanager
def _streams(bed: ChaosBed, request: ChaosRequest) -> Iterator[list[WatchedStream]]:
    """The two streams, running, and each with its first answer."""
    made: list[WatchedStream] = []
    try:
        for number, small in enumerate(MODELS):
            model = bed.cluster.add_model(small.write(bed.folder, request.seed))
            known = KnownAnswers.of(bed.engine, model, request.seed + number)
            stream = bed.cluster.stream(
                model,
                over=(ORIGIN.name, *bed.nodes),
                private=small.n_private_cuts,
                codecs=EXACT,
                profile_budget_s=PROFILE_BUDGET_S,
            )
            made.append(WatchedStream(stream, known, request.fps))
        for each in made:
            each.start()
        _wait_recovered(made, now_s(), RECOVERY_S)
        yield made
    finally:
        for each in made:
            each.stream.close()


def _played(
    bed: ChaosBed, streams: Sequence[WatchedStream], request: ChaosRequest, until_s: float
) -> Iterator[_Played]:
    """Rounds until `until_s`, one at the least."""
    calm = random.Random(f"calm {request.seed}")
    for faults in rounds(request.seed, request.kinds, bed.nodes, bed.links):
        begin_s = now_s()
        _befall(bed, faults, begin_s)
        bed.wait_ready()
        healed_s = now_s()
        why = _wait_recovered(streams, healed_s, RECOVERY_S)
        end_s = now_s()
        recovered_s = end_s - healed_s if why is None else None
        ended = f"recovered in {recovered_s:.2f} s" if recovered_s is not None else f"not recovered: {why}"
        request.said(f"{', '.join(map(str, faults))}: {ended}")
        yield _Played(faults=faults, begin_s=begin_s, end_s=end_s, recovered_s=recovered_s, unrecovered=why)
        if now_s() >= until_s:
            return
        time.sleep(calm.uniform(*CALM_S))


def _befall(bed: ChaosBed, faults: Round, begin_s: float) -> None:
    """Let the faults of a round begin and end, each at its time."""
    begins = [(each.at_s, bed.begin, each) for each in faults]
    ends = [(each.ends_s, bed.end, each) for each in faults]
    for at_s, act, fault in sorted((*begins, *ends), key=lambda step: step[0]):
        time.sleep(max(0.0, begin_s + at_s - now_s()))
        act(fault)


def _wait_recovered(streams: Sequence[WatchedStream], healed_s: float, limit_s: float) -> str | None:
    """None as soon as all streams are as they should be; after `limit_s`, what is not."""
    while True:
        why = next((words for each in streams if (words := _why_unrecovered(each, healed_s)) is not None), None)
        if why is None or now_s() - healed_s > limit_s:
            return why
        time.sleep(POLL_S)


def _why_unrecovered(watched: WatchedStream, healed_s: float) -> str | None:
    if watched.last_answer_s < healed_s:
        return f"the stream of {watched.stream.model.name} has not answered"
    return why_unrecovered(watched.stream.controller.view)


def _figures(played: _Played, streams: Sequence[WatchedStream], began_s: float) -> RoundFigures:
    span = (played.begin_s, played.end_s)
    return RoundFigures(
        at_s=played.begin_s - began_s,
        faults=tuple(map(str, played.faults)),
        kind=str(played.faults[0].kind) if len(played.faults) == 1 else "two-at-once",
        frames=sum(each.n_answers(*span) for each in streams),
        gaps_s=tuple(each.gap_s(*span) for each in streams),
        lost=sum(each.n_lost(*span) for each in streams),
        recovered_s=played.recovered_s,
        unrecovered=played.unrecovered,
    )


def _shown(watched: WatchedStream) -> ChaosStream:
    stream = watched.stream
    figures = run_summary(stream.recorder.history(), stream.frames.counts())
    return ChaosStream(
        model=stream.model.name,
        plan=str(stream.plan),
        switches=len(figures.switches),
        largest_deviation=watched.largest_deviation,
        frames=figures.frames,
    )
