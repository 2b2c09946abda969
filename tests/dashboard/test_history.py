"""The page's history: full for ten minutes, thinned for a day, bounded, with what was decided, and kept on disk."""

from __future__ import annotations

import pytest

from seamline.dashboard import history
from seamline.dashboard.history import FULL_S, KEPT_S, THIN_TO_S, History
from seamline.runtime.api.snapshot import StreamSnapshot, SwitchSnapshot
from seamline.runtime.api.stream_state import Change, Costs, Decision, StreamBrief, StreamState

BEGAN_S = 1_000_000.0


def brief(at_s: float, name: str = "edge-1") -> StreamBrief:
    return StreamBrief(
        name=name, title="t", at_s=at_s, plan="edge[0:4]", generation=0, frame_rate_fps=2.0, latency_s=0.1,
        parts={"edge": 0.1}, n_answered=1, n_dropped=0, objective="latency", is_pinned=False, n_events=0,
    )  # fmt: skip


def state(at_s: float, decisions: tuple[Decision, ...] = (), changes: tuple[Change, ...] = ()) -> StreamState:
    return StreamState(
        name="edge-1", title="t", model="m", n_cuts=4, snapshot=StreamSnapshot(at_s=at_s, plan="edge[0:4]"),
        boundaries=(), nodes=(), avoided=(), costs=Costs(), decisions=decisions, changes=changes,
    )  # fmt: skip


def watched(kept: History, seconds: range) -> None:
    for second in seconds:
        kept.take([brief(float(second))], [], BEGAN_S + second)


@pytest.fixture
def kept():
    made = History()
    yield made
    made.close()


def test_ten_minutes_are_full_and_what_is_older_is_thinned(kept):
    watched(kept, range(2401))
    at_s = [tick.at_s for tick in kept.of("edge-1").ticks]
    full = [at for at in at_s if at > 2400 - FULL_S]
    assert full == [float(second) for second in range(int(2400 - FULL_S) + 1, 2401)]
    assert [tick.at_s for tick in kept.of("edge-1", 60.0).ticks] == [float(second) for second in range(2341, 2401)]
    old = [at for at in at_s if at <= 2400 - FULL_S - history.TIDY_EVERY_S]
    assert old == [float(second) for second in range(0, int(2400 - FULL_S - history.TIDY_EVERY_S) + 1, THIN_TO_S)]


def test_a_day_is_kept_and_no_more(kept):
    kept.take([brief(0.0)], [], BEGAN_S)
    kept.take([brief(KEPT_S - 1.0)], [], BEGAN_S + KEPT_S - 1.0)
    assert len(kept.of("edge-1").ticks) == 2
    kept.take([brief(KEPT_S + 100.0)], [], BEGAN_S + KEPT_S + 100.0)
    assert [tick.at_s for tick in kept.of("edge-1").ticks] == [KEPT_S - 1.0, KEPT_S + 100.0]


def test_the_oldest_rows_go_where_there_are_too_many(kept, monkeypatch):
    monkeypatch.setattr(history, "MAX_ROWS", 50)
    for second in range(0, 130, 65):
        kept.take([brief(float(second), f"edge-{number}") for number in range(40)], [], BEGAN_S + second)
    assert kept.n_rows() == 50
    assert [tick.at_s for tick in kept.of("edge-39").ticks][-1] == 65.0


def test_a_switch_is_kept_once_with_what_is_known_of_it_last_and_changes_beside_it(kept):
    def decided(gap_s: float | None) -> Decision:
        switch = SwitchSnapshot(
            at_s=3.0, from_plan="a", to_plan="b", reason="r", prepare_s=0.1, switch_s=0.0, gap_s=gap_s
        )
        return Decision(number=1, switch=switch, rivals=())

    change = Change(at_s=4.0, by="on the dashboard", what="avoids fog")
    kept.take([], [state(3.5, (decided(None),))], BEGAN_S + 3.5)
    kept.take([], [state(5.0, (decided(0.4),), (change,))], BEGAN_S + 5.0)
    found = kept.of("edge-1")
    assert found.decisions == (decided(0.4),)
    assert found.changes == (change,)


def test_a_file_outlives_the_process_and_a_second_one_reads_it(tmp_path):
    first = History(tmp_path / "history.sqlite3")
    watched(first, range(5))
    first.close()
    second = History(tmp_path / "history.sqlite3")
    assert len(second.of("edge-1").ticks) == 5
    second.close()


def test_a_disk_that_is_full_costs_figures_and_not_the_page(kept, caplog):
    kept._db.execute("PRAGMA max_page_count = 1")
    for second in range(3):
        kept.take([brief(float(second), "x" * 3000)], [], BEGAN_S + second)
    assert caplog.text.count("has a gap") == 1
