"""Claims about models that nodes fetch from each other; what is stored is in tests/model/store."""

from __future__ import annotations

from typing import Any

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.messages import FetchModel
from seamline.model import ModelStore
from seamline.runtime.node.models import ModelExchange
from seamline.runtime.shared.news import News
from seamline.runtime.shared.requests import Requests


def test_a_node_that_is_to_have_no_weights_gets_none_and_is_told_why(tmp_path):
    sent: list[tuple[NodeId, Any, Any]] = []

    def send(target: NodeId, header: Any, tensors: Any = ()) -> None:
        sent.append((target, header, tensors))

    exchange = ModelExchange(
        ModelStore(tmp_path), Requests(send), send, News(NodeId("edge")), frozenset({NodeId("fog")})
    )
    for node in ("fog", "cloud"):
        exchange.on_fetch(NodeId(node), FetchModel(1, "0" * 64, "manifest", 0, 1))
    errors = {target: header.error for target, header, _ in sent}
    assert errors["fog"].startswith("`fog` gets no weights from here")
    assert "gets no weights" not in errors["cloud"]
