"""Profile look-ups: the seconds of a segment and the cost of a codec on the device that was profiled.

How fast the device is today is not in a profile; `formulas.compute_s` knows.
"""

from __future__ import annotations

from seamline.core.vocabulary.plans import Codec, Segment
from seamline.core.vocabulary.profiles import CodecCost, Profile


def profiled_s(profile: Profile, segment: Segment) -> float:
    """Seconds of `segment` on the device of `profile`, at the speed it was profiled at; 0.0 when empty.

    Block medians, half of what each inner cut at its ends adds, and preprocessing where a frame enters the model.
    """
    if segment.is_empty:
        return 0.0
    layers_s = profile.until_s[segment.stop] - profile.before_s[segment.start]
    return layers_s + profile.frame.preprocess_s if segment.start == 0 and profile.frame is not None else layers_s


def codec_cost(profile: Profile, codec: Codec, cut: int) -> CodecCost | None:
    """Cost of `codec` on the device of `profile` at `cut`, or wherever; None when the profile does not say.

    Not scaled by the node's compute ratio, which is learnt from segments and says nothing about codecs.
    """
    anywhere = None
    for cost in profile.codecs:
        if cost.codec is codec and cost.cut == cut:
            return cost
        if cost.codec is codec and cost.cut is None:
            anywhere = cost
    return anywhere
