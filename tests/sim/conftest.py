"""Profiles of published hardware (see tests/replay/make_profiles.py) and scenes over them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seamline.config import Trace
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.profile_file import from_json
from seamline.sim import Scene, SceneLink

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
REPLAY = Path(__file__).parents[1] / "replay"

MakeScene = Callable[..., Scene]


@pytest.fixture(scope="session")
def mobilenetv2() -> dict[NodeId, Profile]:
    profiles = [from_json(text) for text in json.loads((REPLAY / "mobilenetv2.profiles.json").read_text())]
    return {profile.device.name: profile for profile in profiles}


@pytest.fixture
def make_scene(mobilenetv2: dict[NodeId, Profile]) -> MakeScene:
    """Raw frames stay on the edge; the trace is of the edge's link, the rest is 100 Mbit/s and 5 ms."""

    def make(trace: Trace, *, fps: float = 2.0, duration_s: float = 60.0, n_private_cuts: int = 1, **fields) -> Scene:
        return Scene(
            origin=EDGE,
            profiles=mobilenetv2,
            links=(
                SceneLink(between=(EDGE, FOG), trace=trace, delay_s=0.002),
                SceneLink.steady(FOG, CLOUD, 100e6, 0.005),
            ),
            fps=fps,
            duration_s=duration_s,
            constraints=Constraints(n_private_cuts=n_private_cuts),
            energy_scope=EnergyScope.ORIGIN,  # the others have no power figures
            **fields,
        )

    return make
