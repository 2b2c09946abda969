"""The command line: puts the commands together, turns errors into words and exit codes.

Exit codes: 0 done, 1 the world failed, 2 wrong use, 130 interrupted, 143 asked to end, 129 its terminal is
gone. Data goes to stdout, everything else to stderr.
A command group is one module with `register(app)` and `JSON_KEYS`; adding one means adding it to `GROUPS`.
Heavy imports stand inside the commands, so that `seamline --help` and shell completion are quick.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Protocol, cast

import typer
import typer.main

from seamline import __version__
from seamline.cli.ending import ended_by
from seamline.cli.shared.logs import CHOSEN, FORMATS, TEXT, JsonLines, StderrOfNow, is_json, json_line
from seamline.cli.shared.options import choice, one_of
from seamline.config.paths import refused_words
from seamline.core.vocabulary.errors import SeamlineError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
LOG_FORMAT_VARIABLE = "SEAMLINE_LOG_FORMAT"


class CommandModule(Protocol):
    """What a command group offers. JSON_KEYS: command -> key path (``cuts[].index``) -> meaning, for docs/cli.md.

    Where a summary documents its own keys, a function gives them: the summary's module is not loaded for other work.
    """

    JSON_KEYS: Mapping[str, Mapping[str, str] | Callable[[], Mapping[str, str]]]
    register: Callable[[typer.Typer], None]


GROUPS: Mapping[str, tuple[str, ...]] = {
    "demo": ("demo",), "run": ("run",), "serve": ("serve",), "switch": ("switch",), "set": ("set",),
    "top": ("top",), "dashboard": ("dashboard",), "node": ("node", "nodes"),
    "cluster": ("cluster", "invite", "join"), "service": ("service",), "inspect": ("inspect",), "verify": ("verify",),
    "importing": ("import",), "accuracy": ("accuracy",), "calibrate": ("calibrate",), "profile": ("profile",),
    "plan": ("plan",), "sweep": ("sweep",), "zoo": ("zoo",), "simulate": ("simulate",), "replay": ("replay",),
    "export": ("export",), "report": ("report",), "chaos": ("chaos",), "testbed": ("testbed",), "config": ("config",),
    "cache": ("cache",), "doctor": ("doctor",), "reproduce": ("reproduce",),
}  # fmt: skip
"""Modules of command groups, in the order of the help, with the commands of each."""


READERS = ("config", "service")
"""Commands that read the flags of others, and so need all of them."""


def modules(command: str = "") -> tuple[CommandModule, ...]:
    """The module of `command` alone, since a process runs one; all of them where there is no such command."""
    names = [name for name, commands in GROUPS.items() if command in commands] or GROUPS
    return tuple(cast(CommandModule, import_module(f"seamline.cli.commands.{name}")) for name in names)


def build_app(groups: Sequence[CommandModule]) -> typer.Typer:
    """All commands of `groups` as one typer app."""
    app = typer.Typer(
        name="seamline",
        help="Run one neural network across several machines, cut where it is best right now.",
        epilog="Exit codes: 0 done, 1 the world failed, 2 wrong use, 130 interrupted, 143 asked to end.",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_global_options)
    for module in groups:
        module.register(app)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    arguments, is_verbose = _without_verbose(argv)
    try:
        arguments, log_format = _without_log_format(arguments)
        CHOSEN.set(log_format)
        _begin_logging(is_verbose)
        command = typer.main.get_command(build_app(modules(*(one for one in arguments[:1] if one not in READERS))))
        result = command.main(args=arguments or ["--help"], prog_name="seamline", standalone_mode=False)
    except SeamlineError as error:
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
        return _report(error, error.hint, code, is_verbose, error.message)
    except typer.TyperException as error:
        return _report(error, _usage_hint(error), EXIT_USAGE, False, error.format_message())
    except typer.Abort:
        return _report(None, None, EXIT_FAILED, False, "aborted")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except PermissionError as error:
        fact, hint = (str(error), None) if error.filename is None else refused_words(Path(str(error.filename)))
        return _report(error, hint, EXIT_FAILED, is_verbose, fact)
    except OSError as error:
        return _report(error, None, EXIT_FAILED, is_verbose)
    except Exception as error:  # the last door: a bug is said in one line, with the way to see all of it
        text = f"internal error: {type(error).__name__}: {error}"
        return _report(error, "this is a bug; `-v` shows where it happened", EXIT_FAILED, is_verbose, text)
    return result if isinstance(result, int) else 0


def _begin_logging(is_verbose: bool) -> None:
    handler = StderrOfNow()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if is_json() else plain)
    logging.basicConfig(level=logging.DEBUG if is_verbose else logging.WARNING, handlers=[handler])


def prepare_streams() -> None:
    """Make the standard streams of this process fit for use, whoever started it."""
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 # open as long as the process
    with suppress(OSError, RuntimeError):  # no stderr, no words
        faulthandler.enable()  # a crash in a library's own code says where it was, not just a signal's number


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log in detail and show tracebacks; may stand anywhere.")
    ] = False,
    log_format: Annotated[
        str,
        typer.Option(
            "--log-format",
            metavar="FORMAT",
            envvar=LOG_FORMAT_VARIABLE,
            autocompletion=one_of(*FORMATS),
            help="What is said on stderr: text, or json, an object a line; may stand anywhere.",
        ),
    ] = TEXT,
) -> None:
    # `run` has taken these out already; they are declared for the help text and for completion.
    del version, verbose, log_format


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"seamline {__version__}")
        raise typer.Exit


def _without_verbose(argv: Sequence[str]) -> tuple[list[str], bool]:
    """`argv` without -v/--verbose, which may stand before or after the command, and whether it was there."""
    end = argv.index("--") if "--" in argv else len(argv)
    kept = [word for word in argv[:end] if word not in ("-v", "--verbose")]
    return kept + list(argv[end:]), len(kept) < end


def _without_log_format(argv: Sequence[str]) -> tuple[list[str], str]:
    """The same for --log-format, and what it says; else the environment. Raises `UsageError` for another word."""
    end = argv.index("--") if "--" in argv else len(argv)
    found, kept, words = os.environ.get(LOG_FORMAT_VARIABLE, TEXT), [], iter(argv[:end])
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--log-format":
            found = value if equals else next(words, "")
        else:
            kept.append(word)
    return kept + list(argv[end:]), choice(found, FORMATS, "a log format")


def _report(
    error: BaseException | None, hint: str | None, exit_code: int, is_verbose: bool, text: str | None = None
) -> int:
    """Say on stderr what happened and what to do next; `exit_code` is passed through.

    What fails because a signal broke it off is no news.
    """
    if (number := ended_by()) != 0:
        return 128 + number
    if is_verbose and error is not None:
        traceback.print_exception(error)
    words = str(error) if text is None else text
    if is_json():
        print(json_line("error", {"message": words, "hint": hint, "exit_code": exit_code}), file=sys.stderr)
        return exit_code
    print(f"error: {words}", file=sys.stderr)
    if hint is not None:
        print(f"hint: {hint}", file=sys.stderr)
    return exit_code


def _usage_hint(error: typer.TyperException) -> str:
    """What a missing parameter takes, else where the help is."""
    shows = f"`{_help_of(error)}` shows what fits"
    missing = getattr(error, "param", None) if type(error).__name__ == "MissingParameter" else None
    takes = str(getattr(missing, "help", None) or "").rstrip(".")
    if missing is None or not takes:
        return shows
    name = next((f"{option}: " for option in missing.opts if option.startswith("--")), "")
    return f"{name}{takes}; {shows}"


def _help_of(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)  # usage errors carry the command they belong to, other errors do not
    path = context.command_path if context is not None else "seamline"
    return f"{path} --help"
