"""The node model: one compute queue, hangs, deaths and restarts."""

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.sim.network import Schedule
from seamline.sim.nodes import Attempt, SimNode, StageJob

PLAN = Plan.parse("edge[0:2]")
TOOK_S = 1.0


class Machine:
    """A node whose stages take `TOOK_S`, and what it did: (when it was done, frame). unwanted: frames it leaves out."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.done: list[tuple[float, int]] = []
        self.unwanted: set[int] = set()
        self.node = SimNode(NodeId("edge"), self.schedule)

    def _starts(self, job: StageJob) -> float | None:
        return None if job.way.frame in self.unwanted else TOOK_S

    def _finished(self, job: StageJob) -> None:
        self.done.append((self.schedule.now_s, job.way.frame))

    def put(self, frame: int, *, urgent: bool = False) -> None:
        way = Attempt("s", frame, 0, 0, PLAN, (), frame)
        self.node.put(StageJob(way, 0, self.schedule.now_s, self._starts, self._finished), urgent=urgent)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_stages_run_one_after_the_other_urgent_ones_first(machine: Machine):
    for frame in (1, 2, 3):
        machine.put(frame)
    machine.put(4, urgent=True)
    machine.schedule.run(10.0)
    assert machine.done == [(1.0, 1), (2.0, 4), (3.0, 2), (4.0, 3)]
    assert machine.node.busy_s == 4.0


def test_what_nobody_wants_any_more_as_its_turn_comes_is_left_out(machine: Machine):
    for frame in (1, 2, 3):
        machine.put(frame)
    machine.unwanted = {2}
    machine.schedule.run(10.0)
    assert machine.done == [(1.0, 1), (2.0, 3)]


def test_what_comes_of_a_stage_waits_behind_what_is_here_already(machine: Machine):
    done = machine._finished
    machine._finished = lambda job: (done(job), machine.put(3) if job.way.frame == 1 else None)
    machine.put(1)
    machine.put(2)
    machine.schedule.run(10.0)
    assert [frame for _, frame in machine.done] == [1, 2, 3]


def test_preparing_keeps_a_node_from_computing(machine: Machine):
    machine.put(1)
    machine.node.occupy(0.25)
    machine.put(2)
    machine.schedule.run(10.0)
    assert machine.done == [(1.0, 1), (2.25, 2)]


def test_a_hang_loses_nothing_and_puts_everything_off(machine: Machine):
    machine.put(1)
    machine.put(2)
    machine.schedule.at(0.5, machine.node.hang, 3.0)
    machine.schedule.run(10.0)
    assert machine.done == [(4.0, 1), (5.0, 2)]


def test_hangs_that_overlap_are_one(machine: Machine):
    machine.put(1)
    machine.schedule.at(0.5, machine.node.hang, 3.0)
    machine.schedule.at(1.0, machine.node.hang, 1.0)
    machine.schedule.run(10.0)
    assert machine.done == [(4.0, 1)]


def test_a_death_loses_the_queue_and_what_returns_is_another_process(machine: Machine):
    machine.put(1)
    machine.put(2)
    before = machine.node.incarnation
    machine.schedule.at(0.5, machine.node.die)
    machine.schedule.at(2.0, machine.node.restart)
    machine.schedule.at(3.0, machine.put, 3)
    machine.schedule.run(10.0)
    assert machine.done == [(4.0, 3)]
    assert machine.node.incarnation != before


def test_the_load_is_what_waits_by_the_time_of_stages_before(machine: Machine):
    assert machine.node.queue_s == 0.0
    for frame in range(4):
        machine.put(frame)
    machine.schedule.run(1.5)
    assert machine.node.queue_s == pytest.approx(2 * 0.2 * TOOK_S)
