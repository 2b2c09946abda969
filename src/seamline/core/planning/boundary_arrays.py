"""Boundary arrays: where a model may be cut between two nodes, flat, for the bottleneck search.

A boundary is a pair (codec, cut), since a codec lengthens two stages and shortens a link. Of those at one cut, one
dominated in encoding, sending and decoding never makes a pipeline faster and is left out, which leaves one or two
of four codecs. Nothing is decided here; `bottleneck.py` searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import NodeArrays, ProblemArrays
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class StageEnds:
    """Busy seconds of a node around its compute. float64[Q, C], with compute from cut 0.

    entering_s: decoding and preprocessing minus compute before. leaving_s: compute until plus encoding.
    """

    entering_s: Floats
    leaving_s: Floats


@dataclass(frozen=True, slots=True)
class BoundaryArrays:
    """The boundaries of one link, float64[J] each, by rising cut.

    cut: int[J], places among the candidates. flat: int[J], places in a raveled [Q, C]. leaving_s: the source's, see
    `StageEnds`. serialise_s: of the link. entering_s: the target's. whole_s: the slowest of the link, the target and
    the answer when the target computes all that is left, inf where it may not. n_before: int[C], how many boundaries
    lie before each candidate.
    """

    cut: Places
    flat: Places
    leaving_s: Floats
    serialise_s: Floats
    entering_s: Floats
    whole_s: Floats
    n_before: Places

    def best_entry(self, node_arrays: NodeArrays, reached: npt.NDArray[np.bool_]) -> Floats | None:
        """float64[C]: the least `entering_s` from which a segment of the target that ends at each cut may have begun.

        reached: bool[J]. node_arrays: the target's. None when no boundary is reached.
        """
        least = np.empty(len(reached) + 1)
        least[0] = math.inf
        entering_s = np.where(reached, self.entering_s, math.inf)
        np.minimum.accumulate(entering_s, out=least[1:])
        if least[-1] == math.inf:
            return None
        if node_arrays.window is None:
            return least[self.n_before]
        dense = np.full((1, len(self.n_before)), math.inf)
        np.minimum.at(dense[0], self.cut, entering_s)
        best: Floats = node_arrays.window.least(dense)[0]
        return best

    def only(self, chosen: npt.NDArray[np.bool_]) -> BoundaryArrays:
        """The boundaries where `chosen`, bool[J], says so."""
        cut = self.cut[chosen]
        return BoundaryArrays(
            cut,
            self.flat[chosen],
            self.leaving_s[chosen],
            self.serialise_s[chosen],
            self.entering_s[chosen],
            self.whole_s[chosen],
            np.searchsorted(cut, np.arange(len(self.n_before))),
        )


def stage_ends(arrays: ProblemArrays) -> dict[NodeId, StageEnds]:
    ends = {}
    for node, node_arrays in arrays.nodes.items():
        ends[node] = StageEnds(node_arrays.enter_s - node_arrays.before_s, node_arrays.encode_s + node_arrays.until_s)
    return ends


def boundary_arrays(
    source: NodeId, target: NodeId, arrays: ProblemArrays, ends: dict[NodeId, StageEnds]
) -> BoundaryArrays:
    """The boundaries that can be crossed from `source` to `target`, and that no other at the same cut dominates."""
    node_arrays, serialise_s = arrays.nodes[target], arrays.links[source, target].serialise_s
    is_kept = np.isfinite(serialise_s) & ~_dominated(arrays.nodes[source].encode_s, serialise_s, node_arrays.enter_s)
    cut, row = np.nonzero(is_kept.T)
    flat = row * is_kept.shape[1] + cut
    serialise_s, entering_s = serialise_s.ravel()[flat], ends[target].entering_s.ravel()[flat]
    return BoundaryArrays(
        cut,
        flat,
        ends[source].leaving_s.ravel()[flat],
        serialise_s,
        entering_s,
        _whole_s(target, cut, serialise_s, entering_s, arrays),
        np.searchsorted(cut, np.arange(is_kept.shape[1])),
    )


def _whole_s(target: NodeId, cut: Places, serialise_s: Floats, entering_s: Floats, arrays: ProblemArrays) -> Floats:
    node_arrays, answer = arrays.nodes[target], arrays.answers.get(target)
    if answer is None:
        return np.full(len(cut), math.inf)
    whole_s: Floats = np.maximum(np.maximum(entering_s + node_arrays.until_s[-1], serialise_s), answer[1])
    whole_s[cut < node_arrays.lowest_entry(len(node_arrays.until_s) - 1)] = math.inf
    return whole_s


def _dominated(encode_s: Floats, serialise_s: Floats, enter_s: Floats) -> npt.NDArray[np.bool_]:
    """bool[Q, C]: another codec at the same cut is no worse in all three; of equal ones the first is left."""
    no_better = serialise_s[:, np.newaxis] >= serialise_s
    no_better &= encode_s[:, np.newaxis] >= encode_s
    no_better &= enter_s[:, np.newaxis] >= enter_s
    is_first = _IS_FIRST[: len(serialise_s), : len(serialise_s)]
    dominated: npt.NDArray[np.bool_] = np.any(no_better & (is_first | ~no_better.swapaxes(0, 1)), axis=1)
    return dominated


_IS_FIRST = np.tri(len(Codec), k=-1, dtype=np.bool_)[:, :, np.newaxis]
"""Whether the codec of a column comes before that of a row."""
