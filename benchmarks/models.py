"""Models in benchmarks: plain sessions to compare with, children that measure, kept segments, a frame."""

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

from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import FrameArray
from seamline.model import OrtEngine, Preprocess, StoredModel
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.sources.opening import open_source

CHILD = "--child"
"""First argument of a script that is to measure in this process and print a JSON object."""


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
