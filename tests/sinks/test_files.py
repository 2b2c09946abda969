"""Claims about what stands in files of answers, and in pictures with answers drawn in."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

import seamline.sinks.drawing
from seamline.core.vocabulary.errors import UsageError
from seamline.heads.answers import Mask, Tensors
from seamline.sinks import encoders
from seamline.sinks.answered import answered_words, state_words
from seamline.sinks.drawing import colour_of, drawn, plain
from seamline.sinks.opening import parse_sink, parse_sinks
from seamline.sinks.sink import StreamFacts

DOCS = Path(__file__).resolve().parents[2] / "docs" / "answers.md"


def all_kinds(answers):
    dog = {"label": "dog", "score": 0.5, "class": 2, "box": [1.5, 2.0, 30.25, 40.0]}
    mask = Mask(left=1, top=2, pixels=np.ones((3, 2), np.bool_))
    made = [
        answers.classes(),
        answers.boxes(answers.box(2, 0.5, 1.5, 2.0, 30.25, 40.0, name="dog")),
        answers.boxes(),
        answers.boxes(answers.box(2, 0.5, 1.5, 2.0, 30.25, 40.0, name="dog", mask=mask)),
        answers.regions(),
        answers.tensors(),
        answers.failed(),
    ]
    return made, dog


def test_json_lines_have_every_answer_with_all_that_is_known_of_it(answers, save, tmp_path):
    made, dog = all_kinds(answers)
    save([parse_sink(str(tmp_path / "new" / "results.jsonl"))], made)
    lines = [json.loads(line) for line in (tmp_path / "new" / "results.jsonl").read_text().splitlines()]
    assert [line["answer"] for line in lines] == list(range(7))
    assert [line["frame"] for line in lines] == [0, 2, 4, 6, 8, 10, 12]
    assert lines[1]["source_s"] == 0.1
    assert lines[1]["plan"] == "edge[0:2]f16 > fog[2:5]"
    assert lines[1]["latency_s"] == 0.0125
    assert lines[0]["labels"][0] == {"label": "dog", "score": 0.75, "class": 3}
    assert lines[0]["labels"][1]["label"] == "Vögel"
    assert (lines[1]["boxes"], lines[1]["size"]) == ([dog], [48, 64])
    assert lines[2]["boxes"] == []
    assert lines[3]["boxes"] == [dog | {"mask": {"size": [48, 64], "counts": [50, 3, 45, 3, 2971]}}]
    assert [region["share"] for region in lines[4]["regions"]] == [0.5, 0.5]
    exact = [float(np.float32(value)) for value in (0, 1 / 3, 2 / 3)]
    assert lines[5]["outputs"]["out"] == {"dtype": "float32", "shape": [3], "values": exact}
    assert lines[6]["error"] == "index 20 is out of range"
    _, documented = DOCS.read_text(encoding="utf-8").split("\n| key | meaning |\n")
    rows = documented.partition("\n\n")[0]
    assert {key for line in lines for key in line} == set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))


def test_a_large_tensor_stands_as_its_digest_and_nan_as_null(answers, save, tmp_path):
    large, odd = answers.tensors(5000), answers.tensors()
    odd.outputs["out"][0] = np.nan
    save([parse_sink(str(tmp_path / "r.jsonl"))], [large, odd])
    first, second = (json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines())
    assert len(first["outputs"]["out"]["sha256"]) == 64
    assert second["outputs"]["out"]["values"][0] is None


def test_a_csv_has_a_row_for_each_box_and_one_for_a_frame_without(answers, save, tmp_path):
    made, _ = all_kinds(answers)
    save([parse_sink(str(tmp_path / "r.csv"))], made)
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["answer"]) for row in rows] == [0, 0, 1, 2, 3, 4, 4, 5, 6]
    assert [row["label"] for row in rows] == ["dog", "Vögel", "dog", "", "dog", "background", "thing 1", "", ""]
    assert [float(rows[2][edge]) for edge in ("left", "top", "right", "bottom")] == [1.5, 2.0, 30.25, 40.0]
    assert float(rows[2]["score"]) == 0.5
    assert rows[-1]["error"] == "index 20 is out of range"


def test_an_archive_has_outputs_bit_for_bit_and_boxes_beside_them(answers, save, tmp_path):
    rng = np.random.default_rng(1)
    outputs = [{"map/0": rng.normal(0, 1, (1, 4, 3)).astype(np.float16), "x": rng.integers(0, 9, 5)} for _ in range(3)]
    made = [answers.boxes(answers.box(1, 0.5, 1, 2, 3, 4), outputs=each, at_s=None) for each in outputs]
    save([parse_sink(str(tmp_path / "r.npz"))], made)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as found:
        for at, each in enumerate(outputs):
            for name, array in each.items():
                assert found[f"{at:06d}/{name}"].dtype == array.dtype
                np.testing.assert_array_equal(found[f"{at:06d}/{name}"], array)
            np.testing.assert_array_equal(found[f"{at:06d}/boxes"], [[1, 2, 3, 4]])
        np.testing.assert_array_equal(found["frames"], [0, 2, 4])
        np.testing.assert_array_equal(found["source_s"], [np.nan] * 3)
        assert list(found["plans"]) == ["edge[0:2]f16 > fog[2:5]"] * 3


def test_outputs_that_are_no_tensors_are_in_every_file(answers, save, tmp_path):
    outputs = {"names": np.array(["cat", "dög"], object), "map": [{"cat": 0.5}]}
    made = answers.answered(Tensors(outputs=outputs), outputs=outputs)
    sinks = save([parse_sink(str(tmp_path / name)) for name in ("r.npz", "r.jsonl", "r.csv", "r.avi")], [made])
    assert [(figures.written, figures.error) for figures in sinks.figures()] == [(1, None)] * 4
    with np.load(tmp_path / "r.npz", allow_pickle=False) as found:
        assert found["000000/names"].tolist() == ["cat", "dög"]
        assert json.loads(str(found["000000/map"])) == [{"cat": 0.5}]
    assert json.loads((tmp_path / "r.jsonl").read_text())["outputs"]["map"] == [{"cat": 0.5}]


@pytest.mark.parametrize("name", ["r.npz", "r.jsonl", "r.csv", "r.mp4", "folder/"])
def test_a_stream_without_answers_leaves_a_file_that_can_be_read_or_none(save, tmp_path, name):
    sinks = save([parse_sink(str(tmp_path / name) + "/" * name.endswith("/"))], [])
    assert [figures.error for figures in sinks.figures()] == [None]
    if name == "r.npz":
        assert np.load(tmp_path / name)["answers"].shape == (0,)


def frames_of(path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return found


@pytest.fixture(params=["with PyAV", "without"])
def has_pyav(request, monkeypatch) -> bool:
    if request.param == "without":
        monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    return bool(request.param == "with PyAV")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_is_h264_where_pyav_is_installed(answers, save, tmp_path, has_pyav, suffix):
    path = tmp_path / f"out{suffix}"
    save([parse_sink(str(path))], [answers.boxes(at_s=at / 10) for at in range(25)])
    assert len(frames_of(path)) == 25
    capture = cv2.VideoCapture(str(path))
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    assert fourcc.lower() in (("h264", "avc1") if has_pyav else ("fmp4", "mp4v"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)


@pytest.mark.needs("linux")
def test_a_video_that_cannot_be_begun_is_said(answers, save, has_pyav):
    (figures,) = save([parse_sink("/proc/out.mp4")], [answers.boxes()]).figures()
    assert re.search("cannot write it.*hint:", figures.error or "")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_a_video_shows_the_boxes_where_they_are(answers, save, tmp_path, suffix):
    grey = np.full((96, 160, 3), 128, np.uint8)
    made = [answers.boxes(answers.box(1, 0.9, 20 + 4 * at, 30, 80 + 4 * at, 80), picture=grey) for at in range(5)]
    save([parse_sink(str(tmp_path / f"out{suffix}"))], made)
    found = frames_of(tmp_path / f"out{suffix}")
    assert len(found) == 5
    for at, frame in enumerate(found):
        assert frame.shape == (96, 160, 3)
        edge = frame[55, 20 + 4 * at].astype(int)
        assert np.abs(edge - colour_of(1)).max() < 80
        assert np.abs(frame[55, 50 + 4 * at].astype(int) - 128).max() < 25
        assert np.abs(frame[90, 5].astype(int) - 128).max() < 25


FULL = """
import resource, sys
import numpy as np
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.heads.answers import Boxes
from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.opening import parse_sink
from seamline.sinks.sink import StreamFacts
from seamline.sinks.sinks import Sinks
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with Sinks([parse_sink(sys.argv[1])], StreamFacts(source="a", model="m", fps=10.0), waits=True) as sinks:
    for number in range(30):
        picture = np.random.default_rng(number).integers(0, 256, (96, 128, 3)).astype(np.uint8)
        stamp = FrameStamp(source="a", number=number, at_s=number / 10, unix_s=0.0)
        answer = Boxes(boxes=(), height=96, width=128)
        sinks.put(AnsweredFrame(number=number, stamp=stamp, plan="", latency_s=0.0, answer=answer, picture=picture))
