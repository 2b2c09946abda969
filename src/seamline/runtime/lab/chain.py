"""The nodes of a testbed beside its origin, as processes: each connects to those that come after it."""

from __future__ import annotations

from collections.abc import Sequence

from seamline.config import NodeSpec
from seamline.testbed.processes import NodeProcesses, node_command
from seamline.testbed.relay import Network


def start_chain(
    nodes: Sequence[NodeSpec], network: Network, processes: NodeProcesses, *, cluster: str, options: Sequence[str]
) -> None:
    """Start those of `nodes` that do not run, and wait until they are ready. options: further flags of each."""
    started = [node for node in nodes if not processes.is_alive(node.name)]
    for node in started:
        command = node_command(
            node,
            listen=network.listen(node.name),
            connect=[network.endpoint(node.name, later.name) for later in nodes[nodes.index(node) + 1 :]],
            cluster=cluster,
            options=("--no-relay", *options),
        )
        processes.start(node.name, command)
    for node in started:
        processes.wait_ready(node.name)
