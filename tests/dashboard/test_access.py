"""Who may do what: hosts, origins and methods that are refused, and tokens that are good once."""

from __future__ import annotations

import pytest

from seamline.runtime.identity.web_address import is_own_name

pytestmark = pytest.mark.needs("starlette")

OWN = "127.0.0.1:8765"


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1:8765", "[::1]:8765", "192.168.1.7:1"])
def test_addresses_and_localhost_are_own_names(host):
    assert is_own_name(host)


@pytest.mark.parametrize(
    "host",
    ["", "attacker.example", "127.0.0.1.attacker.example:8765", "localhost.example", "a@localhost", "127.0.0.1:x"],
)
def test_a_name_that_others_can_point_here_is_none_of_ours(host):
    assert not is_own_name(host)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"host": OWN}, None),
        ("POST", {"host": OWN, "origin": f"http://{OWN}"}, None),
        ("GET", {"host": OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, None),
        ("GET", {"host": "attacker.example:8765"}, 421),
        ("POST", {"host": "attacker.example", "origin": "http://attacker.example"}, 421),
        ("POST", {"host": OWN}, 403),
        ("POST", {"host": OWN, "origin": "http://attacker.example"}, 403),
        ("POST", {"host": OWN, "origin": "null"}, 403),
        ("POST", {"host": OWN, "origin": "http://127.0.0.1:9"}, 403),
        ("GET", {"host": OWN, "origin": "http://attacker.example"}, 403),
        ("GET", {"host": OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("PUT", {"host": OWN, "origin": f"http://{OWN}"}, 405),
        ("DELETE", {"host": OWN, "origin": f"http://{OWN}"}, 405),
        ("OPTIONS", {"host": OWN, "origin": f"http://{OWN}"}, 405),
    ],
)
def test_requests_that_another_site_made_are_refused(method, headers, status):
    from seamline.dashboard.access import refused

    found = refused(method, headers)
    assert (found and found[0]) == status


def test_a_token_is_good_for_one_browser():
    from seamline.dashboard.access import Sessions

    sessions = Sessions()
    token = sessions.new_token()
    session = sessions.redeem(token)
    assert sessions.may_steer(session)
    assert sessions.redeem(token) is None
    assert sessions.redeem("") is None
    assert not sessions.may_steer(None)
    assert not sessions.may_steer(token)


def test_links_and_browsers_are_bounded_and_the_newest_stay():
    from seamline.dashboard.access import MAX_SESSIONS, Sessions

    sessions = Sessions()
    first, *_, last = [sessions.new_token() for _ in range(MAX_SESSIONS + 1)]
    assert sessions.redeem(first) is None
    assert sessions.may_steer(sessions.redeem(last))
