"""Faults of the session that `seamline.sim.storm` found, each by the shortest story that showed it: events in,
commands out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from seamline.core.adaptation.policy import Adaptive, Fixed, Keep, Policy
from seamline.core.link.report import report_of
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.releases import DOUBT_S
from seamline.core.session.session import Session
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Block, Cut, DeviceInfo, ModelInfo, Profile, Quantiles, TensorSpec
from seamline.sim.policy_adapters import CorePolicyAdapter

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
LOCAL = Plan.parse("edge[0:2]")
SPLIT = Plan.parse("edge[0:1]raw > fog[1:2]")
TIMES_S = {EDGE: 0.1, FOG: 0.01, CLOUD: 0.02}

Command = TypeVar("Command")


@dataclass
class World:
    """A session and what it has been commanded so far."""

    session: Session
    now_s: float = 0.0
    commands: list[cmd.Command] = field(default_factory=list)

    def hear(self, *events: ev.Event, after_s: float = 0.0) -> Sequence[cmd.Command]:
        """The commands that follow from `events`, `after_s` from now."""
        self.now_s += after_s
        found = [command for event in events for command in self.session.handle(event, self.now_s)]
        self.session.validate()
        self.commands += found
        return found

    def status(self, node: NodeId, incarnation: str = "1") -> ev.StatusReceived:
        links = tuple(report_of(_estimate(node, other), self.now_s) for other in (EDGE, FOG, CLOUD) if other != node)
        return ev.StatusReceived(
            node=node,
            tier=Tier(node),
            incarnation=incarnation,
            queue_s=0.0,
            usable_memory_bytes=0,
            links=links,
        )

    def prepare(self, generation: int, plan: Plan) -> None:
        """Every node of `plan` says that it is ready."""
        self.hear(*(ev.NodePrepared(generation, node, 0.01) for node in plan.nodes))


def only(kind: type[Command], commands: Sequence[object]) -> list[Command]:
    """The commands of one kind, in order."""
    return [command for command in commands if isinstance(command, kind)]


def _estimate(source: NodeId, target: NodeId) -> LinkEstimate:
    return LinkEstimate(source=source, target=target, rtt_s=0.01, goodput_bps=50e6, n_samples=5)


def _profile(node: NodeId, block_s: float) -> Profile:
    cuts = tuple(
        Cut(index=at, after=f"l{at}", tensors=(TensorSpec(name=f"t{at}", dtype="float32", shape=(1, 100)),),
            payload_bytes=400)
        for at in range(3)
    )  # fmt: skip
    block = Quantiles(median=block_s, p90=block_s)
    whole = Quantiles(median=2 * block_s, p90=2 * block_s)
    return Profile(
        model=ModelInfo(name="toy"),
        device=DeviceInfo(name=node),
        cuts=cuts,
        blocks=tuple(Block(from_cut=at, to_cut=at + 1, compute_s=block) for at in range(2)),
        whole_s=whole,
    )


@pytest.fixture
def make_world() -> Callable[..., World]:
    """A session whose plan serves as generation 1, `SPLIT` unless another policy is given."""

    def make(policy: Policy | None = None) -> World:
        spec = SessionSpec(
            origin=EDGE,
            others=(FOG, CLOUD),
            local=LOCAL,
            objective=Objective.LATENCY,
            constraints=Constraints(),
            policy=policy or Fixed(SPLIT),
        )
        world = World(Session(spec))
        world.hear(*(ev.ProfileKnown(node, _profile(node, took_s)) for node, took_s in TIMES_S.items()))
        world.hear(*(world.status(node) for node in (FOG, CLOUD)))
        world.hear(*(ev.LinkEstimated(_estimate(EDGE, node)) for node in (FOG, CLOUD)))
        world.hear(ev.Begin(), ev.Tick())
        (asked,) = only(cmd.Prepare, world.commands)
        world.prepare(1, asked.generation.plan)
        return world

    return make


@pytest.fixture
def world(make_world) -> World:
    return make_world()


def released(commands) -> list[int]:
    return [command.generation.number for command in only(cmd.Release, commands)]


def leave_for_local(world: World) -> None:
    """A plan by hand serves, so that generation 1 drains and is released."""
    world.hear(ev.SwitchAsked(1, LOCAL, None, "by hand"))
    world.prepare(2, LOCAL)
    assert released(world.hear(ev.Tick(), after_s=0.5)) == [1]


def test_a_node_that_was_away_when_a_generation_ended_is_told_when_it_is_back(world: World):
    """Seed 2: it kept those segments for ever."""
    world.hear(ev.PeerChanged(FOG, False))
    leave_for_local(world)
    assert released(world.hear(world.status(FOG), after_s=2.0)) == [1]
    assert released(world.hear(world.status(FOG), after_s=0.5)) == []


def test_a_release_that_may_have_been_lost_with_the_connection_is_said_again(world: World):
    leave_for_local(world)
    world.hear(ev.PeerChanged(FOG, False), after_s=0.9 * DOUBT_S)
    assert released(world.hear(world.status(FOG), after_s=60.0)) == [1]


def test_a_release_long_before_the_loss_has_come_through(world: World):
    leave_for_local(world)
    world.hear(ev.PeerChanged(FOG, False), after_s=1.1 * DOUBT_S)
    assert released(world.hear(world.status(FOG), after_s=1.0)) == []


def test_another_process_on_a_node_that_was_away_holds_nothing_to_be_released(world: World):
    world.hear(ev.PeerChanged(FOG, False))
    leave_for_local(world)
    assert released(world.hear(world.status(FOG, incarnation="2"), after_s=2.0)) == []


def test_a_new_frame_does_not_set_out_to_a_node_that_is_gone(world: World):
    """Seed 193: until another plan was prepared, every frame went to the dead node first."""
    (first,) = only(cmd.RunFrame, world.hear(ev.FrameOffered("a")))
    assert first.route.plan == SPLIT
    world.hear(ev.PeerChanged(FOG, False), ev.FrameOffered("b"))
    (again,) = only(cmd.RunFrame, world.hear(ev.Tick(), after_s=0.5))
    assert (again.frame, again.route.plan) == (0, LOCAL)
    (second,) = only(cmd.RunFrame, world.hear(ev.AnswerArrived(0, 1, 0, LOCAL.origin, "A", ())))
    assert (second.frame, second.attempt, second.route.plan) == (1, 0, LOCAL)


def test_frames_that_run_at_home_for_a_lost_node_are_one_at_a_time(world: World):
    world.hear(ev.PeerChanged(FOG, False), ev.FrameOffered("a"))
    (frame,) = only(cmd.RunFrame, [*world.hear(ev.Tick(), after_s=0.5), *world.hear(ev.FrameOffered("b"))])
    assert (frame.frame, frame.attempt, frame.route.plan) == (0, 0, LOCAL)


def test_frames_set_out_to_a_node_again_that_is_back(world: World):
    world.hear(ev.PeerChanged(FOG, False), ev.PeerChanged(FOG, True))
    (frame,) = only(cmd.RunFrame, world.hear(ev.FrameOffered("a")))
    assert frame.route.plan == SPLIT


def test_a_decision_that_stood_for_a_pinned_plan_does_not_stand_for_the_policy_after_it(make_world):
    """Seed 57 of the simulator's cache: unpinned, the session stayed on the plan that had been given by hand."""
    world = make_world(Fixed(LOCAL))
    world.hear(ev.Tick(), after_s=5.0)
    view = world.session.pilot.view
    adapter = CorePolicyAdapter(Adaptive())
    assert isinstance(adapter(view, Fixed(LOCAL)), Keep)
    assert not isinstance(adapter(view, Adaptive()), Keep)


def test_a_node_whose_greeting_was_lost_is_asked_who_it_is(world: World):
    """Seed 921: seen again, it was left out for as long as it had nothing else to say, up to a minute."""
    world.hear(ev.PeerChanged(FOG, False))
    world.hear(ev.PeerChanged(FOG, True), after_s=1.0)
    assert FOG in {asked.node for asked in only(cmd.MeasureLinks, world.hear(ev.Tick(), after_s=0.1))}
