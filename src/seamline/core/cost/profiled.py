"""What a profile says: how long a segment takes on its device, and what a codec costs there.

How fast the device is today is not in it; that is `cost.compute_s`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.plans import Codec, Segment
from seamline.core.vocabulary.profiles import CodecCost, Profile


def profiled_s(profile: Profile, segment: Segment) -> float:
    """Seconds of `segment` on the device of `profile`, at the speed it was profiled at; 0.0 when empty.

    Block medians, half of what each inner cut at its ends adds, and preprocessing where a frame enters the model.
    Inside a block the time is shared out by MACs.
    """
    if segment.is_empty:
        return 0.0
    profiled = cumulated_s(profile)
    layers_s = float(profiled.until_s[segment.stop] - profiled.before_s[segment.start])
    return layers_s + profile.frame.preprocess_s if segment.start == 0 and profile.frame is not None else layers_s


def codec_cost(profile: Profile, codec: Codec, cut: int) -> CodecCost | None:
    """What `codec` costs on the device of `profile` at `cut`, or wherever; None when the profile does not say.

    Not scaled by the node's compute ratio, which is learnt from segments and says nothing about codecs.
    """
    anywhere = None
    for cost in profile.codecs:
        if cost.codec is codec and cost.cut == cut:
            return cost
        if cost.codec is codec and cost.cut is None:
            anywhere = cost
    return anywhere


@dataclass(frozen=True, slots=True)
class Cumulated:
    """Profiled seconds from cut 0 to every cut, float64[n_cuts], read-only, so that a segment takes
    ``until_s[stop] - before_s[start]``.

    until_s: with half the overhead of the cut added, as a segment pays that stops there. before_s: with it taken off,
    as one pays that starts there. Both are the same at the two ends, where nothing is cut.
    """

    until_s: npt.NDArray[np.float64]
    before_s: npt.NDArray[np.float64]


def cumulated_s(profile: Profile) -> Cumulated:
    """The cumulated times of `profile`, remembered per profile object."""
    known = _cumulated.get(id(profile))
    if known is not None and known[0] is profile:
        return known[1]
    if len(_cumulated) >= _MAX_REMEMBERED:
        _cumulated.clear()
    prefix_s, half_s = _cumulate(profile), np.zeros(profile.cuts[-1].index + 1)
    for boundary in profile.boundaries:
        half_s[boundary.cut] = boundary.overhead_s / 2.0
    cumulated = Cumulated(prefix_s + half_s, prefix_s - half_s)
    for times in (cumulated.until_s, cumulated.before_s):
        times.flags.writeable = False
    _cumulated[id(profile)] = (profile, cumulated)  # holding the profile keeps its id from being used again
    return cumulated


_MAX_REMEMBERED = 128
_cumulated: dict[int, tuple[Profile, Cumulated]] = {}


def _cumulate(profile: Profile) -> npt.NDArray[np.float64]:
    prefix_s = np.zeros(profile.cuts[-1].index + 1)
    macs = {cut.index: cut.macs_before for cut in profile.cuts}
    for block in profile.blocks:
        start_s = prefix_s[block.from_cut]
        span_macs = macs.get(block.to_cut, 0) - macs.get(block.from_cut, 0)
        for cut in range(block.from_cut + 1, block.to_cut):
            by_count = (cut - block.from_cut) / (block.to_cut - block.from_cut)
            known = span_macs > 0 and cut in macs
            share = (macs[cut] - macs[block.from_cut]) / span_macs if known else by_count
            prefix_s[cut] = start_s + share * block.compute_s.median
        prefix_s[block.to_cut] = start_s + block.compute_s.median
    return prefix_s
