"""A testbed file as a scene's links."""

import pytest

from seamline.config import load_testbed
from seamline.core.vocabulary.errors import ConfigError
from seamline.sim.from_testbed import UNSHAPED_BPS, left_out, links_of, loads_of
from seamline.testbed import demo_testbed_path

FILE = """
[[node]]
name = "edge"
tier = "edge"
[[node]]
name = "cloud"
tier = "cloud"
[[link]]
between = ["edge", "cloud"]
delay_ms = 3
jitter_ms = 1
[[change]]
at_s = 5
link = "cloud-edge"
rate_mbps = 4
[[change]]
at_s = 7
link = "edge-cloud"
silent = true
[[change]]
at_ratio = 0.8
link = "edge-cloud"
silent = false
delay_ms = 9
"""


def test_changes_of_rate_delay_and_silence_become_one_trace(tmp_path):
    path = tmp_path / "bed.toml"
    path.write_text(FILE)
    (link,) = links_of(load_testbed(path), 10.0)
    assert link.trace.times_s == (0.0, 5.0, 7.0, 8.0)
    assert link.trace.rates_bps == (UNSHAPED_BPS, 4e6, 0.0, 4e6)
    assert link.trace.delays_s == (0.003, 0.003, 0.003, 0.009)
    assert list(left_out(load_testbed(path))) == ["jitter of edge-cloud"]


def test_losses_and_the_delays_of_traces_are_simulated_too(tmp_path):
    (tmp_path / "t.csv").write_text("time_s,mbps,delay_ms,loss_ratio\n0,4,2,0\n1,4,30,0.1\n")
    text = FILE.replace("delay_ms = 3\njitter_ms = 1\n", 'trace = "t.csv"\nloss = 0.5\n')
    text = text.replace("silent = true\n", "loss = 0.2\n").replace("rate_mbps = 4\n", "rate_mbps = 6\n")
    path = tmp_path / "bed.toml"
    path.write_text(text.replace("silent = false\ndelay_ms = 9\n", "loss = 0.0\n"))
    trace = links_of(load_testbed(path), 10.0)[0].trace
    before_s = trace.times_s.index(5.0)
    assert trace.delays_s[:2] == (0.002, 0.03)
    assert trace.loss_ratios[:2] == (0.0, 0.1)
    assert trace.rates_bps[before_s] == 6e6
    assert trace.loss_ratios[trace.times_s.index(7.0)] == 0.2
    path.write_text(text.replace("loss = 0.2", "loss = 1.0"))
    with pytest.raises(ConfigError, match="loss` is 1"):
        load_testbed(path)


def test_loads_are_counted_against_the_nodes_own_slowdown(tmp_path):
    path = tmp_path / "bed.toml"
    loads = '[[change]]\nnode = "cloud"\nat_ratio = 0.8\nslowdown = 2\n'
    loads += '[[change]]\nnode = "cloud"\nat_s = 2\nslowdown = 12\n'
    path.write_text(FILE.replace('tier = "cloud"\n', 'tier = "cloud"\nslowdown = 2\n') + loads)
    assert loads_of(load_testbed(path), 10.0) == {"cloud": ((2.0, 6.0), (8.0, 1.0))}


def test_the_demos_link_falls_and_returns():
    links = {link.between: link.trace for link in links_of(load_testbed(demo_testbed_path()), 30.0)}
    falling = links["edge", "fog"]
    assert len(falling.times_s) == 3
    assert falling.rates_bps[0] == falling.rates_bps[2] > falling.rates_bps[1]
    assert falling.rate_bps_at(29.9) == pytest.approx(falling.rates_bps[0])
