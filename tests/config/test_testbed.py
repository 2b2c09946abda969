"""Testbed files: read into SI units, and refused with a hint when they contradict themselves."""

from pathlib import Path

import pytest

from seamline.config import LinkSpec, LoadSpec, Testbed, load_testbed
from seamline.core.vocabulary.errors import ConfigError
from seamline.testbed import demo_testbed_path

NODES = """
[[node]]
name = "edge"
tier = "edge"
slowdown = 8
[[node]]
name = "fog"
tier = "fog"
"""
LINK = """
[[link]]
between = ["edge", "fog"]
rate_mbps = 20
delay_ms = 10
"""


def load(folder: Path, text: str) -> Testbed:
    path = folder / "bed.toml"
    path.write_text(text)
    return load_testbed(path)


def test_rates_and_delays_are_held_in_bits_per_second_and_seconds(tmp_path: Path) -> None:
    bed = load(tmp_path, NODES + LINK + '[[change]]\nlink = "fog-edge"\nat_ratio = 0.25\nrate_mbps = 5\n')
    assert bed.link("fog", "edge") == LinkSpec(between=("edge", "fog"), rate_bps=20e6, delay_s=0.01)
    assert bed.changes[0].between == ("edge", "fog")
    assert bed.changes[0].rate_bps == 5e6
    assert bed.changes[0].at_s_of(40.0) == 10.0
    assert bed.node("edge").slowdown == 8.0
    assert bed.name == "bed"


def test_a_node_that_becomes_slower_stands_beside_the_links_that_change(tmp_path: Path) -> None:
    load_change = '[[change]]\nnode = "fog"\nat_ratio = 0.5\nslowdown = 8\n'
    link_change = '[[change]]\nlink = "edge-fog"\nat_s = 3\nsilent = true\n'
    bed = load(tmp_path, NODES + LINK + load_change + link_change)
    assert bed.loads == (LoadSpec(node="fog", slowdown=8.0, at_ratio=0.5),)
    assert bed.loads[0].at_s_of(40.0) == 20.0
    assert [change.silent for change in bed.changes] == [True]


def test_a_link_without_figures_is_unshaped(tmp_path: Path) -> None:
    assert not load(tmp_path, NODES + '[[link]]\nbetween = ["edge", "fog"]\n').links[0].is_shaped


