"""The flags that limit plans, `--memory --pin --forbid --trust`, from words to `Constraints`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from seamline.cli.offline import by_node, parse_size
from seamline.core.errors import UsageError
from seamline.core.values import Codec, Constraints, Cut, NodeId, node_id

MemoryOption = Annotated[
    list[str] | None,
    typer.Option("--memory", metavar="NODE=SIZE", help="What a node may use, e.g. edge=512MB. Repeatable."),
]
PinOption = Annotated[
    list[str] | None,
    typer.Option("--pin", metavar="LAYER=NODE", help="Run what stands before the cut after LAYER (or number) there."),
]
ForbidOption = Annotated[
    list[str] | None,
    typer.Option("--forbid", metavar="WHAT", help="NODE, NODE:CODEC, or a link NODE>NODE is not used. Repeatable."),
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="NODE", help="A node that may receive what --private keeps. Repeatable."),
]


def limited(
    limits: Constraints,
    cuts: Sequence[Cut],
    nodes: Sequence[NodeId],
    *,
    memory: Sequence[str] = (),
    pins: Sequence[str] = (),
    forbid: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> Constraints:
    """`limits` with what the flags say. Raises `UsageError` for what names no node, layer or codec."""
    sizes = {_known(node, nodes): parse_size(text) for node, text in by_node(memory, "--memory").items()}
    if sizes and cuts[-1].weights_before_bytes == 0:
        raise UsageError(
            "the profiles do not say how large the weights are, so --memory cannot be judged",
            hint="profile the model again with this version",
        )
    links = [text.split(">") for text in forbid if ">" in text]
    codecs = [text.split(":") for text in forbid if ":" in text]
    alone = [text for text in forbid if ">" not in text and ":" not in text]
    return replace(
        limits,
        memory_bytes=tuple(sizes.items()),
        pins=tuple(_pin(text, cuts, nodes) for text in pins),
        trusted=tuple(_known(text, nodes) for text in trust),
        forbidden_nodes=tuple(_known(text, nodes) for text in alone),
        forbidden_links=tuple((_known(ends[0], nodes), _known(ends[-1], nodes)) for ends in links),
        forbidden_codecs=tuple((_known(pair[0], nodes), _codec(pair[-1])) for pair in codecs),
    )


def _pin(text: str, cuts: Sequence[Cut], nodes: Sequence[NodeId]) -> tuple[int, NodeId]:
    layer, _, node = text.rpartition("=")
    named = [cut.index for cut in cuts[1:] if cut.after == layer or str(cut.index) == layer]
    if not named:
        raise UsageError(
            f"`--pin {text}`: there is no cut after a layer `{layer}`", hint="`seamline inspect` lists them"
        )
    return named[0], _known(node, nodes)


def _known(name: str, nodes: Sequence[NodeId]) -> NodeId:
    node = node_id(name.strip())
    if node not in nodes:
        raise UsageError(f"`{node}` has no profile", hint=f"one of {', '.join(nodes)}")
    return node


def _codec(text: str) -> Codec:
    if text not in tuple(Codec):
        raise UsageError(f"`{text}` is not a codec", hint=f"one of {', '.join(Codec)}")
    return Codec(text)
