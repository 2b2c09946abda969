"""The dashboard's server over real nodes: what it shows, whom it lets steer, and what it refuses."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.runtime.api.observer import StreamObserver

pytestmark = pytest.mark.needs("starlette", "uvicorn")

FRAMES_UNTIL_STOPPED = 100_000


class Browser:
    """One browser on the page at `url`; keeps its cookie."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookie: str | None = None
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **changed: str) -> tuple[int, Any]:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if method == "POST":
            headers |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, headers)
            answer = connection.getresponse()
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            text = answer.read()
        finally:
            connection.close()
        if (cookie := self.headers.get("set-cookie")) is not None:
            self.cookie = cookie.partition(";")[0]
        is_json = "json" in self.headers.get("content-type", "")
        return answer.status, json.loads(text) if is_json else text.decode()

    def sign_in(self, link: str) -> int:
        return self.ask("POST", "/api/sign-in", {"token": link.partition("=")[2]})[0]


class Shown:
    """A stream over edge and fog, running on a thread of its own, with its dashboard."""

    def __init__(self, bench, photos) -> None:
        from seamline.dashboard.server import Dashboard

        bench.start("edge")
        bench.start("fog")
        self.stream = bench.stream(policy="local", private=1)
        self.last_cut = len(bench.model.cuts) - 1
        self.stream.title = "tiny: photos"
        self.dashboard = Dashboard(StreamObserver(bench.nodes["edge"], own_only=True), "0")
        self.browser = Browser(self.dashboard.url)
        frames = (photos[number % len(photos)] for number in range(FRAMES_UNTIL_STOPPED))
        self._thread = threading.Thread(target=lambda: list(self.stream.run(frames)), name="frames")
        self._thread.start()

    def steering(self) -> Browser:
        browser = Browser(self.dashboard.url)
        assert browser.sign_in(self.dashboard.link()) == 200
        return browser

    def of(self, plan: str = "") -> dict[str, str]:
        return {"stream": self.stream.name, "plan": plan}

    def state(self) -> dict[str, Any]:
        return self.browser.ask("GET", "/api/state")[1]["stream"]

    def close(self) -> None:
        self.stream.stop(within_s=1.0)
        self._thread.join(20)
        self.dashboard.close()


@pytest.fixture
def shown(bench, photos) -> Iterator[Shown]:
    made = Shown(bench, photos)
    try:
        yield made
    finally:
        made.close()


def test_the_state_says_where_the_network_runs_and_what_every_cut_would_take(shown, wait_until):
    wait_until(lambda: bool(shown.state()["costs"]["curves"]) and shown.state()["snapshot"]["n_answered"] > 0)
    status, page = shown.browser.ask("GET", "/api/state")
    assert (status, page["schema"]) == (200, "seamline.dashboard/2")
    assert [(row["name"], row["origin"]) for row in page["streams"]] == [(shown.stream.name, "edge")]
    state = page["stream"]
    assert state["title"] == "tiny: photos"
    assert state["snapshot"]["plan"] == str(shown.stream.plan)
    assert {node["name"]: (node["is_here"], node["is_origin"]) for node in state["nodes"]} == {
        "edge": (True, True),
        "fog": (True, False),
    }
    assert {(link["source"], link["target"]) for link in state["snapshot"]["links"]} >= {("edge", "fog")}
    (curve,) = state["costs"]["curves"]
    assert curve["target"] == "fog"
    assert [cut["cut"] for cut in curve["cuts"]] == list(range(shown.last_cut + 1))
    assert curve["cuts"][0]["refusal"]  # raw frames are private
    allowed = [cut for cut in curve["cuts"] if cut["refusal"] is None]
    best = min(allowed, key=lambda cut: cut["origin_s"] + cut["transfer_s"] + cut["target_s"])
    assert curve["best_cut"] == best["cut"]
    assert [rival["kind"] for rival in state["costs"]["rivals"]] == ["local", "offload", "split"]


