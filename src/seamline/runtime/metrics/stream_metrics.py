"""Metrics of the streams that start here: histograms of their answers, and what their snapshots say when asked.

Answers are counted on the thread that takes them from the stream, after the frame has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.results import Result

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histograms' buckets."""

OUTCOMES = ("ok", "retried", "failed")


class StreamMetrics(Collector):
    """Metrics of the streams given to `watch`; registers itself and its histograms with `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._streams: list[Stream] = []
        self._n_frames: Counter[tuple[str, str]] = Counter()
        self._latency = _histogram("seamline_frame_latency_seconds", "From acceptance to answer", (), registry)
        self._transfer = _histogram("seamline_frame_transfer_seconds", "On links and in buffers", (), registry)
        self._compute = _histogram("seamline_stage_compute_seconds", "A stage's engine", ("node",), registry)
        registry.register(self)

    def watch(self, stream: Stream) -> None:
        """Count the answers of `stream` from now on."""
        self._streams.append(stream)
        stream.watch(lambda result: self._count(stream.name, result))

    def _count(self, stream: str, result: Result) -> None:
        outcome = "failed" if result.error is not None else "retried" if result.n_attempts > 1 else "ok"
        self._n_frames[stream, outcome] += 1
        self._latency.labels(stream).observe(result.latency_s)
        self._transfer.labels(stream).observe(result.transfer_s)
        for report in result.reports:
            self._compute.labels(stream, report.node).observe(report.compute_s)

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of streams before there are any."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        frames = CounterMetricFamily(
            "seamline_frames",
            "Frames by what became of them; retried: completed elsewhere than planned, dropped: never accepted",
            labels=["stream", "outcome"],
        )
        stream_info = InfoMetricFamily("seamline_stream", "What a stream is", labels=["stream"])
        plan_info = InfoMetricFamily("seamline_plan", "The plan in use", labels=["stream"])
        predicted = _gauge("seamline_plan_predicted_latency_seconds", "What the planner expects of the plan in use")
        in_flight = _gauge("seamline_frames_in_flight", "Frames that are on their way")
        energy = _gauge("seamline_frame_energy_joules", "Joules of recent frames, a frame", "source")
        switches = CounterMetricFamily("seamline_repartitions", "Switches of the plan", labels=["stream"])
        prepare = HistogramMetricFamily(
            "seamline_repartition_prepare_seconds", "From a decision to its plan serving", labels=["stream"]
        )
        gap = HistogramMetricFamily(
            "seamline_repartition_gap_seconds", "How much longer than usual no answer came", labels=["stream"]
        )
        for stream in self._streams:
            name, now = stream.name, stream.snapshot()
            stream_info.add_metric([name], {"model": stream.model.name, "objective": now.objective})
            plan_info.add_metric([name], {"plan": now.plan})
            if now.predicted_s is not None:
                predicted.add_metric([name], now.predicted_s)
            in_flight.add_metric([name], now.n_in_flight)
            if now.energy_j_per_frame is not None:
                energy.add_metric([name, now.energy_source or ""], now.energy_j_per_frame)
            switches.add_metric([name], len(now.switches))
            _add(prepare, name, [switch.prepare_s for switch in now.switches])
            _add(gap, name, [switch.gap_s for switch in now.switches if switch.gap_s is not None])
            for outcome in OUTCOMES:  # all of them at once: a rate needs a first value
                frames.add_metric([name, outcome], self._n_frames[name, outcome])
            frames.add_metric([name, "dropped"], now.n_dropped)
        yield from (frames, stream_info, plan_info, predicted, in_flight, energy, switches, prepare, gap)


def _histogram(name: str, words: str, labels: Sequence[str], registry: CollectorRegistry) -> Histogram:
    return Histogram(name, words, ["stream", *labels], buckets=SECONDS, registry=registry)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=["stream", *labels])


def _add(histogram: HistogramMetricFamily, stream: str, seconds: Sequence[float]) -> None:
    buckets = [(str(bound), float(sum(each <= bound for each in seconds))) for bound in SECONDS]
    histogram.add_metric([stream], [*buckets, ("+Inf", float(len(seconds)))], sum_value=sum(seconds))
