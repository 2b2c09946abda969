"""`seamline sweep`: the latency of every cut between two nodes, and the bytes that cross there, per link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.shared.offline import (
    LinkOption,
    ProfileOption,
    SlowdownOption,
    parse_link,
    parse_slowdowns,
    profiles_of,
)
from seamline.cli.shared.options import JsonFlag, OptionalModelArgument, ShapeOption, ThreadsOption
from seamline.cli.shared.sweep_measure import GivenLink, Measuring, median_error_ratio
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

if TYPE_CHECKING:
    from rich.console import RenderableType

    from seamline.core.analysis.sweep import SweptCut
    from seamline.core.cost.problem import Problem
    from seamline.core.vocabulary.links import LinkEstimate
    from seamline.core.vocabulary.profiles import Profile
    from seamline.model.store.models import StoredModel

DEFAULT_SLOWDOWNS = ("edge=8", "cloud=1")
DEFAULT_FRAMES = 5
_ENDS = "origin_s", "transfer_s", "target_s"

JSON_KEYS = {
    "sweep": {
        "model": "name of the model",
        "origin": "where frames enter",
        "target": "the other node",
        "codec": "how boundaries travel, raw where a cut does not offer it",
        "links": "one entry per --link",
        "links[].text": "the link as given",
        "links[].goodput_bps": "its rate from origin to target; with --measure, as the origin measured it",
        "links[].rtt_s": "its round trip; with --measure, as the origin measured it",
        "links[].best_cut": "the cut with the least latency",
        "links[].best_plan": "its plan",
        "links[].cuts": "every cut of the model, candidates of the planner or not",
        "links[].cuts[].cut": "its number; 0: the input is sent, the last: everything on the origin",
        "links[].cuts[].after": "last layer before it",
        "links[].cuts[].boundary_bytes": "uncompressed bytes that cross",
        "links[].cuts[].sent_bytes": "bytes that travel, 0 for the last cut",
        "links[].cuts[].origin_s": "seconds on the origin",
        "links[].cuts[].transfer_s": "seconds on the link, the answer's way back included",
        "links[].cuts[].target_s": "seconds on the target",
        "links[].cuts[].latency_s": "their sum",
        "links[].cuts[].measured_s": "with --measure: what frames took there, one at a time; null where not measured",
        "links[].cuts[].measured_s.median": "median of the frames",
        "links[].cuts[].measured_s.min": "the quickest",
        "links[].cuts[].measured_s.max": "the slowest",
        "links[].cuts[].measured_s.n": "how many frames",
        "links[].measured_best_cut": "of the measured cuts the one with the least median; null without --measure",
        "links[].median_error_ratio": "median of |predicted / measured - 1| over the measured cuts; null without",
        "files": "what was written",
    }
}


def register(app: typer.Typer) -> None:
    """Add `sweep` to `app`."""
    app.command(name="sweep")(sweep)


def sweep(
    model: OptionalModelArgument = None,
    links: LinkOption = None,
    profiles: ProfileOption = None,
    slowdowns: SlowdownOption = None,
    codec: Annotated[
        str, typer.Option("--codec", metavar="CODEC", help="How boundaries travel: raw, lossless, f16 or u8.")
    ] = "raw",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write sweep.json, sweep.png and sweep.html into it."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also run frames through every cut, on a testbed of two processes.")
    ] = False,
    n_cuts: Annotated[
        int | None,
        typer.Option("--cuts", metavar="N", min=2, help="Measure N cuts spread evenly, and the best one; not all."),
    ] = None,
    n_frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Frames per measured cut; three where they take long.")
    ] = DEFAULT_FRAMES,
    shape: ShapeOption = None,
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what every cut between two nodes would cost, for each --link. Without profiles this machine is profiled and
    stands for the cloud, and eight times slower for the edge."""
    from seamline.cli.shared.models import load_model
    from seamline.cli.shared.output import data_console, print_json, require_writable

    given = [(text, parse_link(text)) for text in links or ()]
    if not given:
        raise UsageError("no --link was given", hint="e.g. --link edge:cloud=20mbps,20ms")
    ends = given[0][1][0].source, given[0][1][0].target
    for text, directions in given:
        if (directions[0].source, directions[0].target) != ends:
            raise UsageError(f"`--link {text}` is between other nodes than the first", hint="sweep two nodes at a time")
    if output is not None:
        require_writable(output, "--output", is_folder=True)
    used, slow = _codec(codec), slowdowns or (() if profiles else DEFAULT_SLOWDOWNS)
    if measure:
        if model is None or profiles:
            raise UsageError("--measure runs a model on nodes that profile it", hint="name a MODEL, and no --profile")
        how = Measuring(
            ends=ends, slowdowns=parse_slowdowns(slow), n_threads=threads or 1, codec=used,
            n_cuts=n_cuts, n_frames=n_frames,
        )  # fmt: skip
        data = measured_summary(load_model(model, shapes=shape or ())[1], given, how)
    else:
        known = profiles_of(model, profiles or (), slow, shapes=shape or (), threads=threads)
        data = summary(known, ends, given, used)
    if output is not None:
        data["files"] = _write(data, output)
    if as_json:
        print_json(data)
    else:
        data_console().print(_report(data))


