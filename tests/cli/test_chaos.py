"""`seamline chaos` as typed; what it does to real processes is in `tests/faults`."""

from seamline.runtime.chaos.faults import FaultKind


def test_a_kind_that_there_is_not_is_refused_with_those_that_there_are(seamline):
    outcome = seamline("chaos", "--only", "kil")
    assert outcome.exit_code == 2
    assert "`kil`" in outcome.stderr
    assert all(kind in outcome.stderr for kind in FaultKind)
