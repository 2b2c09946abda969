"""Live audits: frames that crossed a link in fewer bits run unsplit too, and what they show reaches the pilot."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from seamline.core.vocabulary.plans import Codec
from seamline.runtime.api import stream as stream_module
from seamline.runtime.origin import audit

CODECS = (Codec.RAW, Codec.F16)
EVERYWHERE = tuple((cut, Codec.F16) for cut in range(30))


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is audited, whatever time that takes."""
    monkeypatch.setattr(audit, "SHARE_OF_TIME", 1e9)


PLAN = "edge[0:8]f16 > fog[8:19]"


@pytest.fixture
def split(bench):
    """Opens a stream whose tensors leave the edge as f16."""

    def opened():
        bench.start("edge")
        bench.start("fog")
        bench.link("edge", "fog", 400e6)
        return bench.stream(policy=PLAN, codecs=CODECS, lossy=EVERYWHERE, min_agreement=0.9)

    return opened


def test_answers_that_agree_are_counted_and_frames_by_their_codec(split, photos):
    stream = split()
    answers = list(stream.run(photos[:6], live=False))
    n_split = sum(not answer.plan.is_local for answer in answers)
    summary = stream.summary()
    assert n_split > 0
    assert summary["codecs"] == {"f16": n_split}
    assert 0 < summary["audit"]["n_frames"] <= n_split
    assert summary["audit"]["agreement_ratio"] == 1.0
    assert summary["audit"]["withdrawn"] == []


@dataclass
class Disagreeing:
    def agreement_ratio(self, found, expected) -> float:
        assert found.keys() == expected.keys()
        return 0.0


def test_a_codec_whose_answers_mean_something_else_is_withdrawn_while_frames_flow(split, photos, monkeypatch):
    monkeypatch.setattr(stream_module, "judge_of", lambda model: Disagreeing())
    stream = split()
    answers, frames = [], itertools.cycle(photos)
    for answer in stream.run(frames, n_frames=200, live=False):
        answers.append(answer)
        if stream.summary()["audit"]["withdrawn"]:
            break
    assert all(answer.error is None for answer in answers)
    (said,) = stream.summary()["audit"]["withdrawn"]
    assert said == "f16 at cut 8: 0.0% of 10 audited answers agree with the unsplit model, 90.0% are wanted"


def test_a_stream_without_a_bound_audits_nothing(bench, photos):
    bench.start("edge")
    stream = bench.stream()
    list(stream.run(photos[:2], live=False))
    assert stream.summary()["audit"] is None
    assert stream.summary()["codecs"] == {}
