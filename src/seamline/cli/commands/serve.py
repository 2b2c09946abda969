"""`seamline serve`: models as a service by the Open Inference Protocol, each request a frame of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.membership.tokens import join_by
from seamline.cli.observing.exporting import open_exporter
from seamline.cli.observing.showing import open_dashboard
from seamline.cli.observing.tracing import open_tracer
from seamline.cli.running.run_flags import RouteFlags
from seamline.cli.shared.deployment import complete_deployable, models_from_deployment
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelFlags
from seamline.cli.shared.node_flags import NodeFlags
from seamline.cli.shared.observer import own_member
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import TERMINAL, data_console, print_json, progress_console
from seamline.cli.shared.planning_options import PlanningFlags
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import node_id

if TYPE_CHECKING:
    from seamline.identity.kept import Identity
    from seamline.runtime.api.cluster import Cluster
    from seamline.runtime.api.stream import Stream
    from seamline.runtime.identity.web_address import WebAddress

OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeReady:
    """What `seamline serve --json` prints."""

    models: tuple[Annotated[str, "what is served, by the names that requests use"], ...]
    http: Annotated[str | None, "where HTTP is answered"]
    grpc: Annotated[str | None, "where gRPC is answered"]
    metrics: Annotated[str | None, "with `--metrics`, where they are read"]
    dashboard: Annotated[str | None, "with `--dashboard`, its link"]
    event: Annotated[str, "`ready`, printed once requests are answered; the command then runs until it is ended"] = (
        "ready"
    )


JSON_KEYS = {"serve": partial(key_docs, ServeReady)}


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


@with_groups
def serve(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODEL...|FILE.toml",
            help="ONNX files or names from `seamline zoo list`, each with the name for requests (the file's if not "
            "given); or a deployment file that says what flags would.",
            autocompletion=complete_deployable,
            show_default=False,
            is_eager=True,
            callback=models_from_deployment,
        ),
    ],
    route: RouteFlags,
    planning: PlanningFlags,
    about: ModelFlags,
    own: NodeFlags,
    http: Annotated[
        str,
        typer.Option(
            "--http", metavar="[HOST:]PORT", help="Answer HTTP there (this machine only, without HOST), or off."
        ),
    ] = "8000",
    grpc: Annotated[
        str,
        typer.Option(
            "--grpc", metavar="[HOST:]PORT", help="Answer gRPC there (this machine only, without HOST), or off."
        ),
    ] = "8001",
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="S", min=0.001, help="Deadline of a request, which may ask for less."),
    ] = 30.0,
    queue: Annotated[
        int, typer.Option("--queue", metavar="N", min=1, help="Requests that may wait for each model; more are shed.")
    ] = 256,
    tier: Annotated[str, typer.Option("--tier", metavar="TIER", help="Tier label of this node.")] = "edge",
    json: JsonFlag = False,
) -> int:
    """Answer requests of Triton's and KServe's clients with models that are cut where it is best.

    The Open Inference Protocol v2, by HTTP and gRPC: see docs/serving.md. Ctrl-C takes no more requests and answers
    those that were accepted.
    """
    from seamline.cli.running.run_request import check_route
    from seamline.cli.shared.waiting import DRAIN_S, wait_for_end
    from seamline.runtime.api.cluster import Cluster
    from seamline.runtime.node.starting import open_node

    _require_packages()
    names = _names(model)
    nodes = route.nodes()
    check_route(route, planning, about)
    web, remote = _address(http, "--http"), _address(grpc, "--grpc")
    if own.join is not None:
        join_by(own.join, nodes[0])
    identity = _identity(own, nodes[0], web, remote)
    finds_others = len(nodes) > 1 and not own.connect and own_member(own.cluster) is not None
    options = own.options(nodes[0], tier, own.orders(), secure=finds_others)
    from seamline.runtime.api.request_queue import RequestQueue
    from seamline.serving.served import Served, ServedModel
    from seamline.serving.server import Server

    with wait_for_end(own.parent_pid) as wait, Cluster(open_node(options), n_expected=len(own.connect)) as here:
        exporter = open_exporter(here.node, own)
        open_tracer(here.node)
        streams = {name: _stream(here, text, route, planning, about) for name, text in names.items()}
        served = Served(
            (ServedModel(name, RequestQueue(stream, most_waiting=queue)) for name, stream in streams.items()),
            timeout_s=timeout,
        )
        server = Server(served, http=web, grpc=remote, identity=identity, allow_insecure=own.insecure)
        try:
            for name, stream in streams.items():
                stream.title = name
                if exporter is not None:
                    exporter.watch(stream)
            dashboard = open_dashboard(
                here.node,
                route.dashboard,
                allow_insecure=own.insecure,
                is_private=planning.private > 0,
                newest={},
            )
            _say_ready(
                ServeReady(
                    models=tuple(names),
                    http=server.http_url,
                    grpc=server.grpc_address,
                    metrics=None if exporter is None else exporter.url,
                    dashboard=None if dashboard is None else dashboard.link(),
                ),
                as_json=json,
            )
            if own.insecure:
                progress_console().print("peers are NOT authenticated: use this on a network you trust", style="red")
            number = wait()
        finally:
            server.close(DRAIN_S)
    return 128 + number if number else 0


def _require_packages() -> None:
    try:
        import seamline.serving.server  # noqa: F401 # looked for before anything is started
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "grpc"):
            raise
        raise UsageError(f"serve needs the package {error.name}", hint="pip install 'seamline[serve]'") from error


def _names(models: list[str]) -> dict[str, str]:
    """What was given as models, by the name that requests use. Raises `UsageError`."""
    from pathlib import Path

    found: dict[str, str] = {}
    for text in models:
        name, equals, model = text.partition("=")
        if not equals:
            name, model = Path(text).stem, text
        node_id(name)  # it stands in addresses, so the same letters will do
        if name in found:
            raise UsageError(f"two models are called `{name}`", hint="write NAME=MODEL")
        found[name] = model
    return found


def _address(text: str, option: str) -> WebAddress | None:
    from seamline.runtime.identity.web_address import parse_web_address

    return None if text == OFF else parse_web_address(text, option)


def _identity(own: NodeFlags, node: str, *addresses: WebAddress | None) -> Identity | None:
    """Who this machine is to callers from elsewhere; None where there are none, or nobody asks."""
    if own.insecure or all(address is None or address.is_loopback for address in addresses):
        return None
    from seamline.identity.kept import load
    from seamline.identity.members import owner_of

    return load(own.cluster, owner_of(node))


def _stream(here: Cluster, model: str, route: RouteFlags, planning: PlanningFlags, about: ModelFlags) -> Stream:
    from seamline.cli.running.run_request import open_stream
    from seamline.model.locate import resolve_model

    said = about.options()
    path = resolve_model(model, TERMINAL)
    stored = here.add_model(path, shapes=said.shapes, values=said.values, preprocess=said.frame)
    return open_stream(here, stored, route, planning)


def _say_ready(ready: ServeReady, *, as_json: bool) -> None:
    if as_json:
        print_json(ready)
        return
    out = data_console()
    places = [place for place in (ready.http, None if ready.grpc is None else f"grpc {ready.grpc}") if place]
    out.print(f"{', '.join(ready.models)} served on {', '.join(places)}", soft_wrap=True)
    for what in ("metrics", "dashboard"):
        if (link := getattr(ready, what)) is not None:
            progress_console().print(f"{what}: {link}", soft_wrap=True)