def test_the_page_comes_with_headers_that_keep_it_to_itself(shown):
    status, page = shown.browser.ask("GET", "/")
    assert status == 200
    assert "<title>Seamline</title>" in page
    assert shown.browser.headers["content-security-policy"].startswith("default-src 'self'")
    assert "frame-ancestors 'none'" in shown.browser.headers["content-security-policy"]
    assert shown.browser.headers["x-content-type-options"] == "nosniff"
    assert shown.browser.ask("GET", "/static/app.js")[0] == 200
    assert shown.browser.ask("GET", "/static/../server.py")[0] == 404
    assert shown.browser.ask("GET", "/static/%2e%2e/server.py")[0] == 404


def test_whoever_signed_in_previews_pins_and_releases(shown, wait_until):
    plan = f"edge[0:4]raw > fog[4:{shown.last_cut}]"
    browser = shown.steering()
    status, preview = browser.ask("POST", "/api/preview", shown.of(plan))
    assert (status, preview["plan"], preview["refusal"]) == (200, plan, None)
    assert preview["latency_s"] == pytest.approx(sum(part["duration_s"] for part in preview["parts"]))
    assert preview["gain_std_s"] >= 0
    status, pinned = browser.ask("POST", "/api/pin", shown.of(plan))
    assert (status, pinned["plan"], pinned["reason"]) == (200, plan, "pinned on the dashboard")
    assert str(shown.stream.plan) == plan
    wait_until(lambda: shown.state()["snapshot"]["is_pinned"])
    (*_, decision) = shown.state()["decisions"]
    assert decision["switch"]["reason"] == "pinned on the dashboard"
    assert [rival["kind"] for rival in decision["rivals"]] == ["local", "offload", "split"]
    assert browser.ask("POST", "/api/release", shown.of())[0] == 200
    wait_until(lambda: not shown.state()["snapshot"]["is_pinned"])


def test_an_observer_may_look_and_preview_and_not_steer(shown):
    before = shown.stream.plan
    plan = f"edge[0:{shown.last_cut}]"
    assert shown.browser.ask("GET", "/api/session")[1]["may_steer"] is False
    assert shown.browser.ask("POST", "/api/preview", shown.of(plan))[0] == 200
    for path in ("/api/pin", "/api/release"):
        status, words = shown.browser.ask("POST", path, shown.of(plan))
        assert (status, "you may look" in words["error"]) == (403, True)
    assert shown.stream.plan == before
    assert not shown.stream.snapshot().is_pinned


def test_a_link_signs_in_one_browser_and_its_cookie_is_out_of_reach_for_scripts(shown):
    link = shown.dashboard.link()
    first, second = Browser(shown.dashboard.url), Browser(shown.dashboard.url)
    assert first.sign_in(link) == 200
    assert {"HttpOnly", "SameSite=strict"} <= set(first.headers["set-cookie"].split("; "))
    assert second.sign_in(link) == 403
    assert first.ask("GET", "/api/session")[1]["may_steer"] is True
    assert second.ask("GET", "/api/session")[1]["may_steer"] is False


def test_whoever_has_the_pages_key_is_given_another_link_and_nobody_else(shown, monkeypatch, tmp_path):
    from seamline.cli.observing.sign_in_links import LinkOffer, ask_link

    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    offer, browser = LinkOffer(shown.dashboard), Browser(shown.dashboard.url)
    assert browser.sign_in(ask_link(shown.dashboard.port)) == 200
    (kept,) = tmp_path.rglob("*.key")
    assert kept.stat().st_mode & 0o077 == 0
    assert browser.ask("POST", "/api/link", {"token": "guessed"})[0] == 403
    offer.close()
    with pytest.raises(UsageError, match="no page of this user"):
        ask_link(shown.dashboard.port)


