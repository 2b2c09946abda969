"""``--metrics``: a node's figures for Prometheus, as long as it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seamline.cli.shared.node_flags import NodeFlags
from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.runtime.metrics.exporter import Exporter
    from seamline.runtime.node.node import Node


def open_exporter(node: Node, own: NodeFlags) -> Exporter | None:
    """The metrics of `node`, answered until it closes where its flags say so; None where they do not.

    Raises `UsageError` without the package for it, and what `Exporter` raises.
    """
    if own.metrics is None:
        return None
    try:
        from seamline.runtime.metrics.exporter import Exporter
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise UsageError(
            "--metrics needs the package prometheus-client", hint="pip install 'seamline[metrics]'"
        ) from error
    exporter = Exporter(node, own.metrics, cluster=None if own.insecure else own.cluster)
    node.close_with(exporter)
    return exporter
