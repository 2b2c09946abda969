"""What `fuzz.py` feeds with mutated bytes: every reader of what comes from peers and from files, with valid samples.

A target raises `SeamlineError` for what it refuses and `WrongOutput` for what it took and must not have; anything else
that it raises is a crash.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seamline import codec
from seamline.config.power import parse_power
from seamline.config.testbed_file import load_testbed
from seamline.config.trace import read_trace
from seamline.core.adaptation.policy import Adaptive
from seamline.core.recording import record
from seamline.core.session import events as ev
from seamline.core.session.pilot import Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ConfigError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.fabric import messages as msg
from seamline.fabric import wire
from seamline.fabric.bulk.chunks import Assembler, cut
from seamline.fabric.bulk.same_host import Place
from seamline.fabric.bulk.shared_memory import LEAST_SHARED_BYTES, SharedReader, SharedSlots
from seamline.fabric.integrity import checksum
from seamline.meters.profile_file import to_json
from seamline.model.onnx.reading import read_model
from seamline.model.store.manifest import Manifest, make_manifest
from seamline.runtime.node.profiling import profile_from_bytes
from seamline.runtime.shared.bounds import bounded_report, bounded_status
from seamline.sim.storm import Trial

EDGE, FOG = NodeId("edge"), NodeId("fog")
READER = SharedReader(lambda: Place(network=1, links=(("tcp/127.0.0.1:2", "tcp/127.0.0.1:1"),)))
MOST_DECODED_BYTES = 64 << 20


class WrongOutput(Exception):
    """Bytes were taken that must not have been, or as something that they are not."""


@dataclass(frozen=True)
class Target:
    """run: reads mutated bytes. samples: valid ones. share: of all executions. words: put into text ones."""

    run: Callable[[bytes], None]
    samples: tuple[bytes, ...]
    share: float
    words: tuple[bytes, ...] = ()


NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e308", b"-1e-308", b"1e18", b"99999999999999999999", b"0x10", b"1_0")
MARKS = (b"[" * 500, b"{" * 500, b'"', b"'", b"\0", b"\xff\xfe", b"\n", b",", b"=", b":", b"../../etc/passwd", b"null")
WORDS = NUMBERS + MARKS


def targets(folder: Path) -> dict[str, Target]:
    """All targets; files are written into `folder`."""
    return {
        "wire, damaged": Target(_damaged, MESSAGES, 0.27),
        "wire, forged": Target(_forged, MESSAGES, 0.2),
        "chunks": Target(_chunks, (LONG_MESSAGE,), 0.1),
        "notes of shared memory": Target(_note, _sample_notes(), 0.03),
        "codec": Target(_decoded, _encodings(), 0.1),
        "plan": Target(_plan, PLANS, 0.06, WORDS),
        "manifest": Target(_manifest, (_sample_manifest(),), 0.06, WORDS),
        "profile": Target(_profile, (_sample_profile(),), 0.05, WORDS),
        "recording": Target(_recording, (_sample_recording(),), 0.03, WORDS),
        "power": Target(_power, (b"idle=2.0,busy=5.0,tx=0.1,rx=0.1", b"raspberry-pi-4+wifi"), 0.02, WORDS),
        "testbed": Target(_of_file(folder / "testbed.toml", load_testbed), (TESTBED,), 0.03, WORDS),
        "trace": Target(_of_file(folder / "trace.csv", _trace), TRACES, 0.03, WORDS),
        "onnx": Target(_of_file(folder / "model.onnx", read_model), _sample_models(), 0.02),
    }


def _of_file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return run


# -- from peers --------------------------------------------------------------------------------------------------------

REPORT = msg.StageReport("edge", 0.001, 0.0, 0.02, 0.001, 1024)
LINK = msg.LinkReport("edge", 0.01, 1e6, 0.1, 3, 0.0)
HEADERS: tuple[msg.Message, ...] = (
    msg.Status(
        tier="fog", incarnation="a", version="1", engine="e", threads=1, n_cores=1, memory_bytes=1, free_memory_bytes=1,
        queue_s=0.0, models=("0" * 64,), links=(LINK,), streams=("edge-1",), energy=msg.EnergyReport("a", "b", 1.0),
    ),
    msg.Receipt(seq=9),
    msg.Prepare(1, "edge-1", 3, "0" * 64, "edge[0:14]f16 > cloud[14:45]", "edge"),
    msg.FrameData("s", 7, 0, 3, "vgg19", "edge[0:14]f16 > cloud[14:45]", 1, 9, b"\x91\x01", (REPORT,)),
    msg.ResultData("s", 7, 0, 3, ("logits", "boxes"), (REPORT, REPORT)),
    msg.FrameFailed("s", 7, 0, 3, "fog", "no memory", lost="cloud"),
)  # fmt: skip
TENSORS = (np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.array([True, False]), np.zeros((0, 3), np.int64))
MESSAGES = tuple(bytes(wire.pack(header, TENSORS[:n])) for n, header in enumerate(HEADERS[:4])) + tuple(
    bytes(wire.pack(header, TENSORS[:2])) for header in HEADERS[4:]
)
CHUNK_BYTES = 64512
LONG_MESSAGE = bytes(wire.pack(HEADERS[3], (np.arange(40_000, dtype=np.float32),)))


def _damaged(data: bytes) -> None:
    """Bytes whose checksum nobody made right again: nothing but the message itself is one."""
    wire.unpack(data)
    if data not in MESSAGES:
        raise WrongOutput("a damaged message was taken")


def _forged(data: bytes) -> None:
    """The same with a right checksum: what is taken has one layout, and only values within their bounds."""
    if len(data) < 32:
        return _damaged(data)
    start = b"SLM" + bytes((msg.WIRE_VERSION,)) + bytes(4)
    header, tensors = wire.unpack(start + checksum(data[16:]).to_bytes(8, "little") + data[16:])
    if sum(tensor.nbytes for tensor in tensors) > len(data):
        raise WrongOutput("tensors are larger than their message")
    if isinstance(header, msg.Status):
        again, _ = wire.unpack(wire.pack(bounded_status(header)))
        if again != bounded_status(header):
            raise WrongOutput("a bounded status does not come back")
    if isinstance(header, msg.ResultData):
        for report in map(bounded_report, header.reports):
            if not 0.0 <= report.compute_s <= 86400.0:
                raise WrongOutput("a report is beyond its bounds")
    return None


def _chunks(data: bytes) -> None:
    """Chunks of a long message, of which the mutated one is as long as `data`; in any order."""
    rng, assembler = random.Random(checksum(data[:64])), Assembler()
    pieces = [bytes(piece) for number in range(2) for piece in cut(LONG_MESSAGE, 1, number, lambda: CHUNK_BYTES)]
    size = CHUNK_BYTES + 40
    mutated = [data[at : at + size] for at in range(0, min(len(data), 4 * size), size)]
    if len(mutated) > 1 and mutated != [LONG_MESSAGE[at : at + size] for at in range(0, len(LONG_MESSAGE), size)]:
        pieces[rng.randrange(len(pieces))] = pieces[0][: rng.randrange(60)] + mutated[rng.randrange(len(mutated))]
    if rng.random() < 0.5:
        rng.shuffle(pieces)
    for piece in pieces:
        try:
            message = assembler.add(FOG, piece)
            if message is not None:
                wire.unpack(message)
        except WireError:
            continue
        if message is not None and bytes(message) != LONG_MESSAGE:
            raise WrongOutput("chunks were joined to another message")


def _sample_notes() -> tuple[bytes, ...]:
    """An offer of memory that is there, and a note of a message in it."""
    slots = SharedSlots(lambda: Place(network=1, links=(("tcp/127.0.0.1:1", "tcp/127.0.0.1:2"),)))
    offer = slots.offer(LEAST_SHARED_BYTES)
    assert offer is not None
    READER.take(EDGE, memoryview(offer))
    here = slots.put((bytes(LEAST_SHARED_BYTES),), LEAST_SHARED_BYTES)
    assert here is not None
    slots.close()
    return offer, here


def _note(data: bytes) -> None:
    with suppress(WireError):
        if (message := READER.take(EDGE, memoryview(data))) is not None and any(message):
            raise WrongOutput("a note led to another message")


def _encodings() -> tuple[bytes, ...]:
    found = (codec.encode({"map": np.linspace(0, 1, 64, dtype=np.float32)}, one) for one in CODECS)
    return tuple(bytes((at,)) + encoded.encoding for at, encoded in enumerate(found))


CODECS = (Codec.RAW, Codec.F16, Codec.U8, Codec.LOSSLESS)
BUFFERS = tuple(codec.encode({"map": np.linspace(0, 1, 64, dtype=np.float32)}, one).buffers for one in CODECS)


def _decoded(data: bytes) -> None:
    """The sidecar of a codec is mutated, what it describes is not: the first byte says which it was."""
    if not data:
        return
    tensors = codec.decode(data[1:], BUFFERS[data[0] % len(BUFFERS)])
    if sum(tensor.nbytes for tensor in tensors.values()) > MOST_DECODED_BYTES:
        raise WrongOutput("a few bytes were decoded to many")


PLANS = (b"edge[0:14]f16 > cloud[14:45]", b"edge[0:4]u8 > fog[4:9]lossless > cloud[9:15]")


def _plan(data: bytes) -> None:
    plan = Plan.parse(data.decode("utf-8", "replace"))
    if Plan.parse(str(plan)) != plan:
        raise WrongOutput("a plan does not come back from its text")


def _sample_manifest() -> bytes:
    return make_manifest(name="tiny", graph=(100, "a" * 64), weights=(2000, "b" * 64), preprocess=None).to_json()


def _manifest(data: bytes) -> None:
    manifest = Manifest.from_json(data)
    if Manifest.from_json(manifest.to_json()) != manifest:
        raise WrongOutput("a manifest does not come back")


def _sample_profile() -> bytes:
    return json.dumps(to_json(next(iter(Trial.of(1).scene.profiles.values())))).encode()


def _profile(data: bytes) -> None:
    profile = profile_from_bytes(data, FOG)
    numbers = [profile.whole_s.median, *(block.compute_s.median for block in profile.blocks)]
    if not all(math.isfinite(number) and number >= 0.0 for number in numbers):
        raise WrongOutput("a profile has times that are none")


# -- from files --------------------------------------------------------------------------------------------------------

TESTBED = b"""name = "three"
[[node]]
name = "edge"
tier = "edge"
slowdown = 4.0
threads = 1
[[node]]
name = "fog"
tier = "fog"
[[link]]
between = ["edge", "fog"]
rate_mbps = 20.0
delay_ms = 5.0
[[change]]
at_s = 10.0
link = "edge-fog"
rate_mbps = 2.0
"""
TRACES = (b"time_s,mbps,delay_ms,loss_ratio\n0,10,5,0\n1.5,2.5,8,0.01\n4,0,5,0\n", b"0\n1\n1\n5\n12\n30\n")


def _trace(path: Path) -> None:
    trace = read_trace(path)
    rates, times = trace.rates_bps, trace.times_s
    if not all(math.isfinite(rate) and rate >= 0.0 for rate in rates) or list(times) != sorted(set(times)):
        raise WrongOutput("a trace has rates or times that are none")


def _power(data: bytes) -> None:
    power = parse_power(data.decode("utf-8", "replace"))
    if not 0.0 <= power.idle_w <= power.busy_w < math.inf:
        raise WrongOutput("a power profile has figures that are none")


def _sample_recording() -> bytes:
    """A session that learns two profiles, begins and decides."""
    profiles = dict(list(Trial.of(1).scene.profiles.items())[:2])
    origin, *others = profiles
    local = Plan.local(origin, len(profiles[origin].cuts))
    spec = SessionSpec(
        origin=origin, others=tuple(others), local=local, objective=Objective.LATENCY, constraints=Constraints(),
        policy=Adaptive(),
    )  # fmt: skip
    pilot, lines = Pilot(spec), [record.header(spec)]
    events: list[ev.PilotEvent] = [ev.ProfileKnown(node, profile) for node, profile in profiles.items()]
    events += [ev.MemoryMeasured(10**9), ev.Begin(), ev.Tick(), ev.PeerChanged(others[0], False), ev.Tick()]
    for now_s, event in enumerate(events):
        lines += record.lines_of(event, float(now_s), pilot.handle(event, float(now_s)))
    return "\n".join(json.dumps(line) for line in lines).encode()


def _recording(data: bytes) -> None:
    lines = []
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ConfigError("a line is not JSON") from error
    for _ in record.replay(lines):
        pass


def _sample_models() -> tuple[bytes, ...]:
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.standard_normal((4, 10)).astype(np.float32), "head"),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        onnx.save(model, file.name)
        return (Path(file.name).read_bytes(),)
