"""Real pictures for `seamline accuracy`: square crops of the photographs in scikit-image and of the shipped video.

    python benchmarks/make_crops.py FOLDER [--n 240]

Crops are seeded: the same pictures come out every time. Photographs give several crops of different sizes each, so that
what is in them varies; frames of the video are taken evenly over its length.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

VIDEO = Path(__file__).resolve().parents[1] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
PHOTOGRAPHS = ("astronaut", "cat", "chelsea", "coffee", "rocket", "camera", "coins", "brick", "grass", "gravel")
VIDEO_SHARE = 0.3
SIDE = 320

Picture = npt.NDArray[np.uint8]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--n", type=int, default=240, help="how many crops")
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    n_video = round(VIDEO_SHARE * chosen.n)
    pictures = [*photograph_crops(chosen.n - n_video), *video_crops(n_video)]
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(chosen.folder / f"crop{number:04d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(f"wrote {len(pictures)} crops to {chosen.folder}")


def photograph_crops(n: int) -> Iterator[Picture]:
    """`n` crops, the photographs in turn."""
    rng = np.random.default_rng(0)
    photographs = list(_photographs())
    for number in range(n):
        yield _crop(photographs[number % len(photographs)], rng)


def video_crops(n: int) -> Iterator[Picture]:
    rng = np.random.default_rng(1)
    capture = cv2.VideoCapture(str(VIDEO))
    n_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for number in range(n):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number * n_frames // n)
        ok, frame = capture.read()
        if ok:
            yield _crop(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), rng)
    capture.release()


def _photographs() -> Iterator[Picture]:
    """Those that the installed package holds; others would have to be fetched."""
    for name in PHOTOGRAPHS:
        try:
            picture = getattr(skimage.data, name)()
        except (AttributeError, ValueError, OSError, ModuleNotFoundError):
            continue
        yield picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _crop(picture: Picture, rng: np.random.Generator) -> Picture:
    """A square of 40-100 % of the shorter side, anywhere, left or right way round."""
    rows, columns = picture.shape[:2]
    side = int(min(rows, columns) * rng.uniform(0.4, 1.0))
    top, left = rng.integers(0, rows - side + 1), rng.integers(0, columns - side + 1)
    square = picture[top : top + side, left : left + side, :3]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    method = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(square), (SIDE, SIDE), interpolation=method)


if __name__ == "__main__":
    main()
