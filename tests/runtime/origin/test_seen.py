"""Boxes of an answer are put back by what the model's own recipe made of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from seamline.core.vocabulary.pictures import Fit
from seamline.model import FrameRecipe, ModelStore
from seamline.runtime.origin.seen import seen_by


@pytest.mark.parametrize(
    ("fit", "box"),
    [(Fit.LETTERBOX, [0, 0, 64, 32]), (Fit.CROP, [16, 0, 48, 32]), (Fit.STRETCH, [0, 0, 64, 32])],
)
def test_the_whole_input_is_the_part_of_the_picture_that_the_network_sees(model_file, tmp_path, fit, box):
    model = ModelStore(tmp_path).add(model_file, preprocess=FrameRecipe(preprocess="yolo", fit=fit))
    assert model.inputs[0].shape == (32, 32, 3)
    picture = np.zeros((32, 64, 3), np.uint8)
    for frame in (picture, {"frame": picture}, {"image": picture}):
        seen = seen_by(model, keeps_picture=True)(frame)
        assert seen is not None
        assert seen.picture is picture
        np.testing.assert_allclose(seen.transform.to_picture([0, 0, 32, 32]), box)
    middle = seen_by(model, keeps_picture=False)(picture)
    assert middle is not None
    np.testing.assert_allclose(middle.transform.to_picture([16, 16, 16, 16]), [32, 16, 32, 16])


def test_of_arrays_nothing_is_seen(model_file, tmp_path):
    model = ModelStore(tmp_path).add(model_file)
    assert seen_by(model, keeps_picture=True)(np.zeros((1, 3, 32, 32), np.float32)) is None
