"""The scene of benchmarks in virtual time: three machines of published speed, and a link that follows a trace."""

from __future__ import annotations

import json
from pathlib import Path

from seamline.config import Trace
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.meters.profile_file import from_json
from seamline.sim import Scene, SceneLink

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
PROFILES = Path(__file__).parents[1] / "tests" / "replay" / "mobilenetv2.profiles.json"
"""MobileNetV2 with published times of a Raspberry Pi 4, an edge server and a cloud machine."""


def scene_of(trace: Trace, *, fps: float, duration_s: float, edge_delay_s: float = 0.002) -> Scene:
    """Three nodes by `PROFILES`, raw frames private; the link from edge to fog follows `trace`."""
    profiles = [from_json(one) for one in json.loads(PROFILES.read_text(encoding="utf-8"))]
    return Scene(
        origin=EDGE,
        profiles={NodeId(profile.device.name): profile for profile in profiles},
        links=(
            SceneLink(between=(EDGE, FOG), trace=trace, delay_s=edge_delay_s),
            SceneLink.steady(FOG, CLOUD, 100e6, 0.005),
        ),
        fps=fps,
        duration_s=duration_s,
        constraints=Constraints(n_private_cuts=1),
    )
