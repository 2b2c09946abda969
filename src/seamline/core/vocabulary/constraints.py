"""Constraints: what a plan must respect, and how people name it by nodes, layers and codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.plans import EIGHT_BIT_CODECS, LOSSY, Codec
from seamline.core.vocabulary.profiles import Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a plan must respect.

    n_private_cuts: the model input and the first N-1 cuts never leave the origin (`--private N`); 0 allows all.
    trusted: nodes that may receive those all the same. codecs: what may be used at a cut. allow_local / allow_offload:
    switch those two kinds of plan off. memory_bytes: what a node may use (`refusal.memory_bytes`); all of it when
    missing. pins: (k, node), the layers between cut k-1 and cut k run on that node. forbidden_nodes run nothing,
    forbidden_links carry nothing, and a node neither encodes nor decodes what forbidden_codecs names for it.
    lossy: (cut, codec) at which values may be rounded, as a calibration found; None for wherever codecs has them.
    """

    n_private_cuts: int = 0
    codecs: tuple[Codec, ...] = EIGHT_BIT_CODECS
    allow_local: bool = True
    allow_offload: bool = True
    trusted: tuple[NodeId, ...] = ()
    memory_bytes: tuple[tuple[NodeId, int], ...] = ()
    pins: tuple[tuple[int, NodeId], ...] = ()
    forbidden_nodes: tuple[NodeId, ...] = ()
    forbidden_links: tuple[Link, ...] = ()
    forbidden_codecs: tuple[tuple[NodeId, Codec], ...] = ()
    lossy: tuple[tuple[int, Codec], ...] | None = None

    def may_leave(self, cut: Cut, target: NodeId | None = None) -> bool:
        """Whether the tensors of `cut` may leave for `target`, for anywhere when None."""
        is_public = self.n_private_cuts == 0 or (cut.index >= self.n_private_cuts and not cut.carries_input)
        return is_public or target in self.trusted

    def may_lose(self, cut: int, codec: Codec) -> bool:
        """Whether `codec` may be used at that cut, as far as what it loses goes."""
        return self.lossy is None or codec not in LOSSY or (cut, codec) in self.lossy

    def may_use(self, source: NodeId, target: NodeId) -> bool:
        """Whether anything may travel from `source` to `target`."""
        return (source, target) not in self.forbidden_links


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
