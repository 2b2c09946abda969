"""Options that commands share, so that they read and behave alike everywhere, and what shells complete them by.

What completes is asked for at every press of a key, so nothing here imports more than it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.providers import AUTO, PROVIDERS

_Word = TypeVar("_Word", bound=str)

Complete = Callable[[str], list[str]]


def choice(text: str, known: Sequence[_Word], what: str) -> _Word:
    """The one of `known` that `text` is. Raises `UsageError` naming all: `text` is not `what`."""
    for word in known:
        if word == text:
            return word
    raise UsageError(f"`{text}` is not {what}", hint=f"one of {', '.join(known)}")


def one_of(*words: str) -> Complete:
    """Completion by `words`."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def one_of_later(words: Callable[[], Iterable[str]]) -> Complete:
    """Completion by what `words` gives, which is called when a shell asks."""
    return lambda incomplete: [word for word in words() if word.startswith(incomplete)]


def files(*endings: str) -> Complete:
    """Completion by files with one of `endings`, and by the folders on the way."""

    def complete(incomplete: str) -> list[str]:
        folder = Path(incomplete.rpartition("/")[0] or "/") if "/" in incomplete else Path()
        try:
            found = sorted(folder.iterdir())
        except OSError:
            return []
        shown = [f"{path}/" if path.is_dir() else str(path) for path in found]
        return [name for name in shown if name.startswith(incomplete) and name.endswith((*endings, "/"))]

    return complete


def powers() -> Iterable[str]:
    """Names for ``--power``: the profiles of devices."""
    from seamline.config.power import PROFILES

    return PROFILES


def meters() -> Iterable[str]:
    """Names for ``--meter``."""
    from seamline.meters.energy import METERS

    return (*METERS, "auto", "replay:")


def strategies() -> Iterable[str]:
    """Names for ``--strategy``."""
    from seamline.core.switching import STRATEGIES

    return STRATEGIES


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=1024,
        envvar="SEAMLINE_THREADS",
        help="Threads for computing; as many as the cores that may be used when not given.",
    ),
]
ProviderOption = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        autocompletion=one_of(AUTO, *PROVIDERS),
        envvar="SEAMLINE_PROVIDER",
        help=f"What computes: {', '.join(PROVIDERS)}, or {AUTO}, which is cuda where it works and else cpu. `seamline "
        "doctor` lists what works here.",
    ),
]
EnergyScopeOption = Annotated[
    str,
    typer.Option(
        "--energy-scope",
        metavar="WHOSE",
        autocompletion=one_of("all", "origin"),
        help="Whose joules count: all, origin, or weights as in fog=0.5,cloud=0 (nodes not named count 1).",
    ),
]
JoinOption = Annotated[
    str | None,
    typer.Option(
        "--join",
        metavar="TOKEN",
        envvar="SEAMLINE_JOIN",
        help="Join a cluster first, by a token of `seamline invite`; once joined, it is not asked for again.",
        show_default=False,
    ),
]
InsecureFlag = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="SEAMLINE_INSECURE",
        help="Go beyond this machine without certificates: nobody is authenticated, nothing is encrypted.",
    ),
]
DiscoverFlag = Annotated[
    bool,
    typer.Option(
        "--discover",
        envvar="SEAMLINE_DISCOVER",
        help="Find nodes of the cluster on the local network by multicast, and be found.",
    ),
]
ClusterOption = Annotated[
    str,
    typer.Option("--cluster", metavar="NAME", envvar="SEAMLINE_CLUSTER", help="Nodes of other clusters are not seen."),
]
