"""MQTT sink: each answer as JSON on a topic, whether the stream runs as a retained message, counts of labels.

    mqtt://[USER:PASSWORD@]HOST[:1883]/TOPIC[?qos=1&discovery=homeassistant]      mqtts:// with TLS, port 8883

    TOPIC              each answer, a JSON object (`answered_json`, and `state`: what is there, in words)
    TOPIC/available    ``online`` or ``offline``, retained; the broker says ``offline`` for a process that died
    TOPIC/LABEL        how many of that label are there, retained, when it changes; TOPIC/all: how many in all

Frigate names its topics and the keys ``label``, ``score``, ``box``, ``frame_time`` the same, so that automations for it
need another topic only. With ``discovery`` Home Assistant gets a sensor of `state` by itself, under that prefix.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from seamline.core.vocabulary.documented import json_line
from seamline.core.vocabulary.errors import UsageError
from seamline.heads.answers import Boxes
from seamline.sinks.answered import AnsweredFrame, answered_json, state_words
from seamline.sinks.sink import Sink, SinkError, StreamFacts

PORTS = {"mqtt": 1883, "mqtts": 8883}
ONLINE, OFFLINE = "online", "offline"
KEEPALIVE_S = 20
"""A broker misses a client that has been silent for half as long again."""

CONNECT_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 5.0
LONGEST_RETRY_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttAddress:
    """Where an MQTT sink publishes. discovery: Home Assistant's prefix, None without."""

    host: str
    port: int
    topic: str
    is_tls: bool = False
    user: str | None = None
    password: str | None = None
    qos: int = 0
    discovery: str | None = None


def parse_address(text: str) -> MqttAddress:
    """The address in ``mqtt://...``. Raises `UsageError` when it is none."""
    hint = "write mqtt://HOST/TOPIC, e.g. mqtt://broker.local/seamline/door"
    try:
        parts = urlsplit(text)
        port = parts.port or PORTS[parts.scheme]
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except (ValueError, KeyError) as exc:
        raise UsageError(f"`{hidden(text)}` is not an MQTT address", hint=hint) from exc
    topic = unquote(parts.path).strip("/")
    qos = options.pop("qos", ["0"])[-1]
    discovery = options.pop("discovery", [""])[-1]
    if not parts.hostname or not topic or re.search(r"[+#\x00]", topic) or options or qos not in ("0", "1", "2"):
        raise UsageError(f"`{hidden(text)}` is not an MQTT address", hint=hint)
    return MqttAddress(
        host=parts.hostname,
        port=port,
        topic=topic,
        is_tls=parts.scheme == "mqtts",
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        qos=int(qos),
        discovery=discovery or None,
    )


def hidden(address: str) -> str:
    """`address` without its password."""
    return re.sub(r"//([^/@:]*):[^/]*@", r"//\1:...@", address)


class Mqtt(Sink):
    """Publishes to a broker; a broker that goes away is asked for again, and what it missed is counted as failed."""

    def __init__(self, text: str) -> None:
        self.name = hidden(text)
        self._to = parse_address(text)
        self._client: Any = None
        self._connected, self._has_answered = threading.Event(), threading.Event()
        self._refusal: str | None = None
        self._counts: Counter[str] = Counter()
        self._facts = StreamFacts(source="", model="")

    def open(self, facts: StreamFacts) -> None:
        self._facts = facts
        self._client = client = self._new_client()
        try:
            client.connect(self._to.host, self._to.port, keepalive=KEEPALIVE_S)
        except OSError as exc:
            where = f"{self._to.host}:{self._to.port}"
            raise SinkError(f"no MQTT broker answers at {where}: {exc}", hint="is it running, and reachable?") from exc
        client.loop_start()
        self._has_answered.wait(CONNECT_TIMEOUT_S)
        if not self._connected.is_set():
            words = self._refusal or f"it did not answer within {CONNECT_TIMEOUT_S:.0f} s"
            raise SinkError(
                f"the MQTT broker at {self._to.host} refuses: {words}", hint="mqtt://USER:PASSWORD@HOST/TOPIC"
            )

    def write(self, answered: AnsweredFrame) -> None:
        data = answered_json(answered) | {"state": state_words(answered)}
        self._publish(self._to.topic, json_line(data), qos=self._to.qos)
        if isinstance(answered.answer, Boxes):
            self._publish_counts(answered.answer)

    def close(self) -> None:
        if self._client is None:
            return
        try:
            if self._connected.is_set():
                self._publish(self._available, OFFLINE, qos=1, retain=True)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    @property
    def _available(self) -> str:
        return f"{self._to.topic}/available"

    def _new_client(self) -> Any:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as exc:
            hint = "install it with: pip install 'seamline[mqtt]'"
            raise UsageError(f"`{self.name}` needs the package paho-mqtt", hint=hint) from exc
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"seamline-{secrets.token_hex(4)}")
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.will_set(self._available, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, LONGEST_RETRY_S)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._to.user is not None:
            client.username_pw_set(self._to.user, self._to.password)
        if self._to.is_tls:
            client.tls_set()
        return client

    def _on_connect(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """On the client's own thread, at first and whenever the broker is back: by then it has said ``offline``."""
        if reason.is_failure:
            self._refusal = str(reason)
            self._has_answered.set()
            return
        client.publish(self._available, ONLINE, qos=1, retain=True)
        if self._to.discovery is not None:
            client.publish(*self._discovery(self._to.discovery), qos=1, retain=True)
        self._connected.set()
        self._has_answered.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._connected.clear()

    def _publish_counts(self, answer: Boxes) -> None:
        """How many of each label are there, of those that are others than before."""
        counts = Counter(_level(box.label.name) for box in answer.boxes)
        counts["all"] = len(answer.boxes)
        for name in sorted({*counts, *self._counts}):
            if counts[name] != self._counts[name] or name not in self._counts:
                self._publish(f"{self._to.topic}/{name}", str(counts[name]), qos=1, retain=True)
                self._counts[name] = counts[name]

    def _publish(self, topic: str, payload: str, *, qos: int, retain: bool = False) -> None:
        """Hand one message over and wait until it is on its way: nothing heaps up in the client."""
        if not self._connected.is_set():
            raise SinkError("the broker is away", is_final=False)
        sent = self._client.publish(topic, payload.encode(), qos=qos, retain=retain)
        try:
            sent.wait_for_publish(SEND_TIMEOUT_S)
        except (RuntimeError, ValueError) as exc:
            raise SinkError(f"the broker is away: {exc}", is_final=False) from exc
        if not sent.is_published():
            raise SinkError(f"the broker took nothing for {SEND_TIMEOUT_S:.0f} s", is_final=False)

    def _discovery(self, prefix: str) -> tuple[str, str]:
        """Topic and payload that make Home Assistant show `state` as a sensor."""
        unique = "seamline_" + re.sub(r"[^A-Za-z0-9]+", "_", self._to.topic)
        config = {
            "name": "Seen",
            "unique_id": f"{unique}_seen",
            "state_topic": self._to.topic,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": self._to.topic,
            "availability_topic": self._available,
            "icon": "mdi:cctv",
            "device": {
                "identifiers": [unique],
                "name": f"Seamline {self._to.topic}",
                "manufacturer": "Seamline",
                "model": self._facts.model,
            },
            "origin": {"name": "Seamline"},
        }
        return f"{prefix.strip('/')}/sensor/{unique}/seen/config", json.dumps(config)


def _level(label: str) -> str:
    """A label as one level of a topic."""
    return re.sub(r"[\s/+#\x00]+", "_", label.strip()) or "_"
