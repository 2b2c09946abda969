"""Reader of the tensors of a PyTorch checkpoint in the old format (before 1.6), without executing its contents.

Such a file is five pickles (magic number, version, system, the object, names of the storages) and the storages.
A pickle is a program; unpickling runs it. Here its opcodes are interpreted by a machine that can build nothing but
dictionaries, tuples, numbers, strings and descriptions of tensors, and stops at the first thing it does not know.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seamline.config.plain_files import open_plain
from seamline.core.vocabulary.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_FILE_BYTES = 1 << 31
_MAX_OPCODES = 1_000_000
_STORAGES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The named tensors (a state dict) in the checkpoint `path`.

    Raises `ModelError` when it is something else, names code that this reader does not know, or is damaged.
    """
    try:
        with open_plain(path) as file:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ModelError(f"`{path.name}` is larger than {_MAX_FILE_BYTES} bytes")
            return _read(file, path.name)
    except OSError as exc:
        raise ModelError(f"cannot read `{path}`: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class _Name:
    """Something that the pickle wanted to import."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    n_values: int


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: part of a storage. Sizes and strides count values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


def _read(file: BinaryIO, name: str) -> dict[str, npt.NDArray[Any]]:
    if _interpret(file, name) != _MAGIC or _interpret(file, name) != _PROTOCOL:
        raise ModelError(f"`{name}` is no PyTorch checkpoint in the old format")
    system = _interpret(file, name)
    state, keys = _interpret(file, name), _interpret(file, name)
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ModelError(f"`{name}` was not written by a little-endian machine")
    if not (isinstance(state, dict) and all(isinstance(view, _View) for view in state.values())):
        raise ModelError(f"`{name}` holds something else than named tensors")
    needed = {view.storage.key: view.storage for view in state.values()}
    if not isinstance(keys, list) or any(key not in needed for key in keys) or len(keys) != len(needed):
        raise ModelError(f"the storages of `{name}` are not those of its tensors")
    storages = {key: _read_storage(file, needed[key], name) for key in keys}
    return {str(key): _take(storages[view.storage.key], view, name) for key, view in state.items()}


def _read_storage(file: BinaryIO, storage: _Storage, name: str) -> npt.NDArray[Any]:
    n_values = int.from_bytes(file.read(8), "little", signed=True)
    n_bytes = storage.n_values * np.dtype(storage.dtype).itemsize
    data = file.read(n_bytes) if n_values == storage.n_values else b""
    if n_values != storage.n_values or len(data) != n_bytes:
        raise ModelError(f"`{name}` ends early or is damaged")
    return np.frombuffer(data, storage.dtype)


def _take(values: npt.NDArray[Any], view: _View, name: str) -> npt.NDArray[Any]:
    """The tensor `view` of a storage, copied. Axes may be permuted (weights that came from TensorFlow are)."""
    size = math.prod(view.shape)
    last = view.offset + sum((extent - 1) * stride for extent, stride in zip(view.shape, view.strides, strict=True))
    fits = view.offset >= 0 and min((*view.shape, *view.strides), default=0) >= 0 and size <= len(values)
    if not fits or (size and last >= len(values)):
        raise ModelError(f"a tensor of `{name}` lies outside its storage")
    strides_bytes = tuple(stride * values.itemsize for stride in view.strides)
    return np.lib.stride_tricks.as_strided(values[view.offset :], view.shape, strides_bytes).copy()


def _interpret(file: BinaryIO, name: str) -> Any:
    """Objects that one pickle describes. Raises `ModelError` for anything that could do more than describe."""
    machine = _Machine(name)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MAX_OPCODES:
                raise ModelError(f"`{name}` describes too much")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as exc:
        raise ModelError(f"`{name}` is damaged or no PyTorch checkpoint") from exc
    raise ModelError(f"`{name}` ends early")


class _Machine:
    """The stack and memo of a pickle, and the few opcodes that only describe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        match opcode:
            case "PROTO":
                pass
            case "MARK":
                self.stack.append(_MARK)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                self.stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                self.stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode]())
            case "TUPLE":
                self.stack.append(tuple(self._above_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                self.stack[-count:] = [tuple(self.stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self._memo[argument])
            case "APPEND":
                item = self.stack.pop()
                self._top(list).append(item)
            case "APPENDS":
                items = self._above_mark()
                self._top(list).extend(items)
            case "SETITEM":
                value, key = self.stack.pop(), self.stack.pop()
                self._top(dict)[key] = value
            case "SETITEMS":
                items = self._above_mark()
                self._top(dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                self.stack.append(_Name(argument))
            case "BINPERSID":
                self.stack.append(self._storage(self.stack.pop()))
            case "REDUCE":
                arguments = self.stack.pop()
                self.stack.append(self._call(self.stack.pop(), arguments))
            case "BUILD":  # attributes of the dictionary (``_metadata``): nothing that values need
                self.stack.pop()
            case _:
                raise ModelError(f"`{self._name}` uses {opcode}, which could run code", hint="only tensors are read")

    def _above_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _top(self, kind: Callable[[], Any]) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError("the pickle fills something that is no container")
        return self.stack[-1]

    def _storage(self, description: Any) -> _Storage:
        kind, storage_type, key, _, n_values, view = description
        if kind != "storage" or view is not None or type(n_values) is not int or n_values < 0:
            raise TypeError("unknown persistent id")
        if not isinstance(storage_type, _Name) or storage_type.text not in _STORAGES:
            raise ModelError(f"`{self._name}` keeps values as {getattr(storage_type, 'text', '?')}: not supported")
        return _Storage(str(key), _STORAGES[storage_type.text], n_values)

    def _call(self, function: Any, arguments: Any) -> Any:
        """The two calls a state dict is made of; nothing is ever imported."""
        match function, arguments:
            case _Name("collections OrderedDict"), ():
                return {}
            case _Name("torch._utils _rebuild_tensor_v2"), (_Storage() as storage, int(offset), shape, strides, *_):
                return _View(storage, offset, tuple(map(_whole, shape)), tuple(map(_whole, strides)))
        wanted = function.text if isinstance(function, _Name) else type(function).__name__
        raise ModelError(f"`{self._name}` wants to call `{wanted}`", hint="only tensors are read, no code is run")


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an extent is no whole number")
    return value
