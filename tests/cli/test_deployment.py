"""Deployment files and `seamline config show`: what counts before what, and what is refused before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"

WHOLE = """
schema = "seamline.deployment/1"
model = "net.onnx"
source = "clips/*.mp4"
nodes = ["edge", "fog"]
connect = ["tcp/fog:7447", "tcp/cloud:7447"]
threads = 3

[constraints]
private = 1
memory = { edge = "512MB", fog = 4000000 }
forbid = ["fog:u8"]
codecs = "lossless"

[objective]
slo = 0.2

[run]
loop = true
shape = { x = [1, 3, 8, 8] }
record = "log.jsonl"
energy-scope = { fog = 0.5, edge = 1 }
"""


@pytest.fixture
def deployment(tmp_path):
    """Writes a deployment file into a folder with a model and a clip; gives its path."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "net.onnx").touch()

    def write(text: str = WHOLE) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return write


def shown(outcome) -> dict[str, tuple[object, str, str | None]]:
    return {each["name"]: (each["value"], each["source"], each["where"]) for each in outcome.json["settings"]}


def test_every_setting_is_shown_with_where_it_comes_from(seamline, deployment, tmp_path):
    path = deployment()
    outcome = seamline("config", "show", "--json", str(path))
    assert undocumented_keys("config show", outcome.json) == set()
    found = shown(outcome)
    here = ("file", str(path))
    assert found["model"] == (str(tmp_path / "net.onnx"), *here)
    assert found["source"] == ([str(tmp_path / "clips/*.mp4")], *here)
    assert found["over"] == ("edge,fog", *here)
    assert found["connect"] == (["tcp/fog:7447", "tcp/cloud:7447"], *here)
    assert found["memory"] == (["edge=512MB", "fog=4000000"], *here)
    assert found["shape"] == (["x=1,3,8,8"], *here)
    assert found["record"] == (str(tmp_path / "log.jsonl"), *here)
    assert found["energy-scope"] == ("fog=0.5,edge=1", *here)
    assert (found["slo"], found["loop"], found["private"]) == ((0.2, *here), (True, *here), (1, *here))
    assert found["cluster"] == ("default", "default", None)


def test_flags_count_before_the_environment_and_that_before_the_file(seamline, deployment, monkeypatch):
    path = deployment()
    assert shown(seamline("config", "show", str(path), "--json"))["threads"] == (3, "file", str(path))
    monkeypatch.setenv("SEAMLINE_THREADS", "2")
    monkeypatch.setenv("SEAMLINE_CONNECT", "tcp/a:1 tcp/b:2")
    found = shown(seamline("config", "show", str(path), "--json"))
    assert found["threads"] == (2, "environment", "SEAMLINE_THREADS")
    assert found["connect"] == (["tcp/a:1", "tcp/b:2"], "environment", "SEAMLINE_CONNECT")
    found = shown(seamline("config", "show", str(path), "--json", "--threads", "1", "--connect", "tcp/c:3"))
    assert found["threads"] == (1, "flag", None)
    assert found["connect"] == (["tcp/c:3"], "flag", None)


def test_the_settings_of_a_node_are_shown_too_and_for_people_as_a_table(seamline, monkeypatch):
    monkeypatch.setenv("SEAMLINE_TIER", "fog")
    lines = seamline("config", "show", "node", "--lease", "3").stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["setting"] == ["value", "from"]
    assert rows["tier"] == ["fog", "environment", "SEAMLINE_TIER"]
    assert rows["lease"] == ["3.0", "flag"]
    assert rows["insecure"] == ["no", "default"]


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ('model = "m"\nframe = 3', "unknown key `frame`", "did you mean `frames`?"),
        ('model = "m"\n[constraints]\nprivat = 3', "unknown key `constraints.privat`", "did you mean `private`?"),
        ('model = "m"\n[extra]\nprivate = 3', "unknown key `extra`", "did you mean "),
        ('model = "m"\nparent_pid = 3', "unknown key `parent_pid`", "one of "),
        ('model = "m"\nnodes = ["a"]\nover = "b"', "`over` is said twice", "keep one of them"),
        ('model = "m"\nloop = "yes"', "`loop` is 'yes'", "true or false"),
        ('model = "m"\nfps = true', "`fps` is True", "a value"),
        ('model = "m"\nforbid = [1.5, [true]]', "`forbid` holds True", "write text"),
        ('source = "0"', "names no model", "write model ="),
        ('schema = "seamline.testbed/1"', "is of schema `seamline.testbed/1`", "this version reads"),
        ("model = ", "is not TOML", "is it the right file?"),
    ],
)
def test_a_file_that_says_nothing_useful_is_refused_with_the_way_out(seamline, deployment, text, error, hint):
    path = deployment(text)
    for command in (("run",), ("config", "show")):
        outcome = seamline(*command, str(path))
        assert outcome.exit_code == 2, outcome
        said, advice = outcome.stderr.splitlines()
        assert error in said
        assert advice.startswith(f"hint: {hint}")


def test_what_a_file_says_is_read_as_flags_are(seamline, deployment):
    outcome = seamline("run", str(deployment('model = "m"\nsource = "0"\nframes = "many"')))
    assert outcome.exit_code == 2
    assert "Invalid value for '--frames'" in outcome.stderr
    outcome = seamline("run", str(deployment('model = "m"')))
    assert "Missing option '--source'" in outcome.stderr


def test_a_run_follows_its_file(seamline, deployment, model_path, tmp_path):
    text = f'model = "{model_path}"\nsource = "{VIDEO}"\nsize = "16x16"\nframes = 2\nthreads = 1\nrecord = "r.jsonl"\n'
    outcome = seamline("run", str(deployment(text)), "--frames", "1", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.json["frames"]["answered"] == 1
    assert (tmp_path / "r.jsonl").is_file()


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--policy", "wise"), "`wise` is not a policy"),
        (("--plan", "edge[3-1]"), "`edge[3-1]` is not a stage"),
        (("--strategy", "teleport"), "`teleport` is not a strategy"),
        (("--trust", "fog"), "a limit names `fog`, which is not among the nodes"),
        (("--memory", "fog=1GB"), "a limit names `fog`"),
        (("--pin", "conv3=fog"), "a limit names `fog`"),
        (("--energy-scope", "fog=2"), "fog"),
    ],
)
def test_names_that_mean_nothing_are_refused_before_anything_is_started(
    seamline, monkeypatch, model_path, flags, error
):
    def start(*arguments: object) -> None:
        raise AssertionError("a node was started")

    monkeypatch.setattr("seamline.cli.running.run_request.open_node", start)
    outcome = seamline("run", str(model_path), "--source", str(VIDEO), *flags)
    assert outcome.exit_code == 2, outcome.stderr
    assert error in outcome.stderr
    assert outcome.stderr.count("hint: ") == 1


def test_the_file_in_the_documentation_is_one(seamline, tmp_path):
    docs = Path(__file__).resolve().parents[2] / "docs"
    page, commands = ((docs / name).read_text(encoding="utf-8") for name in ("deployment.md", "cli.md"))
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "site.toml").write_text(text)
    found = shown(seamline("config", "show", str(tmp_path / "site.toml"), "--json"))
    assert {name for name, (_, source, _) in found.items() if source == "file"} == {
        "model", "source", "over", "connect", "objective", "private", "memory", "forbid", "codecs",
    }  # fmt: skip
    assert all(f"`{variable}`" in page for variable in re.findall(r"SEAMLINE_[A-Z_]+", commands))
