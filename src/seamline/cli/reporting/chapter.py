"""Chapter: what is said of one recording or JSON file, and several of them as one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from seamline.core.vocabulary.quantities import percentiles, seconds_text
from seamline.report.document import Document, Heading, Part, Parts, Plot, Table, heading, numbers, plot, table
from seamline.report.lines import cdf_figure


@dataclass(frozen=True, slots=True)
class Chapter:
    """latencies_s: of answered frames by what answered them, sorted; to be compared with other chapters'."""

    title: str
    parts: Parts
    latencies_s: Mapping[str, Sequence[float]] = field(default_factory=dict)


def document_of(chapters: Sequence[Chapter]) -> Document:
    """One chapter as it is; several, each under a heading, behind a comparison of their latencies."""
    if len(chapters) == 1:
        return Document(chapters[0].title, chapters[0].parts)
    parts = _beside_each_other(chapters)
    for number, chapter in enumerate(chapters, start=1):
        parts += heading(f"{number}. {chapter.title}") + tuple(_lowered(chapter.parts, number))
    return Document(f"{len(chapters)} runs", parts)


def latency_parts(series: Mapping[str, Sequence[float]], name: str = "cdf") -> Parts:
    """Distribution of latency: a table of quantiles, and the cumulative curves. `series` are sorted."""
    known = {key: values for key, values in series.items() if values}
    if not known:
        return ()
    rows = [(key, *(seconds_text(each[at]) for at in (50, 90, 95, 99))) for key, each in _percentiles(known).items()]
    in_ms = {key: [1e3 * each for each in values] for key, values in known.items()}
    largest, least = max(each[-1] for each in in_ms.values()), min(each[0] for each in in_ms.values())
    points = numbers(
        name,
        ("percentile", *(f"{key}_s" for key in known)),
        ((at, *(each[at] for each in _percentiles(known).values())) for at in range(101)),
    )
    figure = cdf_figure(in_ms, "latency (ms)", is_log=largest > 12 * max(least, 1e-9))
    caption = "Latency from acceptance to answer: share of frames that took at most so long."
    return table(("", "p50", "p90", "p95", "p99"), rows) + plot(figure, caption, points)


def _percentiles(series: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {key: percentiles(values) for key, values in series.items()}


def _beside_each_other(chapters: Sequence[Chapter]) -> Parts:
    series = {
        f"{number}. {key}": values
        for number, chapter in enumerate(chapters, start=1)
        for key, values in chapter.latencies_s.items()
    }
    return heading("Latency side by side") + latency_parts(series, "side-by-side") if len(series) > 1 else ()


def _lowered(parts: Parts, number: int) -> Iterator[Part]:
    """The parts of chapter `number`: its headings one level down, its files with its number."""
    for part in parts:
        match part:
            case Plot(numbers=found) if found is not None:
                yield replace(part, numbers=replace(found, name=f"{number}-{found.name}"))
            case Table(name=name) if name:
                yield replace(part, name=f"{number}-{name}")
            case Heading():
                yield replace(part, level=3)
            case _:
                yield part
