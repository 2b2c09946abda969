"""`seamline run`: frames from a source through a model, cut over the named nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from seamline.cli.membership.tokens import join_by
from seamline.cli.running.run_flags import AnswerFlags, RunFlags
from seamline.cli.shared.deployment import DeployableArgument
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelFlags
from seamline.cli.shared.node_flags import NodeFlags
from seamline.cli.shared.observer import own_member
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.planning_options import PlanningFlags
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError


def _keys() -> Mapping[str, str]:
    from seamline.cli.running.answering import SavedFigures
    from seamline.runtime.origin.summary import RunSummary

    return {**key_docs(RunSummary), **key_docs(SavedFigures)}


JSON_KEYS = {"run": _keys}


def register(app: typer.Typer) -> None:
    app.command("run")(run)


@with_groups
def run(
    model: DeployableArgument,
    source: Annotated[
        list[str],
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Video, image, .npy, .npz, .jsonl, .wav, folder or 'pattern' of these, camera (0), rtsp:// or http:// "
            "address, pipe, or - (video, or lines of JSON). Repeatable: a stream for each, all at once.",
        ),
    ],
    asked: RunFlags,
    planning: PlanningFlags,
    answers: AnswerFlags,
    about: ModelFlags,
    own: NodeFlags,
    tier: Annotated[str, typer.Option("--tier", metavar="TIER", help="Tier label of this node.")] = "edge",
    json: JsonFlag = False,
) -> int:
    """Run frames of SOURCE through MODEL, cut where it is best; show and save the answers, where the cut is and why.

    A deployment file in MODEL's place says what flags would (`seamline config show FILE`); flags count before it.
    Ctrl-C takes no more frames, waits for the answers that are due, and prints the figures.
    """
    from seamline.cli.running.run_request import RunRequest, execute
    from seamline.cli.running.several_sources import execute_several
    from seamline.cli.shared.output import require_writable
    from seamline.sinks.opening import require_apart

    require_apart(answers.save, [*source, model, *([] if answers.labels is None else [str(answers.labels)])])
    nodes = asked.nodes()
    if own.connect and len(nodes) == 1:
        raise UsageError(
            f"--connect is given, but --over names only this node, `{nodes[0]}`",
            hint=f"write --over {nodes[0]},NAME; `seamline nodes --connect {own.connect[0]}` lists the names",
        )
    if own.join is not None:
        join_by(own.join, nodes[0])
    finds_others = len(nodes) > 1 and not own.connect and own_member(own.cluster) is not None
    if asked.record is not None:
        require_writable(asked.record, "--record")
    orders = own.orders()
    request = RunRequest(
        model=model,
        source=source[0],
        about=about,
        asked=asked,
        planning=planning,
        answers=answers,
        node=own.options(nodes[0], tier, orders, secure=finds_others),
        own=own,
        begun=orders.begun if orders is not None and asked.wait_to_begin else None,
        as_json=json,
    )
    return execute(request) if len(source) == 1 else execute_several(request, source)
