"""Arrays of what stays from problem to problem: the model's cuts, profiles, constraints. `ModelArrays` keeps them.

A stream's links and loads move many times a second, its model never and its profiles and constraints seldom. Each part
is made anew when what it is made of is another object. What moves is put to it in `problem_arrays.py`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from seamline.core.cost.payload import offered_codecs, payload_bytes, uncompressed_bytes
from seamline.core.cost.problem import Problem
from seamline.core.planning.constraint_masks import BoundaryMask, memory_between, tails_of
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Cut, FrameInfo, Profile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a model: candidate cuts, bytes sent per codec and cut (inf where not offered), bytes a codec reads.

    index: int[C]. sent_bytes: float64[n_codecs, C] in the order of `Codec`, by the formula. plain_bytes: float64[C].
    carries_input: bool[C].
    """

    index: npt.NDArray[np.int64]
    sent_bytes: Floats
    plain_bytes: Floats
    carries_input: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CodecArrays:
    """Codec costs of one profile: float64[n_codecs, C] each, in the order of `Codec`."""

    encode_s: Floats
    decode_s: Floats
    compression_ratio: Floats


@dataclass(frozen=True, slots=True)
class ProfiledNode:
    """One profile at the candidates, for the codecs asked for: as `NodeArrays` has it of a node as fast as profiled."""

    profile: Profile
    codecs: tuple[Codec, ...]
    sizes: Sizes
    until_s: Floats
    before_s: Floats
    encode_s: Floats
    decode_s: Floats


@dataclass(frozen=True, slots=True)
class BoundaryBytes:
    """Bytes at every boundary, by the constraints of `closing` and the origin's profile.

    masked: the same per kind of link, as each is first asked for.
    """

    closing: BoundaryMask
    origin: Profile
    sizes: Sizes
    all_bytes: Floats
    masked: dict[Hashable, Floats] = field(default_factory=dict)

    def is_for(self, problem: Problem, sizes: Sizes) -> bool:
        """True while nothing that they rest on is another object than it was."""
        before = self.closing.problem
        is_as_measured = problem.compression_ratio is before.compression_ratio or not (
            problem.compression_ratio or before.compression_ratio
        )
        is_as_limited = problem.constraints is before.constraints and problem.origin == before.origin
        is_as_deployed = tails_of(problem) == tails_of(before)
        is_as_sized = self.sizes is sizes and self.origin is _origin_of(problem)
        return is_as_limited and is_as_measured and is_as_deployed and is_as_sized

    def sent_bytes(self, source: NodeId, target: NodeId) -> Floats:
        """float64[Q, C]: what crosses from `source` to `target`, inf where nothing may."""
        mask_key = self.closing.mask_key(source, target)
        known = self.masked.get(mask_key)
        if known is None:
            known = self.masked[mask_key] = self.closing.masked(source, target, self.all_bytes)
        return known


