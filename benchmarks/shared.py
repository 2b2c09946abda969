"""What several benchmarks do with models: plain sessions, children that measure, kept segments, a frame, a scene."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnx import ModelProto

from seamline.config import Trace
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import FrameArray
from seamline.meters.profile_file import from_json
from seamline.model import OrtEngine, Preprocess, StoredModel
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.sources.opening import open_source
from seamline.sim import Scene, SceneLink

CHILD = "--child"
"""First argument of a script that is to measure in this process and print a JSON object."""

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
PROFILES = Path(__file__).parents[1] / "tests" / "replay" / "mobilenetv2.profiles.json"
"""MobileNetV2 with published times of a Raspberry Pi 4, an edge server and a cloud machine."""


def plain_session(model: ModelProto | Path, weights: Path | None = None) -> Any:
    """A session of one thread with the runtime's default options. weights: folder of external ones."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if weights is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def thread_s(run: Callable[[], object]) -> float:
    """Processor seconds that `run` takes on this thread: with one thread all there are, whoever else is busy."""
    started_s = time.thread_time()
    run()
    return time.thread_time() - started_s


def in_a_child(script: str, *words: object) -> dict[str, Any]:
    """What `script` prints when a fresh process runs it with `CHILD` and `words`."""
    command = [sys.executable, script, CHILD, *map(str, words)]
    done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def keep_segments(engine: OrtEngine, model: StoredModel, segments: Iterable[Segment]) -> None:
    """Have the optimised forms of `segments` on the disk."""
    for segment in segments:
        if not engine.is_kept(model.model_id, segment):
            engine.keep(model.model_id, segment)


def video_frame(preprocess: Preprocess) -> FrameArray:
    """A picture of the shipped video, as a network takes it; the film begins with black."""
    video = open_source(str(files("seamline.data") / "bigbuckbunny.mp4"))
    (frame,) = islice(video.frames(), 60, 61)
    return fitted(frame, preprocess)


def scene_of(trace: Trace, *, fps: float, duration_s: float, edge_delay_s: float = 0.002) -> Scene:
    """Three nodes by `PROFILES`, raw frames private; the link from edge to fog follows `trace`."""
    profiles = [from_json(one) for one in json.loads(PROFILES.read_text(encoding="utf-8"))]
    return Scene(
        origin=EDGE,
        profiles={NodeId(profile.device.name): profile for profile in profiles},
        links=(
            SceneLink(between=(EDGE, FOG), trace=trace, delay_s=edge_delay_s),
            SceneLink.steady(FOG, CLOUD, 100e6, 0.005),
        ),
        fps=fps,
        duration_s=duration_s,
        constraints=Constraints(n_private_cuts=1),
    )
