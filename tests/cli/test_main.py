"""The door: exit codes, error text, streams, help; some of it in real processes."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

from seamline import __version__
from seamline.cli import main
from seamline.cli.reference import json_keys, reference
from seamline.core.vocabulary.errors import ConfigError, ModelError, UsageError
from seamline.core.vocabulary.plans import LOSSINESS
from seamline.testbed import demo_testbed_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def failing(monkeypatch):
    """Make `seamline doctor` raise what a test wants."""

    def set_up(error: BaseException) -> None:
        def register(app):
            @app.command(name="doctor")
            def doctor() -> None:
                raise error

            @app.command(name="other")
            def other() -> None: ...

        class Module:
            JSON_KEYS = {"doctor": {}, "other": {}}  # noqa: RUF012 - a stand-in for a module, which has no annotations

        Module.register = staticmethod(register)
        monkeypatch.setattr(main, "modules", lambda command="": (Module,))

    return set_up


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`python -m seamline ARGUMENTS` as a real process."""
    return subprocess.Popen(
        [sys.executable, "-m", "seamline", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ModelError("the file is torn"), 1),
        (UsageError("no such node"), 2),
        (ConfigError("unknown key"), 2),
        (OSError(28, "No space left on device"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("a bug"), 1),
    ],
)
def test_each_kind_of_trouble_has_its_exit_code(seamline, failing, error, exit_code):
    failing(error)
    outcome = seamline("doctor")
    assert outcome.exit_code == exit_code
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr


def test_an_error_is_one_line_and_its_hint_another(seamline, failing):
    failing(UsageError("there is no node `fgo`", hint="did you mean `fog`?"))
    assert seamline("doctor").stderr == "error: there is no node `fgo`\nhint: did you mean `fog`?\n"


def test_verbose_shows_the_traceback_wherever_it_stands(seamline, failing):
    failing(ModelError("the file is torn"))
    assert "Traceback" in seamline("-v", "doctor").stderr
    assert "Traceback" in seamline("doctor", "--verbose").stderr


