"""Packed weights of float products, kept on disk and mapped by every session that needs them.

Kernels copy the weights of a product into their own layout as a session is made (`model.onnx.prepacking`). ONNX Runtime
can save these copies beside an optimised model, and a session that packs the same bytes again finds them by their hash,
drops its own and maps the file: two pipelines then hold one copy, as of all other weights. Measured, six products of
2048 x 2048 (101 MB): the first session adds 101 MB, the second 2 instead of 101.

Only float products are kept so. Kernels of 4- and 8-bit weights pack in several steps, the later ones into memory of
the earlier, and their weights are small; they stay private to a session, and `model.onnx.prepacking` counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from seamline.model.engine.kept_files import keep, refer
from seamline.model.onnx.external import pieces
from seamline.model.onnx.prepacking import packed_products
from seamline.model.onnx.session import save_packed
from seamline.model.store.verified import VerifiedFiles

PAGE_BYTES = 4096
_GRAPH, _WEIGHTS = "packed.onnx", "packed.bin"
_ENTRY = "prepacked_0"
_PREFIX = "prepacked_"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """One weight in a saved model. start, n_bytes: the weight itself. blob_start, blob_bytes: its packed copy."""

    key: str
    start: int
    n_bytes: int
    blob_start: int
    blob_bytes: int


def keep_packed(form: ModelProto, files: VerifiedFiles, folder: Path, beside: Path, work: Path) -> None:
    """Let the weights of float products in `form` refer to files in `beside` that hold their packed copies too.

    form: an optimised graph, changed in place; its weights are references into `folder`, whose `files` these are, and
    of which `beside` and `work` are folders below. Raises `ModelError` when the runtime refuses the products.
    """
    products = packed_products(form.graph)
    if not products:
        return
    save_packed(_only(form, products), folder, work / _GRAPH, _WEIGHTS)
    tensors = {tensor.name: tensor for tensor in form.graph.initializer}
    for name, packed in _saved(work / _GRAPH):
        kept = keep(partial(_contents, work / _WEIGHTS, packed), files, folder, beside)
        entry = f"{packed.key}|{_aligned(packed.n_bytes)};{packed.blob_bytes};0"
        refer(tensors[name], kept.relative_to(folder), packed.n_bytes, {_ENTRY: entry})


def _only(form: ModelProto, products: tuple[int, ...]) -> ModelProto:
    """The products of `form` by number of node, each from an input of its own: what packs is the same, nothing runs."""
    model = ModelProto(ir_version=form.ir_version)
    model.opset_import.extend(form.opset_import)
    graph = model.graph
    graph.name = "products"
    weights = {tensor.name: tensor for tensor in form.graph.initializer}
    used: dict[str, None] = {}
    given: dict[str, None] = {}
    for number in products:
        node = form.graph.node[number]
        graph.node.append(node)
        used.update(dict.fromkeys(name for name in node.input if name in weights))
        given.update(dict.fromkeys(name for name in node.input if name and name not in weights))
    made = {name for node in graph.node for name in node.output}
    graph.initializer.extend(weights[name] for name in used)
    graph.input.extend(_float(name) for name in given if name not in made)
    graph.output.extend(_float(name) for name in made)
    return model


def _float(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _saved(path: Path) -> Iterator[tuple[str, _Packed]]:
    """The weights of the model that the runtime saved, by name, that have one packed copy."""
    model = ModelProto.FromString(path.read_bytes())
    for tensor in model.graph.initializer:
        fields = {entry.key: entry.value for entry in tensor.external_data}
        if [key for key in fields if key.startswith(_PREFIX)] != [_ENTRY]:
            continue  # none, or copies for two kinds of kernel: packed by each session
        key, _, places = fields[_ENTRY].partition("|")
        numbers = places.split(";")
        if len(numbers) != 3:
            continue  # a copy in several parts
        packed = _Packed(
            key=key,
            start=int(fields["offset"]),
            n_bytes=int(fields["length"]),
            blob_start=int(numbers[0]),
            blob_bytes=int(numbers[1]),
        )
        yield tensor.name, packed


def _contents(path: Path, packed: _Packed) -> Iterator[bytes]:
    """The weight, then, from the next page on, its packed copy."""
    with path.open("rb") as file:
        yield from pieces(file, packed.start, packed.n_bytes, "a product")
        yield bytes(_aligned(packed.n_bytes) - packed.n_bytes)
        yield from pieces(file, packed.blob_start, packed.blob_bytes, "a product")


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // PAGE_BYTES) * PAGE_BYTES
