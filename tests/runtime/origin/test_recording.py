"""The file of a recording: whole lines whatever happens, read back as they were written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from seamline.core.adaptation.policy import Adaptive
from seamline.core.recording.record import replay
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ConfigError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.origin import recording as recording_module
from seamline.runtime.origin.recording import Recording, read_recording

EDGE = NodeId("edge")
SPEC = SessionSpec(
    origin=EDGE, others=(), local=Plan.parse("edge[0:4]"), objective=Objective.LATENCY, constraints=Constraints(),
    policy=Adaptive(),
)  # fmt: skip
KEPT = cmd.Decided(None, "nothing has moved", 0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_events_and_decisions_are_lines_in_their_order_and_are_there_at_once(path):
    with Recording(path, SPEC) as recording:
        recording.heard(ev.Begin(), 1.0, [])
        recording.heard(ev.Tick(), 2.0, [cmd.Say(cmd.Level.INFO, "of no matter"), KEPT])
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["schema"] == "seamline.session/2"
    assert [(line["at_s"], line.get("event", line.get("decision"))["kind"]) for line in lines[1:]] == [
        (1.0, "Begin"),
        (2.0, "Tick"),
        (2.0, "Decided"),
    ]
    assert list(read_recording(path)) == lines


def test_a_recording_is_closed_on_every_way_out_and_what_comes_later_is_not_written(path):
    def fail() -> None:
        with Recording(path, SPEC) as recording:
            recordings.append(recording)
            raise ZeroDivisionError

    recordings: list[Recording] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    recordings[0].heard(ev.Begin(), 1.0, [])
    recordings[0].close()
    assert len(list(read_recording(path))) == 1


def test_a_recording_ends_before_it_is_too_large_and_says_so_once(path, monkeypatch, caplog):
    with Recording(path, SPEC) as recording:
        monkeypatch.setattr(recording_module, "MAX_FILE_BYTES", path.stat().st_size + 100)
        for second in range(50):
            recording.heard(ev.Tick(), float(second), [])
    assert path.stat().st_size <= recording_module.MAX_FILE_BYTES
    assert len(caplog.records) == 1
    assert list(replay(read_recording(path))) == []


def test_a_disk_that_is_full_ends_the_recording_and_nothing_else(path, caplog):
    class Full:
        def write(self, text: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    recording = Recording(path, SPEC)
    recording._file.close()
    recording._file = Full()
    recording.heard(ev.Begin(), 1.0, [])
    recording.heard(ev.Begin(), 1.0, [])
    (warning,) = caplog.records
    assert "No space left on device" in warning.getMessage()


def test_a_file_that_cannot_be_written_is_said_before_the_stream_begins(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        Recording(tmp_path / "nowhere" / "run.jsonl", SPEC)


def test_a_last_line_that_is_torn_off_is_left_out(path):
    with Recording(path, SPEC) as recording:
        recording.heard(ev.Begin(), 1.0, [])
    path.write_bytes(path.read_bytes() + b'{"at_s": 2.0, "eve')
    assert len(list(read_recording(path))) == 2


@pytest.mark.parametrize("text", [b"no JSON", b"\xff\xfe\n", b'{"schema": 1}\nno JSON\n{}\n'])
def test_a_file_that_is_no_recording_is_refused_by_name_and_line(text, path):
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"run\.jsonl: line \d is not JSON"):
        list(read_recording(path))


def test_a_file_that_is_not_there_is_said_to_be_so(path):
    with pytest.raises(ConfigError, match="there is no file"):
        list(read_recording(path))


def test_a_stream_of_real_nodes_replays_to_the_same_decisions(bench, photos, tmp_path):
    bench.start("edge")
    bench.start("fog")
    bench.link("edge", "fog", 200e6)
    stream = bench.stream(record=tmp_path / "stream.jsonl")
    first = stream.plan
    assert len(list(stream.run(photos))) == len(photos)
    bench.link("edge", "fog", 0.2e6)
    left = (photos[0] for _ in iter(lambda: stream.plan != first, True))  # as long as it has not moved
    assert all(result.error is None for result in stream.run(left, live=False))
    stream.close()
    steps = list(replay(read_recording(tmp_path / "stream.jsonl")))
    assert {step.is_same for step in steps} == {True}
    assert sum(isinstance(step.recorded, cmd.SwitchDone) for step in steps) >= 2
