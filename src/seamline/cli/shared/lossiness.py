"""The option `--codecs`, which says how much may be lost on the way, for every command that plans."""

from __future__ import annotations

from typing import Annotated

import typer

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import LOSSINESS, Codec, codecs_up_to

CodecsOption = Annotated[
    str,
    typer.Option(
        "--codecs", metavar="MOST", help="Tensors lose at most what this codec takes: lossless, f16 or u8 (8 bits)."
    ),
]
DEFAULT_CODECS = str(Codec.F16)


def codecs_named(text: str) -> tuple[Codec, ...]:
    """What `--codecs` allows. Raises `UsageError` naming the limits there are."""
    if text not in LOSSINESS:
        raise UsageError(f"`{text}` is not a limit for --codecs", hint=f"one of {', '.join(LOSSINESS)}")
    return codecs_up_to(Codec(text))
