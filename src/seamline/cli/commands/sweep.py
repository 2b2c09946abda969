"""`seamline sweep`: the latency of every cut between two nodes, and the bytes that cross there, per link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelFlags, OptionalModelArgument
from seamline.cli.shared.options import JsonFlag, ThreadsOption, choice
from seamline.cli.shared.output import TERMINAL, print_result, require_writable
from seamline.cli.shared.planning_options import LinkOption, ProfileOption, SlowdownsOption
from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.documented import key_docs, to_json
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.quantities import bytes_text, seconds_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from seamline.runtime.lab.sweep_summary import GivenLink, LinkSummary, SweepSummary

DEFAULT_SLOWDOWNS = ("edge=8", "cloud=1")
DEFAULT_FRAMES = 5


def _keys() -> Mapping[str, str]:
    from seamline.runtime.lab.sweep_summary import SweepSummary

    return key_docs(SweepSummary)


JSON_KEYS = {"sweep": _keys}


def register(app: typer.Typer) -> None:
    app.command(name="sweep")(sweep)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFlags:
    """Over which profiles and links, and whether frames are run too."""

    links: LinkOption = ()
    profiles: ProfileOption = ()
    slowdowns: SlowdownsOption = ()
    codec: Annotated[
        str, typer.Option("--codec", metavar="CODEC", help="How boundaries travel: raw, lossless, f16 or u8.")
    ] = "raw"
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write sweep.json, and the report sweep.html with its CSV, into it.",
        ),
    ] = None
    measure: Annotated[
        bool, typer.Option("--measure", help="Also run frames through every cut, on a testbed of two processes.")
    ] = False
    n_cuts: Annotated[
        int | None,
        typer.Option("--cuts", metavar="N", min=2, help="Measure N cuts spread evenly, and the best one; not all."),
    ] = None
    n_frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Frames per measured cut; three where they take long.")
    ] = DEFAULT_FRAMES
    threads: ThreadsOption = None


@with_groups
def sweep(asked: SweepFlags, about: ModelFlags, model: OptionalModelArgument = None, as_json: JsonFlag = False) -> None:
    """Show what every cut between two nodes would cost, for each --link. Without profiles this machine is profiled and
    stands for the cloud, and eight times slower for the edge."""
    if asked.output is not None:
        require_writable(asked.output, "--output", is_folder=True)
    swept = _swept(model, asked, about)
    if asked.output is not None:
        swept = _written(swept, asked.output)
    print_result(swept, as_json=as_json, words=lambda: _report(swept))


def _given(texts: Sequence[str]) -> tuple[GivenLink, ...]:
    """Every --link with its directions. Raises `UsageError` without any, and for one between other nodes."""
    from seamline.runtime.lab.offline import parse_link

    links = tuple((text, parse_link(text)) for text in texts)
    if not links:
        raise UsageError("no --link was given", hint="e.g. --link edge:cloud=20mbps,20ms")
    first = links[0][1][0]
    for text, (there, *_) in links:
        if (there.source, there.target) != (first.source, first.target):
            raise UsageError(f"`--link {text}` is between other nodes than the first", hint="sweep two nodes at a time")
    return links


def _swept(model: str | None, asked: SweepFlags, about: ModelFlags) -> SweepSummary:
    """Predicted from profiles alone, or beside what frames took on a testbed."""
    from seamline.runtime.lab.offline import parse_slowdowns, profiles_of
    from seamline.runtime.lab.sweep_summary import predicted_summary

    links = _given(asked.links)
    codec = choice(asked.codec, [each for each in Codec if each is not Codec.JPEG], "a codec for tensors")
    ends = links[0][1][0].source, links[0][1][0].target  # where frames enter, and the other node
    slowdowns = asked.slowdowns or (() if asked.profiles else DEFAULT_SLOWDOWNS)
    if not asked.measure:
        profiles = profiles_of(
            model, asked.profiles, slowdowns, options=about.options(), threads=asked.threads, progress=TERMINAL
        )
        return predicted_summary(profiles, ends, links, codec)
    if model is None or asked.profiles:
        raise UsageError("--measure runs a model on nodes that profile it", hint="name a MODEL, and no --profile")
    from seamline.runtime.lab.sweep import Measuring, measured_summary

    how = Measuring(
        ends=ends,
        slowdowns=parse_slowdowns(slowdowns),
        n_threads=asked.threads or 1,
        codec=codec,
        n_cuts=asked.n_cuts,
        n_frames=asked.n_frames,
    )
    return measured_summary(about.load(model)[1], links, how, TERMINAL)


def _written(swept: SweepSummary, folder: Path) -> SweepSummary:
    """The same, once it is drawn and written into `folder`, with the files named."""
    import json

    from seamline.cli.reporting.chapter import document_of
    from seamline.cli.reporting.swept import sweep_chapter
    from seamline.report.writing import write_report

    report = write_report(document_of([sweep_chapter(swept)]), folder / "sweep.html")
    numbers = folder / "sweep.json"
    numbers.write_text(json.dumps(to_json(swept), indent=1) + "\n", encoding="utf-8")
    return replace(swept, files=tuple(map(str, (*report, numbers))))


def _report(swept: SweepSummary) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = []
    for link in swept.links:
        lines.append(_table(link, swept))
        if link.median_error_ratio is not None:
            off = f"{100 * link.median_error_ratio:.1f} %"
            lines.append(Text(f"predicted and measured differ by {off} (median over the measured cuts)"))
        lines.append(Text())
    lines += [Text(f"wrote {name}") for name in swept.files]
    return Group(*lines)


def _table(link: LinkSummary, swept: SweepSummary) -> Table:
    """Every cut over one link, the best with a star."""
    is_measured = link.median_error_ratio is not None
    measured = ("measured", "n") if is_measured else ()
    heads = ("cut", "", "after", swept.origin, "transfer", swept.target, "sum", *measured, "sent")
    title = f"{swept.model}, {link.text}: best {link.best_plan}"
    table = new_table(*heads, title=title, right=("cut", *heads[3:]))
    for each in link.cuts:
        times = [seconds_text(time) for time in (each.origin_s, each.transfer_s, each.target_s, each.latency_s)]
        found = each.measured_s
        if is_measured:
            times += [seconds_text(None), ""] if found is None else [seconds_text(found.median), str(found.n)]
        mark = "*" if each.cut == link.best_cut else ""
        add_row(table, str(each.cut), mark, each.after, *times, bytes_text(each.sent_bytes))
    return table
