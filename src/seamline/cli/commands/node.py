"""`seamline node` and `seamline nodes`: be one node of a cluster, and see who is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seamline.cli.shared.observer import USUAL_ENDPOINT, DoorOption, visiting
from seamline.cli.shared.offline import parse_size
from seamline.cli.shared.options import JsonFlag, ThreadsOption
from seamline.cli.shared.output import data_console, print_json, progress_console
from seamline.core.vocabulary.errors import FabricError

WIDE_ENOUGH = 110
"""Columns that a row of `seamline nodes` takes with all that is known."""

JSON_KEYS = {
    "node": {
        "name": "the node's name",
        "tier": "its tier label",
        "listen[]": "where others can connect to it",
        "event": "`ready`, printed once the node takes part; the command then runs until it is ended",
    },
    "nodes": {
        "nodes[].name": "the node's name",
        "nodes[].tier": "its tier label",
        "nodes[].engine": "what computes there, with version",
        "nodes[].threads": "threads it computes with",
        "nodes[].n_cores": "processor cores of its machine",
        "nodes[].memory_bytes": "memory it may use",
        "nodes[].free_memory_bytes": "memory available to it now",
        "nodes[].queue_s": "seconds a new frame would wait there before it is computed",
        "nodes[].models": "content ids of the models it keeps",
        "nodes[].rtt_s": "round trip from here, null when not measured yet",
        "nodes[].goodput_bps": "measured goodput from here, bits per second, null when not measured yet",
        "nodes[].streams": "names of the streams that start there, for `seamline switch`",
        "nodes[].energy": "joules since it started, null without a meter or power figures",
        "nodes[].energy.source": "`measured:METER` or `modelled:PROFILE`",
        "nodes[].energy.scope": "what the joules are of",
        "nodes[].energy.energy_j": "joules",
        "nodes[].version": "its Seamline version",
    },
}

ConnectOption = Annotated[
    list[str] | None,
    typer.Option("--connect", metavar="ENDPOINT", help="Where another node listens, tcp/HOST:7447; repeatable."),
]
ListenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--listen", metavar="ENDPOINT", help="Where to listen, tcp/HOST:PORT; a free local port if not given."
    ),
]
ClusterOption = Annotated[str, typer.Option("--cluster", metavar="NAME", help="Nodes of other clusters are not seen.")]
SlowdownOption = Annotated[
    float,
    typer.Option("--slowdown", metavar="X", help="Make computing take X times what the profile says (for a testbed)."),
]
LoadsFlag = Annotated[
    bool, typer.Option("--slowdown-from-stdin", help="Follow lines `slowdown X` on standard input.", hidden=True)
]
NoRelayFlag = Annotated[bool, typer.Option("--no-relay", help="Do not pass on messages between other nodes.")]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Listen beyond this machine although peers are not authenticated yet.")
]


PowerOption = Annotated[
    str | None,
    typer.Option(
        "--power",
        metavar="POWER",
        help="What this device draws: a profile (raspberry-pi-4, laptop+wifi, ...) or idle=W,busy=W[,tx=J/MB,rx=J/MB].",
    ),
]
MeterOption = Annotated[
    str | None,
    typer.Option(
        "--meter",
        metavar="METER",
        help="Measure energy: ina, pmic, battery, rapl, nvml, auto or replay:FILE. Modelled by --power if not given.",
    ),
]
LeaseOption = Annotated[
    float,
    typer.Option(
        "--lease",
        metavar="SECONDS",
        help="Silence after which a peer is lost; raise it where machines are so busy that nodes lose each other.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command("node")(node)
    app.command("nodes")(nodes)


def node(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="This node's name, unique in the cluster.")],
    tier: Annotated[str, typer.Option("--tier", metavar="TIER", help="edge, fog, cloud or any other label.")] = "cloud",
    connect: ConnectOption = None,
    listen: ListenOption = None,
    threads: ThreadsOption = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="What models may use here, e.g. 512MB; all when not given."),
    ] = None,
    slowdown: SlowdownOption = 1.0,
    cluster: ClusterOption = "default",
    cache: Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Where models are kept.")] = None,
    no_relay: NoRelayFlag = False,
    insecure: InsecureFlag = False,
    power: PowerOption = None,
    meter: MeterOption = None,
    lease_s: LeaseOption = 0.4,
    follow_loads: LoadsFlag = False,
    parent_pid: Annotated[
        int | None, typer.Option("--parent-pid", metavar="PID", help="Leave when this process is gone.", hidden=True)
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Take part as a node: prepare and run the segments that streams ask for, until ended (Ctrl-C)."""
    from seamline.cli.shared.waiting import wait_for_end
    from seamline.runtime.node.starting import NodeOptions, open_node
    from seamline.testbed.slowdown import slowdown_from

    options = NodeOptions(
        name=name,
        tier=tier,
        connect=tuple(connect or ()),
        listen=tuple(listen or ("tcp/127.0.0.1:0",)),
        cluster=cluster,
        n_threads=threads,
        memory_bytes=parse_size(memory) if memory is not None else None,
        slowdown=slowdown,
        pace=slowdown_from(sys.stdin.fileno(), slowdown) if follow_loads else None,
        cache=cache,
        relay=not no_relay,
        allow_insecure=insecure,
        power=power,
        meter=meter,
        lease_s=lease_s,
    )
    with wait_for_end(parent_pid) as wait:
        running = open_node(options)
        try:
            endpoints = running.endpoints
            if json:
                print_json({"event": "ready", "name": name, "tier": tier, "listen": list(endpoints)})
            else:
                data_console().print(f"{name} ({tier}) is ready on {', '.join(endpoints)}", soft_wrap=True)
            if insecure:
                progress_console().print("peers are NOT authenticated: use this on a network you trust", style="red")
            wait()
        finally:
            running.close()