print(sinks.figures()[0].error)
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out.webm", "out.mkv", "out/"])
def test_a_disk_that_is_full_is_said(tmp_path, name):
    """A limit on the size of files stands for it: the system refuses to write on in the same way."""
    place = f"{tmp_path}/{name}"
    done = subprocess.run([sys.executable, "-c", FULL, place], capture_output=True, text=True, timeout=60)
    wanted = ("None",) if name == "out/" else ("the video is not whole", "the video cannot be written on")
    assert done.stdout.splitlines()[-1].startswith(wanted), done.stderr


def test_a_video_keeps_the_sources_time_whatever_was_dropped(answers, save, tmp_path):
    times = [0.0, 0.1, 0.5, 0.6]
    shades = [30, 90, 150, 210]
    made = [
        answers.boxes(at_s=at_s, picture=np.full((48, 64, 3), shade, np.uint8))
        for at_s, shade in zip(times, shades, strict=True)
    ]
    save([parse_sink(str(tmp_path / "out.avi"))], made)
    found = [int(frame.mean()) for frame in frames_of(tmp_path / "out.avi")]
    wanted = [30, 90, 90, 90, 90, 150, 210]  # ten frames a second, the source's pace
    assert len(found) == len(wanted)
    assert np.abs(np.array(found) - wanted).max() < 6


