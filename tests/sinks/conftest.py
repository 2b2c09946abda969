"""Answers of every kind, and a way to give them to a sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from seamline.core.vocabulary.stamps import FrameStamp
from seamline.heads.answers import Box, Boxes, Classes, Label, Mask, Regions, Tensors
from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.sink import Sink, StreamFacts
from seamline.sinks.sinks import Sinks

FACTS = StreamFacts(source="door", model="tiny", fps=10.0)


def label(index: int, score: float, name: str = "") -> Label:
    return Label(index=index, name=name or f"thing {index}", score_ratio=score)


def box(index: int, score: float, *edges: float, name: str = "", mask: Mask | None = None) -> Box:
    left, top, right, bottom = edges
    return Box(label=label(index, score, name), left=left, top=top, right=right, bottom=bottom, mask=mask)


class Answers:
    """Makes answered frames, numbered as they come. picture: uint8[48, 64, 3] noise by number."""

    def __init__(self) -> None:
        self._n = 0

    box = staticmethod(box)

    def _picture(self) -> np.ndarray:
        return np.random.default_rng(self._n).integers(0, 256, (48, 64, 3)).astype(np.uint8)

    def answered(self, answer, **more) -> AnsweredFrame:
        number, self._n = self._n, self._n + 1
        at_s = more.pop("at_s", number / 10)
        stamp = FrameStamp(
            source="door", number=2 * number, at_s=at_s, unix_s=1.7e9 + number, file=more.pop("file", None)
        )
        more.setdefault("picture", self._picture())
        return AnsweredFrame(
            number=number, stamp=stamp, plan="edge[0:2]f16 > fog[2:5]", latency_s=0.0125, answer=answer, **more
        )

    def classes(self, **more) -> AnsweredFrame:
        return self.answered(Classes(labels=(label(3, 0.75, "dog"), label(1, 0.125, "Vögel"))), **more)

    def boxes(self, *boxes: Box, **more) -> AnsweredFrame:
        return self.answered(Boxes(boxes=boxes, height=48, width=64), **more)

    def regions(self) -> AnsweredFrame:
        class_map = np.repeat(np.arange(48, dtype=np.int16)[:, np.newaxis] // 24, 64, axis=1)
        return self.answered(Regions(class_map=class_map, labels=(label(0, 0.5, "background"), label(1, 0.5))))

    def tensors(self, n: int = 3) -> AnsweredFrame:
        outputs = {"out": np.arange(n, dtype=np.float32) / 3, "n": np.array([7], np.int64)}
        return self.answered(Tensors(outputs=outputs), outputs=outputs)

    def failed(self) -> AnsweredFrame:
        return self.answered(None, error="index 20 is out of range")


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def save() -> Callable[[Sequence[Sink], Sequence[AnsweredFrame]], Sinks]:
    """Give answers to sinks as a stream does, in order, losing none; the sinks, closed."""

    def call(sinks: Sequence[Sink], answered: Sequence[AnsweredFrame], facts: StreamFacts = FACTS) -> Sinks:
        with Sinks(sinks, facts, waits=True) as opened:
            for each in answered:
                opened.put(each)
        return opened

    return call