def summary(
    profiles: Mapping[NodeId, Profile], ends: tuple[NodeId, NodeId], links: Sequence[GivenLink], codec: Codec
) -> dict[str, Any]:
    """What `--json` prints. ends: origin and target. links: each as given and in its directions."""
    origin, _ = ends
    no_points: Mapping[int, Mapping[str, Any]] = {}
    for node in ends:
        if node not in profiles:
            raise UsageError(f"a link names `{node}`, which has no profile", hint=f"one of {', '.join(profiles)}")
    problems = [(text, _over(directions, profiles, origin), no_points) for text, directions in links]
    return _summary(profiles[origin].model.name, ends, codec, problems)


def _over(directions: Iterable[LinkEstimate], profiles: Mapping[NodeId, Profile], origin: NodeId) -> Problem:
    from seamline.core.cost.problem import Problem

    links = {(each.source, each.target): each for each in directions}
    return Problem(origin=origin, cuts=profiles[origin].cuts, profiles=profiles, links=links)


def measured_summary(model: StoredModel, links: Sequence[GivenLink], how: Measuring) -> dict[str, Any]:
    """The same of `model` on a testbed, with what frames took at each cut that is measured."""
    from seamline.cli.shared.sweep_measure import measured_links

    return _summary(model.name, how.ends, how.codec, measured_links(model, links, how))


def _summary(
    name: str,
    ends: tuple[NodeId, NodeId],
    codec: Codec,
    links: Iterable[tuple[str, Problem, Mapping[int, Mapping[str, Any]]]],
) -> dict[str, Any]:
    """links: each as given, what there is to plan over it, and by cut what was measured."""
    origin, target = ends
    swept = [_one_link(text, problem, target, codec, measured) for text, problem, measured in links]
    return {"model": name, "origin": origin, "target": target, "codec": str(codec), "links": swept, "files": []}


def _one_link(
    text: str, problem: Problem, target: NodeId, codec: Codec, measured: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    from seamline.core.analysis.sweep import best_of
    from seamline.core.analysis.sweep import sweep as every_cut

    swept = every_cut(problem, target, codec)
    best, link = best_of(swept), problem.links[problem.origin, target]
    cuts = [_one_cut(each, measured.get(each.cut)) for each in swept]
    return {
        "text": text,
        "goodput_bps": link.goodput_bps,
        "rtt_s": link.rtt_s,
        "best_cut": best.cut,
        "best_plan": str(best.plan),
        "measured_best_cut": min(measured, key=lambda cut: measured[cut]["median"], default=None),
        "median_error_ratio": median_error_ratio(cuts),
        "cuts": cuts,
    }


def _one_cut(swept: SweptCut, measured_s: Mapping[str, Any] | None) -> dict[str, Any]:
    keys = ("cut", "after", "boundary_bytes", "sent_bytes", *_ENDS, "latency_s")
    return {**{key: getattr(swept, key) for key in keys}, "measured_s": measured_s}


def _write(data: Mapping[str, Any], folder: Path) -> list[str]:
    import json

    from seamline.cli.shared.sweep_figure import write_html, write_png

    png, page, numbers = (folder / f"sweep.{kind}" for kind in ("png", "html", "json"))
    write_png(data, png)
    write_html(data, page)
    numbers.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return [str(png), str(page), str(numbers)]


def _codec(text: str) -> Codec:
    allowed = [codec for codec in Codec if codec is not Codec.JPEG]
    if text not in allowed:
        raise UsageError(f"`{text}` is not a codec for tensors", hint=f"one of {', '.join(allowed)}")
    return Codec(text)


def _report(data: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from seamline.cli.shared.tables import add_row, new_table
    from seamline.core.vocabulary.quantities import bytes_text, seconds_text

    lines: list[RenderableType] = []
    for link in data["links"]:
        is_measured = link["median_error_ratio"] is not None
        measured = ("measured", "n") if is_measured else ()
        heads = ("cut", "", "after", data["origin"], "transfer", data["target"], "sum", *measured, "sent")
        title = f"{data['model']}, {link['text']}: best {link['best_plan']}"
        table = new_table(*heads, title=title, right=("cut", *heads[3:]))
        for each in link["cuts"]:
            times = [seconds_text(each[key]) for key in (*_ENDS, "latency_s")]
            found = each["measured_s"] or {"median": None, "n": ""}
            times += [seconds_text(found["median"]), str(found["n"])] if is_measured else []
            mark = "*" if each["cut"] == link["best_cut"] else ""
            add_row(table, str(each["cut"]), mark, each["after"], *times, bytes_text(each["sent_bytes"]))
        lines.append(table)
        if is_measured:
            off = f"{100 * link['median_error_ratio']:.1f} %"
            lines.append(Text(f"predicted and measured differ by {off} (median over the measured cuts)"))
        lines.append(Text())
    lines += [Text(f"wrote {name}") for name in data["files"]]
    return Group(*lines)
