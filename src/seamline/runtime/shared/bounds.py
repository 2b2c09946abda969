"""Physical bounds of what nodes say of themselves, applied before it is sent and again when it is received.

The wire only refuses what is no number or beyond 1e15; a link that is reported to lose a year per message would still
go into every plan. A value beyond its bound says "very slow" or "very fast" and is taken as that, so that one absurd
estimate costs neither the status that carries it nor the plans made of it.
"""

from __future__ import annotations

import math

import msgspec

from seamline.core.cost.loads import MAX_SEGMENT_LOADS, StageLoad
from seamline.core.link.lower_envelope import MAX_OVERHEAD_S
from seamline.fabric import messages as msg

MAX_RTT_S = 60.0
MAX_GOODPUT_BPS = 1e12
MAX_STD_RATIO = 100.0
MAX_SPENT_S = 3600.0
"""Of queueing and computing."""

MAX_AGE_S = 86400.0
MAX_OSCILLATING_S = 3600.0
MAX_SAMPLES = 10**9
MAX_MEMORY_BYTES = 1 << 50
MAX_THREADS = 1 << 16
MAX_SENT_BYTES = 1 << 40
MAX_ENERGY_J = 1e12
MAX_LINKS = 256
MAX_WORD_LETTERS = 128
"""Of a tier, a version, the name of an engine, a provider, a GPU, a stream or an energy meter."""

MAX_MODELS = 1024
MAX_STREAMS = 1024
MAX_RATE_PER_S = 1e5
MAX_CUTS = 1 << 20


def clamped(value: float, most: float) -> float:
    """`value` within 0 and `most`; what is no number counts as `most`."""
    return most if math.isnan(value) else min(max(value, 0.0), most)


def bounded_status(status: msg.Status) -> msg.Status:
    """`status` with every quantity within its bounds."""
    return msgspec.structs.replace(
        status,
        tier=_word(status.tier),
        incarnation=_word(status.incarnation),
        version=_word(status.version),
        engine=_word(status.engine),
        models=tuple(map(_word, status.models[:MAX_MODELS])),
        streams=tuple(map(_word, status.streams[:MAX_STREAMS])),
        provider=_word(status.provider),
        gpu=None if status.gpu is None else _bounded_gpu(status.gpu),
        energy=None if status.energy is None else _bounded_energy(status.energy),
        threads=_whole(status.threads, MAX_THREADS),
        n_cores=_whole(status.n_cores, MAX_THREADS),
        memory_bytes=_whole(status.memory_bytes, MAX_MEMORY_BYTES),
        free_memory_bytes=_whole(status.free_memory_bytes, MAX_MEMORY_BYTES),
        usable_memory_bytes=_whole(status.usable_memory_bytes, MAX_MEMORY_BYTES),
        queue_s=clamped(status.queue_s, MAX_SPENT_S),
        links=tuple(bounded_link(link) for link in status.links[:MAX_LINKS]),
        loads=None if status.loads is None else tuple(map(_bounded_load, status.loads[:MAX_SEGMENT_LOADS])),
        n_workers=max(1, _whole(status.n_workers, MAX_THREADS)),
    )


def bounded_stage_load(rate_per_s: float, busy_s: float) -> StageLoad:
    """What an origin says that it will bring, within its bounds."""
    return StageLoad(clamped(rate_per_s, MAX_RATE_PER_S), clamped(busy_s, MAX_SPENT_S))


def bounded_link(link: msg.LinkReport) -> msg.LinkReport:
    """`link` with every quantity within its bounds. A rate that is no number counts as none."""
    return msg.LinkReport(
        target=_word(link.target),
        rtt_s=clamped(link.rtt_s, MAX_RTT_S),
        goodput_bps=_rate(link.goodput_bps),
        goodput_std_ratio=clamped(link.goodput_std_ratio, MAX_STD_RATIO),
        n_samples=_whole(link.n_samples, MAX_SAMPLES),
        age_s=clamped(link.age_s, MAX_AGE_S),
        overhead_s=clamped(link.overhead_s, MAX_OVERHEAD_S),
        average_bps=_rate(link.average_bps),
        average_std_ratio=clamped(link.average_std_ratio, MAX_STD_RATIO),
        oscillating_for_s=clamped(link.oscillating_for_s, MAX_OSCILLATING_S),
    )


def bounded_interest(ask: msg.MeasureLinks) -> msg.MeasureLinks:
    """`ask` with words and targets within their bounds; how long it may last is the holder's business."""
    targets = tuple(map(_word, ask.targets[:MAX_LINKS]))
    return msg.MeasureLinks(stream=_word(ask.stream), targets=targets, for_s=ask.for_s)


def bounded_report(report: msg.StageReport) -> msg.StageReport:
    """`report` with every quantity within its bounds."""
    return msgspec.structs.replace(
        report,
        node=_word(report.node),
        energy_source=_word(report.energy_source),
        queue_s=clamped(report.queue_s, MAX_SPENT_S),
        decode_s=clamped(report.decode_s, MAX_SPENT_S),
        compute_s=clamped(report.compute_s, MAX_SPENT_S),
        encode_s=clamped(report.encode_s, MAX_SPENT_S),
        sent_bytes=_whole(report.sent_bytes, MAX_SENT_BYTES),
        energy_j=None if report.energy_j is None else clamped(report.energy_j, MAX_ENERGY_J),
    )


def _bounded_load(load: msg.SegmentLoadReport) -> msg.SegmentLoadReport:
    return msg.SegmentLoadReport(
        model_id=_word(load.model_id),
        start=_whole(load.start, MAX_CUTS),
        stop=max(_whole(load.start, MAX_CUTS), _whole(load.stop, MAX_CUTS)),
        n_streams=_whole(load.n_streams, MAX_STREAMS),
        rate_per_s=clamped(load.rate_per_s, MAX_RATE_PER_S),
        busy_s=clamped(load.busy_s, MAX_SPENT_S),
        wait_s=clamped(load.wait_s, MAX_SPENT_S),
    )


def _bounded_gpu(gpu: msg.GpuReport) -> msg.GpuReport:
    return msg.GpuReport(
        name=_word(gpu.name),
        memory_bytes=_whole(gpu.memory_bytes, MAX_MEMORY_BYTES),
        free_memory_bytes=_whole(gpu.free_memory_bytes, MAX_MEMORY_BYTES),
    )


def _bounded_energy(energy: msg.EnergyReport) -> msg.EnergyReport:
    return msg.EnergyReport(
        source=_word(energy.source), scope=_word(energy.scope), energy_j=clamped(energy.energy_j, MAX_ENERGY_J)
    )


def _word(text: str) -> str:
    """`text` as one short word of printable characters: it is shown in tables and lines."""
    if len(text) <= MAX_WORD_LETTERS and text.isprintable():
        return text
    return "".join(letter for letter in text[:MAX_WORD_LETTERS] if letter.isprintable())


def _rate(value: float) -> float:
    return 0.0 if math.isnan(value) else clamped(value, MAX_GOODPUT_BPS)


def _whole(value: int, most: int) -> int:
    return min(max(value, 0), most)
