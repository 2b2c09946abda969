"""Recipes: what is said of how a picture becomes a model's input, by flags, a sidecar, the file, or a preset's name.

Each says some of it; what goes before adds to what comes after (`FrameRecipe.over`). What nobody says follows from the
model's input, so that in the end there is a whole `Preprocess` or words about what is missing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType

from seamline.config.toml import nearest_hint
from seamline.core.vocabulary.errors import ModelError, OpenAxis, UsageError
from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import DTYPES, LAYOUTS, Channels, Layout, Preprocess, Resample, Triple

ARRAYS = "none"
"""Name of the recipe of a model that takes arrays, whatever else is said of pictures."""

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecipe:
    """A `Preprocess` of which some is said: None is what whoever comes next says, or the model's input.

    preprocess: a name of `PRESETS`, which says what the other fields leave out; or ``none``. stride: rows and columns
    that are those of the first frame are rounded up to a multiple of it, as networks that halve them often demand.
    """

    preprocess: str | None = None
    height: int | None = None
    width: int | None = None
    layout: Layout | None = None
    mean: Triple | None = None
    std: Triple | None = None
    channels: Channels | None = None
    fit: Fit | None = None
    pad: int | None = None
    resample: Resample | None = None
    crop_ratio: float | None = None
    is_centred: bool | None = None
    input: str | None = None
    stride: int | None = None

    def over(self, other: FrameRecipe | None) -> FrameRecipe:
        """What this says, and `other` where this says nothing. Raises `UsageError` for a preset that is none."""
        here = self.resolved()
        if other is None or here.preprocess == ARRAYS:
            return here
        there = other.resolved()
        if there.preprocess == ARRAYS:
            return there if here == FrameRecipe() else here
        return here._filled(there)

    def resolved(self) -> FrameRecipe:
        """The same with its preset's fields filled in. Raises `UsageError` for a preset that is none."""
        if self.preprocess in (None, ARRAYS):
            return self
        return replace(self, preprocess=None)._filled(preset_named(self.preprocess))

    @property
    def takes_pictures(self) -> bool:
        """Whether anything is said of how a picture becomes the input."""
        return self.preprocess != ARRAYS

    @property
    def says_values(self) -> bool:
        """Whether it says what numbers pixels become; else they are 0 to 255, as they were."""
        return self.mean is not None or self.std is not None

    def at(self, shape: Shape, dtype: str = "float32", frame_size: tuple[int, int] | None = None) -> Preprocess:
        """The preprocessing for an input of `dtype` and `shape`, None where an axis is open.

        frame_size: height and width of the frames, for what is open still. Raises `OpenAxis` when a size stays open,
        `ModelError` when the input takes no picture in this layout.
        """
        here = self.resolved()
        layout = _of_rank(here.layout, len(shape)) or layout_of(shape) or LAYOUTS[0]
        channels = here.channels or _channels_of(shape, layout)
        sizes = {"h": here.height, "w": here.width, "n": 1, "c": 1 if channels == "grey" else 3}
        wanted = tuple(sizes[axis] for axis in layout)
        if len(shape) != len(layout) or any(
            None not in (taken, made) and taken != made for taken, made in zip(shape, wanted, strict=True)
        ):
            taken, made = (",".join(str(extent or "?") for extent in each) for each in (shape, wanted))
            is_batch = len(shape) == len(layout) and layout[0] == "n" and (shape[0] or 1) > 1
            hint = "frames come one by one: export it with a batch of 1, or an open one" if is_batch else _HINT
            raise ModelError(f"preprocessing makes {dtype}[{made}], the model takes [{taken}]", hint=hint)
        if dtype not in DTYPES:
            raise ModelError(
                f"the model's input takes {dtype}, which no picture becomes", hint=f"one of {', '.join(DTYPES)}"
            )
        found = {}
        for key, axis, size in (("height", "h", 0), ("width", "w", 1)):
            at = layout.index(axis)
            found[key] = sizes[axis] or shape[at] or _rounded_up((frame_size or (None, None))[size], here.stride)
        height, width = found["height"], found["width"]
        if height is None or width is None:
            axes = " and ".join(f"{key} (axis {layout.index(key[0])})" for key, size in found.items() if size is None)
            raise OpenAxis(f"the {axes} of the frames that the model takes is open", hint="fix it, e.g. --size 224x224")
        rest = ("mean", "std", "fit", "pad", "resample", "crop_ratio", "is_centred", "input")
        said = {key: value for key in rest if (value := getattr(here, key)) is not None}
        return Preprocess(height=height, width=width, layout=layout, channels=channels, dtype=dtype, **said)

    def _filled(self, other: FrameRecipe) -> FrameRecipe:
        """What this says, and `other` where this says nothing."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{key: value for key, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an exporter wrote into a model's file, or beside it.

    frame: None when it says nothing of pictures. labels: names of classes. task: ``classify``, ``detect``, ``segment``,
    ``pose`` or ``obb``, None when not said.
    """

    frame: FrameRecipe | None = None
    labels: tuple[str, ...] | None = None
    task: str | None = None


