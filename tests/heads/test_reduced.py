"""What a head reads where the last stage runs: the same answer, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.fabric.messages import ResultData
from seamline.fabric.wire import pack, unpack
from seamline.heads.choosing import Raw, choose_head
from seamline.heads.detect import Detect
from seamline.heads.facts import ModelFacts
from seamline.heads.names import ClassNames
from seamline.heads.reduced import (
    BOXES,
    CLASS_MAP,
    CLASSES,
    COEFFICIENTS,
    MAX_MAP_SIDE,
    POINTS,
    PROTOTYPES,
    SCORES,
    ReducingHead,
    fingerprint,
)  # fmt: skip
from seamline.heads.segment import Segment

SIDE, N_ROWS, N_CLASSES, N_MASKS = 160, 525, 3, 32


def tensor(name: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32")


def head_of(*outputs: TensorSpec, wanted: str = "detect", task: str = "", n_names: int = N_CLASSES) -> ReducingHead:
    facts = ModelFacts(
        outputs=outputs, height=SIDE, width=SIDE, last_ops={}, metadata={"task": task} if task else {},
        names=ClassNames(names={number: f"name {number}" for number in range(n_names)}),
    )  # fmt: skip
    head = choose_head(facts, wanted, score_ratio=0.3).head
    assert isinstance(head, ReducingHead)
    return head


def boxes_with_masks() -> tuple[ReducingHead, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.uniform(10, 150, (4, N_ROWS)), rng.uniform(0, 0.32, (N_CLASSES, N_ROWS)),
                           rng.normal(0, 1, (N_MASKS, N_ROWS))])  # fmt: skip
    outputs = {
        "a": rows[np.newaxis].astype(np.float32),
        "b": rng.normal(0, 1, (1, N_MASKS, SIDE // 4, SIDE // 4)).astype(np.float32),
    }
    head = head_of(*(tensor(name, array.shape) for name, array in outputs.items()), task="segment")
    assert isinstance(head, Detect)
    return head, outputs


def regions() -> tuple[ReducingHead, dict[str, np.ndarray]]:
    outputs = {"a": np.random.default_rng(4).normal(0, 1, (1, N_CLASSES, SIDE, SIDE)).astype(np.float32)}
    head = head_of(tensor("a", outputs["a"].shape), wanted="segment")
    assert isinstance(head, Segment)
    return head, outputs


@pytest.mark.parametrize("made", [boxes_with_masks, regions])
def test_the_answer_is_the_same_to_the_bit_and_a_fraction_travels(made):
    head, outputs = made()
    header = ResultData(stream="s", frame=0, attempt=0, generation=1, outputs=(), reports=(), is_read=True)
    reduced = head.reduce(outputs)
    _, tensors = unpack(memoryview(pack(header, tuple(reduced.values()))))
    arrived = dict(zip(reduced, tensors, strict=True))
    assert head.fault(arrived) is None
    transform = picture_transform(Fit.LETTERBOX, (90, 200), (SIDE, SIDE))
    wanted, found = head.read(outputs, transform), head.finish(arrived, transform)
    assert found == wanted
    if isinstance(head, Detect):
        assert len(wanted.boxes) > 10
        for one, other in zip(wanted.boxes, found.boxes, strict=True):
            np.testing.assert_array_equal(one.mask.pixels, other.mask.pixels)
    else:
        np.testing.assert_array_equal(wanted.class_map, found.class_map)
    n_bytes = sum(array.nbytes for array in reduced.values())
    assert n_bytes < sum(array.nbytes for array in outputs.values())


def test_of_a_detectors_rows_what_is_found_travels():
    spec = tensor("a", (1, 4 + N_CLASSES, N_ROWS))
    head, output = head_of(spec, task="detect"), np.zeros(spec.shape, np.float32)
    output[0, :4] = 50.0
    output[0, 5, 7] = 0.9
    reduced = head.reduce({"a": output})
    assert {name: array.tolist() for name, array in reduced.items()} == {
        BOXES: [[25.0, 25.0, 75.0, 75.0]], SCORES: [pytest.approx(0.9)], CLASSES: [1],
    }  # fmt: skip
    assert head.expected_bytes < output.nbytes


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: {},
        lambda arrays: without(arrays, SCORES),
        lambda arrays: without(arrays, PROTOTYPES),
        lambda arrays: arrays | {"more": arrays[SCORES]},
        lambda arrays: arrays | {BOXES: arrays[BOXES][1:]},
        lambda arrays: arrays | {BOXES: arrays[BOXES][:, :3]},
        lambda arrays: arrays | {SCORES: np.float64(1.0).reshape(())},
        lambda arrays: arrays | {CLASSES: arrays[CLASSES].astype(np.float64)},
        lambda arrays: arrays | {COEFFICIENTS: arrays[COEFFICIENTS][:, :2]},
        lambda arrays: arrays | {POINTS: np.zeros((len(arrays[SCORES]), 3))},
        lambda arrays: arrays | {PROTOTYPES: arrays[PROTOTYPES][0]},
        lambda arrays: {BOXES: np.zeros((40_000, 4)), SCORES: np.zeros(40_000), CLASSES: np.zeros(40_000, np.int64),
                        PROTOTYPES: arrays[PROTOTYPES]},
    ],
)  # fmt: skip
def test_what_is_no_such_answer_is_refused(spoil):
    head, outputs = boxes_with_masks()
    assert head.fault(spoil(head.reduce(outputs))) is not None


@pytest.mark.parametrize(
    "class_map", [np.zeros((4, 4), np.int32), np.zeros(4, np.int16), np.zeros((0, 4), np.int16),
                  np.zeros((1, MAX_MAP_SIDE + 1), np.int16)],
)  # fmt: skip
def test_what_is_no_map_of_classes_is_refused(class_map):
    head, _ = regions()
    assert head.fault({CLASS_MAP: class_map}) is not None
    assert head.fault({"another": np.zeros((4, 4), np.int16)}) is not None


def test_a_fingerprint_tells_heads_apart_but_not_names():
    spec = tensor("a", (1, 4 + N_CLASSES, N_ROWS))
    head, segment = head_of(spec, task="detect"), regions()[0]
    assert isinstance(head, Detect)
    assert fingerprint(head) == fingerprint(replace(head, names=ClassNames(names={0: "other"})))
    assert len({fingerprint(each) for each in (head, segment, replace(head, score_ratio=0.31))}) == 3


def test_what_is_small_or_wanted_whole_is_not_reduced():
    assert not isinstance(Raw(), ReducingHead)
