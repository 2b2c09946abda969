"""Summary of a demo: the adaptive run's figures, and every baseline's in the same conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from seamline.cli.demo.story import SceneFigures
from seamline.core.vocabulary.documented import INLINED, Names
from seamline.runtime.origin.summary import FrameFigures, RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFigures:
    """What one baseline reached."""

    mean: Annotated[float | None, "mean latency, seconds"]
    p95: Annotated[float | None, "95th percentile of latency, seconds"]
    allowed: Annotated[bool, "whether the constraints allow it; it is measured in any case"]
    plan: Annotated[str, "the plan it used, the last of several"]
    frames: FrameFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFigures:
    """What a node of the testbed imitates."""

    machine: Annotated[str | None, "the machine with published times that it imitates, null when it has none"]
    slowdown: Annotated[float, "how much slower than this computer that is"]
    model_s: Annotated[float | None, "seconds of the whole model there, null without a published machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneChange:
    """Something that was done to the testbed."""

    at_s: Annotated[float, "when something was done to the testbed, seconds since the stream began"]
    what: Annotated[str, "what was done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """What `seamline demo --json` prints; `adaptive` is the run of that policy."""

    adaptive: RunSummary = field(metadata=INLINED)
    testbed: Annotated[str, "name of the testbed"]
    model: Annotated[str, "the model"]
    seconds: Annotated[float, "length of the run"]
    fps: Annotated[float, "frames per second of the source"]
    private: Annotated[int, "as given with --private"]
    allowed_codecs: Annotated[str, "as given with --codecs"]
    machines: Mapping[str, MachineFigures]
    baselines: Annotated[
        Mapping[str, BaselineFigures],
        Names(
            {
                "local": "everything on the edge, in the same conditions",
                "offload": "the frame sent as JPEG or raw, in the same conditions",
                "static_at_start": "static split (best at start), in the same conditions",
            }
        ),
    ]
    scenes: tuple[SceneFigures, ...]
    scene_changes: tuple[SceneChange, ...]
    answers: Annotated[
        Mapping[str, tuple[tuple[float, float], ...]],
        Names(
            {
                name: f"frames of {what}: when each was accepted, seconds since the stream began, and its latency"
                for name, what in (
                    ("adaptive", "the adaptive policy"),
                    ("static_at_start", "the static split"),
                    ("local", "everything on the edge"),
                    ("offload", "the frame sent"),
                )
            }
        ),
    ] = field(default_factory=dict)


def baseline_figures(run: RunSummary, *, is_allowed: bool) -> BaselineFigures:
    """What is kept of a baseline's run."""
    return BaselineFigures(
        mean=run.latency_s.mean,
        p95=run.latency_s.p95,
        allowed=is_allowed,
        plan=run.plan_timeline[-1].plan,
        frames=run.frames,
    )
