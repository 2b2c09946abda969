"""A run on a real RTSP server (GStreamer's): the server is killed, and comes back; frames go on and are counted.

The server is a process of the system's Python, which has GStreamer's bindings.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=20/1 ! jpegenc"
    " ! rtpjpegpay name=pay0 pt=26 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


pytestmark = pytest.mark.needs("gstreamer")


@pytest.fixture
def serve(port: int) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the server at `port`; it can be reached when the call returns."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [SYSTEM_PYTHON, "-c", SERVER, str(port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return server

    yield start
    for server in started:
        server.kill()
        server.communicate()


def test_a_camera_that_dies_and_comes_back_goes_on(system, port, serve, assert_nothing_lost):
    server = serve()
    run = system.start(
        "run", str(system.model), "--source", f"rtsp://user:secret@127.0.0.1:{port}/cam", "--threads", "1", "--events",
        "--cluster", system.cluster, "--frames", "24",
    )  # fmt: skip
    run.wait_until(lambda run: sum(event["event"] == "answer" for event in run.events) >= 10)
    server.kill()
    run.wait_until(lambda run: "is lost" in run.stderr)
    serve()
    assert run.wait() == 0, run.stderr
    summary = run.events[-1]
    source = summary["source"]
    assert source["name"] == f"rtsp://user:***@127.0.0.1:{port}/cam"
    assert (source["reconnects"], source["ended_early"]) == (1, False)
    assert source["out_s"] > 0
    assert source["read"] >= 24
    assert summary["frames"]["accepted"] + summary["frames"]["dropped_before_acceptance"] == 24
    assert_nothing_lost(summary["frames"])
    assert "is back after" in run.stderr
    assert "secret" not in run.stderr + run.stdout


def test_a_stream_that_the_server_does_not_know_is_said_at_once(system, port, serve):
    serve()
    run = system.start("run", str(system.model), "--source", f"rtsp://127.0.0.1:{port}/nothing", "--json")
    assert run.wait() == 1
    assert "knows no such stream (404)" in run.stderr
    assert run.stdout == ""
