"""The page in Debian's Chromium over streams that are made up: many of them, what axe-core says, who is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot, SwitchSnapshot
from seamline.runtime.api.stream_state import (
    Change,
    Costs,
    Curve,
    CutCost,
    Decision,
    NodeState,
    Rival,
    StreamBrief,
    StreamState,
)
from seamline.runtime.origin.record import LatencyPart

pytestmark = pytest.mark.needs("chromium", "playwright", "axe_playwright_python", "starlette", "uvicorn")

LIMIT_MS = 60_000
N_STREAMS = 1000
MAX_PAGE_BYTES = 300_000
SIZES = ((1440, 900), (820, 1180), (390, 844))
PLAN = "edge-0001[0:4]f16 > cloud[4:15]"


def name_of(number: int) -> str:
    return f"edge-{number:04}-0000abcd"


def brief(number: int, look: int) -> StreamBrief:
    return StreamBrief(
        name=name_of(number), title=f"yolov8n: camera {number}", at_s=float(look), plan=PLAN, generation=1,
        frame_rate_fps=number % 30 + 0.5, latency_s=0.05 + (number * 7 % N_STREAMS) / 1000, parts={"edge-0001": 0.05},
        n_answered=look, n_dropped=number % 5, objective="latency", is_pinned=number % 9 == 0, n_events=2,
    )  # fmt: skip


def state(number: int, look: int) -> StreamState:
    nodes = [
        NodeState(name="edge-0001", is_here=True, is_origin=True, tier="edge", threads=2, memory_bytes=10**9),
        NodeState(name="fog", is_here=False, is_origin=False),
        NodeState(name="cloud", is_here=True, is_origin=False, tier="cloud", threads=8, layers="4:15"),
    ]  # fmt: skip
    cuts = [
        CutCost(cut=cut, after=f"layer{cut}", codec="f16" if cut < 15 else "", sent_bytes=100_000 // (cut + 1),
                origin_s=cut / 50, transfer_s=0.3 / (cut + 1), target_s=(15 - cut) / 500,
                refusal="raw frames are private" if cut == 0 else None)
        for cut in range(16)
    ]  # fmt: skip
    switch = SwitchSnapshot(
        at_s=1.0, from_plan="edge-0001[0:15]", to_plan=PLAN, reason="the link is back", prepare_s=0.1, switch_s=0.0
    )
    rivals = (
        Rival(kind="local", plan="edge-0001[0:15]", latency_s=0.3, throughput_fps=3.3, energy_j=None, refusal=None),
        Rival(kind="offload", plan=None, latency_s=None, throughput_fps=None, energy_j=None, refusal="private"),
    )
    parts = (
        LatencyPart(name="edge-0001", duration_s=0.08),
        LatencyPart(name="transfer", duration_s=0.06, is_transfer=True),
        LatencyPart(name="cloud", duration_s=0.02),
    )
    links = (
        LinkSnapshot(source="edge-0001", target="cloud", goodput_bps=2e7, rtt_s=0.02),
        LinkSnapshot(source="edge-0001", target="fog", goodput_bps=0.0, rtt_s=0.02),
    )
    snapshot = StreamSnapshot(
        at_s=float(look), plan=PLAN, latency_s=0.16, predicted_s=0.15, frame_rate_fps=6.0, parts=parts, links=links,
        decision="kept: no plan is better by more than it is unsure",
    )  # fmt: skip
    return StreamState(
        name=name_of(number), title=f"yolov8n: camera {number}", model="yolov8n", n_cuts=15, snapshot=snapshot,
        boundaries=(4,), nodes=tuple(nodes), avoided=(),
        costs=Costs(curves=(Curve(target="cloud", best_cut=4, cuts=tuple(cuts)),), rivals=rivals),
        decisions=(Decision(number=1, switch=switch, rivals=rivals),),
        changes=(Change(at_s=2.0, by="on the dashboard by `fog`", what="judged by latency, before by energy"),),
    )  # fmt: skip


class Cluster:
    """An observer of streams that are made up; notes what is asked of their origins."""

    def __init__(self, n_streams: int) -> None:
        self.node = SimpleNamespace(fabric=SimpleNamespace(peers=frozenset), client=self)
        self._n_streams = n_streams
        self._look = 0
        self.asked: list[tuple[Any, ...]] = []
        self.troubles: dict[str, str] = {}
        self.briefs: dict[str, StreamBrief] = {}
        self.states: dict[str, StreamState] = {}

    def refresh(self, shown, *, with_costs=()) -> None:
        self._look += 1
        briefs = [brief(number, self._look) for number in range(self._n_streams)]
        self.briefs = {each.name: each for each in briefs}
        self.states = {name: state(int(name.split("-")[1]), self._look) for name in shown}

    def set_objective(self, *asked: Any, by: str) -> Future[str]:
        return self._answer("latency", *asked)

    def avoid(self, *asked: Any, by: str) -> Future[str]:
        return self._answer("none", *asked)

    def switch_plan(self, *asked: Any, by: str) -> Future[bytes]:
        return self._answer(b'{"to_plan": "p", "reason": "r", "prepare_s": 0.1}', *asked)

    def _answer(self, answer: Any, *asked: Any) -> Future[Any]:
        self.asked.append(asked)
        future: Future[Any] = Future()
        future.set_result(answer)
        return future


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        names = "--host-resolver-rules=MAP attacker.example 127.0.0.1"
        made = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", names], timeout=LIMIT_MS
        )
        yield made
        made.close()


@pytest.fixture
def page(browser) -> Iterator[Any]:
    troubles: list[str] = []
    context = browser.new_context()
    made = context.new_page()
    made.set_default_timeout(LIMIT_MS)
    made.on("pageerror", lambda error: troubles.append(str(error)))
    yield made
    context.close()
    assert troubles == []


@pytest.fixture
def dashboard_of() -> Iterator[Any]:
    from seamline.dashboard.server import Dashboard

    made = []

    def make(n_streams: int, **options: Any) -> tuple[Any, Cluster]:
        cluster = Cluster(n_streams)
        made.append(Dashboard(cluster, "0", **options))
        return made[-1], cluster

    yield make
    for each in made:
        each.close()


def test_a_thousand_streams_are_sorted_filtered_and_chosen_and_few_of_them_are_elements(dashboard_of, page):
    from playwright.sync_api import expect

    dashboard, _ = dashboard_of(N_STREAMS)
    page.goto(dashboard.url)
    rows = page.locator("#all-rows tbody tr:not([aria-hidden])")
    expect(page.locator("#count")).to_have_text("1000 streams")
    assert 10 <= rows.count() <= 60
    page.locator("#all-rows").get_by_role("button", name="latency").click()
    expect(rows.first).to_contain_text("1.05 s")
    page.locator("#all-rows").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(rows.last).to_contain_text("50.0 ms")
    assert rows.count() <= 60
    page.get_by_label("Filter").fill("camera 77")
    expect(page.locator("#count")).to_have_text("11 of 1000 streams")
    page.get_by_role("button", name="camera 777").click()
    expect(page.locator("#title")).to_have_text("yolov8n: camera 777")
    expect(page.locator("#all-rows tr.chosen")).to_contain_text("camera 777")


def test_axe_finds_nothing_serious_nothing_is_cut_off_and_the_page_is_small(dashboard_of, page):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import expect

    dashboard, _ = dashboard_of(12)
    files: list[Any] = []
    page.on("response", lambda answer: None if "/api/" in answer.url else files.append(answer))
    page.goto(dashboard.link())
    expect(page.get_by_test_id("wheel-state")).to_contain_text("You may steer")
    expect(page.get_by_test_id("node-fog")).to_have_attribute("data-state", "gone")
    assert 50_000 < sum(len(answer.body()) for answer in files) <= MAX_PAGE_BYTES
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        found = Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


def test_who_signed_in_judges_and_drains_and_an_observers_page_changes_nothing(dashboard_of, page):
    from playwright.sync_api import expect

    dashboard, cluster = dashboard_of(1)
    page.goto(dashboard.link())
    page.get_by_role("button", name="Drain fog").click()
    expect(page.locator("#outcome")).to_contain_text("fog runs nothing")
    page.get_by_label("Judge plans by").fill("slo=0.2")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#outcome")).to_contain_text("judged by slo=0.2 now, before by latency")
    assert cluster.asked == [("edge-0000", name_of(0), ("fog",)), ("edge-0000", name_of(0), "slo=0.2")]
    looking, untouched = dashboard_of(1, only_looks="the certificate is for looking")
    page.goto(looking.link())
    expect(page.get_by_test_id("wheel-state")).to_contain_text("the certificate is for looking")
    for name in ("Pin", "Release", "Apply", "Drain fog"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    answer = page.evaluate(
        """stream => fetch("/api/objective", { method: "POST", headers: { "content-type": "application/json" },
             body: JSON.stringify({ stream, objective: "energy" }) }).then(answer => answer.status)""",
        name_of(0),
    )
    assert (answer, untouched.asked) == (403, [])


def test_a_rebinding_name_and_a_post_of_another_site_are_refused_in_a_browser_that_may_steer(dashboard_of, page):
    dashboard, cluster = dashboard_of(1)
    page.goto(dashboard.link())
    page.get_by_role("button", name="Drain fog").wait_for()
    port = dashboard.url.rsplit(":", 1)[1]
    assert page.goto(f"http://attacker.example:{port}").status == 421
    page.goto("about:blank")  # its origin is nobody's, and no policy of ours keeps it from asking
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    for mode in ("no-cors", "cors"):
        came = page.evaluate(
            """([url, stream, mode]) => fetch(url + "api/release", { method: "POST", mode, credentials: "include",
                 body: JSON.stringify({ stream }) }).then(answer => answer.type, () => "refused")""",
            [dashboard.url, name_of(0), mode],
        )
        assert came in ("refused", "opaque")  # nothing of the answer can be read
    assert (len(sent), cluster.asked) == (2, [])
