"""A node's own profiles: measured once per model and computer, kept on disk, sent as JSON.

What is measured, and how, is `meters.profiler`; the file format is `meters.profile_file`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from seamline import codec
from seamline.config import cache_dir
from seamline.config.power import PowerSpec
from seamline.core.cost.payload import JPEG_BYTES_PER_PIXEL
from seamline.core.cost.profiled import profiled_s
from seamline.core.vocabulary.errors import ConfigError, ModelError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.profiles import CodecCost, DeviceInfo, FrameInfo, Profile
from seamline.meters.caches import CacheFlusher
from seamline.meters.device import cpu_name
from seamline.meters.profile_check import SegmentCheck, check_profile
from seamline.meters.profile_file import ProfileCache, from_json, to_json
from seamline.meters.profiler import accepted_input, profile_model, slowed
from seamline.meters.tails import profile_tails
from seamline.model import StoredModel
from seamline.runtime.node.boundaries import measure_boundaries
from seamline.runtime.shared.clock import THREAD_TIME, now_s
from seamline.runtime.shared.trimming import trim

log = logging.getLogger(__name__)

MAX_PROFILE_BYTES = 8 << 20
USUAL_BUDGET_S = 3.0
USUAL_BUDGET_RUNS = 38.0
"""Together with preparing and measuring codecs, within 5 s and 60 runs of the whole model on an idle machine."""

LONGEST_WAIT_S = 30.0
"""For another process that measures the same; then this one does too."""


class Profiler:
    """Measures models on this computer at full speed, once each, whatever number of nodes it stands for.

    An engine that computes on the thread that calls it is timed by that thread's processor time: what other processes
    take meanwhile is no property of the model. So are codecs, which always do.
    slowdown: what the node's times are multiplied with, where it imitates a slower machine (`testbed.slowdown`).
    cache: folder of all caches, the default when None. power: what the device draws, for the energy of plans.
    processor: name of what computes, the machine's processor when None. tails: of a model, by its id, where `engine`
    computes nothing else; such a profile is not kept, for what is deployed elsewhere may change.
    """

    def __init__(
        self,
        engine: Engine,
        node: NodeId,
        n_threads: int,
        *,
        slowdown: float = 1.0,
        cache: Path | None = None,
        power: PowerSpec | None = None,
        processor: str | None = None,
        tails: Callable[[str], tuple[int, ...]] | None = None,
    ) -> None:
        self._tails = tails
        self._engine = engine
        self._spent_s = time.thread_time if engine.computes_on_caller else now_s
        self._slowdown = slowdown
        device = DeviceInfo(name=node, cpu=processor or cpu_name(), engine=engine.name, threads=n_threads)
        self._device = device if power is None else powered(device, power)
        self._cache = ProfileCache((cache or cache_dir()) / "profiles")
        self._codecs: tuple[CodecCost, ...] = ()
        self._at_full_speed: dict[str, Profile] = {}

    def profile(self, model: StoredModel, budget_s: float) -> Profile:
        """Return the profile of `model`, from the cache when it was measured before. Raises `ModelError` when it fails.

        Of several nodes on this computer that need it at once, one measures and the others wait for that.
        """
        if self._known(model.model_id) is None:
            with self._cache.claimed(model.model_id, self._device, LONGEST_WAIT_S):
                if self._known(model.model_id) is None:
                    self.measure(model, budget_s)
        return self._as_slowed(model.model_id)

    def usual_s(self, model_id: str, segment: Segment) -> float | None:
        """Return the profiled seconds of `segment` at full speed; None when its model was not measured yet."""
        profile = self._known(model_id)
        return None if profile is None else profiled_s(profile, segment)

    def measure(
        self, model: StoredModel, budget_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Profile:
        """Measure the profile of `model` now and keep it. on_progress: as of `profile_model`. Raises `ModelError`."""
        if not self._codecs:
            self._codecs = codec.measure_costs(THREAD_TIME)
        pre = model.preprocess
        if self._tails is not None:
            return self._measure_tails(model, self._tails(model.model_id), budget_s)
        profile = profile_model(
            self._engine,
            model.model_id,
            model.name,
            model.cuts,
            self._device,
            frame_shape=(pre.height, pre.width, 3) if pre is not None else None,
            budget_s=budget_s,
            now_s=now_s,
            spent_s=self._spent_s,
            between=CacheFlusher(),
            on_progress=on_progress,
            jpeg_bytes=int(pre.height * pre.width * JPEG_BYTES_PER_PIXEL) if pre is not None else None,
            codecs=self._codecs,
        )
        if pre is not None and len(model.inputs) > 1:  # what comes with the picture travels too, and is no JPEG
            frame = FrameInfo(raw_bytes=sum(spec.n_bytes for spec in model.inputs), jpeg_bytes=None)
            profile = replace(profile, frame=frame)
        boundaries = self._boundaries(model)
        anywhere = tuple(cost for cost in profile.codecs if cost.cut is None)
        profile = replace(profile, codecs=(*anywhere, *boundaries))
        self._cache.put(model.model_id, profile)
        self._at_full_speed[model.model_id] = profile
        return self._as_slowed(model.model_id)

    def _measure_tails(self, model: StoredModel, tails: tuple[int, ...], budget_s: float) -> Profile:
        pre, frame = model.preprocess, None
        if pre is not None:
            is_picture = len(model.inputs) == 1
            jpeg_bytes = int(pre.height * pre.width * JPEG_BYTES_PER_PIXEL) if is_picture else None
            frame = FrameInfo(raw_bytes=sum(spec.n_bytes for spec in model.inputs), jpeg_bytes=jpeg_bytes)
        self._at_full_speed[model.model_id] = profile_tails(
            self._engine,
            model.model_id,
            model.name,
            model.cuts,
            self._device,
            tails,
            frame=frame,
            budget_s=budget_s,
            now_s=now_s,
            codecs=self._codecs,
        )
        return self._as_slowed(model.model_id)

    def _boundaries(self, model: StoredModel) -> tuple[CodecCost, ...]:
        """What codecs cost at the cuts of `model`; what they cost anywhere must do where it refuses the sample."""
        try:
            return measure_boundaries(self._engine, model, THREAD_TIME)
        except ModelError as error:
            log.info("codecs are not measured at the cuts of `%s`: %s", model.name, error)
            return ()

    def _known(self, model_id: str) -> Profile | None:
        """The profile at full speed, if there is one."""
        if model_id not in self._at_full_speed:
            kept = self._cache.get(model_id, self._device)
            if kept is None or not _is_complete(kept):
                return None
            self._at_full_speed[model_id] = kept
        return self._at_full_speed[model_id]

    def _as_slowed(self, model_id: str) -> Profile:
        return slowed(self._at_full_speed[model_id], self._slowdown)

    def usual_budget_s(self, model: StoredModel) -> float:
        """Return the seconds it takes to measure `model` well: preparing, and some tens of whole inferences."""
        whole = self._engine.prepare(model.model_id, Segment(0, model.cuts[-1].index))
        feed = accepted_input(whole, 0)
        begin_s = self._spent_s()
        whole.run(feed)
        return USUAL_BUDGET_S + USUAL_BUDGET_RUNS * (self._spent_s() - begin_s)

    def check(self, model: StoredModel, profile: Profile, n_segments: int, seed: int = 0) -> Iterator[SegmentCheck]:
        """Run random segments of `model` and compare with `profile`, as `meters.profile_check` does, times slowed."""
        at_full_speed = slowed(profile, 1.0 / self._slowdown)
        for found in check_profile(
            self._engine,
            model.model_id,
            at_full_speed,
            n_segments=n_segments,
            spent_s=self._spent_s,
            between=CacheFlusher(),
            seed=seed,
        ):
            predicted_s, measured_s = found.predicted_s * self._slowdown, found.measured_s * self._slowdown
            yield replace(found, predicted_s=predicted_s, measured_s=measured_s)


def _is_complete(profile: Profile) -> bool:
    """Whether it has what this version measures of codecs: at cuts, and of all that entropy coding takes."""
    return any(cost.cut is not None for cost in profile.codecs) and any(
        cost.codec is Codec.Q4 for cost in profile.codecs
    )


def time_segment(engine: Engine, model_id: str, segment: Segment) -> float:
    """Seconds that `segment` takes now, as a frame would see it: the second of two runs on values that it accepts.

    Raises `ModelError`: no such model or segment here, or it does not run.
    """
    ready = engine.prepare(model_id, segment)
    feed = accepted_input(ready, 0)
    begun_s = now_s()
    ready.run(feed)
    took_s = now_s() - begun_s
    del ready, feed
    trim()
    return took_s


def powered(device: DeviceInfo, power: PowerSpec) -> DeviceInfo:
    """`device` with the figures of `power`."""
    return replace(
        device,
        idle_w=power.idle_w,
        busy_w=power.busy_w,
        tx_j_per_byte=power.tx_j_per_byte,
        rx_j_per_byte=power.rx_j_per_byte,
    )


def profile_to_bytes(profile: Profile) -> bytes:
    """`profile` as it travels: without the tensors of its cuts, which whoever asks has in the model itself.

    They grow with layers times crossing tensors: 600 layers beside 100 states are 7 MB. Raises `ModelError` when it is
    too large all the same.
    """
    bare = replace(profile, cuts=tuple(replace(cut, tensors=()) for cut in profile.cuts))
    data = json.dumps(to_json(bare)).encode()
    if len(data) > MAX_PROFILE_BYTES:
        raise ModelError(
            f"a profile of {len(profile.cuts)} cuts takes {len(data)} bytes, the most is {MAX_PROFILE_BYTES}",
            hint="join layers of the model, or run it whole",
        )
    return data


def profile_from_bytes(data: bytes, source: NodeId) -> Profile:
    """The profile that `source` sent. Raises `WireError` when it is not one."""
    if len(data) > MAX_PROFILE_BYTES:
        raise WireError(f"`{source}` sent a profile of {len(data)} bytes, the most is {MAX_PROFILE_BYTES}")
    try:
        return from_json(json.loads(data))
    except (ValueError, RecursionError, ConfigError) as exc:
        raise WireError(f"`{source}` sent a malformed profile: {exc}") from exc
