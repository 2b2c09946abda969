"""Feed of the page: one look a second at all streams, encoded once for all pages that show the same one.

A look comes sooner when a node came or went. Cuts are priced only for streams that somebody has before their eyes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from seamline import __version__
from seamline.core.vocabulary.documented import copied
from seamline.dashboard.history import History
from seamline.runtime.api.observer import StreamObserver, origin_of
from seamline.runtime.api.stream_state import StreamBrief, StreamState

SCHEMA = "seamline.dashboard/2"
INTERVAL_S = 1.0
GLANCE_S = 0.1
AFTER_NEWS_S = 0.4
"""Another look so soon after a node came or went: others may not have seen it yet."""

LOOKED_AT_S = 5.0
"""So long after a page was there cuts are still priced."""

FEW = 8
"""So many streams are looked at whole, whoever shows them; of more only those that a page shows or that have news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stream in the table of all."""

    name: str
    title: str
    origin: str
    plan: str
    frame_rate_fps: float
    latency_s: float | None
    objective: str
    is_pinned: bool
    n_answered: int
    n_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """What a page shows. number: of the look. time_s: since the epoch. stream: the one chosen, None before it is known
    or when it has gone. why_no_picture: in words, empty where there is one. troubles: of origins that do not show their
    streams, in words."""

    number: int
    time_s: float
    version: str
    streams: tuple[Row, ...]
    stream: StreamState | None
    why_no_picture: str
    troubles: Mapping[str, str]
    schema: str = SCHEMA


class Feed:
    """Looks by a thread of its own until `close`. news: called on it after every look."""

    def __init__(
        self,
        observer: StreamObserver,
        history: History,
        news: Callable[[], None],
        *,
        why_no_picture: Callable[[str], str] = lambda stream: "",
    ) -> None:
        self._observer = observer
        self._history = history
        self._news = news
        self._why_no_picture = why_no_picture
        self._shown: Counter[str] = Counter()
        self._shown_s: dict[str, float] = {}
        self._n_events: dict[str, int] = {}
        self._number = 0
        self._time_s = 0.0
        self._rows: tuple[Row, ...] = ()
        self._encoded: dict[str, tuple[int, bytes]] = {}
        self._wanted = threading.Event()
        self.ended = threading.Event()
        self.look()  # finds the streams
        self.look()
        self._thread = threading.Thread(target=self._watch, name="dashboard-state", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._wanted.set()
        self._thread.join(timeout=3.0)
        self._history.close()

    # -- for pages -----------------------------------------------------------------------------------------------------

    def chosen(self, stream: str) -> str:
        """The stream that is shown to who asks for that one: the first for who names none, empty for an unknown one."""
        briefs = self._observer.briefs
        return (stream if stream in briefs else "") if stream else next(iter(briefs), "")

    def payload(self, stream: str) -> bytes:
        """`PageState` as JSON of the newest look, with `stream` whole."""
        is_new = stream not in self._shown_s
        self._shown_s[stream] = time.monotonic()
        known = self._encoded.get(stream)
        if known is None or known[0] != self._number:
            state = self._observer.states.get(stream)
            if is_new and state is None:
                self._wanted.set()
            page = PageState(
                number=self._number, time_s=self._time_s, version=__version__, streams=self._rows, stream=state,
                why_no_picture=self._why_no_picture(stream), troubles=self._observer.troubles,
            )  # fmt: skip
            known = self._encoded[stream] = (self._number, msgspec.json.encode(page))
        return known[1]

    @contextmanager
    def showing(self, stream: str) -> Iterator[None]:
        """Within it a page has `stream` before its eyes."""
        self._shown[stream] += 1
        try:
            yield
        finally:
            self._shown[stream] -= 1
            if not self._shown[stream]:
                del self._shown[stream]
            self._shown_s[stream] = time.monotonic()

    # -- looking -------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        observer, now = self._observer, time.monotonic()
        seen = {name for name, at_s in list(self._shown_s.items()) if now - at_s < LOOKED_AT_S}
        seen |= set(self._shown)
        briefs = observer.briefs
        whole = set(briefs) if len(briefs) <= FEW else (seen | self._with_news(briefs)) & set(briefs)
        observer.refresh(whole, with_costs=seen)
        self._number, self._time_s = self._number + 1, time.time()
        self._rows = tuple(copied(Row, brief, origin=origin_of(name)) for name, brief in observer.briefs.items())
        self._encoded = {}
        self._shown_s = {name: at_s for name, at_s in list(self._shown_s.items()) if now - at_s < LOOKED_AT_S}
        self._history.take(observer.briefs.values(), observer.states.values(), self._time_s)
        before = {name: count for name, count in self._n_events.items() if name in observer.briefs}
        self._n_events = before | {name: observer.briefs[name].n_events for name in observer.states}

    def _with_news(self, briefs: Mapping[str, StreamBrief]) -> set[str]:
        return {name for name, brief in briefs.items() if brief.n_events != self._n_events.get(name, 0)}

    def _watch(self) -> None:
        peers, next_s = self._observer.node.fabric.peers(), time.monotonic() + INTERVAL_S
        while not self.ended.is_set():
            is_wanted = self._wanted.wait(GLANCE_S)
            now_peers, now = self._observer.node.fabric.peers(), time.monotonic()
            has_news = now_peers != peers
            if not (is_wanted or has_news or now >= next_s):
                continue
            self._wanted.clear()
            peers, next_s = now_peers, now + (AFTER_NEWS_S if has_news else INTERVAL_S)
            if not self.ended.is_set():
                self.look()
                self._news()
