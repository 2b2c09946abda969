"""Where a model may be cut between two nodes, as flat arrays: what the search for throughput reads.

A boundary is a pair (codec, cut), since a codec lengthens two stages and shortens a link. Of those at one cut, one that
another beats in encoding, sending and decoding never makes a pipeline faster and is left out, which leaves one or two
of four codecs. Nothing is decided here; `bottleneck.py` searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import NodeTables, Tables
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Ends:
    """What a node is busy with around its compute. float64[Q, C], with compute from cut 0.

    entering_s: decoding and preprocessing minus compute before. leaving_s: compute until plus encoding.
    """

    entering_s: Floats
    leaving_s: Floats


@dataclass(frozen=True, slots=True)
class Seams:
    """The boundaries of one link, float64[J] each, by rising cut.

    cut: int[J], places among the candidates. flat: int[J], places in a raveled [Q, C]. leaving_s: the source's, see
    `Ends`. serialise_s: of the link. entering_s: the target's. whole_s: the slowest of the link, the target and the
    answer when the target computes all the rest, inf where it may not. n_before: int[C], how many boundaries lie before
    each candidate.
    """

    cut: Places
    flat: Places
    leaving_s: Floats
    serialise_s: Floats
    entering_s: Floats
    whole_s: Floats
    n_before: Places

    def best_entry(self, table: NodeTables, reached: npt.NDArray[np.bool_]) -> Floats | None:
        """float64[C]: the least `entering_s` from which a segment of the target that ends at each cut may have begun.

        reached: bool[J]. table: the target's. None when no boundary is reached.
        """
        least = np.empty(len(reached) + 1)
        least[0] = math.inf
        entering_s = np.where(reached, self.entering_s, math.inf)
        np.minimum.accumulate(entering_s, out=least[1:])
        if least[-1] == math.inf:
            return None
        if table.window is None:
            return least[self.n_before]
        dense = np.full((1, len(self.n_before)), math.inf)
        np.minimum.at(dense[0], self.cut, entering_s)
        best: Floats = table.window.least(dense)[0]
        return best

    def only(self, chosen: npt.NDArray[np.bool_]) -> Seams:
        """Those where `chosen`, bool[J]."""
        cut = self.cut[chosen]
        return Seams(
            cut,
            self.flat[chosen],
            self.leaving_s[chosen],
            self.serialise_s[chosen],
            self.entering_s[chosen],
            self.whole_s[chosen],
            np.searchsorted(cut, np.arange(len(self.n_before))),
        )


def ends_of(tables: Tables) -> dict[NodeId, Ends]:
    ends = {}
    for node, table in tables.nodes.items():
        entering_s = table.decode_s - table.before_s
        entering_s[:, 0] += table.preprocess_s
        ends[node] = Ends(entering_s, table.encode_s + table.until_s)
    return ends


def seams_of(source: NodeId, target: NodeId, tables: Tables, ends: dict[NodeId, Ends]) -> Seams:
    """The boundaries that can be crossed from `source` to `target`, and that no other at the same cut beats."""
    table, serialise_s = tables.nodes[target], tables.links[source, target].serialise_s
    is_kept = np.isfinite(serialise_s) & ~_beaten(tables.nodes[source].encode_s, serialise_s, table.decode_s)
    cut, row = np.nonzero(is_kept.T)
    flat = row * is_kept.shape[1] + cut
    serialise_s, entering_s = serialise_s.ravel()[flat], ends[target].entering_s.ravel()[flat]
    return Seams(
        cut,
        flat,
        ends[source].leaving_s.ravel()[flat],
        serialise_s,
        entering_s,
        _whole_s(target, cut, serialise_s, entering_s, tables),
        np.searchsorted(cut, np.arange(is_kept.shape[1])),
    )


def _whole_s(target: NodeId, cut: Places, serialise_s: Floats, entering_s: Floats, tables: Tables) -> Floats:
    table, answer = tables.nodes[target], tables.answers.get(target)
    if answer is None:
        return np.full(len(cut), math.inf)
    whole_s: Floats = np.maximum(np.maximum(entering_s + table.until_s[-1], serialise_s), answer[1])
    whole_s[cut < table.lowest_entry(len(table.until_s) - 1)] = math.inf
    return whole_s


def _beaten(encode_s: Floats, serialise_s: Floats, decode_s: Floats) -> npt.NDArray[np.bool_]:
    """bool[Q, C]: another codec at the same cut is no worse in all three; of equal ones the first is left."""
    no_better = serialise_s[:, np.newaxis] >= serialise_s
    no_better &= encode_s[:, np.newaxis] >= encode_s
    no_better &= decode_s[:, np.newaxis] >= decode_s
    is_first = _IS_FIRST[: len(serialise_s), : len(serialise_s)]
    beaten: npt.NDArray[np.bool_] = np.any(no_better & (is_first | ~no_better.swapaxes(0, 1)), axis=1)
    return beaten


_IS_FIRST = np.tri(len(Codec), k=-1, dtype=np.bool_)[:, :, np.newaxis]
"""Whether the codec of a column comes before that of a row."""
