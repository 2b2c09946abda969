"""The demo's story: its scenes, and what every policy reached in each. Pure functions of what frames took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Annotated

from seamline.config import Testbed
from seamline.core.vocabulary.quantities import seconds_text

ADAPTIVE, STATIC, LOCAL, OFFLOAD = "adaptive", "static_at_start", "local", "offload"
TITLES: Mapping[str, str] = {
    ADAPTIVE: "adaptive",
    STATIC: "static split",
    LOCAL: "all local",
    OFFLOAD: "JPEG offload",
}

WORTH_SAYING_RATIO = 0.02
"""Less is noise: machines that differ in nothing differ by as much."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch of the run, in seconds of it."""

    name: str
    from_s: float
    to_s: float

    def holds(self, at_s: float) -> bool:
        return self.from_s <= at_s < self.to_s


@dataclass(frozen=True, slots=True)
class Answer:
    """An answered frame. frame: its number, of those accepted. at_s: when it was accepted."""

    frame: int
    at_s: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInScene:
    """What one policy reached in one scene, of the frames that came in it."""

    mean: Annotated[float | None, "mean latency of the scene's frames, seconds"]
    answered: Annotated[int, "frames of the scene with an answer"]
    lost: Annotated[int, "accepted frames of the scene without one"]
    longest_gap_s: Annotated[float | None, "longest time between two answers in the scene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFigures:
    """One scene with what every policy reached in it."""

    name: Annotated[str, "the scene's name"]
    from_s: Annotated[float, "where the scene begins, seconds since the stream began"]
    to_s: Annotated[float, "where it ends"]
    policies: Mapping[str, PolicyInScene]

    def mean_s(self, key: str) -> float | None:
        return self.policies[key].mean if key in self.policies else None

    @property
    def ahead_ratio(self) -> float | None:
        """Share of the static split's time that adaptive saves; negative where it takes longer."""
        adaptive_s, static_s = self.mean_s(ADAPTIVE), self.mean_s(STATIC)
        return None if adaptive_s is None or not static_s else 1.0 - adaptive_s / static_s


def scenes_of(testbed: Testbed, duration_s: float) -> tuple[Scene, ...]:
    """The scenes of a run of `duration_s` by time; one that is all of it where the file tells none."""
    starts = sorted((scene.at_s_of(duration_s), scene.name) for scene in testbed.scenes)
    starts = [(at_s, name) for at_s, name in starts if at_s < duration_s]
    if not starts or starts[0][0] > 0.0:
        starts.insert(0, (0.0, testbed.name))
    return tuple(Scene(name, at_s, to_s) for (at_s, name), (to_s, _) in pairwise([*starts, (duration_s, "")]))


def scene_figures(scenes: Sequence[Scene], answers: Mapping[str, Sequence[Answer]]) -> tuple[SceneFigures, ...]:
    """What every policy reached in every scene; `answers` by policy."""
    return tuple(
        SceneFigures(
            name=scene.name,
            from_s=scene.from_s,
            to_s=scene.to_s,
            policies={key: _reached(scene, given, is_last=scene is scenes[-1]) for key, given in answers.items()},
        )
        for scene in scenes
    )


def verdict(figures: Sequence[SceneFigures]) -> str:
    """What a viewer should take home of adaptive beside the static split, in one sentence."""
    judged = [(ratio, scene.name) for scene in figures if (ratio := scene.ahead_ratio) is not None]
    n_lost = sum(scene.policies[ADAPTIVE].lost for scene in figures if ADAPTIVE in scene.policies)
    lost = "it lost no frame" if n_lost == 0 else f"it lost {n_lost} frames"
    if not judged:
        return f"Adaptive ran alone: {lost}."
    words = [f"{seconds_words(ratio)} in {_quoted(name)}" for ratio, name in judged]
    return f"Beside the static split adaptive took {', '.join(words)}; {lost}."


def seconds_words(ahead_ratio: float) -> str:
    """``38 % less time``, ``4 % more time`` or ``as long``."""
    if abs(ahead_ratio) <= WORTH_SAYING_RATIO:
        return "as long"
    return f"{abs(ahead_ratio):.0%} {'less' if ahead_ratio > 0.0 else 'more'} time".replace("%", " %")


def pace_warning(figures: Sequence[SceneFigures], edge_s: float) -> str | None:
    """What to say when this computer could not keep the pace of the machines that it imitates; None when it could.

    edge_s: what the whole network takes on the edge. The first scene leaves the edge alone, so that is what it took.
    """
    took_s = figures[0].mean_s(LOCAL) if figures else None
    if took_s is None or took_s <= edge_s * (1.0 + 2.0 * WORTH_SAYING_RATIO):
        return None
    return (
        f"This computer was busy: all local took {seconds_text(took_s)} where the imitated edge takes "
        f"{seconds_text(edge_s)}; figures are too high by as much."
    )


def _reached(scene: Scene, answers: Sequence[Answer], *, is_last: bool) -> PolicyInScene:
    inside = [one for one in answers if scene.holds(one.at_s) or (is_last and one.at_s >= scene.to_s)]
    arrived = sorted(one.at_s + one.latency_s for one in answers)
    ends_s = math.inf if is_last else scene.to_s
    gaps = [there - here for here, there in pairwise(arrived) if there > scene.from_s and here < ends_s]
    numbers = [one.frame for one in inside]
    return PolicyInScene(
        mean=fmean(one.latency_s for one in inside) if inside else None,
        answered=len(inside),
        lost=max(numbers) - min(numbers) + 1 - len(set(numbers)) if numbers else 0,
        longest_gap_s=max(gaps, default=None),
    )


def _quoted(name: str) -> str:
    return f'"{name}"'
