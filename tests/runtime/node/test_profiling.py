"""Profiles on their way between nodes: as large as the model has cuts, whatever crosses them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seamline.core.vocabulary.errors import ModelError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import (
    Block,
    Cut,
    DeviceInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)
from seamline.runtime.node import profiling
from seamline.runtime.node.profiling import profile_from_bytes, profile_to_bytes

FOG = NodeId("fog")


def profile(n_cuts: int, n_tensors: int) -> Profile:
    states = tuple(
        TensorSpec(name=f"layers.{n}.past_key_values", dtype="float32", shape=(2, 4)) for n in range(n_tensors)
    )
    return Profile(
        model=ModelInfo(name="states"),
        device=DeviceInfo(name=FOG),
        cuts=tuple(
            Cut(index=at, after=f"layer{at}", tensors=states, payload_bytes=32 * n_tensors) for at in range(n_cuts)
        ),
        blocks=(Block(from_cut=0, to_cut=n_cuts - 1, compute_s=Quantiles(median=1.0, p90=1.0)),),
        whole_s=Quantiles(median=1.0, p90=1.0),
    )


def test_a_profile_that_travels_names_no_tensors_and_is_otherwise_the_same():
    sent = profile(600, 100)
    data = profile_to_bytes(sent)
    assert len(data) < 200_000
    bare = tuple(replace(cut, tensors=()) for cut in sent.cuts)
    assert profile_from_bytes(data, FOG) == replace(sent, cuts=bare)


def test_a_profile_that_is_too_large_is_refused_in_words_on_both_sides(monkeypatch):
    monkeypatch.setattr(profiling, "MAX_PROFILE_BYTES", 1000)
    with pytest.raises(ModelError, match="a profile of 99 cuts takes"):
        profile_to_bytes(profile(99, 1))
    with pytest.raises(WireError, match="sent a profile of 2000 bytes"):
        profile_from_bytes(bytes(2000), FOG)
