"""Traces that come with the package: readable, attributed, and named alike everywhere."""

from pathlib import Path

import pytest

import seamline
from seamline.config import load_testbed, read_trace, recorded_names, trace_path
from seamline.core.vocabulary.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTION = Path(seamline.__file__).parent / "data" / "ATTRIBUTION.md"


@pytest.mark.parametrize("name", recorded_names())
def test_every_recorded_trace_is_a_while_of_rates_that_change_and_is_attributed(name: str):
    trace = read_trace(trace_path(f"real:{name}"))
    assert 100.0 <= trace.length_s <= 160.0
    assert len(set(trace.rates_bps)) > 10
    assert max(trace.rates_bps) < 100e6
    assert f"`{name.rpartition('-')[0]}-*`" in ATTRIBUTION.read_text(encoding="utf-8")


def test_they_span_steady_bursty_and_nearly_dead_links():
    rates_bps = {name: read_trace(trace_path(f"real:{name}")).rates_bps for name in recorded_names()}
    assert len(rates_bps) == 12
    assert any(max(rates) < 2.0 * min(rates) for rates in rates_bps.values())
    assert sum(min(rates) <= 0.05e6 for rates in rates_bps.values()) >= 2


def test_the_notice_names_the_collection_and_gives_its_licence():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "github.com/confiwent/Real-world-bandwidth-traces" in notice
    assert "Permission is hereby granted, free of charge" in notice


def test_what_has_no_prefix_is_a_file_beside_its_folder(tmp_path: Path):
    assert trace_path("a/b.csv", tmp_path) == tmp_path / "a" / "b.csv"
    assert trace_path(str(tmp_path / "c.csv"), Path("elsewhere")) == tmp_path / "c.csv"


@pytest.mark.parametrize("name", ["?", "", "fcc", "fcc-00.csv", "../bigbuckbunny", "FCC-00"])
def test_an_unknown_name_lists_those_there_are(name: str):
    with pytest.raises(ConfigError, match=r"not a recorded trace; hint: real: and one of fcc-00, .*puffer-06"):
        trace_path(f"real:{name}")


def test_a_testbed_follows_a_recorded_trace(tmp_path: Path):
    path = tmp_path / "bed.toml"
    path.write_text(
        '[[node]]\nname = "edge"\ntier = "edge"\n[[node]]\nname = "fog"\ntier = "fog"\n'
        '[[link]]\nbetween = ["edge", "fog"]\ntrace = "real:oboe-05"\n'
    )
    (link,) = load_testbed(path).links
    assert link.trace == trace_path("real:oboe-05")
