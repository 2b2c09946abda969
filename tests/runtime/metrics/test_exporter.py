"""``/metrics`` of real nodes over a virtual network: what it says, and whom it answers."""

from __future__ import annotations

import http.client
import ssl
import threading
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seamline.config.power import parse_power
from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.identity.founding import found
from seamline.runtime.metrics.exporter import Exporter

pytestmark = pytest.mark.needs("prometheus_client")


def get(url: str, **headers: str) -> tuple[int, str]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    connection.request("GET", where.path, headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Metrics:
    """What `url` says; a metric by its name and labels."""

    def __init__(self, url: str) -> None:
        status, text = get(url)
        assert status == 200
        self.families = list(text_string_to_metric_families(text))

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def one(self, name: str, **labels: str) -> float:
        ((_, value),) = self.all(name, **labels)
        return value


@pytest.fixture
def exporter(bench):
    bench.powers["edge"] = parse_power("idle=2,busy=5")
    node = bench.start("edge")
    exporter = Exporter(node, "0", cluster="default")
    node.close_with(exporter)
    return exporter


def test_a_node_says_how_it_and_its_links_fare(bench, exporter, wait_until):
    bench.start("fog")
    bench.stream(private=1)  # links are measured for those alone who use them
    wait_until(lambda: "fog" in bench.nodes["edge"].membership.statuses())
    found = Metrics(exporter.url)
    assert found.one("seamline_node_info", node="edge", tier="edge") == 1
    assert found.one("seamline_node_memory_bytes", node="edge") == 10**9
    assert found.one("seamline_node_peer_up", node="edge", peer="fog", tier="fog") == 1
    assert found.one("seamline_link_rtt_seconds", src="edge", dst="fog") >= 0
    ((labels, joules),) = found.all("seamline_energy_joules_total", node="edge")
    assert labels["source"].startswith("modelled:")
    assert joules > 0
    assert found.one("process_start_time_seconds") > 0


def test_a_peer_that_has_gone_is_down_and_no_longer_missing(bench, exporter, wait_until):
    bench.start("fog")
    wait_until(lambda: "fog" in bench.nodes["edge"].membership.statuses())
    assert Metrics(exporter.url).one("seamline_node_peer_up", peer="fog") == 1
    bench.kill("fog")
    wait_until(lambda: "fog" not in bench.nodes["edge"].membership.statuses())
    assert Metrics(exporter.url).one("seamline_node_peer_up", peer="fog") == 0


def test_every_frame_is_counted_once_with_what_it_took(bench, exporter, photos):
    bench.start("fog")
    stream = bench.stream(private=1)
    exporter.watch(stream)
    assert len(list(stream.run(photos[:20]))) == 20
    found, name = Metrics(exporter.url), stream.name
    counted = {labels["outcome"]: value for labels, value in found.all("seamline_frames_total", stream=name)}
    assert counted.pop("dropped") == 0
    assert counted.keys() == {"ok", "retried", "failed"}
    assert sum(counted.values()) == 20
    assert found.one("seamline_frame_latency_seconds_count", stream=name) == 20
    assert found.one("seamline_frame_latency_seconds_bucket", stream=name, le="+Inf") == 20
    assert found.one("seamline_stage_compute_seconds_count", stream=name, node="edge") == 20
    assert found.one("seamline_plan_predicted_latency_seconds", stream=name) > 0
    assert found.one("seamline_plan_info", stream=name, plan=str(stream.plan)) == 1


def test_a_switch_is_counted_with_its_preparation(bench, exporter, photos):
    bench.start("fog")
    stream = bench.stream(private=1, policy="static")
    exporter.watch(stream)
    for result in stream.run(photos[:20]):
        if result.frame == 3:
            stream.switch(f"edge[0:4]raw > fog[4:{len(bench.model.cuts) - 1}]").result(20)
    found = Metrics(exporter.url)
    assert found.one("seamline_repartitions_total", stream=stream.name) == 1
    assert found.one("seamline_repartition_prepare_seconds_count", stream=stream.name) == 1


def test_loopback_is_not_answered_by_names_that_others_can_point_here(exporter):
    assert get(exporter.url, Host="attacker.example")[0] == 421
    assert get(exporter.url, Host="localhost:9464")[0] == 200


def test_closing_the_node_ends_the_answers(bench, exporter):
    bench.nodes.pop("edge").close()
    with pytest.raises(ConnectionRefusedError):
        get(exporter.url)


def test_many_connections_that_say_nothing_leave_a_bounded_number_of_threads(exporter):
    where = urlsplit(exporter.url)
    before = threading.active_count()
    silent = [http.client.HTTPConnection(where.netloc) for _ in range(40)]
    try:
        for connection in silent:
            connection.connect()
        assert threading.active_count() <= before + 16
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("text", ["", "http://x", "70000", "a b:80", "host:"])
def test_what_is_no_address_is_wrong_use(bench, text):
    with pytest.raises(UsageError, match="no address for --metrics"):
        Exporter(bench.start("edge"), text, cluster=None)


def test_a_port_in_use_is_said_with_a_hint(bench, exporter):
    with pytest.raises(FabricError, match="cannot answer on"):
        Exporter(bench.nodes["edge"], str(urlsplit(exporter.url).port), cluster=None)


def test_beyond_loopback_a_node_without_a_certificate_answers_nobody(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="no certificate for cluster"):
        Exporter(bench.start("edge"), "0.0.0.0:0", cluster="default")


def test_beyond_loopback_members_of_the_cluster_are_answered_and_nobody_else(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    _, edge = found("home", "edge")
    exporter = Exporter(bench.start("edge"), "0.0.0.0:0", cluster="home")
    bench.nodes["edge"].close_with(exporter)
    port = urlsplit(exporter.url).port
    assert exporter.url.startswith("https://")
    assert _get_by_tls(port, edge.tls()) == 200
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.load_verify_locations(edge.folder / "authority.pem")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        _get_by_tls(port, stranger)


def _get_by_tls(port: int, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status
    finally:
        connection.close()
