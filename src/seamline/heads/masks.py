"""Masks of single objects: coefficients times prototypes, cut to the box, as pixels of the picture."""

from __future__ import annotations

import math

import numpy as np

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Mask
from seamline.heads.found import Floats


def mask_of(coefficients: Floats, prototypes: Array, edges: tuple[float, float, float, float],
            transform: PictureTransform) -> Mask:  # fmt: skip
    """Mask of one object: its pixels inside `edges` (left, top, right, bottom, of the picture).

    coefficients: float64[M]. prototypes: float[M, h, w] over the whole input. A pixel belongs to the object where the
    sum, interpolated between prototype pixels, is above 0 (a probability above one half).
    """
    left, top = math.floor(edges[0]), math.floor(edges[1])
    right = min(transform.picture_width, max(left + 1, math.ceil(edges[2])))
    bottom = min(transform.picture_height, max(top + 1, math.ceil(edges[3])))
    logits = np.tensordot(coefficients, prototypes.astype(np.float64), axes=1)
    corners = transform.to_input(np.array([[left + 0.5, top + 0.5], [right - 0.5, bottom - 0.5]]))
    columns = np.linspace(corners[0, 0], corners[1, 0], right - left) * (logits.shape[1] / transform.width) - 0.5
    rows = np.linspace(corners[0, 1], corners[1, 1], bottom - top) * (logits.shape[0] / transform.height) - 0.5
    return Mask(left=left, top=top, pixels=_between(_between(logits, rows).T, columns).T > 0.0)


def _between(values: Floats, places: Floats) -> Floats:
    """Rows of `values` at fractional `places`, float64[len(places), ...]; beyond the ends the first or the last."""
    places = places.clip(0, len(values) - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, np.newaxis]
    return np.asarray(values[before] * (1 - share) + values[after] * share, np.float64)
