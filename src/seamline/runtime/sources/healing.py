"""The one loop that keeps a device going, for files, cameras, pipes and addresses alike.

    what ends    a failed grab is a damaged part: the next ones are tried. Before the container's promise: an address
                 is reopened and read on from where it was; then `SourceError`, or a word when little is missing
    what is      a failed grab or two happen. Then the source is lost: it is closed and reopened with growing pauses
    endless      until it is back, however long that takes; its time line goes on by the clock

Times and waiting enter as functions, so that a test needs neither. `handover.py` runs the loop on a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from seamline.core.vocabulary.errors import SeamlineError, SourceError
from seamline.core.vocabulary.ports import FrameArray
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.sources.devices import Device, Kind, Opened
from seamline.runtime.sources.frames import SourceFrame
from seamline.runtime.sources.health import SourceHealth
from seamline.runtime.sources.timeline import Hole, Timeline

MOST_FAILED_GRABS = 1000
"""In a row, of what ends: each is a packet that cannot be decoded, or the end (where it costs some microseconds)."""

LIVE_FAILED_GRABS = 3
"""In a row, of what is endless, before it counts as lost."""

GRAB_PAUSE_S = 0.02
FIRST_BACKOFF_S = 0.5
BACKOFF_FACTOR = 1.5
MOST_BACKOFF_S = 5.0
ADDRESS_TRIES = 5
"""Times that an address which broke off is reopened without a frame beyond the last."""

SAID_EVERY = 30
"""Tries to reconnect between two words about why it fails."""

SHORT_FRAMES = 2.5
"""Usual intervals that a video may be shorter than promised without a word: counts round up, sound runs on."""

EARLY_S = 0.5
EARLY_RATIO = 0.1
EARLY_RATIO_SHORT = 0.15
"""A video that lacks this much of its promise has ended early; less is worth a word only, since a container may promise
the length of its sound. The last is for clips of a few seconds, where half a second is much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """now_s: monotonic seconds. unix_s: seconds since 1970. wait: for so many seconds; True when reading is over."""

    now_s: Callable[[], float]
    unix_s: Callable[[], float]
    wait: Callable[[float], bool]


