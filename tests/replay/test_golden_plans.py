"""Recorded-like profiles and links in, golden plans out: byte-identical unless planning itself is meant to change.

After a change that is meant: ``SEAMLINE_WRITE_GOLDEN=1 pytest tests/replay`` and read the difference.
The profiles are published whole-model times shared out over layers by a model; see `make_profiles.py`.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from seamline.core.adaptation.events import (
    Event,
    LinkMeasured,
    NodeJoined,
    NodeLeft,
    ObjectiveSet,
    PlanServing,
    ProfileKnown,
)
from seamline.core.adaptation.policy import Switch, decide
from seamline.core.adaptation.view import View, apply
from seamline.core.planning.planner import EnergyScope, Planned, Problem, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import (
    Block,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)

HERE = Path(__file__).parent
MODELS = ("vgg19", "mobilenetv2")
ORIGIN = NodeId("edge")
FOG_CLOUD_MBPS = 100
PRIVATE = Constraints(n_private_cuts=1)


def read_profiles(model: str) -> dict[NodeId, Profile]:
    texts = json.loads((HERE / f"{model}.profiles.json").read_text())
    profiles = [to_profile(text) for text in texts]
    return {profile.device.name: profile for profile in profiles}


def to_profile(text: dict) -> Profile:
    cuts = tuple(
        Cut(
            index=cut["index"],
            after=cut["after"],
            tensors=tuple(
                TensorSpec(name=t["name"], dtype=t["dtype"], shape=tuple(t["shape"])) for t in cut["tensors"]
            ),
            payload_bytes=cut["bytes"],
            macs_before=cut["macs_before"],
        )
        for cut in text["cuts"]
    )
    blocks = tuple(
        Block(from_cut=b["from_cut"], to_cut=b["to_cut"], compute_s=Quantiles(**b["compute_s"])) for b in text["blocks"]
    )
    return Profile(
        model=ModelInfo(**text["model"]),
        device=DeviceInfo(**text["device"]),
        cuts=cuts,
        blocks=blocks,
        whole_s=Quantiles(**text["whole_s"]),
        frame=FrameInfo(**text["frame"]),
    )


def links(edge_mbps: float) -> list[LinkEstimate]:
    """Edge to fog as given with 20 ms one way (NEUKONFIG's set-up), fog to cloud 100 Mbit/s with 5 ms, edge to cloud
    through both."""
    pairs = {("edge", "fog"): (edge_mbps, 0.04), ("fog", "cloud"): (FOG_CLOUD_MBPS, 0.01)}
    pairs["edge", "cloud"] = (min(edge_mbps, FOG_CLOUD_MBPS), 0.05)
    return [
        LinkEstimate(
            source=NodeId(a), target=NodeId(b), rtt_s=rtt_s, goodput_bps=mbps * 1e6, goodput_std_ratio=0.03, n_samples=9
        )
        for (one, other), (mbps, rtt_s) in pairs.items()
        for a, b in ((one, other), (other, one))
    ]


def planned(model: str, mbps: float, objective: Objective, constraints: Constraints) -> Planned:
    profiles = read_profiles(model)
    return plan(
        Problem(
            origin=ORIGIN,
            cuts=profiles[ORIGIN].cuts,
            profiles=profiles,
            links={(link.source, link.target): link for link in links(mbps)},
            objective=objective,
            constraints=constraints,
            energy_scope=EnergyScope.ORIGIN,  # the others have no power figures
        )
    )


def table_of_plans() -> Iterator[str]:
    for model, objective, n_private, mbps in product(MODELS, Objective, (0, 1), (1.6, 5, 20, 50, 500)):
        found = planned(model, mbps, objective, Constraints(n_private_cuts=n_private))
        yield (
            f"{model} {objective} private={n_private} edge={mbps}Mbit/s: {found.plan}"
            f" | {found.latency_s:.4g} s, {found.throughput_fps:.4g} fps, {found.energy_j:.4g} J"
        )


def scenario(model: str) -> Iterator[Event]:
    """The edge's links fall from 20 to 5 Mbit/s at 30 s and rise at 60 s; the cloud dies at 75 s, back at 80 s."""
    profiles = read_profiles(model)
    yield ObjectiveSet(Objective.LATENCY, PRIVATE, 0.0)
    for node, profile in profiles.items():
        yield NodeJoined(node, Tier(node), "first", 0.0)
        yield ProfileKnown(node, profile, 0.0)
    for tenth in range(900):
        now_s = tenth / 10
        mbps = 5 if 30 <= now_s < 60 else 20
        for link in links(mbps):
            yield LinkMeasured(replace(link, measured_at_s=now_s), now_s)
        if now_s == 75:
            yield NodeLeft(NodeId("cloud"), now_s)
        if now_s == 80:
            yield NodeJoined(NodeId("cloud"), Tier("cloud"), "second", now_s)


def history_of_decisions() -> Iterator[str]:
    for model in MODELS:
        view = View(origin=ORIGIN)
        n_links = 0
        for event in scenario(model):
            view = apply(view, event)
            n_links += isinstance(event, LinkMeasured)
            if n_links % 6 or n_links == 0:
                continue  # decide once per round of measurements
            decision = decide(view)
            if isinstance(decision, Switch):
                yield f"{model} {view.now_s:.1f} s: {decision.plan} because {decision.reason}"
                view = apply(view, PlanServing(decision.plan, view.generation + 1, view.now_s))


@pytest.mark.parametrize(("name", "lines"), [("plans", table_of_plans), ("decisions", history_of_decisions)])
def test_recorded_profiles_give_the_golden_result(name: str, lines):
    text = "".join(f"{line}\n" for line in lines())
    golden = HERE / f"golden_{name}.txt"
    if os.environ.get("SEAMLINE_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("model", MODELS)
def test_where_pixels_may_leave_the_latency_optimum_is_no_split(model: str):
    """Decision 6 of the architecture: against a 25 kB JPEG, real measurements had no split among 72 optima."""
    for mbps in (1.6, 5, 20, 50):
        best = planned(model, mbps, Objective.LATENCY, Constraints()).plan
        assert best.is_offload or best.is_local


def test_every_golden_plan_parses_back():
    for line in (HERE / "golden_plans.txt").read_text().splitlines():
        text = line.split(": ")[1].split(" | ")[0]
        assert str(Plan.parse(text)) == text
