"""Segments with private weights and in containers: the same answers, an honest ending."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.model import OrtEngine
from seamline.runtime.segments.containers import ContainerEngine
from seamline.runtime.segments.private_weights import PrivateWeightsEngine


@pytest.fixture
def frame() -> dict[str, np.ndarray]:
    return {"frame": np.random.default_rng(9).integers(0, 256, (32, 32, 3), dtype=np.uint8)}


@pytest.fixture
def in_process(bench) -> ContainerEngine:
    """Where there is no container engine: a fresh process takes a container's place."""
    engine = ContainerEngine(bench.origin_store, 1)
    engine.__dict__["kind"] = "process"  # what `container_kind` says on a machine without podman and docker
    return engine


def test_every_cut_gives_the_same_answer_with_private_weights(bench, frame):
    model, private = bench.model, PrivateWeightsEngine(bench.origin_store, 1)
    whole = OrtEngine(bench.origin_store, 1).prepare(model.model_id, model.whole).run(frame)
    last = len(model.cuts) - 1
    for cut in range(1, last):
        head = private.prepare(model.model_id, Segment(0, cut)).run(frame)
        tail = private.prepare(model.model_id, Segment(cut, last)).run(head)
        # sums in another order: layers are fused differently on both sides of a cut
        np.testing.assert_allclose(tail["scores"], whole["scores"], rtol=1e-3, atol=1e-4)


def test_a_segment_in_a_process_of_its_own_answers_as_one_in_this_process(bench, in_process, frame):
    segment = Segment(0, 4)
    there = in_process.prepare(bench.model.model_id, segment)
    here = PrivateWeightsEngine(bench.origin_store, 1).prepare(bench.model.model_id, segment)
    assert (there.inputs, there.outputs) == (here.inputs, here.outputs)
    for _ in range(3):
        for name, value in here.run(frame).items():
            np.testing.assert_array_equal(there.run(frame)[name], value)
    with pytest.raises(ModelError, match="takes"):
        there.run({"other": frame["frame"]})
    there.close()
    there._popen.wait(10)
    with pytest.raises(ModelError, match="has ended"):
        there.run(frame)


def test_a_container_that_cannot_load_its_segment_says_why(bench, in_process, tmp_path):
    weights = bench.model.folder / "weights.bin"
    weights.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError):
        in_process.prepare(bench.model.model_id, Segment(0, 4))


@pytest.mark.root
@pytest.mark.needs("containers")
def test_a_real_container_answers_too(bench, frame):
    engine = ContainerEngine(bench.origin_store, 1)
    there = engine.prepare(bench.model.model_id, Segment(0, 4))
    here = PrivateWeightsEngine(bench.origin_store, 1).prepare(bench.model.model_id, Segment(0, 4))
    for name, value in here.run(frame).items():
        np.testing.assert_array_equal(there.run(frame)[name], value)
    there.close()
    there._popen.wait(20)


def test_what_ends_while_it_loads_is_an_error_and_leaves_nothing(bench, in_process, monkeypatch, wait_until):
    started: list[subprocess.Popen[bytes]] = []

    def keep(*arguments, **named) -> subprocess.Popen[bytes]:
        started.append(subprocess_popen(*arguments, **named))
        return started[-1]

    subprocess_popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", keep)
    hang_up = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.close()"
    for words, program in (
        ("ended while it was loaded", hang_up),
        ("did not start: no such file", "sys.exit('no such file')"),
    ):
        monkeypatch.setattr(
            in_process,
            "_command",
            lambda args, _, program=program: [sys.executable, "-c", f"import sys; {program}", args[0]],
        )
        with pytest.raises(ModelError, match=words):
            in_process.prepare(bench.model.model_id, Segment(0, 4))
        wait_until(lambda: started[-1].stderr.closed)
        assert started[-1].returncode is not None
    assert list(Path(in_process._folder.name).iterdir()) == []