class HealingReader:
    """Reads `device` to its end, or until `clocks.wait` says that it is over.

    wants: whether to convert and give a frame, by its number and seconds. loop: what ends is played again.
    """

    def __init__(
        self,
        device: Device,
        kind: Kind,
        health: SourceHealth,
        clocks: Clocks,
        *,
        loop: bool,
        wants: Callable[[int, float], bool],
    ) -> None:
        self._device = device
        self._kind = kind
        self._health = health
        self._clocks = clocks
        self._loop = loop
        self._wants = wants
        self._number = 0
        self._began_s: float | None = None
        self.opened: Opened | None = None
        """What the container says; None before it was opened."""
        self.is_lost = False

    def frames(self) -> Generator[SourceFrame, None, None]:
        """Frames that are wanted, in order. Raises `SeamlineError` when it cannot be opened, `SourceError` as above."""
        try:
            self.opened = self._device.open()
            if self.opened.is_endless:
                yield from self._endless_frames()
            else:
                yield from self._finite_frames(self.opened)
        finally:
            self._device.close()

    # -- what ends -----------------------------------------------------------------------------------------------------

    def _finite_frames(self, opened: Opened) -> Iterator[SourceFrame]:
        timeline = Timeline(opened.claimed_fps)
        while True:
            n_before = self._number
            yield from self._once(opened, timeline)
            if not self._loop or self._kind is Kind.PIPE or self._number == n_before or self._clocks.wait(0.0):
                return
            timeline.restart()
            self._device.close()
            self._device.open()

    def _once(self, opened: Opened, timeline: Timeline) -> Iterator[SourceFrame]:
        """One pass. An address that breaks off is reopened, and frames that were had before are passed over."""
        began_s, first, n_tries, n_had = timeline.at_s, self._number, 0, 0
        while True:
            yield from self._grabs(timeline, n_had)
            n_before, n_had = n_had, self._number - first
            lacking_s = self._lacking_s(opened, timeline, began_s)
            if self._clocks.wait(0.0) or (lacking_s <= 0.0 and n_had):
                return
            n_tries = n_tries + 1 if n_had == n_before else 1
            if self._kind is not Kind.ADDRESS or not self._is_reopened(n_tries, timeline):
                break
        if not self._clocks.wait(0.0):
            self._say_early(opened, lacking_s, timeline.at_s - began_s, n_had)

    def _grabs(self, timeline: Timeline, n_had: int) -> Iterator[SourceFrame]:
        """Wanted frames from the device's next on, after the first `n_had`, until nothing comes any more."""
        n_failed = n_passed = 0
        while n_failed <= MOST_FAILED_GRABS and not self._clocks.wait(0.0):
            position_s = self._device.grab()
            if position_s is None:
                n_failed += 1
                continue
            if n_passed < n_had:
                n_passed, n_failed = n_passed + 1, 0
                continue
            if (hole := timeline.advance(position_s, n_failed)) is not None:
                self._say_hole(hole)
            n_failed = 0
            if (frame := self._frame(timeline.at_s)) is not None:
                yield frame

    def _is_reopened(self, n_tries: int, timeline: Timeline) -> bool:
        """Whether the address could be opened again, after pauses; it is tried only so often."""
        left_s = self._clocks.now_s()
        self._health.say(f"broke off at {timeline.at_s:.1f} s; trying to read on from there")
        for n_try in range(n_tries, ADDRESS_TRIES + 1):
            if self._clocks.wait(backoff_s(n_try)):
                return False
            self._device.close()
            try:
                self._device.open()
            except SeamlineError:
                continue
            timeline.restart()
            self._health.count(reconnects=1, out_s=self._clocks.now_s() - left_s)
            return True
        return False

    @staticmethod
    def _lacking_s(opened: Opened, timeline: Timeline, began_s: float) -> float:
        """Seconds between the end that was reached and the promised one; 0 when it is near enough."""
        if opened.promised_s is None:
            return 0.0
        lacking_s = opened.promised_s - (timeline.end_s - began_s)
        return lacking_s if lacking_s > SHORT_FRAMES * timeline.interval_s else 0.0

    def _say_early(self, opened: Opened, lacking_s: float, at_s: float, n_read: int) -> None:
        if opened.promised_s is None:
            hint = "is its codec a common one, and is it whole?"
            raise SourceError(f"`{self._health.name}` holds no frame that can be read", hint=hint)
        of = "" if opened.n_promised is None or not _is_count(opened, at_s, n_read) else f" of {opened.n_promised}"
        words = f"ended early, after {n_read}{of} frames: at {at_s:.1f} s of {opened.promised_s:.1f} s"
        much_s = max(EARLY_S, EARLY_RATIO * opened.promised_s)
        if lacking_s > min(much_s, EARLY_RATIO_SHORT * opened.promised_s) or n_read == 0:
            self._health.count(ended_early=True)
            hint = "it was cut short or its rest is damaged; what could be read has been answered"
            raise SourceError(f"`{self._health.name}` {words}", hint=hint)
        self._health.say_damage(words)

    def _say_hole(self, hole: Hole) -> None:
        """A damaged part that was passed, or one without frames."""
        self._health.count(unreadable=hole.n_frames)
        if hole.n_frames:
            words = f"is damaged: about {hole.n_frames} frames before {hole.at_s:.2f} s are unreadable or missing"
        else:
            words = f"has no frames for {hole.length_s:.1f} s before {hole.at_s:.1f} s"
        self._health.say_damage(words)

    # -- what is endless -----------------------------------------------------------------------------------------------

    def _endless_frames(self) -> Iterator[SourceFrame]:
        n_failed = 0
        while not self._clocks.wait(0.0):
            if self._device.grab() is not None:
                n_failed = 0
            elif (n_failed := n_failed + 1) < LIVE_FAILED_GRABS:
                self._clocks.wait(GRAB_PAUSE_S)
                continue
            elif self._is_back():
                n_failed = 0
            else:
                return
            now_s = self._clocks.now_s()
            self._began_s = now_s if self._began_s is None else self._began_s
            if (frame := self._frame(now_s - self._began_s)) is not None:
                yield frame

    def _is_back(self) -> bool:
        """Reopen with growing pauses until a frame comes; False when reading is over.

        Raises `SourceError` for a source that opens, and has never had a frame.
        """
        lost_s, n_tries = self._clocks.now_s(), 0
        self._health.say("is lost: nothing comes any more; trying to reconnect")
        self.is_lost = True
        while True:
            n_tries += 1
            self._device.close()
            if self._clocks.wait(backoff_s(n_tries)):
                return False
            try:
                self._device.open()
            except SeamlineError as error:
                if n_tries % SAID_EVERY == 1:
                    self._health.say(f"{self._reason(error)}; trying on, every {MOST_BACKOFF_S:.0f} s at most")
                continue
            if self._device.grab() is not None:
                break
            if self._began_s is None and n_tries >= ADDRESS_TRIES:
                raise SourceError(f"`{self._health.name}` is there, but no frame comes from it", hint="try another one")
        out_s = self._clocks.now_s() - lost_s
        self.is_lost = False
        self._health.count(reconnects=1, out_s=out_s)
        self._health.say(f"is back after {out_s:.1f} s")
        return True

    def _reason(self, error: SeamlineError) -> str:
        """What `error` says of the source, without its name and hint."""
        return error.message.removeprefix(f"`{self._health.name}` ")

    # -- both ----------------------------------------------------------------------------------------------------------

    def _frame(self, at_s: float) -> SourceFrame | None:
        """The grabbed frame with its stamp; None when it is not wanted, or counted as unreadable."""
        number = self._number
        self._number += 1
        picture: FrameArray | None = None
        if self._wants(number, at_s):
            picture = self._device.picture()
            if picture is None:
                self._health.count(unreadable=1)
                self._health.say_damage(f"is damaged: frame {number} cannot be decoded")
                return None
        self._health.count(read=1)
        if picture is None:
            return None
        stamp = FrameStamp(source=self._health.name, number=number, at_s=at_s, unix_s=self._clocks.unix_s())
        return SourceFrame(data=picture, stamp=stamp)


def backoff_s(n_tries: int) -> float:
    """Pause before try number `n_tries`, counted from 1: half as long again as the one before, up to the longest."""
    return float(min(MOST_BACKOFF_S, FIRST_BACKOFF_S * BACKOFF_FACTOR ** min(n_tries - 1, 16)))


def _is_count(opened: Opened, at_s: float, n_read: int) -> bool:
    """Whether the promised count is one of frames: of an uneven video it is its length times some rate."""
    n_expected = at_s * (opened.claimed_fps or 0.0)
    return abs(n_read - n_expected) <= max(3.0, 0.1 * n_expected)