@dataclass(slots=True)
class ModelArrays:
    """Owner of the arrays of one model's cuts, profiles and constraints, the newest of each kind."""

    _cuts: tuple[Cut, ...] = ()
    _frame: FrameInfo | None = None
    _sizes: Sizes | None = None
    _memory_bytes: Floats | None = None
    _profiled: dict[NodeId, ProfiledNode] = field(default_factory=dict)
    _boundary_bytes: BoundaryBytes | None = None

    def sizes(self, problem: Problem) -> Sizes:
        """Sizes at each candidate of the model of `problem`."""
        if self._sizes is None or self._cuts is not problem.cuts or self._frame != problem.frame:
            self._cuts, self._frame = problem.cuts, problem.frame
            self._sizes, self._memory_bytes = _sizes_of(problem.cuts, problem.frame), None
        return self._sizes

    def memory_bytes(self, problem: Problem) -> Floats:
        """float64[C, C]: what segments between candidates need, see `constraint_masks.memory_between`."""
        sizes = self.sizes(problem)
        if self._memory_bytes is None:
            self._memory_bytes = memory_between(sizes.index, problem.cuts)
        return self._memory_bytes

    def profiled(self, node: NodeId, codecs: tuple[Codec, ...], problem: Problem) -> ProfiledNode:
        """Times at each candidate by the profile of `node`."""
        profile, sizes, known = problem.profiles[node], self.sizes(problem), self._profiled.get(node)
        if known is None or known.profile is not profile or known.sizes is not sizes or known.codecs != codecs:
            known = self._profiled[node] = _profiled_node(profile, codecs, sizes)
        return known

    def boundary_bytes(self, codecs: tuple[Codec, ...], problem: Problem) -> BoundaryBytes:
        """Bytes that may cross at each candidate; `codecs` are those of the constraints."""
        sizes, known = self.sizes(problem), self._boundary_bytes
        if known is None or not known.is_for(problem, sizes):
            sent_bytes = _sent_bytes(sizes, problem)[_rows(codecs)]
            sent_bytes[:, sizes.index == problem.last_cut] = math.inf  # nothing is sent behind the last cut
            closing = BoundaryMask(problem, sizes.index, sizes.carries_input, codecs)
            known = self._boundary_bytes = BoundaryBytes(closing, _origin_of(problem), sizes, sent_bytes)
        return known


def _origin_of(problem: Problem) -> Profile:
    return problem.profiles[problem.origin]


def _profiled_node(profile: Profile, codecs: tuple[Codec, ...], sizes: Sizes) -> ProfiledNode:
    rows, costs = _rows(codecs), _codec_arrays(profile, sizes)
    until_s, before_s = np.array(profile.until_s)[sizes.index], np.array(profile.before_s)[sizes.index]
    return ProfiledNode(profile, codecs, sizes, until_s, before_s, costs.encode_s[rows], costs.decode_s[rows])


def _rows(codecs: tuple[Codec, ...]) -> list[int]:
    """Places of `codecs` among all."""
    return [_CODECS.index(codec) for codec in codecs]


_CODECS = tuple(Codec)


def _sent_bytes(sizes: Sizes, problem: Problem) -> Floats:
    """float64[n_codecs, C], as `payload.sent_bytes` has it for one cut."""
    ratio = _codec_arrays(_origin_of(problem), sizes).compression_ratio
    for (cut, codec), measured in problem.compression_ratio.items():
        ratio[_CODECS.index(codec), sizes.index == cut] = measured
    return np.ceil(sizes.sent_bytes * ratio)


def _codec_arrays(profile: Profile, sizes: Sizes) -> CodecArrays:
    shape = (len(Codec), len(sizes.index))
    arrays = CodecArrays(np.zeros(shape), np.zeros(shape), np.ones(shape))
    for cost in sorted(profile.codecs, key=lambda cost: cost.cut is not None):
        at = slice(None) if cost.cut is None else sizes.index == cost.cut
        row = _CODECS.index(cost.codec)
        arrays.encode_s[row, at] = cost.encode_s_per_byte * sizes.plain_bytes[at]
        arrays.decode_s[row, at] = cost.decode_s_per_byte * sizes.plain_bytes[at]
        arrays.compression_ratio[row, at] = cost.compression_ratio
    return arrays


def _sizes_of(cuts: tuple[Cut, ...], frame: FrameInfo | None) -> Sizes:
    candidates = [cut for cut in cuts if cut.is_candidate or cut.index in (0, len(cuts) - 1)]
    sent_bytes = np.full((len(Codec), len(candidates)), math.inf)
    for at, cut in enumerate(candidates):
        offered = offered_codecs(cut, frame)
        for row, codec in enumerate(Codec):
            if codec in offered:
                sent_bytes[row, at] = payload_bytes(cut, codec, frame)
    return Sizes(
        index=np.array([cut.index for cut in candidates]),
        sent_bytes=sent_bytes,
        plain_bytes=np.array([float(uncompressed_bytes(cut, frame)) for cut in candidates]),
        carries_input=np.array([cut.carries_input for cut in candidates]),
    )
