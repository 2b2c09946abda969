"""Claims about how a picture becomes the network's input, and how boxes come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.pictures import Fit, PixelBox, picture_transform

extents = st.integers(1, 4000)
sizes = st.tuples(extents, extents)


@given(st.sampled_from(Fit), sizes, sizes, st.booleans(), st.floats(0.3, 1.0))
def test_boxes_of_any_picture_come_back_to_where_they_were(fit, picture, wanted, is_centred, crop_ratio):
    found = picture_transform(fit, picture, wanted, is_centred=is_centred, crop_ratio=crop_ratio)
    rows, columns = picture
    boxes = np.array([[0, 0, columns, rows], [columns / 3, rows / 4, columns / 2, rows]])
    np.testing.assert_allclose(found.to_picture(found.to_input(boxes)), boxes, atol=1e-6 * max(picture))
    for box, (height, width) in ((found.source, picture), (found.target, wanted)):
        assert 0 <= box.left < box.left + box.width <= width
        assert 0 <= box.top < box.top + box.height <= height


def test_a_letterboxed_picture_is_padded_as_ultralytics_pads_it():
    """640x360 into 640x640 is padded by 140 rows above and below; an odd row goes below."""
    assert picture_transform(Fit.LETTERBOX, (360, 640), (640, 640)).target == PixelBox(
        left=0, top=140, width=640, height=360
    )
    assert picture_transform(Fit.LETTERBOX, (359, 640), (640, 640)).target.top == 140
    corner = picture_transform(Fit.LETTERBOX, (360, 640), (640, 640), is_centred=False)
    assert (corner.target.left, corner.target.top) == (0, 0)
    np.testing.assert_allclose(corner.to_picture([10, 20, 30, 999]), [10, 20, 30, 360])


def test_a_box_in_the_padding_ends_at_the_pictures_edge():
    found = picture_transform(Fit.LETTERBOX, (360, 640), (320, 320))
    np.testing.assert_allclose(found.to_picture([[0, 60, 320, 330]]), [[0, 0, 640, 360]])
    np.testing.assert_allclose(found.to_picture([[0, 60, 320, 330]], clip=False), [[0, -20, 640, 520]])


def test_a_crop_says_how_much_of_the_picture_is_seen():
    found = picture_transform(Fit.CROP, (360, 640), (64, 64))
    assert found.source == PixelBox(left=140, top=0, width=360, height=360)
    assert found.seen_ratio == pytest.approx(360 / 640)
    zoomed = picture_transform(Fit.CROP, (256, 256), (224, 224), crop_ratio=224 / 256)
    assert zoomed.source == PixelBox(left=16, top=16, width=224, height=224)
    whole = picture_transform(Fit.STRETCH, (360, 640), (64, 64))
    assert (whole.seen_ratio, whole.stretch_ratio) == (1.0, pytest.approx(360 / 640))
