"""Profiles survive the way to disk and back, and what is wrong in one is named."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import ConfigError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import (
    Block,
    Boundary,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)
from seamline.meters.profile_file import ProfileCache, from_json, read_profile, to_json, write_profile

MODEL_ID = "ab" * 32
DEVICE = DeviceInfo(name=NodeId("edge"), cpu="Cortex-A72", engine="onnxruntime 1.31.1", threads=2)

PUBLISHED: dict[str, Any] = {
    "schema": "seamline.profile/1",
    "model": {"name": "vgg19"},
    "device": {"name": "edge"},
    "cuts": [{"index": 0, "bytes": 602112}, {"index": 1, "after": "fc8", "bytes": 4000}],
    "blocks": [{"from_cut": 0, "to_cut": 1, "compute_s": {"median": 0.31}}],
    "whole_s": {"median": 0.31},
}

seconds = st.floats(0.0, 1e3)
quantiles = st.builds(Quantiles, median=seconds, p90=seconds)
tensors = st.builds(
    TensorSpec,
    name=st.text(max_size=8),
    dtype=st.sampled_from(["float32", "uint8", "int64"]),
    shape=st.lists(st.integers(0, 10**6), max_size=3).map(tuple),
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    n = draw(st.integers(2, 5))
    table = tuple(
        Cut(
            index=i,
            after=draw(st.text(max_size=8)),
            tensors=tuple(draw(st.lists(tensors, max_size=2))),
            payload_bytes=draw(st.integers(0, 2**40)),
            macs_before=draw(st.integers(0, 2**50)),
            is_candidate=draw(st.booleans()),
            carries_input=draw(st.booleans()),
        )
        for i in range(n)
    )
    return Profile(
        model=ModelInfo(name=draw(st.text(max_size=8)), sha256=draw(st.none() | st.just(MODEL_ID))),
        device=replace(DEVICE, idle_w=draw(st.none() | seconds), busy_w=draw(st.none() | seconds)),
        cuts=table,
        blocks=tuple(Block(from_cut=i, to_cut=i + 1, compute_s=draw(quantiles)) for i in range(n - 1)),
        whole_s=draw(quantiles),
        frame=draw(
            st.none()
            | st.builds(
                FrameInfo,
                raw_bytes=st.integers(0, 10**8),
                jpeg_bytes=st.none() | st.integers(0, 10**6),
                preprocess_s=seconds,
            )
        ),
        codecs=tuple(
            draw(
                st.lists(
                    st.builds(
                        CodecCost,
                        codec=st.sampled_from(Codec),
                        encode_s_per_byte=seconds,
                        decode_s_per_byte=seconds,
                        cut=st.none() | st.integers(0, n - 1),
                        compression_ratio=st.floats(0.001, 2.0),
                    ),
                    max_size=3,
                )
            )
        ),
        boundaries=tuple(Boundary(cut=i, overhead_s=draw(seconds)) for i in range(1, n - 1) if draw(st.booleans())),
    )


@given(profiles())
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    assert from_json(json.loads(json.dumps(to_json(profile)))) == profile


def test_a_profile_comes_back_from_a_file_as_it_was(tmp_path: Path) -> None:
    profile = from_json(PUBLISHED)
    write_profile(profile, tmp_path / "new" / "vgg19.json")
    assert read_profile(tmp_path / "new" / "vgg19.json") == profile
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["vgg19.json"]


def test_what_is_left_out_is_none_or_empty() -> None:
    profile = from_json(PUBLISHED)
    assert (profile.frame, profile.model.sha256, profile.device.idle_w, profile.codecs) == (None, None, None, ())
    assert profile.boundaries == ()
    assert profile.cuts[0].tensors == ()
    assert profile.cuts[0].is_candidate
    assert profile.whole_s == Quantiles(median=0.31, p90=0.31)


def test_a_boundary_that_is_no_inner_cut_is_named() -> None:
    with pytest.raises(ConfigError, match="boundary at cut 1"):
        from_json({**PUBLISHED, "boundaries": [{"cut": 1, "overhead_s": 0.1}]})


def test_the_compression_ratio_has_the_key_of_published_profiles() -> None:
    codec = {"codec": "lossless", "encode_s_per_byte": 1e-9, "decode_s_per_byte": 1e-9, "sent_ratio": 0.4}
    profile = from_json({**PUBLISHED, "codecs": [codec]})
    assert profile.codecs[0].compression_ratio == 0.4
    assert to_json(profile)["codecs"] == [codec]


def test_tensors_that_must_keep_every_bit_are_marked_and_others_as_ever() -> None:
    tensors = [
        {"name": "a", "dtype": "float32", "shape": [2]},
        {"name": "at", "dtype": "float32", "shape": [1], "exact": True},
    ]
    profile = from_json(changed(PUBLISHED, lambda d: d["cuts"][1].update(tensors=tensors)))
    assert profile.cuts[1].exact == {"at"}
    assert to_json(profile)["cuts"][1]["tensors"] == tensors


def test_keys_of_a_later_version_are_ignored() -> None:
    assert from_json({**PUBLISHED, "room_temperature_c": -5}) == from_json(PUBLISHED)


def changed(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    copy = json.loads(json.dumps(document))
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("blocks"), "missing required field `blocks`"),
        (lambda d: d["cuts"][1].pop("bytes"), r"`cuts\[1\]`: object missing required field `bytes`"),
        (lambda d: d["cuts"][1].update(bytes="4 kB"), r"`cuts\[1\].bytes`: expected `int`, got `str`"),
        (lambda d: d["cuts"][1].update(bytes=-1), r"`cuts\[1\].bytes` is -1"),
        (lambda d: d["cuts"][1].update(bytes=10**400), r"`cuts\[1\].bytes`"),
        (lambda d: d["cuts"][1].update(index=7), r"`cuts\[1\].index` is 7"),
        (lambda d: d["whole_s"].update(median=float("nan")), "`whole_s.median` is nan"),
        (lambda d: d["blocks"][0]["compute_s"].update(median=float("inf")), r"`blocks\[0\].compute_s.median` is inf"),
        (lambda d: d["blocks"][0].update(from_cut=1), "has a gap at cut 0"),
        (lambda d: d["blocks"].clear(), "ends at cut 0, before the model does"),
        (lambda d: d["cuts"].clear(), "ends at cut"),
        (lambda d: d["device"].update(name="../edge"), "`../edge` is not a node name"),
        (lambda d: d["cuts"][0].update(tensors=[{"name": "x", "dtype": "str", "shape": [1]}]), r"`cuts\[0\]`: tensor"),
        (lambda d: d.update(codecs=[{"codec": "gif"}]), r"`codecs\[0\].codec`"),
        (lambda d: d.update(schema="seamline.profile/2"), "`schema` is 'seamline.profile/2'; hint: this version reads"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_json(changed(PUBLISHED, change), origin="vgg19.json")


KEYS = st.sampled_from(["schema", "model", "device", "cuts", "blocks", "whole_s", "name", "index", "bytes"])
SCALARS = st.none() | st.booleans() | st.floats() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_no_document_raises_anything_but_a_config_error(document: Any) -> None:
    for candidate in (document, {**PUBLISHED, **document} if isinstance(document, dict) else document):
        try:
            from_json(candidate)
        except ConfigError:
            continue


def test_a_file_that_is_not_json_says_so(tmp_path: Path) -> None:
    for name, text in (("text", b"hello"), ("binary", b"\xff\xfe"), ("deep", b"[" * 200_000)):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ConfigError, match=f"{name} is not (JSON|text)"):
            read_profile(tmp_path / name)
    with pytest.raises(ConfigError, match="there is no file"):
        read_profile(tmp_path / "absent")


def test_the_cache_knows_a_profile_by_model_and_device(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path / "profiles")
    profile = replace(from_json(PUBLISHED), device=DEVICE)
    assert cache.get(MODEL_ID, DEVICE) is None
    cache.put(MODEL_ID, profile)
    assert cache.get(MODEL_ID, DEVICE) == profile
    for model_id, device in (
        ("cd" * 32, DEVICE),
        (MODEL_ID, replace(DEVICE, threads=4)),
        (MODEL_ID, replace(DEVICE, cpu="Cortex-A76")),
        (MODEL_ID, replace(DEVICE, engine="onnxruntime 1.32.0")),
    ):
        assert cache.get(model_id, device) is None


def test_of_two_that_would_measure_the_same_one_waits(tmp_path: Path) -> None:
    first, second = (ProfileCache(tmp_path / "profiles") for _ in range(2))
    order: list[str] = []
    waits = threading.Event()

    def wait_for_it() -> None:
        waits.set()
        with second.claimed(MODEL_ID, DEVICE, patience_s=60.0):
            order.append("second")

    with first.claimed(MODEL_ID, DEVICE, patience_s=60.0):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        waits.wait()
        with second.claimed("cd" * 32, DEVICE, patience_s=60.0):  # another model is free meanwhile
            order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_who_waits_too_long_measures_too_and_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path / "profiles")
    with cache.claimed(MODEL_ID, DEVICE, patience_s=60.0), cache.claimed(MODEL_ID, DEVICE, patience_s=0.0):
        pass
    (tmp_path / "file").touch()
    with ProfileCache(tmp_path / "file" / "profiles").claimed(MODEL_ID, DEVICE, patience_s=60.0):
        pass


def test_a_cached_profile_carries_the_callers_name_and_power_figures(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path)
    cache.put(MODEL_ID, replace(from_json(PUBLISHED), device=DEVICE))
    renamed = replace(DEVICE, name=NodeId("edge-2"), busy_w=5.0)
    found = cache.get(MODEL_ID, renamed)
    assert found is not None
    assert found.device == renamed


def test_a_broken_cache_entry_counts_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = ProfileCache(tmp_path)
    cache.put(MODEL_ID, replace(from_json(PUBLISHED), device=DEVICE))
    (entry,) = tmp_path.iterdir()
    entry.write_text(entry.read_text()[:100])
    assert cache.get(MODEL_ID, DEVICE) is None
    assert "ignoring a cached profile" in caplog.text


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    ProfileCache(tmp_path / "file").put(MODEL_ID, replace(from_json(PUBLISHED), device=DEVICE))
    assert "was not cached" in caplog.text
