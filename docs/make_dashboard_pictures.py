"""Pictures of the page for docs/observing.md, of a real `seamline demo`: docs/dashboard-WIDTH-THEME.png.

    python docs/make_dashboard_pictures.py [--at 40] [--seconds 60]

Needs Debian's chromium.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parent
SIZES = ((1440, 900), (820, 1180), (390, 844))
THEMES = ("light", "dark")
PATIENCE_MS = 200_000
LINK = re.compile(r"dashboard: (http://\S+)")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--at", type=float, default=40.0, help="seconds of the run at which the pictures are taken")
    options.add_argument("--seconds", type=float, default=60.0, help="length of the run")
    options.add_argument("--out", type=Path, default=DOCS)
    chosen = options.parse_args()
    command = [sys.executable, "-m", "seamline", "demo", "--no-baselines", "--dashboard", "0"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE_MS
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        demo = subprocess.Popen([*command, "--seconds", f"{chosen.seconds:g}"], stderr=subprocess.PIPE, text=True)
        try:
            assert demo.stderr is not None
            link = next(found[1] for line in demo.stderr if (found := LINK.search(line)))
            take(page, link, chosen.at, chosen.out)
        finally:
            demo.terminate()
            demo.wait()
        browser.close()


def take(page: Page, link: str, at_s: float, folder: Path) -> None:
    """All pictures of the page behind `link`, once the stream has run for `at_s`."""
    page.goto(link)
    page.wait_for_selector("[data-state]")
    while page.evaluate("fetch('/api/state').then(a => a.json()).then(s => s.stream.snapshot.at_s)") < at_s:
        time.sleep(0.5)
    for (width, height), theme in product(SIZES, THEMES):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        time.sleep(1.5)
        path = folder / f"dashboard-{width}-{theme}.png"
        page.screenshot(path=path, full_page=True)
        Image.open(path).quantize(64).save(path, optimize=True)  # a third of the size, and nobody sees it


if __name__ == "__main__":
    main()
