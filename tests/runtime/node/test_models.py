"""Models that nodes fetch from each other: sound ones only, and nothing is left of those that do not arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seamline.core.vocabulary.errors import ModelError, PeerLost, SeamlineError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.fabric.messages import FetchModel, Message, ModelPart
from seamline.model import ModelStore, StoredModel
from seamline.runtime.node import models
from seamline.runtime.node.models import ModelExchange, Sources
from seamline.runtime.shared.news import News
from seamline.runtime.shared.requests import Requests

HERE, ALICE, BOB = node_id("here"), node_id("alice"), node_id("bob")
Answer = Callable[[FetchModel], ModelPart | bytes | None]


class Peers:
    """Fetching from nodes that are functions: what each answers to a question, at once; None for nothing."""

    def __init__(self, store: ModelStore) -> None:
        self.answers: dict[NodeId, Answer] = {}
        self.asked: list[tuple[NodeId, FetchModel]] = []
        self.requests = Requests(self._send)
        self.exchange = ModelExchange(store, self.requests, lambda *_: None, News(HERE))

    def _send(self, target: NodeId, ask: Message) -> None:
        assert isinstance(ask, FetchModel)
        self.asked.append((target, ask))
        answer = self.answers[target](ask)
        part = ModelPart(request_id=ask.request_id, model_id=ask.model_id, part=ask.part, offset=ask.offset)
        if isinstance(answer, bytes):
            self.exchange.on_part(target, part, [np.frombuffer(answer, np.uint8)])
        elif answer is not None:
            self.exchange.on_part(target, answer, [])

    def close(self) -> None:
        self.requests.close()


@pytest.fixture
def original(model_file: Path, tmp_path: Path) -> StoredModel:
    return ModelStore(tmp_path / "original").add(model_file)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "here")


@pytest.fixture
def peers(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peers]:
    monkeypatch.setattr(models, "PATIENCE_S", 0.0)
    monkeypatch.setattr(models, "RETRY_S", 0.0)
    monkeypatch.setattr(models, "PIECE_BYTES", 1000)
    peers = Peers(store)
    yield peers
    peers.close()


def honest(model: StoredModel) -> Answer:
    return lambda ask: model.read_part(ask.part, ask.offset, ask.length)


def damaging(model: StoredModel, part: str) -> Answer:
    def answer(ask: FetchModel) -> bytes:
        data = model.read_part(ask.part, ask.offset, ask.length)
        return bytes(len(data)) if ask.part == part else data

    return answer


def refusing(model: StoredModel, part: str) -> Answer:
    """Gives everything up to the first piece of `part`, which it says it does not have."""

    def answer(ask: FetchModel) -> bytes | ModelPart:
        if ask.part != part:
            return model.read_part(ask.part, ask.offset, ask.length)
        return ModelPart(request_id=ask.request_id, model_id=ask.model_id, part=part, offset=ask.offset, error="gone")

    return answer


def files_left(store: ModelStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("part", ["manifest", "graph", "weights"])
@pytest.mark.parametrize("source", [damaging, refusing])
def test_a_fetch_that_fails_leaves_nothing_and_an_honest_source_serves_afterwards(
    peers: Peers, store: ModelStore, original: StoredModel, source: Callable[..., Answer], part: str
) -> None:
    peers.answers = {ALICE: source(original, part), BOB: honest(original)}
    with pytest.raises(SeamlineError):
        peers.exchange.obtain(original.model_id, Sources(ALICE))
    assert files_left(store) == []
    assert peers.exchange.obtain(original.model_id, Sources(BOB)).model_id == original.model_id


def test_weights_are_not_asked_for_before_the_graph_is_here(peers: Peers, original: StoredModel) -> None:
    peers.answers = {ALICE: damaging(original, "graph")}
    with pytest.raises(ModelError, match=r"graph of model .* arrived damaged|is damaged"):
        peers.exchange.obtain(original.model_id, Sources(ALICE))
    n_of_weights = sum(ask.part == "weights" for _, ask in peers.asked)
    assert n_of_weights <= models.N_IN_FLIGHT, "one window, of which nothing was taken"


def test_a_source_that_goes_leaves_nothing(peers: Peers, store: ModelStore, original: StoredModel) -> None:
    def answer(ask: FetchModel) -> bytes | None:
        if ask.part == "weights" and ask.offset >= 3000:
            peers.requests.on_peer(ALICE, False)
            return None
        return original.read_part(ask.part, ask.offset, ask.length)

    peers.answers = {ALICE: answer}
    with pytest.raises(PeerLost):
        peers.exchange.obtain(original.model_id, Sources(ALICE))
    assert files_left(store) == []


def test_a_fetch_goes_on_when_its_source_comes_back_soon(
    peers: Peers, original: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "PATIENCE_S", 60.0)
    lost: list[int] = []

    def answer(ask: FetchModel) -> bytes:
        if ask.part == "weights" and ask.offset >= 3000 and len(lost) < 5:
            lost.append(ask.offset)
            raise PeerLost("the link is down")
        return original.read_part(ask.part, ask.offset, ask.length)

    peers.answers = {ALICE: answer}
    assert peers.exchange.obtain(original.model_id, Sources(ALICE)).model_id == original.model_id
    assert len(lost) == 5
    assert sum(ask.part == "weights" and ask.offset == 0 for _, ask in peers.asked) == 1, "it did not begin again"


def test_another_source_goes_on_where_the_one_before_stopped(peers: Peers, original: StoredModel) -> None:
    sources = Sources(ALICE)

    def stalling(ask: FetchModel) -> bytes | None:
        if ask.part == "weights" and ask.offset >= 5000:
            sources.add(BOB)
            return None
        return original.read_part(ask.part, ask.offset, ask.length)

    peers.answers = {ALICE: stalling, BOB: honest(original)}
    assert peers.exchange.obtain(original.model_id, sources).model_id == original.model_id
    assert not [ask for target, ask in peers.asked if target == BOB and ask.part == "weights" and ask.offset == 0]


def test_a_fetch_that_is_given_up_leaves_nothing(peers: Peers, store: ModelStore, original: StoredModel) -> None:
    sources = Sources(ALICE)

    def answer(ask: FetchModel) -> bytes | None:
        if ask.part == "weights":
            sources.give_up()
            return None
        return original.read_part(ask.part, ask.offset, ask.length)

    peers.answers = {ALICE: answer}
    with pytest.raises(PeerLost, match="nobody wants the model any more"):
        peers.exchange.obtain(original.model_id, sources)
    assert files_left(store) == []


def test_an_honest_source_is_not_blamed_for_what_another_left_behind(
    peers: Peers, store: ModelStore, original: StoredModel
) -> None:
    """As after a crash: no process was there to drop what had arrived, damaged."""
    folder = store.root / "incoming" / original.model_id
    folder.mkdir(parents=True)
    (folder / "graph.onnx").write_bytes(original.read_part("graph", 0, 1 << 20))
    (folder / "weights.bin").write_bytes(bytes(1000))
    peers.answers = {BOB: honest(original)}
    assert peers.exchange.obtain(original.model_id, Sources(BOB)).model_id == original.model_id


@pytest.mark.parametrize("name", ["weights.bin", "graph.onnx", "manifest.json"])
def test_a_model_that_is_damaged_here_is_fetched_again(
    peers: Peers, store: ModelStore, original: StoredModel, model_file: Path, name: str
) -> None:
    damaged = ModelStore(store.root).add(model_file).folder / name
    damaged.write_bytes(bytes(damaged.stat().st_size))
    peers.answers = {ALICE: honest(original)}
    found = peers.exchange.obtain(original.model_id, Sources(ALICE))
    assert found.read_part("weights", 0, 1 << 20) == original.read_part("weights", 0, 1 << 20)
    assert ModelStore(store.root).get_sound(original.model_id).model_id == original.model_id


def test_a_model_that_is_damaged_here_and_nowhere_else_is_refused(
    peers: Peers, store: ModelStore, model_file: Path
) -> None:
    model = ModelStore(store.root).add(model_file)
    (model.folder / "weights.bin").write_bytes(bytes(model.weights_bytes))
    with pytest.raises(ModelError, match=r"weights of model .* are damaged in .*; hint: add it again"):
        peers.exchange.obtain(model.model_id, Sources(HERE))
    assert peers.asked == []


def test_a_sound_model_is_there_at_once(peers: Peers, store: ModelStore, model_file: Path) -> None:
    model = store.add(model_file)
    assert peers.exchange.obtain(model.model_id, Sources(ALICE)).model_id == model.model_id
    assert peers.asked == []


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
