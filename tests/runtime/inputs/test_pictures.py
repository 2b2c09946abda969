"""A picture is the same tensor however it is given, and is brought to size without surprises."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seamline.core.vocabulary.pictures import Fit
from seamline.model import Preprocess
from seamline.runtime.inputs.pictures import Unreadable, fitted, read_picture
from seamline.runtime.sources.opening import open_source

PICTURE = cv2.resize(
    np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC
)
"""uint8[48, 64, 3] RGB, smooth enough for a JPEG to keep it."""


def write(path: Path, picture: np.ndarray = PICTURE) -> Path:
    assert cv2.imwrite(str(path), picture[..., ::-1])
    return path


def turned(path: Path, orientation: int) -> Path:
    """The JPEG at `path` with an EXIF tag that says how the camera was held."""
    data = path.read_bytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + bytes(4)
    segment = b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    return path


def test_one_picture_is_the_same_as_a_file_in_a_folder_and_in_a_video(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    path = write(folder / "a.png")
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 5, (64, 48))
    video.write(PICTURE[..., ::-1])
    video.release()
    found = [next(iter(open_source(str(where)).frames())) for where in (path, folder, tmp_path / "v.avi")]
    np.testing.assert_array_equal(found[0], PICTURE)
    np.testing.assert_array_equal(found[1], PICTURE)
    assert np.abs(found[2].astype(int) - PICTURE).max() <= 3  # a video keeps colours as YUV


def test_a_picture_of_16_bits_or_grey_or_with_transparency_is_8_bits_of_three_colours(tmp_path):
    write(tmp_path / "deep.png", PICTURE.astype(np.uint16) * 257)
    write(tmp_path / "deep.tif", PICTURE.astype(np.uint16) * 257)
    for name in ("deep.png", "deep.tif"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), PICTURE)
    grey = PICTURE[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, 2))
    alpha = np.dstack([PICTURE[..., ::-1], np.full((48, 64), 7, np.uint8)])
    cv2.imwrite(str(tmp_path / "alpha.png"), alpha)
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png"), PICTURE)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_a_picture_is_turned_as_its_camera_was_held(tmp_path, orientation, turn):
    path = write(tmp_path / "a.jpg")
    straight = read_picture(path)
    np.testing.assert_array_equal(read_picture(turned(path, orientation)), np.rot90(straight, turn))
    (single,) = open_source(str(path)).frames()
    assert single.shape == np.rot90(straight, turn).shape


def test_a_video_is_turned_as_its_camera_was_held(tmp_path):
    """A telephone writes how it was held into the track header's matrix, here a quarter turn to the right."""
    path = tmp_path / "v.mp4"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, (64, 48))
    for _ in range(3):
        video.write(PICTURE[..., ::-1])
    video.release()
    (straight, *_) = open_source(str(path)).frames()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(data)
    (turned_right, *_) = open_source(str(path)).frames()
    np.testing.assert_array_equal(turned_right, np.rot90(straight, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_and_a_cmyk_one_are_read(tmp_path, orientation):
    image = Image.fromarray(PICTURE)  # Pillow writes what OpenCV cannot
    path = tmp_path / "a.tif"
    image.save(path, tiffinfo={274: orientation})
    assert read_picture(path).shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    image.convert("CMYK").save(path)
    np.testing.assert_array_equal(read_picture(path), PICTURE)
    image.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - PICTURE).max() <= 8


def test_what_is_cut_short_empty_or_no_picture_is_told_apart(tmp_path):
    jpeg, png = (write(tmp_path / name).read_bytes() for name in ("a.jpg", "a.png"))
    path = tmp_path / "b.jpg"
    for data, words in (
        (b"", "is empty"), (jpeg[:-200], "cut short"), (png[:-200], "cut short"), (b"hello", "is not an image"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(Unreadable, match=f"`{path}` .*{words}.*; hint: remove it"):
            read_picture(path)
    path.write_bytes(jpeg + bytes(100))
    assert read_picture(path).shape == (48, 64, 3)  # cameras append what they like
    with pytest.raises(Unreadable, match="cannot be read: No such file"):
        read_picture(tmp_path / "c.jpg")


def test_a_letterboxed_picture_stands_in_its_grey():
    preprocess = Preprocess(height=64, width=64, fit=Fit.LETTERBOX, pad=114)
    found = fitted(PICTURE, preprocess)
    np.testing.assert_array_equal(found[8:56], PICTURE)
    assert (found[:8] == 114).all()
    assert (found[56:] == 114).all()


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", [(48, 64), (20, 20), (100, 30), (1, 1), (3, 200)])
def test_a_box_around_a_mark_comes_back_from_the_input(fit, size):
    """A white patch is where the transform says, whatever the fit."""
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[200:300, 250:400] = 255
    preprocess = Preprocess(height=size[0], width=size[1], fit=fit)
    found = fitted(picture, preprocess)
    assert found.shape == (*size, 3)
    if min(size) < 20:
        return
    rows, columns = np.nonzero(found[..., 0] > 127)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    back = preprocess.transform(480, 640).to_picture(box)
    pixel = 640 / min(size)
    np.testing.assert_allclose(back, [250, 200, 400, 300], atol=2 * pixel)


def test_ultralytics_letterbox_is_met_pixel_by_pixel():
    """As ultralytics.data.augment.LetterBox does it: round, resize linearly, pad 114 with the odd row below."""
    height, width, side = 270, 481, 320
    picture = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ratio = min(side / height, side / width)
    new = (round(width * ratio), round(height * ratio))
    dw, dh = (side - new[0]) / 2, (side - new[1]) / 2
    resized = cv2.resize(picture, new, interpolation=cv2.INTER_LINEAR)
    top, bottom, left, right = (
        round(dh - 0.1), round(dh + 0.1), round(dw - 0.1), round(dw + 0.1),
    )  # fmt: skip
    wanted = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114,) * 3)
    preprocess = Preprocess(height=side, width=side, fit=Fit.LETTERBOX, pad=114, resample="linear")
    np.testing.assert_array_equal(fitted(picture, preprocess), wanted)
