"""`seamline cache`: the models on this machine's disk, and the removal of those that can be fetched again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.quantities import bytes_text

if TYPE_CHECKING:
    from seamline.model.store.models import ModelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModel:
    """One model of the store."""

    id: Annotated[str, "its id, the hash of its parts"]
    name: Annotated[str, "its name; empty where its manifest is damaged"]
    bytes: Annotated[int, "what it takes of the disk, optimised forms included"]
    is_received: Annotated[bool, "whether a peer sent it: it counts for --model-quota, and may give way"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSummary:
    """What `seamline cache --json` prints."""

    folder: Annotated[str, "where models are kept"]
    free_bytes: Annotated[int, "what the disk has left"]
    models: Annotated[tuple[CachedModel, ...], "what is kept, the largest first"]
    removed: Annotated[tuple[str, ...], "ids of the models that --prune removed"]


JSON_KEYS = {"cache": partial(key_docs, CacheSummary)}


def register(app: typer.Typer) -> None:
    app.command("cache")(cache)


def cache(
    folder: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="The folder, when a node was given another.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove models that peers sent, and what dead processes left unfinished.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the models on this machine's disk. Nodes that run one of them may go on when it is removed."""
    from seamline.cli.shared.output import data_console, print_json
    from seamline.cli.shared.tables import add_row, new_table
    from seamline.model.store.models import ModelStore

    store = ModelStore(folder)
    removed = _pruned(store) if prune else ()
    existing = next(path for path in (store.root, *store.root.parents) if path.exists())
    summary = CacheSummary(
        folder=str(store.root),
        free_bytes=shutil.disk_usage(existing).free,
        models=tuple(sorted(_models(store), key=lambda model: (-model.bytes, model.id))),
        removed=removed,
    )
    if as_json:
        print_json(summary)
        return
    table = new_table("model", "id", "size", "from", right=("size",))
    for model in summary.models:
        add_row(table, model.name or "damaged", model.id[:12], bytes_text(model.bytes), _from(model))
    out = data_console()
    out.print(table)
    total = sum(model.bytes for model in summary.models)
    words = f"{summary.folder}: {bytes_text(total)} in {len(summary.models)} models, {bytes_text(summary.free_bytes)}"
    out.print(f"{words} free", markup=False, soft_wrap=True)
    if prune:
        out.print(f"removed {len(removed)} models", markup=False)


def _from(model: CachedModel) -> str:
    return "a peer" if model.is_received else "here"


def _models(store: ModelStore) -> list[CachedModel]:
    from seamline.model.store.space import RECEIVED, folder_bytes

    return [
        CachedModel(
            id=model_id,
            name=store.name_of(model_id),
            bytes=folder_bytes(store.root / model_id),
            is_received=(store.root / model_id / RECEIVED).exists(),
        )
        for model_id in store.ids()
    ]


def _pruned(store: ModelStore) -> tuple[str, ...]:
    store.tidy()
    removed = tuple(model.id for model in _models(store) if model.is_received)
    for model_id in removed:
        store.remove(model_id)
    return removed
