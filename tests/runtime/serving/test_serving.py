"""The Open Inference Protocol in front of a split stream: answers, refusals in words, back-pressure, the end."""

from __future__ import annotations

import asyncio
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.identity.authority import Authority, make_authority
from seamline.identity.folders import authority_folder
from seamline.identity.founding import found, revoke
from seamline.identity.kept import Contact, Identity, keep
from seamline.identity.keys import new_key
from seamline.identity.members import Role
from seamline.runtime.api.request_queue import DeadlineExceeded, Ending, Overloaded
from seamline.runtime.identity.web_address import WebAddress

if TYPE_CHECKING:
    import grpc

    from seamline.serving.server import Server

pytestmark = [pytest.mark.needs("grpc"), pytest.mark.needs("starlette"), pytest.mark.needs("uvicorn")]


def tensor(image, **changed):
    return {"name": "image", "shape": image.shape, "datatype": "FP32", "data": image.ravel().tolist(), **changed}


def test_answers_of_concurrent_requests_are_those_of_the_whole_model_and_each_callers_own(service, images):
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(service.infer, images))
    assert service.stream.plan == service.plan
    for image, (status, answer, _) in zip(images, answers, strict=True):
        assert status == 200
        (output,) = answer["outputs"]
        found = np.array(output["data"], np.float32).reshape(output["shape"])
        np.testing.assert_allclose(found, service.expected(image), rtol=1e-6)


def test_health_and_metadata_say_what_is_served(service):
    assert service.ask("GET", "/v2/health/live")[:2] == (200, {"live": True})
    assert service.ask("GET", "/v2/health/ready")[0] == 200
    assert service.ask("GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert service.ask("GET", "/v2/models/tiny/versions/1/ready")[1] == {"name": "tiny", "ready": True}
    metadata = service.ask("GET", "/v2/models/tiny")[1]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 32]}]
    assert metadata["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [1, 10]}]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "picture"}, "no input `picture`"),
        ({"shape": [1, 3, 16, 64]}, "must be float32[1, 3, 32, 32], it is float32[1, 3, 16, 64]"),
        ({"shape": [3, 32, 32]}, "lacks the first axis"),
        ({"datatype": "FP64"}, "must be float32[1, 3, 32, 32], it is float64"),
        ({"datatype": "BYTES"}, "datatype `BYTES`"),
        ({"shape": [1, 3, 32, 31]}, "has 3072 values"),
        ({"shape": [1, 3, -32, -32]}, "a shape that cannot be"),
        ({"shape": [0, 1 << 62, 1 << 62], "data": []}, "a shape that cannot be"),
        ({"data": ["x"]}, "FP32"),
        ({"parameters": {"binary_data_size": 99}}, "announces 99 bytes, 0 are left"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_in_words(service, images, changed, words):
    body = {"inputs": [tensor(images[0], **changed)]}
    status, answer, _ = service.ask("POST", "/v2/models/tiny/infer", body)
    assert (status, words in answer["error"]) == (400, True), answer


def test_what_is_no_request_is_refused_in_words(service, images):
    ask = service.ask
    assert ask("POST", "/v2/models/other/infer", {"inputs": []})[0] == 404
    assert ask("GET", "/v2/models/tiny/versions/7")[0] == 404
    for text in (b"{", b'{"inputs": [{"name": "image", "data": ' + b"[" * 60_000):
        assert "no inference request" in ask("POST", "/v2/models/tiny/infer", text)[1]["error"]
    lying = ask("POST", "/v2/models/tiny/infer", b"{}", **{"Inference-Header-Content-Length": "9"})
    assert lying[0] == 400
    wanted = {"inputs": [tensor(images[0])], "outputs": [{"name": "boxes"}]}
    assert "no output `boxes`; hint: it has scores" in ask("POST", "/v2/models/tiny/infer", wanted)[1]["error"]
    assert ask("POST", "/v2/models/tiny/infer", b" " * 300_000)[0] == 400
    assert ask("GET", "/v2", Host="evil.example")[0] == 421
    assert service.infer(images[0], timeout=-3)[0] == 400


def test_a_body_that_does_not_come_is_given_up(service):
    service.served.timeout_s = 0.05
    with closing(http.client.HTTPConnection(service.address, timeout=10)) as connection:
        connection.putrequest("POST", "/v2/models/tiny/infer")
        connection.putheader("Content-Length", "10")
        connection.endheaders(b" " * 9)
        assert connection.getresponse().status == 504


def test_large_bodies_that_are_coming_are_bounded_together_and_small_ones_pass(monkeypatch):
    from starlette.requests import Request

    from seamline.serving import http_front

    monkeypatch.setattr(http_front, "MOST_COMING_BYTES", 100)
    front = http_front._Front(SimpleNamespace(timeout_s=10.0, most_bytes=100))

    async def come() -> None:
        async def body(n_bytes: int, *, is_whole: bool = True) -> bytes:
            parts = [{"type": "http.request", "body": bytes(n_bytes), "more_body": not is_whole}]

            async def receive() -> dict[str, object]:
                return parts.pop() if parts else await asyncio.Event().wait()

            return await front._body(Request({"type": "http", "headers": []}, receive), 100)

        slow = asyncio.create_task(body(80, is_whole=False))
        await asyncio.sleep(0)
        assert len(await body(40)) == 40
        with pytest.raises(Overloaded):
            await body(60)
        slow.cancel()
        await asyncio.wait([slow])
        assert len(await body(60)) == 60

    asyncio.run(come())


def test_connections_beyond_the_most_are_closed(service, monkeypatch):
    monkeypatch.setattr("seamline.serving.server.MAX_CONNECTIONS", 1)
    host, port = service.address.split(":")
    with (
        socket.create_connection((host, int(port)), 10),
        socket.create_connection((host, int(port)), 10) as second,
        suppress(ConnectionResetError),
    ):
        assert second.recv(1) == b""


def test_connections_that_ask_nothing_are_closed(service, monkeypatch):
    import grpc

    from seamline.serving.server import Server

    monkeypatch.setattr("seamline.serving.server.IDLE_S", 0.1)
    loopback = WebAddress(host="127.0.0.1", port=0)
    server = Server(service.served, http=loopback, grpc=loopback)
    states: queue.Queue[grpc.ChannelConnectivity] = queue.Queue()
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(server.http_url).port), 10) as idle:
            assert idle.recv(1) == b""
        with grpc.insecure_channel(server.grpc_address) as channel:
            channel.subscribe(states.put, try_to_connect=True)
            found = [states.get(timeout=10)]
            while grpc.ChannelConnectivity.READY not in found or found[-1] is not grpc.ChannelConnectivity.IDLE:
                found.append(states.get(timeout=10))
            channel.unsubscribe(states.put)
    finally:
        server.close()


