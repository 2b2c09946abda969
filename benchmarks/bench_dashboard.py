"""What open pages cost a run, how soon they tell of a killed node, and what the page costs a browser.

`pipeline`: one `seamline run` of EfficientNet-Lite0 on the origin alone, as fast as it can, with its page. 0, 1 and 20
readers of the page's events take turns, `--turn` seconds each; every turn gives frames a second and the 95th percentile
of latency. `killed`: a node of a stream is killed, and how long it takes until the page is told. `page`: Debian's
Chromium over streams that are made up (`tests/dashboard/test_page.py`): bytes of the page, first paint, milliseconds
of script an update takes with 1 and with 1,000 streams.
"""

from __future__ import annotations

import http.client
import json
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from reporting import Report, parser, progress, spread

READERS = (0, 1, 20)
COMMAND = (sys.executable, "-m", "seamline")
SETTLE_S, N_UPDATES, N_PAINTS = 0.7, 15, 3
VIDEO = Path(__file__).parents[1] / "src/seamline/data/bigbuckbunny.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Some seconds with so many readers. cpu_s: processor time of the run's process for each frame."""

    n_readers: int
    fps: float
    p95_s: float
    cpu_s: float


def main() -> None:
    options = parser("What open pages cost a run, and what the page costs a browser")
    options.add_argument("what", choices=("pipeline", "page", "killed"))
    options.add_argument("--turn", type=float, default=3.0, help="seconds with one number of readers")
    options.add_argument("--rounds", type=int, default=6, help="turns of each number of readers")
    chosen = options.parse_args()
    report = Report(f"dashboard-{chosen.what}", "What open pages cost", chosen)
    if chosen.what == "pipeline":
        report_pipeline(measure_pipeline(chosen.turn, chosen.rounds), report)
    elif chosen.what == "killed":
        seconds = measure_killed(chosen.rounds)
        report.table(
            ("what", "seconds, median (p10-p90)", "n"), [("killed to told", spread(seconds).text(), len(seconds))]
        )
        report.data["killed_s"] = seconds
    else:
        report_page(measure_page(), report)
    report.finish()


def measure_pipeline(turn_s: float, rounds: int) -> list[Turn]:
    """Turns of all numbers of readers, in another order every round."""
    seconds = rounds * len(READERS) * (turn_s + SETTLE_S) + 10.0
    command = [
        *COMMAND, "run", "efficientnet-lite0", "--source", str(VIDEO), "--loop", "--events",
        "--over", "edge", "--every-frame", "--threads", "1", "--dashboard", "0", "--seconds", f"{seconds:g}",
    ]  # fmt: skip
    answers: list[tuple[float, float]] = []
    turns = []
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        link = threading.Event()
        host: list[str] = []
        threading.Thread(target=_take, args=(run, answers, host, link), daemon=True).start()
        if not link.wait(120):
            raise SystemExit("the run did not begin")
        time.sleep(3.0)
        for number in range(rounds):
            for n_readers in READERS[number % 3 :] + READERS[: number % 3]:
                with reading(host[0], n_readers):
                    time.sleep(SETTLE_S)
                    began_s, first, spent_s = time.monotonic(), len(answers), _cpu_s(run)
                    time.sleep(turn_s)
                    taken, spent_s = answers[first:], _cpu_s(run) - spent_s
                    took_s = time.monotonic() - began_s
                latencies = sorted(latency for _, latency in taken)
                p95_s = latencies[round(0.95 * (len(latencies) - 1))]
                turns.append(
                    Turn(n_readers=n_readers, fps=len(taken) / took_s, p95_s=p95_s, cpu_s=spent_s / len(taken))
                )
                progress(f"{n_readers:2d} readers: {turns[-1].fps:.2f} frames/s, p95 {p95_s * 1e3:.1f} ms")
    finally:
        run.terminate()
        run.wait()
    return turns


def _cpu_s(run: subprocess.Popen[str]) -> float:
    times = psutil.Process(run.pid).cpu_times()
    return times.user + times.system


def _take(
    run: subprocess.Popen[str], answers: list[tuple[float, float]], host: list[str], link: threading.Event
) -> None:
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "ready":
            host.append(urlsplit(event["dashboard"]).netloc)
            link.set()
        elif event["event"] == "answer":
            answers.append((event["at_s"], event["latency_s"]))


@contextmanager
def reading(host: str, n_readers: int) -> Iterator[None]:
    """Within it so many read the page's events, in a process of their own."""
    readers = subprocess.Popen([sys.executable, __file__, "--read", host, str(n_readers)]) if n_readers else None
    try:
        yield
    finally:
        if readers is not None:
            readers.terminate()
            readers.wait()


