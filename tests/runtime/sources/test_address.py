"""Addresses: what may be one, why nothing comes from it, and files over HTTP that break off or have no length."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from seamline.core.vocabulary.errors import SourceError
from seamline.runtime.sources import healing
from seamline.runtime.sources.address import is_address, shown
from seamline.runtime.sources.opening import open_source

N_FRAMES = 40


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    """40 frames of noise, 10 a second."""
    path = tmp_path / "v.avi"
    rng = np.random.default_rng(5)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for _ in range(N_FRAMES):
        out.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    out.release()
    return path.read_bytes()


class Handler(BaseHTTPRequestHandler):
    """Answers GET by the path: a status, the video whole, its first part only, or a camera that breaks off."""

    def __init__(self, video: bytes, requests: list[str], *arguments: object) -> None:
        self._video, self._requests = video, requests
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._requests.append(self.path)
        what = self.path.strip("/").split("/")[0]
        if what.isdigit():
            self.send_error(int(what))
            return
        if what == "moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        self.send_response(200)
        if what == "camera":
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
            self.end_headers()
            self._send_camera()
            return
        self.send_header("Content-Length", str(len(self._video)))
        self.end_headers()
        is_cut = what == "breaks" and self._requests.count(self.path) <= 2
        with suppress(OSError):
            self.wfile.write(self._video[: len(self._video) // 2] if is_cut else self._video)
        self.close_connection = True

    def _send_camera(self) -> None:
        """Some JPEGs one after the other, as many network cameras do; then the connection ends."""
        picture = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
        head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
        with suppress(OSError):
            for _ in range(40):
                self.wfile.write(head + picture + b"\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(video: bytes) -> Iterator[tuple[str, list[str]]]:
    """A web server on loopback: its address, and the paths that were asked for."""
    requests: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, video, requests))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def answering(line: bytes) -> Iterator[int]:
    """A server that answers every request with `line`, and its port; with nothing, it is silent."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        is_over = threading.Event()

        def serve() -> None:
            kept = []
            while not is_over.is_set():
                with suppress(OSError):
                    connection, _ = door.accept()
                    kept.append(connection)
                    connection.settimeout(1.0)
                    if line:
                        connection.recv(4096)
                        connection.sendall(line)
                        connection.close()

        door.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        is_over.set()
        thread.join()


def refusal(address: str) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(address).first()
    return str(caught.value)


def test_an_address_is_a_scheme_and_slashes():
    assert [is_address(text) for text in ("rtsp://h/x", "a.mp4", "C:/x.mp4", "0", "://x", "my file://x")] == [
        True, False, False, False, False, False,
    ]  # fmt: skip


def test_passwords_are_not_shown():
    assert shown("rtsp://me:secret@host:554/cam?x=1") == "rtsp://me:***@host:554/cam?x=1"
    assert shown("http://host/cam") == "http://host/cam"


def test_a_port_without_a_server_is_said(free_address: Callable[[str], str]):
    for scheme in ("rtsp", "http", "rtmp"):
        assert "refused the connection" in refusal(free_address(scheme))


@pytest.fixture
def free_address() -> Callable[[str], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return lambda scheme: f"{scheme}://user:secret@127.0.0.1:{port}/cam"


@pytest.mark.parametrize(("status", "words"), [(401, "a user and a password"), (404, "knows no such"), (418, "418")])
def test_what_a_server_answers_is_said_without_the_password(web, status, words):
    with answering(f"RTSP/1.0 {status} Something\r\nCSeq: 1\r\n\r\n".encode()) as port:
        said = refusal(f"rtsp://user:secret@127.0.0.1:{port}/cam")
    assert words in said
    assert "secret" not in said
    assert words in refusal(f"{web[0]}/{status}") or status == 418


def test_an_answer_that_is_no_video_is_said():
    with answering(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello") as port:
        assert "cannot be read as video" in refusal(f"http://127.0.0.1:{port}/x.avi")


def test_a_silent_server_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr("seamline.runtime.sources.address.OPEN_LIMIT_MS", 100)
    monkeypatch.setattr("seamline.runtime.sources.address.ASK_TIMEOUT_S", 0.1)
    with answering(b"") as port:
        assert "does not answer" in refusal(f"rtsp://127.0.0.1:{port}/cam")


def test_a_file_on_a_web_server_is_read_to_its_end_like_one_on_disk(web):
    for path in ("whole", "moved"):
        source = open_source(f"{web[0]}/{path}")
        frames = [frame for frame in source.read() if frame is not None]
        assert [frame.stamp.at_s for frame in frames] == pytest.approx([n / 10 for n in range(N_FRAMES)])
        assert not source.comes_by_itself


def test_one_that_breaks_off_is_read_on(web, monkeypatch, caplog):
    monkeypatch.setattr(healing, "FIRST_BACKOFF_S", 0.01)
    source = open_source(f"{web[0]}/breaks")
    frames = [frame for frame in source.read() if frame is not None]
    assert [frame.stamp.number for frame in frames] == list(range(N_FRAMES))
    assert "broke off" in caplog.text
    assert source.figures().reconnects >= 1


def test_a_camera_over_http_is_reconnected_for_ever(web, monkeypatch, caplog):
    monkeypatch.setattr(healing, "FIRST_BACKOFF_S", 0.01)
    source = open_source(f"{web[0]}/camera")
    frames = source.frames()
    found = [frame for frame, _ in zip(frames, range(100), strict=False)]
    frames.close()
    assert source.comes_by_itself
    assert source.figures().reconnects >= 2
    assert {frame.shape for frame in found} == {(48, 64, 3)}
    assert "is back after" in caplog.text