def test_a_camera_faster_than_its_claim_is_shown_in_its_own_time(answers, save, tmp_path):
    made = [answers.boxes(at_s=at / 40) for at in range(80)]  # two seconds at 40 a second; 10 were claimed
    save([parse_sink(str(tmp_path / "out.avi"))], made)
    assert 20 <= len(frames_of(tmp_path / "out.avi")) <= 22  # up to two frames early, as timestamps jitter


def test_a_long_gap_is_cut_and_what_follows_is_in_time(answers, save, tmp_path):
    made = [answers.boxes(at_s=at_s) for at_s in (0.0, 0.1, 3600.0, 3600.1, 3600.5)]
    save([parse_sink(str(tmp_path / "out.avi"))], made)
    assert len(frames_of(tmp_path / "out.avi")) == 2 + 100 + 1 + 1 + 4


def test_pictures_of_other_sizes_are_fitted_into_the_first_ones(answers, save, tmp_path):
    sizes = [(47, 63), (94, 200), (300, 20)]
    made = [answers.boxes(picture=np.full((*size, 3), 200, np.uint8), at_s=None) for size in sizes]
    save([parse_sink(str(tmp_path / "out.avi"))], made, StreamFacts(source="a", model="m"))
    assert [frame.shape for frame in frames_of(tmp_path / "out.avi")] == [(46, 62, 3)] * 3


