"""The start of a node: its options are checked, and a fabric, an engine, a store and a node become one running thing.

The folders wired together here do not know each other. Streams on a running node are `cluster.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seamline.config.cgroup import memory_total_bytes, n_usable_cores
from seamline.config.power import parse_power
from seamline.config.testbed_file import MAX_SLOWDOWN, MAX_THREADS
from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.errors import MeterError, UsageError
from seamline.core.vocabulary.nodes import Tier, node_id
from seamline.core.vocabulary.ports import LEASE_S, Engine
from seamline.core.vocabulary.providers import AUTO, CPU, GPU_PROVIDERS, require_provider
from seamline.fabric.discovery import group_of, why_closed
from seamline.fabric.zenoh import ZenohFabric
from seamline.identity.members import fingerprint
from seamline.meters.energy import open_meter
from seamline.meters.gpu import Gpu
from seamline.model import ModelStore, OrtEngine
from seamline.model.engine.providers import choose, open_engine
from seamline.model.store.space import parse_quota
from seamline.runtime.identity.securing import Links, check_endpoints, links_of, require_role
from seamline.runtime.node.elsewhere import Elsewhere, tails_of
from seamline.runtime.node.node import Node
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.node.status import OBSERVER, Identity
from seamline.runtime.segments.compile_cache import BackgroundCompileCache
from seamline.runtime.segments.containers import ContainerEngine
from seamline.runtime.segments.private_weights import PrivateWeightsEngine
from seamline.runtime.shared.clock import MONOTONIC
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.news import LOGGER
from seamline.runtime.shared.trimming import bound_arenas
from seamline.testbed.slowdown import Slowdown, SlowEngine

MIN_LEASE_S, MAX_LEASE_S = 0.1, 60.0
BATCH_WAIT_S, MAX_BATCH_WAIT_S = 0.002, 1.0
MAX_WORKERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options of a node. connect and listen: fabric endpoints, e.g. ``tcp/192.168.1.7:7447``.

    n_threads: threads for computing, all cores when None. provider: what computes, see `core.vocabulary.providers`.
    memory_bytes: what it may use, all when None. slowdown: makes computing take that many times as long (a testbed's
    emulation); pace: the same where it changes later. cache: where models are kept; model_quota: how much peers may
    send, see `model.store.space`. relay: pass on messages between neighbours. shared_memory: hand frames to nodes of
    this machine in memory. allow_insecure: go beyond loopback although nobody is authenticated there. secure: by
    certificate on loopback too. serves: it computes for others, and answers machines that join where the authority is.
    no_weights_to: nodes that get no model from here. power: what the device draws, see `config.power.parse_power`.
    meter: what measures it, see `meters.energy`. lease_s: silence after which a peer is lost. discover: find nodes of
    the cluster on the LAN, and be found. elsewhere: what computes in place of this machine, None when it does.
    n_workers: frames that are computed at once. batch_wait_s: how long a frame waits for frames of other streams, 0.0
    for no batches.
    """

    name: str
    tier: str = "edge"
    connect: tuple[str, ...] = ()
    listen: tuple[str, ...] = ("tcp/127.0.0.1:0",)
    cluster: str = "default"
    n_threads: int | None = None
    provider: str = AUTO
    memory_bytes: int | None = None
    slowdown: float = 1.0
    pace: Slowdown | None = None
    cache: Path | None = None
    relay: bool = True
    shared_memory: bool = True
    allow_insecure: bool = False
    secure: bool = False
    serves: bool = False
    no_weights_to: tuple[str, ...] = ()
    power: str | None = None
    meter: str | None = None
    lease_s: float = LEASE_S
    discover: bool = False
    n_workers: int = 1
    batch_wait_s: float = BATCH_WAIT_S
    model_quota: str | None = None
    elsewhere: Elsewhere | None = None


def open_node(options: NodeOptions) -> Node:
    """A started node. Raises `UsageError` for bad options, `FabricError` when the name or a port is taken, and
    `IdentityError` when its certificate is refused."""
    check_options(options)
    bound_arenas()
    name = node_id(options.name)
    links = links_of(
        name,
        options.connect,
        options.listen,
        cluster=options.cluster,
        allow_insecure=options.allow_insecure,
        secure=options.secure,
    )
    require_role(links, serves=options.serves, observes=options.tier == OBSERVER)
    power = parse_power(options.power) if options.power else None
    n_threads = options.n_threads or n_usable_cores()
    store = ModelStore(options.cache, parse_quota(options.model_quota) if options.model_quota else None)
    store.tidy()
    memory_bytes = options.memory_bytes or memory_total_bytes()
    elsewhere = options.elsewhere
    shared = (
        open_engine(_provider(options.provider), store, n_threads, memory_bytes=memory_bytes)
        if elsewhere is None
        else elsewhere.open(store, memory_bytes)
    )
    gpu = _gpu(shared.provider)
    profiler = Profiler(
        shared,
        name,
        n_threads,
        slowdown=options.slowdown,
        cache=options.cache,
        power=power,
        processor=None if gpu is None else gpu.name,
        tails=tails_of(shared),
    )
    engine = _slowed(shared, options, profiler)
    fabric = ZenohFabric(
        name,
        connect=links.connect,
        listen=links.listen,
        cluster=options.cluster,
        relay=options.relay,
        shared_memory=options.shared_memory,
        lease_s=options.lease_s,
        guard=links.seal,
        group=_group(options, links) if options.discover else None,
    )
    identity = Identity(
        name=name,
        tier=Tier(options.tier),
        incarnation=fabric.incarnation,
        n_threads=n_threads,
        memory_bytes=memory_bytes,
    )
    others: dict[PreparationMode, Engine] = {
        PreparationMode.PRIVATE_WEIGHTS: PrivateWeightsEngine(store, n_threads, memory_bytes),
        PreparationMode.CONTAINER: ContainerEngine(store, n_threads),
    }
    engines = {
        mode: _slowed(engine if elsewhere is None else shared, options, profiler) for mode, engine in others.items()
    }
    energy = EnergyAccount(power, open_meter(options.meter, MONOTONIC) if options.meter else None)
    compile_cache = BackgroundCompileCache(shared) if isinstance(shared, OrtEngine) else None
    withheld = frozenset(map(node_id, options.no_weights_to))
    node = Node(
        identity,
        fabric,
        store,
        engine,
        profiler,
        engines,
        energy,
        compile_cache,
        fabric.role_of,
        withheld,
        interrupt=shared.interrupt,
        gpu=gpu,
        n_workers=options.n_workers,
        batch_wait_s=options.batch_wait_s,
    )
    if gpu is not None:
        node.close_with(gpu)
    try:
        node.start()
        _secure(node, fabric, links, options)
    except BaseException:
        node.close()
        raise
    return node


