"""Answers of a stream: its results read by a head, as sinks take them.

    with answers(stream, open_source("door.mp4"), save=["out.mp4", "results.jsonl"]) as found:
        for answered in found:
            print(answered.stamp.number, answered.answer)

A result is what the network gave; an answer is what that means. Which head reads it is `heads.choosing`'s business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.fabric.messages import HeadAsk
from seamline.heads.answers import Answer
from seamline.heads.choosing import Chosen, choose_head, facts_of
from seamline.heads.names import ClassNames, names_in, read_names
from seamline.heads.reduced import ReducingHead, fingerprint
from seamline.model import StoredModel
from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.origin.results import Result
from seamline.runtime.sources.frames import FrameSource, stamped
from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.opening import parse_sinks
from seamline.sinks.outlet import SinkFigures
from seamline.sinks.sink import Sink, StreamFacts
from seamline.sinks.sinks import Sinks, figures_words

log = logging.getLogger(__name__)

Labels = str | Path | Sequence[str] | Mapping[int, str]
"""Names of classes: a file, or the names themselves."""


class AnswerReader:
    """Reads the results of one model. head, score, top: see `choose_head`. labels: instead of the model's own names.

    Raises `UsageError` when a labels file cannot be read, or the outputs cannot be read as `head`.
    """

    def __init__(
        self,
        model: StoredModel,
        *,
        head: str = "auto",
        labels: Labels | None = None,
        score: float | None = None,
        top: int | None = None,
    ) -> None:
        self.names = names_in(model.metadata) if labels is None else _names(labels)
        preprocess = model.preprocess
        size = None if preprocess is None else (preprocess.height, preprocess.width)
        facts = facts_of(model.graph, model.metadata, size=size, names=self.names)
        self.chosen: Chosen = choose_head(facts, head, score_ratio=score, n_most=top)
        self._asked = (head, score, top, size or (0, 0))
        self._has_failed = False

    @property
    def reading(self) -> AnswerReading | None:
        """For `Cluster.stream`, where outputs are not wanted themselves: their first half of reading goes to the last
        stage's node. None where that would make the answer no smaller."""
        head, (wanted, score, n_most, (height, width)) = self.chosen.head, self._asked
        if not isinstance(head, ReducingHead) or wanted == "raw":
            return None
        ask = HeadAsk(
            head=cast(Any, wanted), score=score, n_most=n_most, n_names=self.names.n_classes,
            height=height, width=width, fingerprint=fingerprint(head),
        )  # fmt: skip
        return AnswerReading(head, ask)

    def read(self, result: Result, *, keep_outputs: bool = True) -> AnsweredFrame:
        """The answer in `result`. One that cannot be read is that frame's error, with words about why."""
        error, answer = result.error, None
        if error is None:
            try:
                answer = self._answer(result)
            except Exception as exc:  # outputs are whatever a model gives: one that is odd ends its frame, not the run
                error = f"the outputs cannot be read as {self.chosen.head.words}: {type(exc).__name__}: {exc}"
                if not self._has_failed:
                    self._has_failed = True
                    log.warning("frame %d: %s", result.frame, error, exc_info=log.isEnabledFor(logging.DEBUG))
        stamp = result.stamp or FrameStamp(source="frames", number=result.frame, at_s=None, unix_s=time.time())
        return AnsweredFrame(
            number=result.frame,
            stamp=stamp,
            plan=str(result.plan),
            latency_s=result.latency_s,
            n_attempts=result.n_attempts,
            answer=answer,
            error=error,
            outputs=result.outputs if keep_outputs else {},
            picture=result.picture,
        )

    def _answer(self, result: Result) -> Answer:
        head = self.chosen.head
        if result.reduced is not None and isinstance(head, ReducingHead):
            return head.finish(result.reduced, result.transform)
        return head.read(result.outputs, result.transform)


class Answers:
    """Answers of `stream` to `frames`, given to sinks as they come. Use it as a context manager, and iterate once.

    head, labels, score, top: see `AnswerReader`. save: places as `--save` takes them, or sinks. run: what else
    `Stream.run` takes. Entering raises `SinkError` or `UsageError` when a place cannot be written.
    """

    def __init__(
        self,
        stream: Stream,
        frames: FrameSource | Iterable[Array],
        *,
        head: str = "auto",
        labels: Labels | None = None,
        score: float | None = None,
        top: int | None = None,
        save: Sequence[str | Sink] = (),
        live: bool | None = None,
        **run: Any,
    ) -> None:
        self._stream = stream
        self._source = stamped(frames)
        self._reader = AnswerReader(stream.model, head=head, labels=labels, score=score, top=top)
        if self._reader.chosen.doubt is not None:
            log.warning("%s: %s", stream.model.name, self._reader.chosen.doubt)
        self._live = live
        self._run = run
        words = parse_sinks([place for place in save if isinstance(place, str)])
        sinks = [*words, *(place for place in save if not isinstance(place, str))]
        facts = StreamFacts(source=self._source.name, model=stream.model.name, fps=self._source.fps)
        is_live = self._source.is_live if live is None else live
        self._sinks = Sinks(sinks, facts, waits=not is_live, trouble=lambda words: log.warning("%s", words))

    @property
    def head(self) -> str:
        """The head that reads the outputs, and why it was chosen."""
        return f"{self._reader.chosen.head.words}: {self._reader.chosen.reason}"

    def figures(self) -> tuple[SinkFigures, ...]:
        """What became of the answers at each place."""
        return self._sinks.figures()

    def __iter__(self) -> Iterator[AnsweredFrame]:
        results = self._stream.run(self._source, live=self._live, keep_pictures=self._sinks.draws, **self._run)
        for result in results:
            answered = self._reader.read(result)
            self._sinks.put(answered)
            yield answered

    def __enter__(self) -> Answers:
        self._sinks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sinks.__exit__(kind, error, trace)
        for figures in self.figures():
            if figures.dropped or figures.failed or figures.error:
                log.warning("%s", figures_words(figures))


answers = Answers


def _names(labels: Labels) -> ClassNames:
    if isinstance(labels, str | Path):
        return read_names(Path(labels))
    return ClassNames(names=dict(labels) if isinstance(labels, Mapping) else dict(enumerate(labels)))