def test_a_folder_has_a_picture_for_each_answer_under_its_own_name(answers, save, tmp_path):
    made = [answers.classes(file=f"in/{name}", at_s=None) for name in ("a.png", "b.jpg", "a.png")]
    made += [answers.classes(), answers.classes(file="in/a.mp4")]
    save([parse_sink(f"{tmp_path}/out/")], made)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.jpg", "a_000002.jpg", "b.jpg", "frame_000006.jpg", "frame_000008.jpg"]
    assert cv2.imread(str(tmp_path / "out" / "a.jpg")).shape == (48, 64, 3)
    words = [answered_words(each).split("  ")[0] for each in made]
    assert words == ["a.png", "b.jpg", "a.png", "frame 6", "frame 8 of a.mp4"]


@pytest.mark.parametrize("has_font", [True, False])
def test_every_kind_of_answer_is_drawn_and_the_picture_stays(answers, monkeypatch, has_font):
    if not has_font:
        monkeypatch.setattr(seamline.sinks.drawing, "_font", lambda: None)
    made, _ = all_kinds(answers)
    for answered in made:
        before = answered.picture.copy()
        after = drawn(answered.picture, answered.answer, answered.error)
        np.testing.assert_array_equal(answered.picture, before)
        assert after.shape == before.shape
        nothing = answered.answer is not None and getattr(answered.answer, "boxes", None) == ()
        assert np.array_equal(after, before) == nothing


def test_a_mask_colours_its_pixels_and_a_box_beyond_the_picture_harms_nothing(answers):
    pixels = np.zeros((48, 64, 3), np.uint8)
    mask = Mask(left=10, top=20, pixels=np.ones((5, 8), np.bool_))
    answered = answers.boxes(answers.box(4, 0.9, 10, 20, 18, 25, mask=mask), answers.box(5, 0.5, 0, 0, 64, 48))
    after = drawn(pixels, answered.answer)
    wanted = [round(0.45 * channel) for channel in colour_of(4)]
    assert np.abs(after[22, 13].astype(int) - wanted).max() <= 1
    assert not after[40, 30].any()


def test_letters_that_a_font_lacks_become_their_like():
    assert plain("Vögel 人") == "Vogel ?"


def test_colours_of_neighbours_differ_and_stay():
    colours = [colour_of(index) for index in range(80)]
    assert len(set(colours)) == 80
    assert all(max(abs(a - b) for a, b in zip(one, other, strict=True)) > 60 for one, other in pairwise(colours))


def test_a_line_for_people_says_frame_time_answer_latency_and_plan(answers):
    assert answered_words(answers.classes()) == (
        "frame 0  0.000 s  dog 0.75, Vögel 0.12  12.5 ms  edge[0:2]f16 > fog[2:5]"
    )
    two = answers.boxes(
        answers.box(1, 0.9, 1, 2, 3, 4, name="dog"), answers.box(1, 0.8, 5, 6, 7, 8, name="dog"), at_s=None
    )
    assert answered_words(two).startswith("frame 2  dog 0.90 [1 2 3 4], dog 0.80 [5 6 7 8]  12.5 ms")
    assert state_words(two) == "2 dog"
    assert answered_words(answers.failed()).startswith("frame 4  0.200 s  failed: index 20")
    assert state_words(answers.boxes()) == "nothing"


@pytest.mark.parametrize(
    "text", ["results", "results.txt", "ftp://host/x", "mqtt://host", "mqtt://host/a/+/b", "mqtt://host/a?qos=7",
             "mqtt://host/a?colour=red", "mqtt://host:port/a", "http://", "http://host:x/"],
)  # fmt: skip
def test_what_names_no_sink_is_refused_with_what_would(text):
    with pytest.raises(UsageError) as raised:
        parse_sink(text)
    assert raised.value.hint


def test_a_place_is_named_once_and_must_be_writable(tmp_path):
    with pytest.raises(UsageError, match="twice"):
        parse_sinks(["a.csv", "a.csv"])
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        parse_sink(str(tmp_path / "file" / "results.csv"))


def test_passwords_are_not_in_names():
    assert parse_sink("http://me:secret@host/x").name == "http://me:...@host/x"
    assert parse_sink("mqtt://me:sec:ret@host/x").name == "mqtt://me:...@host/x"
