"""Limits as people name them, by nodes, layers and codecs, to `Constraints`. What they mean is `limits.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seamline.core.errors import UsageError
from seamline.core.values import Codec, Constraints, Cut, NodeId, node_id


def limited(
    limits: Constraints,
    cuts: Sequence[Cut],
    nodes: Sequence[NodeId],
    *,
    memory_bytes: Mapping[str, int] | None = None,
    pins: Mapping[str, str] | None = None,
    forbid: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> Constraints:
    """`limits` and, beside them: what nodes may use, and on which node a layer runs (by name, or number of its cut).

    forbid: ``fog`` runs nothing, ``fog:u8`` neither encodes nor decodes so, ``edge>fog`` carries nothing. trust: nodes
    that may receive what is private. Raises `UsageError` for what names no node, layer or codec.
    """
    sizes = {_known(node, nodes): n_bytes for node, n_bytes in (memory_bytes or {}).items()}
    if sizes and cuts[-1].weights_before_bytes == 0:
        raise UsageError(
            "the profiles do not say how large the weights are, so memory cannot be judged",
            hint="profile the model again with this version",
        )
    links = [text.split(">") for text in forbid if ">" in text]
    codecs = [text.split(":") for text in forbid if ":" in text]
    alone = [text for text in forbid if ">" not in text and ":" not in text]
    return replace(
        limits,
        memory_bytes=tuple(sizes.items()),
        pins=tuple((_place(layer, cuts), _known(node, nodes)) for layer, node in (pins or {}).items()),
        trusted=tuple(_known(text, nodes) for text in trust),
        forbidden_nodes=tuple(_known(text, nodes) for text in alone),
        forbidden_links=tuple((_known(ends[0], nodes), _known(ends[-1], nodes)) for ends in links),
        forbidden_codecs=tuple((_known(pair[0], nodes), _codec(pair[-1])) for pair in codecs),
    )


def _place(layer: str, cuts: Sequence[Cut]) -> int:
    named = [cut.index for cut in cuts[1:] if cut.after == layer or str(cut.index) == layer]
    if not named:
        raise UsageError(f"there is no cut after a layer `{layer}`", hint="`seamline inspect` lists them")
    return named[0]


def _known(name: str, nodes: Sequence[NodeId]) -> NodeId:
    node = node_id(name.strip())
    if node not in nodes:
        raise UsageError(f"a limit names `{node}`, which is not among the nodes", hint=f"one of {', '.join(nodes)}")
    return node


def _codec(text: str) -> Codec:
    if text not in tuple(Codec):
        raise UsageError(f"`{text}` is not a codec", hint=f"one of {', '.join(Codec)}")
    return Codec(text)
