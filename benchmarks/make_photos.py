"""The demo's pictures: a camera that pans over four photographs of scikit-image, all CC0 or public domain.

    python benchmarks/make_photos.py [--out src/seamline/data/photos.mp4]

What each shows, and from when, stands in `photos.toml` beside the video. Networks trained on ImageNet know all four.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

OUT = Path(__file__).resolve().parents[1] / "src" / "seamline" / "data" / "photos.mp4"
SIDE, FPS, SECONDS_EACH = 256, 6, 5

Window = tuple[int, int, int]
"""Left, top and side of a square."""

PANS: dict[str, tuple[Window, Window]] = {
    "chelsea": ((5, 16, 188), (55, 1, 233)),
    "coffee": ((34, 27, 310), (176, 23, 348)),
    "camera": ((152, 141, 347), (32, 34, 472)),
    "rocket": ((129, 38, 351), (92, 13, 372)),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=OUT)
    out = options.parse_args().out
    video = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIDE, SIDE))
    for name, (first, last) in PANS.items():
        for picture in pan(getattr(skimage.data, name)(), first, last):
            video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    video.release()
    print(f"wrote {out}: {out.stat().st_size} bytes")


def pan(picture: npt.NDArray[np.uint8], first: Window, last: Window) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures on the way from one window to the other."""
    colour = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
    for share in np.linspace(0.0, 1.0, FPS * SECONDS_EACH):
        left, top, side = (round(a + share * (b - a)) for a, b in zip(first, last, strict=True))
        yield cv2.resize(colour[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
