"""The page in Debian's Chromium: a switch is marked, a plan pinned and released by hand, a dead node turns red."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.needs("chromium", "playwright", "starlette", "uvicorn")

SPLIT = "edge[0:4]lossless > fog[4:15]"
LIMIT_MS = 60_000
"""Only keeps a broken test from hanging: a busy machine takes long to start a browser."""


@pytest.fixture
def page() -> Iterator[object]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"], timeout=LIMIT_MS
        )
        page = browser.new_page()
        page.set_default_timeout(LIMIT_MS)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
        yield page
        browser.close()
    assert troubles == []


def test_a_run_is_seen_steered_and_seen_to_lose_a_node(system, port, page):
    from playwright.sync_api import expect

    fog = system.node("fog", port)
    run = system.run("--events", "--seconds", "90", "--dashboard", "0", "--policy", "local", over="edge,fog", port=port)
    run.wait_until(lambda process: any(event["event"] == "ready" for event in process.events))
    link = next(event["dashboard"] for event in run.events if event["event"] == "ready")

    page.goto(link.partition("#")[0])
    expect(page.get_by_test_id("wheel-state")).to_contain_text("You may look")
    expect(page.get_by_test_id("node-fog")).to_have_attribute("data-state", "idle")
    page.get_by_label("Plan", exact=True).fill(SPLIT)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#outcome")).to_contain_text(SPLIT)
    expect(page.get_by_role("button", name="Pin")).to_be_disabled()

    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_test_id("wheel-state")).to_contain_text("You may steer")
    assert "sign-in" not in page.url
    page.get_by_label("Plan", exact=True).fill(SPLIT)
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Pin").click()
    expect(page.locator("#outcome")).to_contain_text(f"Pinned: {SPLIT}")
    expect(page.get_by_test_id("switch-1")).to_contain_text("pinned on the dashboard")
    expect(page.get_by_test_id("plan")).to_contain_text(SPLIT)
    expect(page.get_by_test_id("node-fog")).to_have_attribute("data-state", "busy")
    page.get_by_role("button", name="Release").click()
    expect(page.locator("#outcome")).to_contain_text("Released")

    curve = page.locator("#curve")
    curve.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#curve-readout")).to_have_text(re.compile(r"^Cut \d+.*: edge .* = "))

    os.killpg(fog.popen.pid, signal.SIGKILL)
    expect(page.get_by_test_id("node-fog")).to_have_attribute("data-state", "gone")
    for width in (1440, 820, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    assert run.popen.poll() is None