def read(host: str, n_readers: int) -> None:
    """Until it is ended."""
    import selectors

    ready, pages = selectors.DefaultSelector(), []
    for _ in range(n_readers):
        page = http.client.HTTPConnection(host, timeout=20)
        page.request("GET", "/api/events")
        pages.append((page, page.getresponse()))
        ready.register(page.sock, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            key.fileobj.recv(1 << 20)


def measure_killed(rounds: int) -> list[float]:
    """Seconds from the kill of a node of the stream to the event that says so, on another process's page."""
    where = ("--cluster", f"bench-{secrets.token_hex(4)}")
    run = subprocess.Popen(
        [*COMMAND, "run", "efficientnet-lite0", "--source", str(VIDEO), "--loop", "--events", "--over", "edge,fog",
         "--listen", "tcp/127.0.0.1:0", "--connect", "tcp/127.0.0.1:17447", "--dashboard", "0", "--fps", "2",
         "--threads", "1", *where],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = []
    node = _fog(where)
    try:
        assert run.stdout is not None
        ready = next(event for line in run.stdout if (event := json.loads(line))["event"] == "ready")
        threading.Thread(target=run.stdout.read, daemon=True).start()
        page = http.client.HTTPConnection(urlsplit(ready["dashboard"]).netloc, timeout=60)
        page.request("GET", "/api/events")
        events = page.getresponse()
        for _ in range(rounds):
            _wait_fog(events, is_here=True)
            time.sleep(random.uniform(1.0, 2.0))
            node.kill()
            began_s = time.monotonic()
            _wait_fog(events, is_here=False, since_s=time.time())
            found.append(time.monotonic() - began_s)
            progress(f"told after {found[-1]:.2f} s")
            node.wait()
            node = _fog(where)
    finally:
        for process in (run, node):
            process.terminate()
            process.wait()
    return found


def _fog(where: tuple[str, ...]) -> subprocess.Popen[bytes]:
    listens = ("--listen", "tcp/127.0.0.1:17447")
    return subprocess.Popen([*COMMAND, "node", "--name", "fog", "--tier", "fog", "--threads", "1", *listens, *where])


def _wait_fog(events: http.client.HTTPResponse, *, is_here: bool, since_s: float = 0.0) -> None:
    while True:
        line = events.readline()
        if line.startswith(b"data: "):
            page = json.loads(line[6:])
            nodes = {node["name"]: node["is_here"] for node in (page["stream"] or {"nodes": []})["nodes"]}
            if page["time_s"] >= since_s and nodes.get("fog") is is_here:
                return


def measure_page() -> dict[str, Any]:
    """What the browser says of the page."""
    from playwright.sync_api import sync_playwright

    from seamline.dashboard.server import Dashboard

    made_up = util.spec_from_file_location("made_up", Path(__file__).parents[1] / "tests/dashboard/test_page.py")
    assert made_up is not None
    assert made_up.loader is not None
    tests = util.module_from_spec(made_up)
    made_up.loader.exec_module(tests)
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for n_streams in (1, 1000):
            dashboard, sizes, paints = Dashboard(tests.Cluster(n_streams), "0"), [], []
            for number in range(N_PAINTS):
                page = browser.new_page()
                page.on("response", lambda answer, to=sizes: None if "/api/" in answer.url else to.append(answer))
                page.goto(dashboard.url)
                page.wait_for_selector("body[data-update-ms]")
                paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
                if number == 0:
                    found["page_bytes"] = sum(len(answer.body()) for answer in sizes)
                if number < N_PAINTS - 1:
                    page.close()
            updates = []
            for _ in range(N_UPDATES):
                updates.append(float(page.evaluate("document.body.dataset.updateMs")))
                time.sleep(1.0)
            found[f"first_paint_ms_{n_streams}"] = paints
            found[f"update_ms_{n_streams}"] = updates
            page.close()
            dashboard.close()
        browser.close()
    return found


def report_pipeline(turns: list[Turn], report: Report) -> None:
    """A row for each number of readers; ratios are of turns of the same round."""
    by = {n: [turn for turn in turns if turn.n_readers == n] for n in READERS}
    rows = []
    for n_readers, own in by.items():
        fps, p95 = spread(turn.fps for turn in own), spread(turn.p95_s for turn in own)
        pairs = list(zip(own, by[0], strict=True))
        slower = spread(turn.fps / none.fps - 1.0 for turn, none in pairs)
        later = spread(turn.p95_s / none.p95_s - 1.0 for turn, none in pairs)
        cpu = spread(turn.cpu_s for turn in own)
        more = spread(turn.cpu_s / none.cpu_s - 1.0 for turn, none in pairs)
        beside = (each.text(100, 1) for each in (slower, later, more))
        rows.append((n_readers, fps.text(), p95.text(1e3, 1), cpu.text(1e3, 2), *beside))
    head = ("pages open", "frames/s", "p95 of latency, ms", "processor ms a frame", *(
        f"{what} beside none, %" for what in ("frames/s", "p95", "processor")
    ))  # fmt: skip
    report.table(head, rows)
    report.data["turns"] = [asdict(turn) for turn in turns]


def report_page(found: dict[str, Any], report: Report) -> None:
    """Bytes, paint and script."""
    rows: list[tuple[object, ...]] = [("bytes of the page", found["page_bytes"], 1)]
    for name, values in found.items():
        if name != "page_bytes":
            rows.append((name, spread(values).text(), len(values)))
    report.table(("what", "median (p10-p90)", "n"), rows)
    report.data |= found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], int(sys.argv[3]))
    else:
        main()