def _group(options: NodeOptions, links: Links) -> str:
    """Where nodes of the cluster meet. Where multicast is closed that is said; configured links are left then."""
    if (why := why_closed()) is not None:
        LOGGER.warning("discovery finds nobody: %s; hint: --connect tcp/HOST:7447 names a node", why)
    authority = "" if links.identity is None else fingerprint(links.identity.authority).hex()
    return group_of(options.cluster, authority)


def _provider(name: str) -> str:
    """What the node computes with: what was asked for or, where that does not work, the processor, which is said."""
    found = choose(name)
    if found.missing is None:
        return found.provider
    LOGGER.warning("%s was asked for: %s; computing on the processor; hint: %s", name, found.missing, found.hint)
    return CPU


def _gpu(provider: str) -> Gpu | None:
    """The memory that segments of `provider` must fit into, if it is not the host's."""
    if provider not in GPU_PROVIDERS:
        return None
    try:
        return Gpu()
    except MeterError as error:
        LOGGER.warning("plans do not know the GPU's memory: %s", error)
        return None


def _secure(node: Node, fabric: ZenohFabric, links: Links, options: NodeOptions) -> None:
    """Watch over the identity of `node` for as long as it runs, and answer machines that join."""
    if links.identity is None or links.seal is None:
        return
    from seamline.identity.founding import has_authority, receive
    from seamline.runtime.identity.watch import IdentityWatch

    watch = IdentityWatch(links.identity, links.seal, fabric, LOGGER.info, options.lease_s)
    node.close_with(watch)
    watch.start()
    if options.serves and fabric.endpoints and has_authority(options.cluster):
        _, _, address = fabric.endpoints[0].partition("/")
        host, _, port = address.rpartition(":")
        reception = receive(options.cluster, host, node_port=int(port), say=LOGGER.info)
        if reception is not None:
            node.close_with(reception)


def _slowed(engine: Engine, options: NodeOptions, profiler: Profiler) -> Engine:
    if options.slowdown <= 1.0 and options.pace is None:
        return engine
    return SlowEngine(engine, options.pace or options.slowdown, usual_s=profiler.usual_s)


def check_options(options: NodeOptions) -> None:
    """Raise `UsageError` for options that mean nothing, or no node can have; nothing is opened."""
    for name in (options.name, *options.no_weights_to):
        node_id(name)
    require_provider(options.provider)
    if options.power:
        parse_power(options.power)
    if options.model_quota:
        parse_quota(options.model_quota)
    for text, what in ((options.tier, "a tier"), (options.cluster, "a cluster name")):
        _check_label(text, what)
    if not options.secure:
        check_endpoints(options.connect, options.listen, cluster=options.cluster, allow_insecure=options.allow_insecure)
    if not options.slowdown >= 1.0:
        raise UsageError(f"slowdown {options.slowdown:g} is below 1", hint="1 is full speed, 8 is eight times as slow")
    if options.slowdown > MAX_SLOWDOWN:
        raise UsageError(f"slowdown {options.slowdown:g} is absurd", hint=f"at most {MAX_SLOWDOWN:g}")
    if options.n_threads is not None and not 1 <= options.n_threads <= MAX_THREADS:
        raise UsageError(f"{options.n_threads} threads are not possible", hint=f"1 to {MAX_THREADS}")
    if not 1 <= options.n_workers <= MAX_WORKERS:
        raise UsageError(f"{options.n_workers} workers are not possible", hint=f"1 to {MAX_WORKERS}")
    if not 0.0 <= options.batch_wait_s <= MAX_BATCH_WAIT_S:
        raise UsageError(
            f"frames cannot wait {options.batch_wait_s:g} s for each other", hint=f"0 to {MAX_BATCH_WAIT_S:g} s"
        )
    if not MIN_LEASE_S <= options.lease_s <= MAX_LEASE_S:
        raise UsageError(
            f"a lease of {options.lease_s:g} s is not possible", hint=f"{MIN_LEASE_S:g} to {MAX_LEASE_S:g} s"
        )


def _check_label(text: str, what: str) -> None:
    try:
        node_id(text)
    except UsageError as exc:
        raise UsageError(f"`{text}` is not {what}", hint=exc.hint) from None
