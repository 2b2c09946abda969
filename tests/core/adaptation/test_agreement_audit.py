"""When audits withdraw a codec: by more than chance, and of the boundary that keeps the fewest bits."""

from __future__ import annotations

import pytest

from seamline.core.adaptation.agreement_audit import MIN_AUDITED, WINDOW, AgreementAudit, coarsest_boundary
from seamline.core.vocabulary.plans import Codec, Plan

HERE = (3, Codec.Q4)


@pytest.mark.parametrize(
    ("plan", "boundary"),
    [
        ("edge[0:9]", None),
        ("edge[0:0]jpeg > cloud[0:9]", None),
        ("edge[0:3]lossless > cloud[3:9]", None),
        ("edge[0:3]u8 > fog[3:5]q4 > cloud[5:9]", (5, Codec.Q4)),
        ("edge[0:3]q2 > fog[3:5]f16 > cloud[5:9]", (3, Codec.Q2)),
    ],
)
def test_the_boundary_that_keeps_the_fewest_bits_answers_for_a_plan(plan, boundary):
    assert coarsest_boundary(Plan.parse(plan)) == boundary


def test_answers_that_agree_withdraw_nothing():
    audit = AgreementAudit(0.98)
    assert audit.agreement_ratio is None
    assert [audit.observe(HERE, 1.0) for _ in range(300)] == [None] * 300
    assert (audit.n_audited, audit.agreement_ratio) == (300, 1.0)


def test_few_frames_and_chance_withdraw_nothing():
    audit = AgreementAudit(0.98)
    assert [audit.observe(HERE, 0.0) for _ in range(MIN_AUDITED - 1)] == [None] * (MIN_AUDITED - 1)
    audit = AgreementAudit(0.98)
    shares = [0.0 if number % 40 == 10 else 1.0 for number in range(200)]  # 97.5 %, within what chance explains
    assert {audit.observe(HERE, share) for share in shares} == {None}


def test_answers_that_drift_withdraw_the_codec_and_say_why():
    audit = AgreementAudit(0.98)
    for _ in range(WINDOW):
        audit.observe(HERE, 1.0)
    shares = [0.0 if number % 5 == 0 else 1.0 for number in range(WINDOW)]
    reasons = [why for share in shares if (why := audit.observe(HERE, share)) is not None]
    assert reasons[0].endswith("of 100 audited answers agree with the unsplit model, 98.0% are wanted")
    assert audit.observe((4, Codec.Q4), 0.0) is None, "another cut counts apart"
