"""Real Prometheus over two nodes and a stream: every query of the dashboard finds series, a dead node an alert."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
SPLIT = "edge[0:4]u8 > fog[4:15]"

pytestmark = [pytest.mark.needs("prometheus", "prometheus_client")]


class Prometheus:
    """A server that scrapes `targets` five times a second, with the rules of deploy/ made impatient."""

    def __init__(self, folder: Path, port: int, targets: list[int]) -> None:
        rules = re.sub(r"for: \d+\w", "for: 0s", (DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
        (folder / "alerts.yml").write_text(rules, encoding="utf-8")
        config = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8").replace("interval: 5s", "interval: 200ms")
        addresses = json.dumps([f"127.0.0.1:{target}" for target in targets])
        config = re.sub(r"targets: \[.*9465.*\]", f"targets: {addresses}", config)
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")
        self._url = f"http://127.0.0.1:{port}/api/v1/"
        self._log = (folder / "prometheus.log").open("wb")
        self.popen = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def series(self, expression: str) -> list[Any]:
        return self.get("query", query=expression)["result"]

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.get("alerts")["alerts"] if each["state"] == "firing"}

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self._log.close()


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[Callable[[int, list[int]], Prometheus]]:
    started: list[Prometheus] = []

    def start(port: int, targets: list[int]) -> Prometheus:
        started.append(Prometheus(tmp_path, port, targets))
        return started[0]

    yield start
    for each in started:
        each.close()


def wait(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """The limit only keeps a broken test from hanging."""
    end_s = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
        except OSError:
            pass  # it has not begun to listen
        assert time.monotonic() < end_s, what()
        time.sleep(0.1)


def queries() -> list[str]:
    """Every query of the dashboard, with Grafana's own variables filled in."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked += [each["expr"].removesuffix(" > 0") for each in DASHBOARD["annotations"]["list"]]
    return [text.replace("$__rate_interval", "3s").replace("$stream", ".*") for text in asked]


def test_prometheus_scrapes_two_nodes_and_alerts_when_one_dies(system, free_port, start_prometheus):
    node_port, fog_port, edge_port = free_port(), free_port(), free_port()
    fog = system.node("fog", node_port, "--metrics", str(fog_port), "--power", "idle=2,busy=5")
    assert fog.events[0]["metrics"] == f"http://127.0.0.1:{fog_port}/metrics"
    run = system.run(
        "--events", "--seconds", "90", "--plan", SPLIT, "--metrics", f"localhost:{edge_port}",
        "--power", "idle=2,busy=5", over="edge,fog", port=node_port,
    )  # fmt: skip
    run.wait_plan("fog")
    prometheus = start_prometheus(free_port(), [fog_port, edge_port])
    wait(lambda: len(prometheus.series("up == 1")) == 2, lambda: prometheus.series("up"))
    assert prometheus.firing() == set()
    with system.visit(node_port) as (stream, client):
        client.switch_plan("edge", stream, "edge[0:15]", "").result(60)
    missing: list[str] = []

    def all_found() -> bool:
        missing[:] = [text for text in queries() if not prometheus.series(text)]
        return not missing

    wait(all_found, lambda: missing)
    os.killpg(fog.popen.pid, signal.SIGKILL)
    wait(lambda: {"SeamlineNodeDown", "SeamlinePeerLost"} <= prometheus.firing(), prometheus.firing)
    assert run.popen.poll() is None