def test_asking_for_an_unknown_node_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no node `frog`; hint: did you mean `fog`\?"):
        load(tmp_path, NODES).node("frog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[node]]\nname = "fog"\ntier = "fog"\n', "no node has the tier `edge`"),
        (NODES + '[[node]]\nname = "fog"\ntier = "cloud"\n', "two nodes are called `fog`"),
        (NODES + '[[node]]\nname = "Fog 2"\ntier = "cloud"\n', r"`node\[2\].name`: `Fog 2` is not a node name"),
        (NODES.replace("slowdown = 8", "slowdown = 0.5"), r"`node\[0\].slowdown` is 0.5"),
        (NODES + LINK.replace('"fog"', '"frog"'), "names no node `frog`; hint: did you mean `fog`"),
        (NODES + LINK.replace('"fog"', '"edge"'), "joins `edge` with itself"),
        (NODES + LINK + LINK.replace('["edge", "fog"]', '["fog", "edge"]'), "two links join fog and edge"),
        (NODES + LINK.replace("20", "-20"), r"`link\[0\].rate_mbps` is -20"),
        (NODES + LINK.replace("20", "nan"), r"`link\[0\].rate_mbps` is nan"),
        (NODES + LINK + "loss = 1.0\n", r"`link\[0\].loss` is 1; hint: it is a ratio"),
        (NODES + LINK + "jitter_ms = 11\n", "is more than `delay_ms`"),
        (NODES + LINK + 'trace = "absent.csv"\n', "there is no file"),
        (NODES + LINK + 'trace = "real:metro"\n', r"`link\[0\].trace`.*`metro` is not a recorded trace.*fcc-00"),
        (NODES + LINK + "rate = 3\n", r"unknown key `link\[0\].rate`; hint: did you mean `rate_mbps`"),
        (NODES + LINK + '[[change]]\nlink = "edge-frog"\nat_s = 1\nrate_mbps = 1\n', "did you mean `edge-fog`"),
        (NODES + LINK + '[[change]]\nlink = "edge-fog"\nrate_mbps = 1\n', "needs either `at_s` or `at_ratio`"),
        (NODES + LINK + '[[change]]\nlink = "edge-fog"\nat_s = 1\n', "changes nothing"),
        (NODES + LINK + '[[change]]\nlink = "edge-fog"\nat_ratio = 1.5\nrate_mbps = 1\n', "from 0 to 1"),
        (NODES + LINK + '[[change]]\nlink = "edge-fog"\nat_s = 1\nrate_mbps = 0\n', "silent = true cuts the link"),
        (NODES + "fps = 0\n", r"unknown key `node\[1\].fps`"),
        (NODES + LINK + "[[change]]\nat_s = 1\nrate_mbps = 1\n", "needs either `link` or `node`"),
        (
            NODES + '[[change]]\nnode = "frog"\nat_s = 1\nslowdown = 2\n',
            "names no node `frog`; hint: did you mean `fog`",
        ),
        (
            NODES + '[[change]]\nnode = "fog"\nat_s = 1\nslowdwn = 2\n',
            r"`change\[0\].slowdwn`; hint: did you mean `slow",
        ),
        (NODES + '[[change]]\nnode = "fog"\nat_s = 1\nslowdown = 0.5\n', r"`change\[0\].slowdown` is 0.5"),
        (NODES + '[[change]]\nnode = "fog"\nat_s = 1\nslowdown = nan\n', r"`change\[0\].slowdown` is nan"),
        (NODES + '[[change]]\nnode = "fog"\nat_s = 1\n', "changes nothing; hint: give it slowdown"),
        (NODES + '[[change]]\nnode = "fog"\nslowdown = 2\n', "needs either `at_s` or `at_ratio`"),
        (
            NODES + '[[change]]\nnode = "fog"\nat_s = 1\nslowdown = 2\nrate_mbps = 3\n',
            "is of a link, and this is a node",
        ),
        (NODES + LINK + '[[change]]\nlink = "edge-fog"\nat_s = 1\nslowdown = 2\n', "is of a node, and this is a link"),
        ("fps = 0\n" + NODES, "`fps` is 0.0"),
        ("fps = 1e308\n" + NODES, r"`fps` is 1e\+308; hint: above 0, and at most"),
        ("seconds = inf\n" + NODES, "`seconds` is inf; hint"),
        (f"private = {10**40}\n" + NODES, "`private`"),
        (NODES + "threads = 1000000000000000000\n", r"`node\[1\].threads` is 1000000000000000000; hint: 0 means"),
        (NODES + f"threads = {10**400}\n", r"`node\[1\].threads`"),
        (NODES + f"threads = {'9' * 5000}\n", "has 5010 characters"),
        (".".join(["a"] * 30_000) + " = 1\n", "line 1 has 60003 characters; hint: is it the right file"),
        (NODES + "slowdown = 1e308\n", r"`node\[1\].slowdown` is 1e\+308; hint: at most"),
        (NODES + "memory_mb = 1e308\n", r"`node\[1\].memory_mb` is 1e\+308"),
        (NODES + "idle_w = 1\nbusy_w = 2\ntx_j_per_mb = 1e308\n", r"`node\[1\].tx_j_per_mb` is 1e\+308"),
        (NODES + LINK.replace("20", "1e308"), r"`link\[0\].rate_mbps` is 1e\+308"),
        (NODES + LINK.replace("20", "1e-300"), r"`link\[0\].rate_mbps` is 1e-300; hint: 0 is as fast as it goes"),
        (NODES + LINK.replace("10", "1e308"), r"`link\[0\].delay_ms` is 1e\+308"),
        (NODES + LINK + 'trace = "../../../../../../../../../etc/passwd"\n', r"`link\[0\].trace`.*line 1"),
        (NODES + LINK + 'trace = "/dev/zero"\n', r"`link\[0\].trace`: there is no file"),
        (NODES + LINK + 'trace = "a\\u0000b"\n', r"`link\[0\].trace`: there is no file"),
        (NODES + '[[change]]\nnode = "fog"\nat_s = 1e308\nslowdown = 2\n', r"`change\[0\].at_s` is 1e\+308"),
        ("x = " + "[\n" * 5000, "is not TOML: maximum recursion depth"),
        ("private = -1\n" + NODES, "`private` is -1"),
        (NODES + 'power = "laptp"\n', r"`node\[1\].power`: .*did you mean `laptop`"),
        (NODES + 'power = "laptop"\nidle_w = 1\nbusy_w = 2\n', "both `power` and watts"),
        (NODES + "idle_w = 1\n", "only one of `idle_w` and `busy_w`"),
        (NODES + "tx_j_per_mb = 1\n", "a radio but no `idle_w`"),
        (NODES + "idle_w = 9\nbusy_w = 2\n", "busy >= idle"),
    ],
)
def test_a_contradiction_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "bed.toml" in str(caught.value)