def nodes(
    connect: DoorOption = None,
    cluster: ClusterOption = "default",
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", min=0.1, max=60.0, help="Seconds to listen before printing.")
    ] = 1.5,
    json: JsonFlag = False,
) -> None:
    """List the nodes of a cluster and how they fare, as seen from here."""
    import msgspec

    from seamline.cli.shared.render import nodes_table
    from seamline.core.vocabulary.quantities import energy_text
    from seamline.runtime.node.status import OBSERVER

    with visiting(connect, cluster) as here:
        statuses = here.nodes(wait_s=wait)
        links = {estimate.target: estimate for estimate in here.node.links.estimates()}
    rows: list[dict[str, Any]] = []
    for peer, status in sorted(statuses.items()):
        if status.tier == OBSERVER:
            continue
        link = links.get(peer)
        rows.append(
            {
                "name": peer,
                "tier": status.tier,
                "engine": status.engine,
                "threads": status.threads,
                "n_cores": status.n_cores,
                "memory_bytes": status.memory_bytes,
                "free_memory_bytes": status.free_memory_bytes,
                "queue_s": status.queue_s,
                "models": list(status.models),
                "streams": list(status.streams),
                "rtt_s": link.rtt_s if link else None,
                "goodput_bps": link.goodput_bps if link else None,
                "energy": None if status.energy is None else msgspec.to_builtins(status.energy),
                "version": status.version,
            }
        )
    if not rows:
        raise FabricError(
            f"no node of cluster `{cluster}` answered at {', '.join(connect or [USUAL_ENDPOINT])} within {wait:g} s",
            hint="`seamline node` prints where it listens; --connect tcp/HOST:PORT takes that",
        )
    if json:
        print_json({"nodes": rows})
    else:
        out = data_console()
        out.print(nodes_table(rows, is_narrow=out.width < WIDE_ENOUGH))
        for row in rows:
            for stream in row["streams"]:
                out.print(f"stream {stream}", markup=False)
        for row in rows:
            if (energy := row["energy"]) is not None:
                drew = f"{energy_text(energy['energy_j'])} since it started ({energy['source']}, {energy['scope']})"
                out.print(f"{row['name']} drew {drew}", markup=False, soft_wrap=True)
