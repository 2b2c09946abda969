"""Fidelity of the lossy codecs: which values they round, and which they would turn into something else.

Rounding moves a feature by a thousandth of itself and an index to another row. So whole numbers (indices, positions,
masks, counts, in whatever dtype) cross exactly or not at all under a lossy codec, and so do values that a codec cannot
hold: infinities, NaN, and magnitudes beyond the ends of its range. What a tensor *means* to the layers behind it is
`core.graph.exactness`; here only the values of one frame are looked at, and only that frame is concerned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seamline.codec.kernels import F16_MAX

F16_WHOLE_MAX = 2048.0
"""Up to here float16 holds every whole number."""

F16_TINY = 2.0**-14
"""Smallest normal float16: a tensor that lies all below keeps fewer than eleven bits of its values."""

U8_LEVELS = 255.0
_N_SAMPLED = 256

Floats = npt.NDArray[np.float32]


def is_whole(values: Floats) -> bool:
    """Whether every element is a whole number and one of them is not 0. NaN and infinities are none.

    A few elements are looked at first, so that a feature map costs next to nothing.
    """
    flat = values.reshape(-1)
    step = max(1, flat.size // _N_SAMPLED)
    return _all_whole(flat[::step]) and (step == 1 or _all_whole(flat)) and bool(flat.any())


def f16_holds(values: Floats) -> bool:
    """Whether float16 rounds `values` and does nothing worse."""
    if values.size == 0:
        return True
    largest = max(-float(values.min()), float(values.max()))  # NaN if there is one
    if not largest <= F16_MAX or (0.0 < largest < F16_TINY):
        return False
    return largest <= F16_WHOLE_MAX or not is_whole(values)


def u8_holds(values: Floats) -> bool:
    """Whether eight bits round `values` and do nothing worse, whole numbers being left alone."""
    if values.size == 0:
        return True
    return bool(np.isfinite(values.min()) and np.isfinite(values.max())) and not is_whole(values)


def whole_grid(values: Floats) -> tuple[float, int] | None:
    """(scale, zero point) of eight bits that hold the whole numbers in `values` exactly; None when none does."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return (1.0, int(-low)) if high - low <= U8_LEVELS else None


def _all_whole(values: Floats) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.rint(values) == values).all() and np.isfinite(values).all())