def test_two_links_of_one_written_name_are_refused(tmp_path: Path) -> None:
    names = {"a": "edge", "b-c": "fog", "a-b": "fog", "c": "cloud"}
    nodes = "".join(f'[[node]]\nname = "{name}"\ntier = "{tier}"\n' for name, tier in names.items())
    with pytest.raises(ConfigError, match="two links are both called `a-b-c`"):
        load(tmp_path, nodes + '[[link]]\nbetween = ["a", "b-c"]\n[[link]]\nbetween = ["a-b", "c"]\n')


def test_the_testbed_of_the_demo_is_valid_and_its_link_comes_back() -> None:
    bed = load_testbed(demo_testbed_path())
    assert [node.tier for node in bed.nodes] == ["edge", "fog", "cloud"]
    last = [change for change in bed.changes if change.rate_bps is not None][-1]
    assert last.rate_bps == bed.link("edge", "fog").rate_bps
    assert [(life.node, life.up) for life in bed.lives] == [("cloud", False), ("cloud", True)]
    assert bed.scenes[0].at_ratio == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'machine = "raspberry-pi-3"\n',
            "nothing is published for `raspberry-pi-3`; hint: did you mean `raspberry-pi-4`",
        ),
        ('[[change]]\nnode = "edge"\nat_s = 1\nup = false\n', "frames enter at `edge`, which stays"),
        ('[[change]]\nnode = "frog"\nat_s = 1\nup = false\n', "names no node `frog`; hint: did you mean `fog`"),
        ('[[change]]\nnode = "fog"\nat_s = 1\nup = false\nslowdown = 2\n', "both `up` and `slowdown`"),
        ('[[scene]]\nname = "good"\n', r"`scene\[0\]` needs either `at_s` or `at_ratio`"),
    ],
)
def test_machines_lives_and_scenes_are_checked(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, NODES + text)


def test_a_node_says_what_it_draws_by_profile_or_by_hand(tmp_path: Path) -> None:
    bed = load(tmp_path, NODES + "idle_w = 2\nbusy_w = 9\ntx_j_per_mb = 2.3\n")
    edge, fog = bed.nodes[0].power_spec, bed.nodes[1].power_spec
    assert edge is None
    assert fog is not None
    assert (fog.idle_w, fog.busy_w, fog.tx_j_per_byte) == (2.0, 9.0, pytest.approx(2.3e-6))
    named = load(tmp_path, NODES + 'power = "raspberry-pi-4+wifi"\n').nodes[1].power_spec
    assert named is not None
    assert named.to_text() == "raspberry-pi-4+wifi"