def recipe_of(preprocess: Preprocess | None) -> FrameRecipe | None:
    """All that `preprocess` says; its dtype is always the input's."""
    if preprocess is None:
        return None
    return FrameRecipe(**{key: value for key, value in asdict(preprocess).items() if key != "dtype"})


def layout_of(shape: Shape) -> Layout | None:
    """Axes of an input of `shape` that takes one picture; None when it can take none."""
    candidates: dict[int, tuple[Layout, ...]] = {4: ("nchw", "nhwc"), 3: ("chw", "hwc", "nhw"), 2: ("hw",)}
    for layout in candidates.get(len(shape), ()):
        sizes = dict(zip(layout, shape, strict=True))
        if sizes.get("c", 1) in (1, 3) and sizes.get("n") in (1, None):
            return layout
    for layout in candidates.get(len(shape), ()):  # an open axis may be the channels
        sizes = dict(zip(layout, shape, strict=True))
        if sizes.get("c") is None and sizes.get("n") in (1, None):
            return layout
    return None


def _rounded_up(size: int | None, stride: int | None) -> int | None:
    return size if size is None or not stride or stride < 1 else -(-size // stride) * stride


def _of_rank(layout: Layout | None, rank: int) -> Layout | None:
    """`layout` without its batch axis where the input has none."""
    short: dict[Layout, Layout] = {"nchw": "chw", "nhwc": "hwc", "nhw": "hw"}
    return short[layout] if layout in short and len(layout) == rank + 1 else layout


def _channels_of(shape: Shape, layout: Layout) -> Channels:
    is_grey = "c" not in layout or (len(shape) == len(layout) and shape[layout.index("c")] == 1)
    return "grey" if is_grey else "rgb"


_HINT = "see --layout, --channels and --size"
_IMAGENET = FrameRecipe(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_UNIT = FrameRecipe(mean=(0.0,) * 3, std=(255.0,) * 3)

PRESETS = MappingProxyType(
    {
        "imagenet": _IMAGENET,
        "yolo": FrameRecipe(
            mean=_UNIT.mean, std=_UNIT.std, fit=Fit.LETTERBOX, pad=114, resample="linear", is_centred=True
        ),
        "yolox": FrameRecipe(
            mean=(0.0,) * 3, std=(1.0,) * 3, channels="bgr", fit=Fit.LETTERBOX, pad=114, resample="linear",
            is_centred=False,
        ),
        "unit": _UNIT,
        "symmetric": FrameRecipe(mean=(127.5,) * 3, std=(127.5,) * 3),
        "caffe": FrameRecipe(mean=(123.68, 116.779, 103.939), std=(1.0,) * 3, channels="bgr"),
        "clip": FrameRecipe(
            mean=(122.7709383, 116.7460125, 104.09373615), std=(68.5005327, 66.6321579, 70.32316305)
        ),
        "raw": FrameRecipe(mean=(0.0,) * 3, std=(1.0,) * 3),
    }
)  # fmt: skip
"""Recipes by name. Sources: torchvision's ImageNet weights; Ultralytics' LetterBox; YOLOX' preproc; Keras' modes tf
(symmetric) and caffe; CLIP's preprocessor, times 255."""

PRESET_WORDS = MappingProxyType(
    {
        "imagenet": "ImageNet mean and std, as torchvision and timm",
        "yolo": "0 to 1, letterboxed in grey 114, as Ultralytics",
        "yolox": "0 to 255 as BGR, letterboxed from the corner",
        "unit": "0 to 1",
        "symmetric": "-1 to 1",
        "caffe": "0 to 255 as BGR less the ImageNet mean, as Keras ResNet and VGG",
        "clip": "CLIP mean and std",
        "raw": "0 to 255, as it is",
        ARRAYS: "no picture: arrays of the input's own shape",
    }
)


def preset_named(name: str) -> FrameRecipe:
    """Raises `UsageError` naming the nearest one, or all."""
    if name not in PRESETS:
        raise UsageError(f"there is no preprocessing `{name}`", hint=nearest_hint(name, PRESET_WORDS))
    return PRESETS[name]


def preset_list() -> str:
    """All presets in words, for errors and help: ``imagenet (ImageNet mean and std ...), yolo (...), ...``."""
    return ", ".join(f"{name} ({words})" for name, words in PRESET_WORDS.items())
