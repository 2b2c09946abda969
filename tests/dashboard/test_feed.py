"""Feed of the page: what pages ask for by name."""

from __future__ import annotations

import json
from types import SimpleNamespace

from seamline.dashboard.feed import Feed
from seamline.dashboard.history import History


def test_a_name_of_no_stream_is_shown_nothing_and_nothing_is_kept_of_it():
    observer = SimpleNamespace(
        briefs={}, states={}, troubles={}, refresh=lambda shown, with_costs: None,
        node=SimpleNamespace(fabric=SimpleNamespace(peers=tuple)),
    )  # fmt: skip
    feed = Feed(observer, History(), lambda: None)
    try:
        observer.briefs = {"edge-a": None}
        assert (feed.chosen(""), feed.chosen("edge-a"), feed.chosen("edge-b")) == ("edge-a", "edge-a", "")
        assert json.loads(feed.payload(feed.chosen("edge-b")))["stream"] is None
    finally:
        observer.briefs = {}
        feed.close()
