"""Sidecar of a model file: how a camera frame becomes the model's input, and the values of open inputs.

    # seamline.toml, for every model in its folder; NAME.seamline.toml, for NAME.onnx, goes before it
    [frame]                      # RGB frames of 0-255 become (frame - mean) / std
    height = 224                 # left out: what the model's input says
    width = 224
    layout = "nchw"              # or "nhwc"
    mean = [123.675, 116.28, 103.53]
    std = [58.395, 57.12, 57.375]
    [shapes]
    state = [2, 1, 128]
    [values]
    sr = 16000

Flags go before the sidecar, and that before the metadata of the ONNX file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seamline.config import load_toml
from seamline.core.vocabulary.errors import ConfigError, ModelError, OpenAxis
from seamline.model.onnx.preprocess import Preprocess

FILE = "seamline.toml"

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecipe:
    """A `Preprocess` whose size may be open: None is what the model's input, or the first frame, says."""

    height: int | None = None
    width: int | None = None
    layout: Literal["nchw", "nhwc"] = "nchw"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def at(self, shape: tuple[int | None, ...], frame_size: tuple[int, int] | None = None) -> Preprocess:
        """The preprocessing for an input of `shape`, None where an axis is open.

        frame_size: height and width of the frames, for what is open still. Raises `OpenAxis` when a size stays open,
        `ModelError` when the input takes no picture in this layout.
        """
        channels, rows, columns = (1, 2, 3) if self.layout == "nchw" else (3, 1, 2)
        wanted: dict[int, int | None] = {0: 1, channels: 3, rows: self.height, columns: self.width}
        if len(shape) != 4 or any(
            None not in (shape[axis], wanted[axis]) and shape[axis] != wanted[axis] for axis in wanted
        ):
            taken, made = (
                ",".join(str(extent or "?") for extent in s) for s in (shape, [wanted[axis] for axis in range(4)])
            )
            raise ModelError(
                f"preprocessing makes float32[{made}], the model takes [{taken}]", hint="see --layout, --size"
            )
        height = self.height or shape[rows] or (frame_size or (None, None))[0]
        width = self.width or shape[columns] or (frame_size or (None, None))[1]
        if height is None or width is None:
            axes = " and ".join(
                f"{name} (axis {axis})"
                for name, axis, size in (("height", rows, height), ("width", columns, width))
                if size is None
            )
            raise OpenAxis(f"the {axes} of the frames that the model takes is open", hint="fix it, e.g. --size 224x224")
        return Preprocess(height=height, width=width, layout=self.layout, mean=self.mean, std=self.std)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Contents of a sidecar. frame: None without one. shapes: of inputs, by name. values: of inputs made constants."""

    frame: FrameRecipe | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


def read_sidecar(path: Path) -> Sidecar:
    """Sidecar of the model file `path`; an empty one when there is none. Raises `ConfigError`."""
    for name in (f"{path.stem}.{FILE}", FILE):
        beside = path.with_name(name)
        if beside.is_file():
            found = load_toml(beside, Sidecar)
            _check(found, beside)
            return found
    return Sidecar()


def _check(found: Sidecar, path: Path) -> None:
    if any(extent < 0 for shape in found.shapes.values() for extent in shape):
        raise ConfigError(f"{path}: a shape has an extent below 0", hint="write e.g. state = [2, 1, 128]")
    frame = found.frame
    if frame is not None:
        try:  # with sizes filled in, whatever they will be
            Preprocess(
                height=frame.height or 1, width=frame.width or 1, layout=frame.layout, mean=frame.mean, std=frame.std
            )
        except ModelError as exc:
            raise ConfigError(f"{path}: {exc}") from exc