def test_get_changes_nothing_and_other_sites_and_names_are_refused(shown):
    browser, before = shown.steering(), shown.stream.plan
    body = shown.of(f"edge[0:{shown.last_cut}]")
    for path in ("/api/pin", "/api/release", "/api/sign-in", "/api/preview"):
        assert browser.ask("GET", path)[0] == 405
    assert browser.ask("POST", "/api/pin", body, Origin="http://attacker.example")[0] == 403
    assert browser.ask("POST", "/api/pin", body, Host="attacker.example")[0] == 421
    assert browser.ask("GET", "/api/state", Host="attacker.example")[0] == 421
    assert browser.ask("PUT", "/api/pin", body, Origin=f"http://{browser.host}")[0] == 405
    assert browser.ask("POST", "/api/pin", body, Content_Type="text/plain")[0] == 415
    assert shown.stream.plan == before
    assert not shown.stream.snapshot().is_pinned


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"stream": 1, "plan": "x"}', 400),
        (b'{"stream": "nobody", "plan": "x"}', 404),
        (b'{"stream": "nobody", "plan": "x", "more": 1}', 400),
        (b'{"plan": "' + b"x" * 20_000 + b'"}', 413),
    ],
)
def test_what_is_not_understood_is_said_and_does_nothing(shown, body, status):
    assert shown.steering().ask("POST", "/api/pin", body)[0] == status


@pytest.mark.parametrize("plan", ["", "nonsense", "edge[0:2]", "edge[0:4]raw > mars[4:18]"])
def test_what_is_no_plan_of_this_stream_is_said_in_words(shown, plan):
    status, words = shown.browser.ask("POST", "/api/preview", shown.of(plan))
    assert status == 422
    assert words["error"]


def test_a_plan_that_breaks_a_limit_is_previewed_with_the_limit_and_not_pinned(shown):
    plan = f"edge[0:0]jpeg > fog[0:{shown.last_cut}]"
    browser = shown.steering()
    assert browser.ask("POST", "/api/preview", shown.of(plan))[1]["refusal"]
    assert browser.ask("POST", "/api/pin", shown.of(plan))[0] == 422
    assert str(shown.stream.plan) != plan


def test_a_dead_node_is_gone_and_keeps_its_place(shown, bench, wait_until):
    bench.kill("fog")
    wait_until(
        lambda: {node["name"]: node["is_here"] for node in shown.state()["nodes"]} == {"edge": True, "fog": False}
    )


def test_all_pages_are_sent_the_same_states(shown):
    """A hundred pages, each of which takes two states; the builder's number counts states, not pages."""
    first = shown.browser.ask("GET", "/api/state")[1]["number"]
    pages = [http.client.HTTPConnection(shown.browser.host, timeout=20) for _ in range(100)]
    try:
        for page in pages:
            page.request("GET", "/api/events")
        numbers = set()
        for page in pages:
            answer = page.getresponse()
            assert answer.headers["content-type"].startswith("text/event-stream")
            for _ in range(2):
                numbers.add(json.loads(answer.readline().removeprefix(b"data: "))["number"])
                assert answer.readline() == b"\n"
    finally:
        for page in pages:
            page.close()
    last = shown.browser.ask("GET", "/api/state")[1]["number"]
    assert numbers <= set(range(first, last + 1))


def test_history_has_a_tick_a_second_with_its_parts(shown, wait_until):
    def ticks() -> list[dict[str, Any]]:
        return shown.browser.ask("GET", "/api/history")[1]["ticks"]

    wait_until(lambda: any(tick["latency_s"] is not None for tick in ticks()))
    newest = next(tick for tick in reversed(ticks()) if tick["latency_s"] is not None)
    assert sum(newest["parts"].values()) == pytest.approx(newest["latency_s"], rel=1e-6)


def test_beyond_this_machine_only_who_asked_for_it_is_shown(bench):
    from seamline.dashboard.server import Dashboard

    observer = StreamObserver(bench.start("edge"), own_only=True)
    with pytest.raises(UsageError, match="would be seen beyond this machine"):
        Dashboard(observer, "0.0.0.0:0")
    Dashboard(observer, "0.0.0.0:0", allow_insecure=True).close()


def test_a_port_in_use_is_said(shown, bench):
    from seamline.dashboard.server import Dashboard

    with pytest.raises(FabricError, match=r"cannot answer on .*give --at another port"):
        Dashboard(StreamObserver(bench.nodes["edge"]), shown.browser.host, option="--at")