def test_requests_that_cannot_be_answered_in_time_are_shed_with_the_time_to_ask_again(service, images):
    service.queue._most_waiting = 2
    with service.held():
        accepted = service.fill(images[0])
        status, answer, headers = service.infer(images[5])
    assert (status, "2 requests for `tiny` wait" in answer["error"]) == (429, True)
    assert int(headers["retry-after"]) >= 1
    assert all(each.result(20.0).error is None for each in accepted), "what was accepted is answered"


def test_a_deadline_that_passes_in_the_queue_is_said_and_nothing_is_computed(service, images):
    service.queue._most_waiting = 4
    with service.held():
        begun = service.fill(images[0])
        service.queue._pace_s = 0.0  # nothing is shed for a slow machine's pace
        late = service.queue.submit({"image": images[12]}, 0.05)
        status, answer, _ = service.infer(images[13], timeout=50_000)
        with pytest.raises(DeadlineExceeded):
            late.result(20.0)
    assert (status, "no answer within 0.05 s" in answer["error"]) == (504, True)
    assert {each.result(20.0).error for each in begun} == {None}
    assert service.stream.frames.counts().accepted == len(begun), "the late ones never were frames"


def test_a_request_whose_caller_goes_while_there_is_no_room_is_forgotten(service, images, monkeypatch):
    is_waiting = threading.Event()
    monkeypatch.setattr(service.stream.frames, "put", lambda *_, **__: is_waiting.set())
    request = service.queue.submit({"image": images[0]}, 20.0)
    assert is_waiting.wait(5.0)
    assert request.cancel()
    service.wait_until(lambda: not service.queue._unanswered)


def test_a_dead_cloud_loses_no_request(bench, service, images):
    assert service.infer(images[0])[0] == 200
    bench.kill("cloud")
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(service.infer, images[:8]))
    assert [status for status, _, _ in answers] == [200] * 8