def test_a_bug_is_called_one(seamline, failing):
    failing(ZeroDivisionError("a bug"))
    assert "this is a bug" in seamline("doctor").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inspect", "x", "--jsn"), "--json"),
        (("inspcet",), "inspect"),
        (("inspect",), "MODEL"),
        (("zoo",), "seamline zoo --help"),
        (("verify", "x", "--tolerance", "much"), "--tolerance"),
        (("verify", "x", "--threads", "0"), "--threads"),
    ],
)
def test_wrong_use_is_said_and_leads_to_the_help(seamline, arguments, said):
    outcome = seamline(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert said in outcome.stderr
    assert "--help" in outcome.stderr


def test_version_is_printed_alone(seamline):
    assert seamline("--version").stdout == f"seamline {__version__}\n"


def test_every_command_documents_json_and_takes_it(seamline):
    for command in json_keys():
        assert "--json" in seamline(*command.split(), "--help").stdout, command


def test_the_reference_in_the_repository_is_what_the_commands_say():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make cli-reference`"


def test_doctor_says_what_is_here_as_one_object(seamline):
    from seamline.cli.reference import undocumented_keys

    outcome = seamline("doctor", "--json")
    assert undocumented_keys("doctor", outcome.json) == set()
    status = {check["name"]: check["status"] for check in outcome.json["checks"]}
    assert status["python"] == "ok"
    assert status["onnxruntime"] == "ok"
    assert outcome.json["healthy"] is ("broken" not in status.values())
    assert outcome.exit_code == (0 if outcome.json["healthy"] else 1)


def test_doctor_fails_when_something_needed_is_missing(seamline, monkeypatch):
    monkeypatch.setitem(sys.modules, "zenoh", None)  # makes `import zenoh` fail
    outcome = seamline("doctor", "--json")
    assert outcome.exit_code == 1
    broken = [check for check in outcome.json["checks"] if check["status"] == "broken"]
    assert [check["name"] for check in broken] == ["eclipse-zenoh"]
    assert broken[0]["hint"]


def test_a_cache_that_cannot_be_written_is_found(seamline, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("SEAMLINE_CACHE", str(blocked / "cache"))
    outcome = seamline("doctor", "--json")
    assert outcome.exit_code == 1
    assert {"cache": "broken"}.items() <= {c["name"]: c["status"] for c in outcome.json["checks"]}.items()


def test_the_module_runs_and_helps_in_a_narrow_terminal_without_colour():
    process = start("--help", COLUMNS="40", NO_COLOR="1")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stderr == ""
    assert "inspect" in stdout
    assert "\x1b[" not in stdout
    assert max(map(len, stdout.splitlines())) <= 40


def test_a_closed_standard_output_is_nobody_who_reads():
    words = ["sh", "-c", '"$0" -m seamline testbed check "$1" >&-', sys.executable, str(demo_testbed_path())]
    process = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (process.returncode, process.stderr) == (0, "")


def test_a_command_imports_no_other_and_help_no_engine_and_no_video_library():
    code = (
        "import sys; from seamline.cli.main import run; run(['doctor', '--help']);"
        "print([name for name in sys.modules if name.startswith('seamline.cli.commands.')], file=sys.stderr);"
        "run(['--help']);"
        "print(sorted({'onnxruntime', 'onnx', 'cv2', 'zenoh', 'numpy'} & sys.modules.keys()), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert process.stderr.split("\n")[:2] == ["['seamline.cli.commands.doctor']", "[]"]


@pytest.mark.parametrize("group", main.GROUPS)
def test_the_commands_of_a_group_are_those_that_its_module_registers(group):
    app = typer.Typer()
    app.callback()(lambda: None)
    (module,) = main.modules(main.GROUPS[group][0])
    module.register(app)
    assert set(typer.main.get_command(app).commands) == set(main.GROUPS[group])


def test_a_process_that_fails_keeps_stdout_empty():
    process = start("inspect", "no-such-model", "--json")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stdout == ""
    assert stderr.startswith("error: ")


def test_ctrl_c_leaves_with_130_and_no_traceback():
    code = (
        "import signal, sys, time, seamline.model.locate as locate\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # who runs the tests may have it ignored
        "def wait(text, progress): print('waiting', flush=True); time.sleep(60)\n"
        "locate.resolve_model = wait\n"
        "from seamline.cli.main import run\n"
        "sys.exit(run(['inspect', 'x']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == ""


def test_logs_go_to_stderr(seamline, failing):
    failing(UsageError("stop"))
    seamline("doctor")
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    assert all(handler.stream is not sys.stdout for handler in handlers)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run --objective l", {"latency"}),
        ("run --codecs ", {*LOSSINESS, "calibrated"}),
        ("run --policy ", {"adaptive", "static", "local", "offload"}),
        ("run --strategy li", {"live"}),
        ("run si", {"site.toml"}),
        ("run models/", {"models/own.onnx", "models/more/"}),
        ("node --tier f", {"fog"}),
        ("node --power raspberry-pi-4", {"raspberry-pi-4", "raspberry-pi-400"}),
        ("node --meter a", {"auto"}),
        ("switch --strategy pause", {"pause-resume", "pause-resume-best"}),
    ],
)
def test_the_shell_completes_values(typed, offered, tmp_path, monkeypatch, capsys):
    (tmp_path / "site.toml").touch()
    (tmp_path / "models" / "more").mkdir(parents=True)
    (tmp_path / "models" / "own.onnx").touch()
    (tmp_path / "models" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("_SEAMLINE_COMPLETE", "complete_bash"),
        ("COMP_WORDS", f"seamline {typed}"),
        ("COMP_CWORD", str(len(typed.split(" ")))),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main.run([])
    assert set(capsys.readouterr().out.split()) == offered


def test_the_shell_completes_commands():
    process = start(_SEAMLINE_COMPLETE="complete_bash", COMP_WORDS="seamline insp", COMP_CWORD="1")
    stdout, _ = process.communicate(timeout=60)
    assert stdout.split() == ["inspect"]


def test_where_nothing_can_be_written_nothing_is_measured(seamline, tmp_path):
    (tmp_path / "file").touch()
    blocked, ends = str(tmp_path / "file" / "there"), ("--link", "edge:cloud=20mbps")
    for words in (
        ("profile", "mobilenetv2", "-o", blocked),
        ("profile", "mobilenetv2", "-o", str(tmp_path)),
        ("zoo", "build", "mobilenetv2", "-o", blocked),
        ("sweep", "mobilenetv2", *ends, "-o", str(tmp_path / "file")),
        ("inspect", "mobilenetv2", "--shape", "input=1,\N{SUPERSCRIPT TWO}"),
    ):
        outcome = seamline(*words)
        assert outcome.exit_code == 2, words
        assert outcome.stderr.count("hint:") == 1


def test_a_file_that_is_closed_to_this_user_is_said_to_be_somebodys(failing, seamline, tmp_path):
    path = tmp_path / "made" / "later"
    failing(PermissionError(13, "Permission denied", str(path)))
    outcome = seamline("doctor")
    assert outcome.exit_code == 1
    error, hint = outcome.stderr.splitlines()
    assert re.match(rf"error: `{re.escape(str(tmp_path))}` belongs to `.+`, and `.+` may not write to it$", error)
    assert re.match(r"hint: (set SEAMLINE_CACHE .* or )?have `.+` run `chmod -R a\+rwX` on it$", hint)


def test_what_is_missing_is_explained(seamline):
    outcome = seamline("run", "model.onnx", "street.mp4")
    error, hint = outcome.stderr.splitlines()
    assert (outcome.exit_code, error) == (2, "error: Missing option '--source'.")
    assert hint.startswith("hint: --source: Video, image")
    assert hint.endswith("`seamline run --help` shows what fits")
    _, hint = seamline("verify").stderr.splitlines()
    assert hint.startswith("hint: Path of an ONNX file")
