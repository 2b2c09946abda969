"""The host of a machine in virtual time: the same rules as a node's, with the times of the scene."""

import pytest

from seamline.core.cost.loads import StageLoad
from seamline.core.hosting import commands as cmd
from seamline.core.hosting.host import ORPHAN_S
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Cut, TensorSpec
from seamline.sim.network import Schedule
from seamline.sim.nodes import SimHost, SimNode

EDGE, FOG = NodeId("edge"), NodeId("fog")
PLAN = Plan.parse("edge[0:1]raw > fog[1:2]")
CUTS = tuple(
    Cut(
        index=at,
        after=f"layer{at}",
        tensors=(TensorSpec(name="t", dtype="uint8", shape=(1000,)),),
        payload_bytes=1000,
        macs_before=at,
        weights_before_bytes=at * 1_000_000,
    )
    for at in range(3)
)


class Machine:
    """The host of `fog`. takes_s: of every preparation. answers: (when, generation, why not)."""

    def __init__(self, usable_memory_bytes: int | None = None) -> None:
        self.schedule = Schedule()
        self.takes_s: float | None = 0.5
        self.answers: list[tuple[float, int, str | None]] = []
        self.host = SimHost(
            SimNode(FOG, self.schedule),
            EDGE,
            self.schedule,
            CUTS,
            takes_s=lambda generation: self.takes_s,
            replied=self._replied,
            usable_memory_bytes=usable_memory_bytes,
        )

    def _replied(self, reply: cmd.Reply) -> None:
        self.answers.append((self.schedule.now_s, reply.generation, reply.reason))


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_generations_are_prepared_one_after_the_other(machine):
    machine.host.prepare(EDGE, 1, 7, PLAN, StageLoad())
    machine.host.prepare(EDGE, 2, 8, PLAN, StageLoad())
    machine.schedule.run(0.6)
    assert (machine.host.holds(7), machine.host.holds(8)) == (True, False)
    machine.schedule.run(2.0)
    assert machine.answers == [(0.5, 7, None), (1.0, 8, None)]


def test_a_generation_that_was_let_go_is_not_held_by_a_request_that_comes_late_or_twice(machine):
    machine.host.release(EDGE, 3)
    machine.host.prepare(EDGE, 1, 3, PLAN, StageLoad())
    machine.host.prepare(EDGE, 2, 4, PLAN, StageLoad())
    machine.host.prepare(EDGE, 2, 4, PLAN, StageLoad())
    machine.host.release(EDGE, 4)
    machine.schedule.run(2.0)
    assert machine.host.host.n_generations == 0
    assert [(generation, reason is None) for _, generation, reason in machine.answers] == [(3, False), (4, False)]


def test_a_process_that_ends_holds_nothing_and_answers_nothing(machine):
    machine.host.prepare(EDGE, 1, 7, PLAN, StageLoad())
    machine.schedule.run(0.1)
    machine.host.restart()
    machine.schedule.run(2.0)
    assert machine.answers == []
    assert not machine.host.holds(7)


def test_without_memory_nothing_is_prepared(machine):
    machine.takes_s = None
    machine.host.prepare(EDGE, 1, 7, PLAN, StageLoad())
    assert machine.answers == [(0.0, 7, "out of memory")]


def test_a_machine_admits_what_its_memory_does_for():
    machine = Machine(usable_memory_bytes=1000)
    machine.host.prepare(EDGE, 1, 7, PLAN, StageLoad())
    ((_, _, reason),) = machine.answers
    assert "its segments need 1.1 MB here" in reason


def test_what_an_origin_had_is_freed_when_it_stays_away(machine):
    machine.host.prepare(EDGE, 1, 7, PLAN, StageLoad())
    machine.schedule.run(1.0)
    machine.host.peer(EDGE, False)
    machine.schedule.run(0.9 * ORPHAN_S)
    assert machine.host.holds(7)
    machine.schedule.run(1.2 * ORPHAN_S)
    assert not machine.host.holds(7)
