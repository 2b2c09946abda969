"""Flags of whoever joins a cluster as a node: `seamline node`, and `seamline run` as the origin; of what computes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import (
    ClusterOption,
    DiscoverFlag,
    InsecureFlag,
    JoinOption,
    ProviderOption,
    ThreadsOption,
    meters,
    one_of,
    one_of_later,
    powers,
)
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.providers import AUTO, OIP, RAY
from seamline.core.vocabulary.quantities import parse_duration

if TYPE_CHECKING:
    from seamline.runtime.node.elsewhere import Elsewhere
    from seamline.runtime.node.starting import NodeOptions
    from seamline.testbed.orders import Orders

OWN = "own"


HERE, FOUND = "tcp/127.0.0.1:0", "tcp/0.0.0.0:0"
"""Where a node listens unless it is told: who is to be found by others is to be reached, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFlags:
    """What a node says of itself, and how it meets the others."""

    connect: Annotated[
        tuple[str, ...],
        typer.Option(
            "--connect",
            metavar="ENDPOINT",
            envvar="SEAMLINE_CONNECT",
            help="Where another node listens, tcp/HOST:7447; repeatable.",
        ),
    ] = ()
    listen: Annotated[
        tuple[str, ...],
        typer.Option(
            "--listen",
            metavar="ENDPOINT",
            envvar="SEAMLINE_LISTEN",
            help="Where to listen, tcp/HOST:PORT; a free local port if not given.",
        ),
    ] = ()
    threads: ThreadsOption = None
    provider: ProviderOption = AUTO
    slowdown: Annotated[
        float,
        typer.Option(
            "--slowdown", metavar="X", help="Make computing take X times what the profile says (for a testbed)."
        ),
    ] = 1.0
    cluster: ClusterOption = "default"
    cache: Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Where models are kept.")] = None
    model_quota: Annotated[
        str | None,
        typer.Option(
            "--model-quota",
            metavar="SIZE",
            envvar="SEAMLINE_QUOTA",
            help="What models from peers may take: together, and one of the free disk; 64GB,80% if not given.",
        ),
    ] = None
    no_relay: Annotated[bool, typer.Option("--no-relay", help="Do not pass on messages between other nodes.")] = False
    no_shared_memory: Annotated[
        bool,
        typer.Option("--no-shared-memory", help="Send frames through the network to processes of this machine too."),
    ] = False
    no_weights_to: Annotated[
        tuple[str, ...],
        typer.Option(
            "--no-weights-to",
            metavar="NODE",
            help="Give that node no model from here: it takes part only in what it has. Repeatable.",
        ),
    ] = ()
    discover: DiscoverFlag = False
    join: JoinOption = None
    insecure: InsecureFlag = False
    power: Annotated[
        str | None,
        typer.Option(
            "--power",
            metavar="POWER",
            autocompletion=one_of_later(powers),
            envvar="SEAMLINE_POWER",
            help="What this device draws: a profile (raspberry-pi-4, laptop+wifi, ...) or "
            "idle=W,busy=W[,tx=J/MB,rx=J/MB].",
        ),
    ] = None
    meter: Annotated[
        str | None,
        typer.Option(
            "--meter",
            metavar="METER",
            autocompletion=one_of_later(meters),
            envvar="SEAMLINE_METER",
            help="Measure energy: ina, pmic, battery, rapl, nvml, auto or replay:FILE. Modelled by --power if not "
            "given.",
        ),
    ] = None
    lease_s: Annotated[
        float,
        typer.Option(
            "--lease",
            metavar="SECONDS",
            envvar="SEAMLINE_LEASE",
            help="Silence after which a node counts as gone and what was prepared on it is given up; frames never wait "
            "for that.",
        ),
    ] = 2.0
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            envvar="SEAMLINE_WORKERS",
            help="Frames computed at once, each with --threads; weights are there once. See docs/sharing.md.",
        ),
    ] = 1
    batch_wait: Annotated[
        str,
        typer.Option(
            "--batch-wait",
            metavar="TIME",
            envvar="SEAMLINE_BATCH_WAIT",
            help="How long a frame waits for those of other streams to be computed as one, e.g. 2ms; 0ms: no batches.",
        ),
    ] = "2ms"
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="[HOST:]PORT",
            envvar="SEAMLINE_METRICS",
            help="Answer /metrics for Prometheus there; of this machine alone without HOST. See docs/observing.md.",
        ),
    ] = None
    follow_loads: Annotated[
        bool, typer.Option("--slowdown-from-stdin", help="Follow a testbed's lines on standard input.", hidden=True)
    ] = False
    parent_pid: Annotated[
        int | None, typer.Option("--parent-pid", metavar="PID", help="Leave when this process is gone.", hidden=True)
    ] = None

    def orders(self) -> Orders | None:
        """What a testbed writes to standard input, followed from now on; None unless it was said to come."""
        from seamline.testbed.orders import orders_from

        return orders_from(sys.stdin.fileno(), self.slowdown) if self.follow_loads else None

    def options(
        self,
        name: str,
        tier: str,
        orders: Orders | None,
        memory_bytes: int | None = None,
        *,
        secure: bool = False,
        serves: bool = False,
    ) -> NodeOptions:
        """The same for a node of that name, as slow as `orders` say. secure, serves: see `NodeOptions`."""
        from seamline.runtime.identity.web_address import parse_web_address
        from seamline.runtime.node.starting import NodeOptions

        if self.metrics is not None:
            parse_web_address(self.metrics, "--metrics")
        return NodeOptions(
            name=name,
            tier=tier,
            connect=self.connect,
            listen=self.listen or (FOUND if self.discover else HERE,),
            cluster=self.cluster,
            n_threads=self.threads,
            provider=self.provider,
            memory_bytes=memory_bytes,
            slowdown=self.slowdown,
            pace=None if orders is None else orders.pace,
            cache=self.cache,
            model_quota=self.model_quota,
            relay=not self.no_relay,
            shared_memory=not self.no_shared_memory,
            allow_insecure=self.insecure,
            secure=secure or self.join is not None,
            serves=serves,
            no_weights_to=self.no_weights_to,
            power=self.power,
            meter=self.meter,
            lease_s=self.lease_s,
            discover=self.discover,
            n_workers=self.workers,
            batch_wait_s=parse_duration(self.batch_wait),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFlags:
    """What computes."""

    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="WHAT",
            autocompletion=one_of(OWN, OIP, RAY),
            help="What computes: own (this machine), oip (a server like Triton, --url), or ray (--ray-address).",
        ),
    ] = OWN
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Server of the Open Inference Protocol, http://HOST:8000."),
    ] = None
    model: Annotated[
        tuple[str, ...],
        typer.Option("--model", metavar="NAME", help="What that server calls a model to be used. Repeatable."),
    ] = ()

    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="HOST:PORT", help="Head of a Ray cluster, or auto.")
    ] = None
    replicas: Annotated[
        int, typer.Option("--replicas", metavar="N", min=1, max=1024, help="Actors that compute on the Ray cluster.")
    ] = 1

    def elsewhere(self) -> Elsewhere | None:
        """What computes in place of this machine; None when that does. Raises `UsageError`."""
        from seamline.runtime.node.elsewhere import OipServer, RayCluster

        if self.engine == OIP:
            if self.url is None or not self.model:
                raise UsageError("--engine oip needs to know the server and its models", hint="add --url and --model")
            return OipServer(url=self.url, models=self.model)
        if self.engine == RAY:
            if self.ray_address is None:
                raise UsageError("--engine ray needs to know the cluster", hint="add --ray-address HOST:6379, or auto")
            return RayCluster(address=self.ray_address, n_replicas=self.replicas)
        if self.engine != OWN:
            raise UsageError(f"`{self.engine}` is no engine", hint=f"one of {OWN}, {OIP}, {RAY}")
        if self.url or self.model or self.ray_address:
            raise UsageError("--url, --model and --ray-address say what computes elsewhere", hint="add --engine")
        return None
