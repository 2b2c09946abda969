"""Claims about which links take certificates, and what is said of peers that TLS refused."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.identity.refusals import words_of
from seamline.runtime.identity.securing import check_endpoints, is_beyond, links_of


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))


@pytest.mark.parametrize("endpoint", ["tcp/127.0.0.1:7447", "tcp/localhost:0", "tcp/[::1]:7447", "tcp/127.9.9.9:1"])
def test_loopback_needs_nothing(endpoint):
    check_endpoints([endpoint], [endpoint], cluster="home", allow_insecure=False)
    links = links_of("edge", [endpoint], [endpoint], cluster="home", allow_insecure=False, secure=False)
    assert (links.connect, links.listen, links.seal) == ((endpoint,), (endpoint,), None)


@pytest.mark.parametrize("endpoint", ["tcp/0.0.0.0:7447", "tcp/[::]:1", "tcp/fog.local:7447", "tls/127.0.0.1:7447"])
def test_beyond_it_a_certificate_or_insecure_is_needed_for_listening_and_connecting(endpoint):
    assert is_beyond(endpoint)
    for connect, listen, words in (([endpoint], [], "is beyond"), ([], [endpoint], "listens beyond")):
        with pytest.raises(UsageError, match=f"{words} this machine, which has no certificate for cluster `home`"):
            check_endpoints(connect, listen, cluster="home", allow_insecure=False)
        if endpoint.startswith("tcp/"):
            check_endpoints(connect, listen, cluster="home", allow_insecure=True)


def test_certificates_and_insecure_exclude_each_other():
    with pytest.raises(UsageError, match="asks for certificates, and --insecure does without"):
        check_endpoints(["tls/fog:7447"], [], cluster="home", allow_insecure=True)


@pytest.mark.parametrize("endpoint", ["udp/1.2.3.4:1", "tcp/1.2.3.4", "tls/fog:99999", "fog:7447", "tls/a b:1"])
def test_what_is_no_endpoint_is_said_so(endpoint):
    with pytest.raises(UsageError, match="is not an endpoint"):
        check_endpoints([endpoint], [], cluster="home", allow_insecure=True)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ("invalid peer certificate: certificate expired: verification time 1", "its certificate has expired"),
        ("invalid peer certificate: BadSignature", "its certificate is of another authority"),
        ("invalid peer certificate: UnknownIssuer", "its certificate is of another authority"),
        ("peer sent no certificates", "it showed no certificate"),
        ("received corrupt message of type InvalidContentType", "it speaks no TLS"),
        ("received fatal alert: UnknownCA", "it does not take this node for one of its cluster"),
        ("something new", "something new"),
    ],
)
def test_the_librarys_log_becomes_words(fact, words):
    line = f"\x1b[33m WARN\x1b[0m acc-0 \x1b[2mzenoh_link_tls::unicast\x1b[0m\x1b[2m:\x1b[0m {fact}. Hint: increase"
    assert words_of(line) == words


def test_other_lines_of_the_log_say_nothing():
    assert words_of("WARN net-0 zenoh_link_tls::utils: Skipping name verification of TLS server") is None
