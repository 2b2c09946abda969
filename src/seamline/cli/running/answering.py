"""Answers of `seamline run`: read by a head, written as lines on stdout and to the places of ``--save``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from seamline.cli.ending import take_time
from seamline.cli.running.run_flags import AnswerFlags
from seamline.cli.shared.output import data_console, progress_console
from seamline.core.vocabulary.errors import UsageError
from seamline.model import StoredModel
from seamline.runtime.api.answers import AnswerReader
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.origin.results import Result
from seamline.runtime.sources.frames import StampedSource
from seamline.sinks.answered import AnsweredFrame, answered_words, state_words
from seamline.sinks.opening import parse_sinks
from seamline.sinks.outlet import SinkFigures
from seamline.sinks.sink import SinkError, StreamFacts
from seamline.sinks.sinks import Sinks, figures_words
from seamline.sinks.tables import Lines

STDOUT = "-"
NEWEST_EVERY_S = 1.0
PRINTS = ("all", "changes", "none")
_LINES = "the lines on stdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFigures:
    """What became of the answers at the places of ``--save``."""

    sinks: Annotated[tuple[SinkFigures, ...], "one for each `--save`"]


class Answering:
    """Reads and gives away a stream's answers. Use it as a context manager, before anything else is opened.

    is_quiet: no lines on stdout, which has something else. name: of the source, before each line, where there are
    several streams. stop: ends the stream, when nobody reads stdout any more. keeps_newest: an answer a second is kept
    with its picture, for `seen_last`.
    Raises `UsageError` for a place that is none; entering it `SinkError` for one that cannot be written.
    """

    def __init__(
        self,
        request: AnswerFlags,
        source: StampedSource,
        *,
        model: str,
        is_live: bool,
        is_quiet: bool,
        name: str = "",
    ) -> None:
        if request.prints not in PRINTS:
            raise UsageError(f"`{request.prints}` is not a choice for --print", hint=", ".join(PRINTS))
        if is_quiet and STDOUT in request.save:
            raise UsageError("--json and --save - both write to stdout", hint="give one of them")
        self._request = request
        self._before = f"{name}  " if name else ""
        self._has_stdout = STDOUT in request.save
        self._prints_lines = request.prints != "none" and not is_quiet and not self._has_stdout
        saved = parse_sinks(request.save)
        lines = [Lines(_LINES, self._line_of, self._say)] if self._prints_lines else []
        facts = StreamFacts(source=source.name, model=model, fps=source.fps)
        self._sinks = Sinks([*saved, *lines], facts, waits=not is_live, trouble=self.warn)
        self._reads = bool(saved or lines)
        self._last_state: str | None = None
        self._reader: AnswerReader | None = None
        self._aside: Callable[[str], None] | None = None
        self.stop: Callable[[], None] = lambda: None
        self.keeps_newest = False
        self._newest: AnsweredFrame | None = None
        self._newest_s = 0.0

    @property
    def draws(self) -> bool:
        """Whether pictures are needed."""
        return self._sinks.draws or self.keeps_newest

    def choose_head(self, model: StoredModel) -> None:
        """Choose the head for `model`. Raises `UsageError` when its outputs cannot be read as asked."""
        asked = self._request
        self._reader = AnswerReader(model, head=asked.head, labels=asked.labels, score=asked.score, top=asked.top)

    @property
    def reading(self) -> AnswerReading | None:
        """What other nodes are to read of the outputs; None where somebody here wants the outputs themselves."""
        return None if self._reader is None or self._sinks.keeps_outputs else self._reader.reading

    def show_beside(self, aside: Callable[[str], None]) -> None:
        """Something is drawn on the terminal from now on: lines go through `aside`, which puts them beside it."""
        self._aside = aside

    def take(self, result: Result, *, is_shown: bool) -> AnsweredFrame | None:
        """Read one result and give it to every place; None when nobody wants to know. is_shown: somebody looks."""
        assert self._reader is not None, "a head is chosen before frames flow"
        is_newest = self.keeps_newest and time.monotonic() - self._newest_s >= NEWEST_EVERY_S
        if not (self._reads or is_shown or is_newest):
            return None
        answered = self._reader.read(result, keep_outputs=self._sinks.keeps_outputs)
        if result.frame == 0 and self._prints_lines:
            chosen = self._reader.chosen
            self.warn(f"head {chosen.head.words}: {chosen.reason}", word="note")
            if chosen.doubt is not None:
                self.warn(chosen.doubt)
        if is_newest:
            self._newest, self._newest_s = answered, time.monotonic()
        self._sinks.put(answered)
        return answered

    def seen_last(self) -> AnsweredFrame | None:
        """An answer of the last second, with its picture."""
        return self._newest

    def hurry(self) -> None:
        """Somebody wants an end."""
        if self._request.save:
            take_time()
        self._sinks.hurry()

    def saved(self) -> tuple[SinkFigures, ...]:
        """What became of the answers at the places of ``--save``."""
        return tuple(figures for figures in self._sinks.figures() if figures.name != _LINES)

    def print_saved(self) -> None:
        """One line for each place, and one when lines on stdout were left out."""
        for figures in self._sinks.figures():
            if figures.name == _LINES and figures.dropped and figures.error is None:
                self.warn(f"{figures.dropped} of {_LINES} were left out: whoever reads them is too slow")
        for figures in self.saved():
            self.console.print(f"saved {figures_words(figures)}", soft_wrap=True)

    def error(self) -> SinkError | None:
        """Why answers are missing somewhere for good."""
        failed = [figures for figures in self.saved() if figures.error is not None]
        if not failed:
            return None
        first = failed[0]
        return SinkError(f"`{first.name}`: {first.error}", hint="the other places have their answers")

    @property
    def console(self) -> Any:
        """Where figures are printed: stdout, unless that is for JSON lines alone."""
        return progress_console() if self._has_stdout else data_console()

    # -- the terminal, on the sink's thread ----

    def _line_of(self, answered: AnsweredFrame) -> str | None:
        state = state_words(answered)
        is_news, self._last_state = state != self._last_state, state
        return self._before + answered_words(answered) if is_news or self._request.prints == "all" else None

    def _say(self, line: str) -> None:
        if self._aside is not None and sys.stdout.isatty():
            self._aside(line)
            return
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError as exc:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.stop()
            raise SinkError("nobody reads them any more") from exc

    def warn(self, words: str, word: str = "warning") -> None:
        """Say `words` on stderr, or beside the live view."""
        line = f"{word}: {self._before}{words}"
        if self._aside is not None:
            self._aside(line)
        else:
            progress_console().print(line, soft_wrap=True)

    def __enter__(self) -> Answering:
        self._sinks.__enter__()
        return self

    def __exit__(self, *ending: Any) -> None:
        self._sinks.__exit__(*ending)


def saved_json(answering: Answering) -> dict[str, Any]:
    """The JSON keys of `SavedFigures`."""
    return {"sinks": [asdict(figures) for figures in answering.saved()]}
