"""`seamline run`: what it refuses, in two lines and with the right exit code; what it prints in one process."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from seamline.cli.reference import undocumented_keys
from seamline.model.metadata.preprocess import Preprocess, write_preprocess
from seamline.runtime.api.stream import Stream

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"


@pytest.fixture
def camera_model(model_path) -> Path:
    """The small model, with the recipe that turns camera frames into its input. Its last cut is 5."""
    model = onnx.load(str(model_path))
    write_preprocess(model, Preprocess(height=16, width=16, mean=(127.0,) * 3, std=(64.0,) * 3))
    onnx.save(model, str(model_path))
    return model_path


@pytest.fixture
def refused(seamline):
    """Run a command line that must fail: exactly an error and a hint on stderr, nothing on stdout. Gives both lines."""

    def call(exit_code: int, *arguments: str) -> tuple[str, str]:
        outcome = seamline(*arguments)
        assert outcome.exit_code == exit_code, outcome
        assert outcome.stdout == ""
        lines = outcome.stderr.splitlines()
        assert len(lines) == 2, outcome.stderr
        error, hint = lines
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")
        return error, hint

    return call


def write_unsupported(path: Path) -> None:
    node = onnx.helper.make_node("Frobnicate", ["x"], ["y"], name="odd", domain="com.acme")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "odd", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.acme", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))


def test_a_file_that_is_no_model_is_the_worlds_fault_and_says_so(refused, tmp_path):
    path = tmp_path / "noise.onnx"
    path.write_bytes(bytes(range(256)) * 20)
    error, _ = refused(1, "run", str(path), "--source", str(VIDEO))
    assert error == f"error: `{path}` is not ONNX"


def test_an_operator_that_cannot_be_run_is_named(refused, tmp_path):
    path = tmp_path / "odd.onnx"
    write_unsupported(path)
    np.save(tmp_path / "x.npy", np.zeros((1, 3), np.float32))
    error, hint = refused(1, "run", str(path), "--source", str(tmp_path / "x.npy"))
    assert error == "error: operator `com.acme.Frobnicate` of `odd` is not supported"
    assert "export" in hint


def test_a_model_that_takes_no_picture_says_what_it_takes(refused, tmp_path):
    path = tmp_path / "odd.onnx"
    write_unsupported(path)
    error, hint = refused(2, "run", str(path), "--source", str(VIDEO))
    assert error == "error: model `odd` takes no picture but `x` float32[1,3]"
    assert ".npy" in hint


@pytest.mark.parametrize("name", ["missing.mp4", "noise.mp4", "empty.mp4", "folder", "99"])
def test_a_source_that_gives_no_frames_is_refused_before_anything_is_shown(
    refused, tmp_path, camera_model, name, monkeypatch
):
    run = Stream.run

    def late(*arguments, **options):
        time.sleep(0.02)
        return run(*arguments, **options)

    monkeypatch.setattr("seamline.cli.running.watching.INTERVAL_S", 0.001)  # however long the source takes to fail
    monkeypatch.setattr(Stream, "run", late)
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    source = name if name.isdigit() else str(tmp_path / name)
    error, _ = refused(2, "run", str(camera_model), "--source", source)
    assert name in error


def test_an_image_that_is_none_ends_the_run_with_its_name(refused, tmp_path, camera_model):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(b"no picture")
    error, _ = refused(2, "run", str(camera_model), "--source", str(tmp_path / "folder"), "--json")
    assert "a.png` is not an image" in error


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--over", ""], "--over names no node"),
        (["--over", "edge,edge"], "a node stands twice among edge, edge"),
        (["--over", "Edge 1"], "`Edge 1` is not a node name"),
        (["--connect", "tcp/127.0.0.1:1"], "--connect is given, but --over names only this node, `edge`"),
        (["--connect", "fog.local", "--over", "edge,fog"], "`fog.local` is not an endpoint"),
        (["--connect", "smoke/127.0.0.1:1", "--over", "edge,fog"], "`smoke/127.0.0.1:1` is not an endpoint"),
        (["--listen", "tcp/127.0.0.1:99999"], "`tcp/127.0.0.1:99999` is not an endpoint"),
        (["--listen", "tcp/0.0.0.0:7447"], "`tcp/0.0.0.0:7447` listens beyond this machine"),
        (["--listen", "tcp/127.0.0.1.example.org:7447"], "listens beyond this machine"),
        (["--objective", "speed"], "`speed` is not an objective"),
        (["--objective", "energy", "--slo", "1"], "--objective, --slo and --weigh each say what counts"),
        (["--weigh", "joy=1"], "`joy=1` is no part of a weighted sum"),
        (["--memory", "edge=much"], "`much` is not a size"),
        (["--memory", "mars=1MB"], "a limit names `mars`, which is not among the nodes"),
        (["--pin", "nothing=edge"], "there is no cut after a layer `nothing`"),
        (["--forbid", "edge:zip"], "`zip` is not a codec"),
        (["--trust", "mars"], "a limit names `mars`"),
        (["--policy", "clever"], "`clever` is not a policy"),
        (["--codecs", "raw,u8"], "`raw,u8` is not a limit for --codecs"),
        (["--plan", "edge[0:4]f16 > "], "`` is not a stage"),
        (["--plan", ""], "`` is not a policy"),
        (["--plan", "edge[0:99]"], "does not end at cut 5, the last of `tiny`"),
        (["--plan", "fog[0:5]"], "starts on `fog`, but frames enter at `edge`"),
        (["--plan", "edge[0:2]u8 > fog[2:5]"], "uses `fog`, which may not take part"),
        (["--fps", "0"], "Invalid value for '--fps'"),
        (["--frames", "0"], "Invalid value for '--frames'"),
        (["--seconds", "-1"], "Invalid value for '--seconds'"),
        (["--private", "-1"], "Invalid value for '--private'"),
        (["--slowdown", "0.5"], "slowdown 0.5 is below 1"),
        (["--lease", "0.01"], "a lease of 0.01 s is not possible"),
    ],
)
def test_wrong_use_is_said_with_what_would_be_right(refused, camera_model, arguments, fact):
    error, _ = refused(2, "run", str(camera_model), "--source", str(VIDEO), "--frames", "2", *arguments)
    assert fact in error


def noise_avi(path: Path, n_frames: int) -> bytes:
    rng = np.random.default_rng(n_frames)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(n_frames):
        out.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    out.release()
    return path.read_bytes()


def test_a_video_that_was_cut_short_is_answered_as_far_as_it_goes_and_is_an_error(seamline, camera_model, tmp_path):
    data = noise_avi(tmp_path / "v.avi", 20)
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    outcome = seamline("run", str(camera_model), "--source", str(tmp_path / "cut.avi"), "--every-frame", "--json")
    assert outcome.exit_code == 1
    assert "cut.avi` ended early" in outcome.stderr
    source = outcome.json["source"]
    assert (source["ended_early"], source["read"]) == (True, outcome.json["frames"]["answered"])
    assert 5 < source["read"] < 15
    told = seamline("run", str(camera_model), "--source", str(tmp_path / "cut.avi"), "--every-frame")
    assert f"source `cut.avi`: {source['read']} frames read, ended early" in told.stdout


def test_every_frame_of_a_video_and_every_good_picture_is_answered(seamline, camera_model, tmp_path):
    noise_avi(tmp_path / "v.avi", 20)
    run = ("run", str(camera_model), "--json", "--source")
    video = seamline(*run, str(tmp_path / "v.avi"), "--every-frame").json["frames"]
    assert (video["answered"], video["dropped_before_acceptance"]) == (20, 0)
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / "pictures" / name), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "pictures" / "b.png").touch()
    outcome = seamline(*run, str(tmp_path / "pictures"))
    assert (outcome.json["frames"]["answered"], outcome.json["source"]["unreadable"]) == (2, 1)


def test_every_frame_and_live_exclude_each_other(refused, camera_model):
    error, _ = refused(2, "run", str(camera_model), "--source", str(VIDEO), "--every-frame", "--live")
    assert "exclude each other" in error


def test_alone_every_frame_is_answered_and_every_key_is_documented(seamline, camera_model):
    outcome = seamline("run", str(camera_model), "--source", str(VIDEO), "--frames", "5", "--fps", "50", "--json")
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert undocumented_keys("run", outcome.json) == set()
    assert outcome.json["frames"]["lost"] == 0
    assert outcome.json["plan_timeline"] == [{"at_s": 0.0, "plan": "edge[0:5]"}]


def test_without_json_the_last_line_counts_the_frames(seamline, camera_model):
    outcome = seamline("run", str(camera_model), "--source", str(VIDEO), "--frames", "5", "--fps", "50")
    assert outcome.exit_code == 0
    assert " accepted frames answered, 0 lost" in outcome.stdout
    assert "\x1b" not in outcome.stdout + outcome.stderr


def test_a_model_that_does_not_fit_is_foreseen_and_the_node_is_named(refused, camera_model):
    arguments = ("--source", str(VIDEO), "--frames", "2", "--memory", "edge=1kB")
    error, _ = refused(1, "run", str(camera_model), *arguments)
    assert "[0:5] needs " in error
    assert "on `edge`, which may use 0.0" in error


def test_a_deadline_without_power_figures_is_refused(refused, camera_model):
    error, _ = refused(1, "run", str(camera_model), "--source", str(VIDEO), "--frames", "2", "--slo", "1")
    assert "`edge` has no power figures" in error


def test_a_stream_takes_a_deadline_or_a_sum(seamline, camera_model):
    for goal in (("--slo", "0.000001"), ("--weigh", "latency=1,energy=0.1")):
        arguments = ("--source", str(VIDEO), "--frames", "3", "--fps", "50", "--power", "idle=1,busy=4", "--json")
        outcome = seamline("run", str(camera_model), *arguments, *goal)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.json["frames"]["lost"] == 0


def test_an_open_input_is_as_large_as_the_first_frame_of_the_source(seamline, model_path, tmp_path):
    model = onnx.load(str(model_path))
    for axis, name in ((2, "rows"), (3, "columns")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, str(model_path))
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.full((16, 16, 3), 99, np.uint8))
    arguments = ("run", str(model_path), "--source", str(tmp_path / "pictures"), "--json")
    outcome = seamline(*arguments, "--mean", "127", "--std", "64")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.json["frames"]["answered"] == 1
    outcome = seamline(*arguments)
    assert outcome.exit_code == 2
    assert "does not say how a picture becomes its input `image` float32[1,3,?,?]" in outcome.stderr
    assert "--preprocess NAME: imagenet (ImageNet mean and std" in outcome.stderr


def test_offloading_that_sends_nothing_says_so_and_why(seamline, camera_model):
    outcome = seamline(
        "run", str(camera_model), "--source", str(VIDEO), "--frames", "2", "--policy", "offload", "--print", "none"
    )
    assert outcome.exit_code == 0, outcome.stderr
    (warning,) = [line for line in outcome.stderr.splitlines() if line.startswith("warning: --policy offload")]
    assert "sent no frame" in warning
    assert "no other node with a profile is there" in warning
