"""Answered frame: the record that every sink gets, and how it is written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from seamline.core.vocabulary.ports import FrameArray
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.heads.answers import Answer, Boxes, Regions, Tensors, answer_json, answer_words, counted_words, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredFrame:
    """The answer to one frame and what it is the answer to.

    number: of the answer in its stream. answer: None when `error` says why there is none. outputs: the network's, by
    name. picture: uint8[H, W, 3] RGB as its source gave it, only kept when a sink draws.
    """

    number: int
    stamp: FrameStamp
    plan: str
    latency_s: float
    n_attempts: int = 1
    answer: Answer | None = None
    error: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict, compare=False)
    picture: FrameArray | None = field(default=None, compare=False)

    @property
    def n_bytes(self) -> int:
        """What waiting in a queue keeps in memory."""
        picture = 0 if self.picture is None else self.picture.nbytes
        outputs: dict[str, Any] = dict(self.outputs)
        match self.answer:
            case Tensors(outputs=raw):
                outputs |= raw
            case Regions(class_map=class_map):
                picture += class_map.nbytes
            case Boxes(boxes=boxes):
                picture += sum(box.mask.pixels.nbytes for box in boxes if box.mask is not None)
        return picture + sum(getattr(output, "nbytes", 0) for output in outputs.values())


def answered_json(answered: AnsweredFrame) -> dict[str, Any]:
    """The record as a JSON object; its keys are explained in docs/answers.md."""
    stamp = answered.stamp
    found: dict[str, Any] = {
        "frame": stamp.number,
        "source": stamp.source,
        "file": stamp.file,
        "source_s": stamp.at_s,
        "frame_time": stamp.unix_s,
        "answer": answered.number,
        "plan": answered.plan,
        "latency_s": answered.latency_s,
        "n_attempts": answered.n_attempts,
        "error": answered.error,
    }
    return found if answered.answer is None else found | answer_json(answered.answer)


def answered_words(answered: AnsweredFrame) -> str:
    """The record on one line, for people."""
    stamp = answered.stamp
    file = PurePath(stamp.file).name if stamp.file else ""
    what = file if file and stamp.at_s is None else f"frame {stamp.number}{f' of {file}' * bool(file)}"
    at = "" if stamp.at_s is None else f"  {stamp.at_s:.3f} s"
    said = f"failed: {answered.error}" if answered.answer is None else answer_words(answered.answer)
    return f"{what}{at}  {said}  {answered.latency_s * 1e3:.1f} ms  {answered.plan}"


def state_words(answered: AnsweredFrame) -> str:
    """What is there, in at most 255 characters: ``2 person, 1 dog`` or the best label."""
    if answered.answer is None:
        return "failed"
    labels = labels_of(answered.answer)
    match answered.answer:
        case Boxes():
            return counted_words(labels)[:255] or "nothing"
        case Tensors():
            return answer_words(answered.answer)[:255]
    return labels[0].name[:255] if labels else "nothing"
