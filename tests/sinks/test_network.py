"""Claims about MQTT, beside a real broker (Debian's mosquitto), and about webhooks, beside a server on loopback."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seamline.sinks.opening import parse_sink
from seamline.sinks.sink import SinkError, StreamFacts
from seamline.sinks.sinks import Sinks

FACTS = StreamFacts(source="door", model="tiny")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Broker:
    """A mosquitto of its own on loopback; `stop` and `start` again keep port and retained messages."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/", "user root"]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            file = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), "me", password], check=True, capture_output=True)
            file.chmod(0o644)
            lines.append(f"password_file {file}")
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.PIPE)
        until_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, self._process.stderr.read()
                assert time.monotonic() < until_s
                time.sleep(0.01)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        self._process.stderr.close()


@pytest.fixture
def broker(tmp_path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


@dataclass
class Heard:
    topic: str
    text: str
    is_retained: bool


class Listener:
    """Hears all of a broker from now on; what was retained before comes first."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._heard: queue.Queue[Heard] = queue.Queue()
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, m: self._heard.put(Heard(m.topic, m.payload.decode(), m.retain))
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def until(self, topic: str, text: str) -> list[Heard]:
        """All that is heard until `topic` says `text`."""
        found = []
        while not found or (found[-1].topic, found[-1].text) != (topic, text):
            found.append(self._heard.get(timeout=10))
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(broker) -> Iterator[Listener]:
    made = Listener(broker.port)
    yield made
    made.close()


def dogs(answers, n: int):
    return answers.boxes(*(answers.box(2, 0.9 - at / 10, 1, 2, 3, 4, name="big dog") for at in range(n)))


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_hears_every_answer_between_online_and_offline(answers, broker, listener, qos):
    sink = parse_sink(f"mqtt://127.0.0.1:{broker.port}/cams/door?qos={qos}")
    with Sinks([sink], FACTS, waits=True) as sinks:
        for n in (0, 2, 2, 1):
            sinks.put(dogs(answers, n))
    assert sinks.figures()[0].written == 4
    heard = listener.until("cams/door/available", "offline")
    said = [json.loads(each.text) for each in heard if each.topic == "cams/door"]
    assert [one["answer"] for one in said] == [0, 1, 2, 3]
    assert [one["state"] for one in said] == ["nothing", "2 big dog", "2 big dog", "1 big dog"]
    assert said[1]["boxes"][0] == {"label": "big dog", "score": 0.9, "class": 2, "box": [1, 2, 3, 4]}
    assert {"frame", "frame_time", "source_s", "plan", "latency_s"} <= said[0].keys()
    assert [(each.topic, each.text) for each in heard if each.topic not in ("cams/door",)] == [
        ("cams/door/available", "online"),
        ("cams/door/all", "0"),
        ("cams/door/all", "2"), ("cams/door/big_dog", "2"),
        ("cams/door/all", "1"), ("cams/door/big_dog", "1"),
        ("cams/door/available", "offline"),
    ]  # fmt: skip


@pytest.mark.needs("mosquitto")
def test_who_comes_later_gets_the_status_and_the_counts_but_no_old_answer(answers, broker, listener):
    with Sinks([parse_sink(f"mqtt://127.0.0.1:{broker.port}/door")], FACTS, waits=True) as sinks:
        sinks.put(dogs(answers, 2))
    listener.until("door/available", "offline")
    late = Listener(broker.port)
    heard = {each.topic: each for each in late.until("door/big_dog", "2")}
    late.close()
    assert "door" not in heard
    assert heard["door/available"].text == "offline"
    assert all(each.is_retained for each in heard.values())


@pytest.mark.needs("mosquitto")
def test_home_assistant_gets_a_sensor_that_reads_the_answers(broker, listener):
    sink = parse_sink(f"mqtt://127.0.0.1:{broker.port}/cams/door?discovery=homeassistant")
    with Sinks([sink], FACTS, waits=True):
        pass
    heard = listener.until("cams/door/available", "offline")
    (config,) = [json.loads(each.text) for each in heard if each.topic.startswith("homeassistant/")]
    assert config["state_topic"] == config["json_attributes_topic"] == "cams/door"
    assert config["availability_topic"] == "cams/door/available"
    assert config["unique_id"] == "seamline_cams_door_seen"
    assert config["device"]["model"] == "tiny"


KILLED = """
import sys, time
from seamline.sinks.opening import parse_sink
from seamline.sinks.sink import StreamFacts
sink = parse_sink(sys.argv[1])
sink.open(StreamFacts(source="door", model="tiny"))
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.needs("mosquitto")
def test_the_broker_says_offline_for_a_process_that_was_killed(broker, listener):
    address = f"mqtt://127.0.0.1:{broker.port}/door"
    process = subprocess.Popen([sys.executable, "-c", KILLED, address], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    listener.until("door/available", "online")
    process.kill()
    process.wait()
    process.stdout.close()
    listener.until("door/available", "offline")


@pytest.mark.needs("mosquitto")
def test_a_broker_that_goes_away_is_counted_and_used_again_when_it_is_back(answers, broker):
    said: list[str] = []
    sink = parse_sink(f"mqtt://127.0.0.1:{broker.port}/door")
    with Sinks([sink], FACTS, waits=True, trouble=said.append) as sinks:
        sinks.put(dogs(answers, 1))
        while sinks.figures()[0].written < 1:
            time.sleep(0.005)
        broker.stop()
        while not sinks.figures()[0].failed:
            sinks.put(dogs(answers, 1))
            time.sleep(0.005)
        broker.start()
        late = Listener(broker.port)
        n_before = sinks.figures()[0].written
        until_s = time.monotonic() + 20
        while sinks.figures()[0].written == n_before and time.monotonic() < until_s:
            sinks.put(dogs(answers, 3))
            time.sleep(0.02)
    late.until("door/available", "online")
    heard = late.until("door/available", "offline")
    late.close()
    assert any(each.topic == "door" for each in heard)
    assert sinks.figures()[0].error is None
    assert len(said) == 1


@pytest.mark.needs("mosquitto")
def test_a_password_is_needed_and_used(answers, tmp_path):
    broker = Broker(tmp_path, password="secret word")
    try:
        with pytest.raises(SinkError, match="refuses: Not authorized") as raised:
            parse_sink(f"mqtt://127.0.0.1:{broker.port}/door").open(FACTS)
        assert raised.value.hint == "mqtt://USER:PASSWORD@HOST/TOPIC"
        sink = parse_sink(f"mqtt://me:secret%20word@127.0.0.1:{broker.port}/door")
        with Sinks([sink], FACTS, waits=True) as sinks:
            sinks.put(dogs(answers, 1))
        assert sinks.figures()[0].written == 1
    finally:
        broker.stop()


def test_no_broker_is_said_before_anything_runs():
    sink = parse_sink(f"mqtt://127.0.0.1:{free_port()}/door")
    with pytest.raises(SinkError, match="no MQTT broker answers at"), Sinks([sink], FACTS, waits=False):
        pytest.fail("it must not be entered")


# -- webhooks ----


class Server:
    """Takes POSTs on loopback and keeps them. status: what it answers. n_rude: so many connections it closes after one
    reply without saying so."""

    def __init__(self, status: int = 200, *, n_rude: int = 0) -> None:
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.n_connections = 0
        self.status, self.n_rude = status, n_rude
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.n_connections += 1

            def do_POST(self) -> None:
                outer.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                outer.headers.append(dict(self.headers))
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                if outer.n_rude:
                    outer.n_rude -= 1
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator:
    made: list[Server] = []

    def call(*arguments, **options) -> Server:
        made.append(Server(*arguments, **options))
        return made[-1]

    yield call
    for server in made:
        server.close()


@pytest.mark.parametrize(("n_rude", "n_connections"), [(0, 1), (2, 3)])
def test_an_address_gets_every_answer_over_a_connection_that_is_kept(answers, serve, n_rude, n_connections):
    server = serve(n_rude=n_rude)
    with Sinks([parse_sink(f"http://me:word@127.0.0.1:{server.port}/hook?a=b")], FACTS, waits=True) as sinks:
        for n in range(4):
            sinks.put(dogs(answers, n))
    assert [body["answer"] for body in server.bodies] == [0, 1, 2, 3]
    assert [len(body["boxes"]) for body in server.bodies] == [0, 1, 2, 3]
    assert server.n_connections == n_connections
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.headers[0]["Authorization"] == "Basic bWU6d29yZA=="
    assert sinks.figures()[0].written == 4


def test_an_address_that_refuses_is_counted_and_said_once(answers, serve):
    said: list[str] = []
    server = serve(503)
    with Sinks([parse_sink(f"http://127.0.0.1:{server.port}/")], FACTS, waits=True, trouble=said.append) as sinks:
        for n in range(3):
            sinks.put(dogs(answers, n))
        while sinks.figures()[0].failed < 3:
            time.sleep(0.005)
        server.status = 204
        sinks.put(dogs(answers, 1))
    assert (sinks.figures()[0].failed, sinks.figures()[0].written) == (3, 1)
    assert said == [f"`http://127.0.0.1:{server.port}/`: it answers 503 Service Unavailable"]


def test_an_address_where_nobody_is_holds_nothing_up(answers):
    sink = parse_sink(f"http://127.0.0.1:{free_port()}/")
    with Sinks([sink], FACTS, waits=True) as sinks:
        for n in range(200):
            sinks.put(dogs(answers, n % 2))
    figures = sinks.figures()[0]
    assert (figures.failed, figures.written, figures.error) == (200, 0, None)
