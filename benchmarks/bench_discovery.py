"""How soon a third node is found by multicast: from the start of its fabric until all three see each other."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable

from reporting import Report, parser

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.discovery import group_of
from seamline.fabric.zenoh import ZenohFabric

LIMIT_S = 10.0
BETWEEN_S = 1.0
"""A router that comes within a second of another's leaving is not told of those who are there, by Zenoh 1.10, whether
links were found or configured."""


def main() -> None:
    options = parser("Seconds until a third node is found by multicast")
    options.add_argument("--rounds", type=int, default=20)
    chosen = options.parse_args()
    report = Report("discovery", "A third node is found by multicast", chosen)
    cluster = f"bench-{secrets.token_hex(4)}"
    first, second = start("one", cluster), start("two", cluster)
    try:
        wait(lambda: set(first.peers()) == {"two"} and set(second.peers()) == {"one"})
        taken_s = [round_s(cluster, first, second) for _ in range(3 if chosen.quick else chosen.rounds)]
    finally:
        first.close()
        second.close()
    median, most = statistics.median(taken_s), max(taken_s)
    report.data = {"seconds": taken_s}
    report.say(
        f"Three fabrics without certificates in one process, over the machine's own network interface: median "
        f"{1e3 * median:.0f} ms, at most {1e3 * most:.0f} ms, n = {len(taken_s)}. The aim was 2 s. Another machine, a "
        "switch or an access point was not between them.",
        "",
    )
    report.finish()


def start(name: str, cluster: str) -> ZenohFabric:
    fabric = ZenohFabric(NodeId(name), listen=("tcp/0.0.0.0:0",), cluster=cluster, group=group_of(cluster))
    fabric.start(lambda source, message: None, lambda peer, is_alive: None)
    return fabric


def round_s(cluster: str, first: ZenohFabric, second: ZenohFabric) -> float:
    """Seconds until all three see each other; the third has gone again on return."""
    began_s = time.perf_counter()
    third = start("three", cluster)
    try:
        wait(lambda: set(third.peers()) == {"one", "two"} and "three" in first.peers() and "three" in second.peers())
        return time.perf_counter() - began_s
    finally:
        third.close()
        wait(lambda: "three" not in first.peers() and "three" not in second.peers())
        time.sleep(BETWEEN_S)


def wait(condition: Callable[[], bool]) -> None:
    until_s = time.perf_counter() + LIMIT_S
    while not condition():
        if time.perf_counter() > until_s:
            raise SystemExit("nobody was found: is multicast closed here?")
        time.sleep(0.002)


if __name__ == "__main__":
    main()