def test_requests_that_were_accepted_are_answered_when_the_server_ends(service, images):
    with ThreadPoolExecutor(3) as callers:
        with service.held():
            accepted = [callers.submit(service.infer, image) for image in images[:3]]
            service.wait_until(lambda: len(service.queue._unanswered) == 3)
            ending = threading.Thread(target=service.server.close, args=(20.0,))
            ending.start()
            service.wait_until(lambda: not service.served.is_ready)
            assert service.ask("GET", "/v2/health/ready")[0] == 503
            assert service.infer(images[4])[0] == 503
        assert [each.result()[0] for each in accepted] == [200] * 3
        ending.join()
    with pytest.raises(Ending):
        service.queue.submit({"image": images[0]}, 1.0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Makes a member of a cluster: its name and role."""
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    authority = make_authority("home")

    def make(name: str, role: Role) -> Identity:
        key = new_key()
        return keep("home", name, key=key, certificate=authority.issue(key.public_key(), name, role),
                    authority=authority.certificate, revoked=authority.revoked(), contact=Contact())  # fmt: skip

    return make


@contextmanager
def secured(service, identity: Identity) -> Iterator[Server]:
    """A server for other machines in front of `service`."""
    from seamline.serving.server import Server

    everywhere = WebAddress(host="0.0.0.0", port=0)
    server = Server(service.served, http=everywhere, grpc=everywhere, identity=identity)
    try:
        yield server
    finally:
        server.close()


def test_beyond_this_machine_http_answers_members_that_may_start_streams_and_nobody_else(service, home):
    edge, caller, looks = home("edge", Role.NODE), home("caller", Role.ORIGIN), home("looks", Role.OBSERVER)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.load_verify_locations(edge.folder / "authority.pem")
    with secured(service, edge) as server:
        assert server.http_url.startswith("https://")
        with closing(_connection(server.http_url, looks.tls())) as connection:
            status, words = _get(connection)
        assert (status, "`looks` may only look; hint: `seamline invite" in words) == (403, True)
        with (
            closing(_connection(server.http_url, stranger)) as connection,
            pytest.raises((OSError, http.client.RemoteDisconnected)),
        ):
            _get(connection)
        with closing(_connection(server.http_url, caller.tls())) as kept:
            assert _get(kept)[0] == 200
            revoke("home", "caller")
            edge.keep_revoked(Authority(authority_folder("home")).revoked())
            status, words = _get(kept)
        assert (status, "`caller` has been revoked" in words) == (403, True)


def test_beyond_this_machine_grpc_answers_members_that_may_start_streams_and_nobody_else(service, home):
    import grpc

    edge, caller, looks = home("edge", Role.NODE), home("caller", Role.ORIGIN), home("looks", Role.OBSERVER)
    with secured(service, edge) as server:
        assert _call_by_tls(server, caller) is True
        assert _call_by_tls(server, edge) is True
        for is_streamed in (False, True):
            with pytest.raises(grpc.RpcError) as refused:
                _call_by_tls(server, looks, is_streamed=is_streamed)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "`looks` may only look; hint: `seamline invite" in refused.value.details()
        for stranger in (None, _of_another_cluster()):
            with pytest.raises(grpc.RpcError) as refused:
                _call_by_tls(server, stranger, authority=edge)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        revoke("home", "caller")
        edge.keep_revoked(Authority(authority_folder("home")).revoked())
        with pytest.raises(grpc.RpcError, match="the certificate of `caller` has been revoked"):
            _call_by_tls(server, caller)


def test_a_stream_of_calls_ends_for_who_is_revoked_and_with_what_is_no_request(service, home, caplog):
    import grpc

    from seamline.serving.grpc_messages import SERVICE

    edge, caller = home("edge", Role.NODE), home("caller", Role.ORIGIN)
    with secured(service, edge) as server, _channel(server, caller) as channel:
        infer = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as ended:
            list(infer(iter([b"", b"\xff"]), timeout=10))
        assert ended.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        asked: queue.Queue[bytes] = queue.Queue()
        answers = infer(iter(asked.get, None), timeout=10)
        asked.put(b"")
        next(answers)
        revoke("home", "caller")
        edge.keep_revoked(Authority(authority_folder("home")).revoked())
        asked.put(b"")
        with pytest.raises(grpc.RpcError, match="the certificate of `caller` has been revoked"):
            next(answers)
        asked.put(None)
    caplog.clear()  # its tracebacks hold what keeps the poller of grpc.aio


def _of_another_cluster() -> Identity:
    return found("elsewhere", "caller")[1]


def _call_by_tls(
    server: Server, caller: Identity | None, *, authority: Identity | None = None, is_streamed: bool = False
) -> bool:
    """Whether `server` says that it lives, asked with the certificate of `caller` under the name `edge`."""
    from seamline.serving.grpc_messages import SERVICE, message

    with _channel(server, caller, authority=authority) as channel:
        if is_streamed:
            return bool(list(channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(iter([b""]), timeout=10)))
        answer = channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=10)
    return message("ServerLiveResponse").FromString(answer).live


def _channel(server: Server, caller: Identity | None, *, authority: Identity | None = None) -> grpc.Channel:
    """To `server` under the name `edge`, with the certificate of `caller`."""
    import grpc

    root = ((authority or caller).folder / "authority.pem").read_bytes()
    own = [] if caller is None else [(caller.folder / name).read_bytes() for name in ("key.pem", "certificate.pem")]
    port = server.grpc_address.rpartition(":")[2]
    named = [("grpc.ssl_target_name_override", "edge")]
    return grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root, *own), named)


def _connection(url: str, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", urlsplit(url).port, context=context, timeout=10)


def _get(connection: http.client.HTTPConnection) -> tuple[int, str]:
    """(status, body) of the question whether the server lives."""
    connection.request("GET", "/v2/health/live")
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_beyond_this_machine_nothing_is_answered_without_certificates(service, door):
    from seamline.serving.server import Server

    everywhere = WebAddress(host="0.0.0.0", port=0)
    with pytest.raises(UsageError, match=r"no certificate.*--insecure"):
        Server(service.served, **{"http": None, "grpc": None, door: everywhere})
