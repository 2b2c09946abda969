"""Claims about labels of a picture and about maps of its pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.answers import UNSEEN, Classes, Regions, answer_json, answer_words, counted_words
from seamline.heads.choosing import choose_head
from seamline.heads.facts import ModelFacts
from seamline.heads.names import ClassNames

NAMES = ClassNames(names=dict(enumerate(["cat", "dog", "bird", "fish", "horse", "sheep", "cow", "bear"])))


def facts(names=NAMES, size=(48, 64), last_ops=None, **outputs) -> ModelFacts:
    specs = tuple(TensorSpec(name=name, dtype=str(each.dtype), shape=each.shape) for name, each in outputs.items())
    return ModelFacts(outputs=specs, height=size[0], width=size[1], names=names, last_ops=last_ops or {})


def classes(output, op: str = "", **options) -> Classes:
    head = choose_head(facts(last_ops={"scores": op}, scores=output), "classify", **options).head
    answer = head.read({"scores": output}, None)
    assert isinstance(answer, Classes)
    return answer


@pytest.mark.parametrize("op", ["Gemm", "Softmax", "LogSoftmax", ""])
@pytest.mark.parametrize("axes", [0, 2])
def test_the_same_labels_and_scores_whatever_the_network_ends_in(op, axes):
    logits = np.random.default_rng(1).normal(0, 3, (1, 8)).astype(np.float32)
    raised = [math.exp(value) for value in logits[0].astype(float).tolist()]
    shares = [value / sum(raised) for value in raised]
    output = {"Softmax": np.array([shares]), "LogSoftmax": np.log([shares])}.get(op, logits).astype(np.float32)
    found = classes(output.reshape((1, 8) + (1,) * axes), op)
    wanted = sorted(range(8), key=lambda index: -shares[index])[:5]
    assert [label.index for label in found.labels] == wanted
    assert [label.name for label in found.labels] == [NAMES.name(index) for index in wanted]
    np.testing.assert_allclose([label.score_ratio for label in found.labels], [shares[index] for index in wanted],
                               rtol=2e-5)  # fmt: skip


def test_probabilities_are_known_by_their_sum_and_sigmoids_by_their_operator():
    shares = np.array([[0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0]], np.float32)
    assert [label.score_ratio for label in classes(shares).labels[:2]] == [0.5, 0.25]
    each_for_itself = np.array([[0.9, 0.8, 0.7, 0, 0, 0, 0, 0]], np.float32)
    assert classes(each_for_itself, "Sigmoid").labels[0].score_ratio == pytest.approx(0.9)


def test_integers_of_a_quantised_network_are_shares_of_their_type():
    found = classes(np.array([[0, 255, 51, 0, 0, 0, 0, 0]], np.uint8))
    assert [(label.index, label.score_ratio) for label in found.labels[:2]] == [(1, 1.0), (2, 0.2)]


def test_least_score_and_most_labels_are_the_users():
    shares = np.array([[0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0]], np.float32)
    assert len(classes(shares, score_ratio=0.2).labels) == 2
    assert len(classes(shares, n_most=1).labels) == 1
    assert len(classes(shares, n_most=99).labels) == 8


def regions(output, transform, names=NAMES, **options) -> Regions:
    head = choose_head(facts(names, mask=output), "segment", **options).head
    answer = head.read({"mask": output}, transform)
    assert isinstance(answer, Regions)
    return answer


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("is_last", [False, True])
def test_every_pixel_has_the_class_of_the_place_it_falls_on(fit, is_last):
    picture = (90, 200)
    transform = picture_transform(fit, picture, (48, 64))
    scores = np.random.default_rng(2).normal(0, 1, (1, 8, 12, 16)).astype(np.float32)
    found = regions(scores.transpose(0, 2, 3, 1) if is_last else scores, transform)
    assert found.class_map.shape == picture
    for y in range(0, 90, 7):
        for x in range(0, 200, 9):
            at_x, at_y = transform.to_input([x + 0.5, y + 0.5]) / 4
            if not (0 <= at_x < 16 and 0 <= at_y < 12):
                assert found.class_map[y, x] == UNSEEN
                continue
            column = [float(scores[0, index, int(at_y), int(at_x)]) for index in range(8)]
            assert found.class_map[y, x] == max(range(8), key=column.__getitem__)
    n_seen = int((found.class_map != UNSEEN).sum())
    assert (n_seen < 90 * 200) == (fit is Fit.CROP)
    for label in found.labels:
        assert label.score_ratio == pytest.approx(int((found.class_map == label.index).sum()) / n_seen)
    assert sum(label.score_ratio for label in found.labels) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_one_map_is_there_or_not_and_integers_are_classes(dtype):
    rng = np.random.default_rng(3)
    transform = picture_transform(Fit.STRETCH, (48, 64), (48, 64))
    if dtype == np.float32:
        output = rng.uniform(0, 1, (1, 1, 48, 64)).astype(dtype)
        found = regions(output, transform, ClassNames(names={0: "text"}), score_ratio=0.3)
        np.testing.assert_array_equal(found.class_map, output[0, 0] >= np.float32(0.3))
        assert {label.name for label in found.labels} == {"background", "text"}
    else:
        output = rng.integers(0, 8, (1, 48, 64)).astype(dtype)
        np.testing.assert_array_equal(regions(output, transform).class_map, output[0])


def test_regions_in_json_give_the_map_back():
    transform = picture_transform(Fit.CROP, (30, 70), (48, 64))
    found = regions(np.random.default_rng(4).normal(0, 1, (1, 8, 12, 16)).astype(np.float32), transform)
    back = np.full(30 * 70, UNSEEN)
    for region in answer_json(found)["regions"]:
        assert region["mask"]["size"] == [30, 70]
        at, is_on = 0, False
        for count in region["mask"]["counts"]:
            if is_on:
                back[at : at + count] = region["class"]
            at, is_on = at + count, not is_on
        assert at == 30 * 70
    np.testing.assert_array_equal(back.reshape(70, 30).T, found.class_map)


def test_words_say_labels_boxes_or_shapes():
    shares = np.array([[0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0]], np.float32)
    assert answer_words(classes(shares, n_most=2)) == "cat 0.50, dog 0.25"
    labels = classes(shares, n_most=1).labels
    assert counted_words(labels * 2) == "2 cat"
    raw = choose_head(facts(scores=shares), "raw").head
    assert answer_words(raw.read({"scores": shares[:, :2]}, None)) == "scores 0.5 0.25"
    assert answer_words(raw.read({"x": np.zeros((2, 0))}, None)) == "x float64[2,0]"
    assert answer_words(raw.read({"x": np.arange(9.0)}, None)) == "x float64[9] 0 to 8"


def test_outputs_that_are_no_tensors_are_shown_and_written_as_they_are():
    raw = choose_head(facts(scores=np.zeros((1, 8), np.float32)), "raw").head
    outputs = {
        "names": np.array(["cat", "dög"], object),
        "map": [{"cat": np.float32(0.5), 3: np.arange(2)}],
        "none": None,
        "flags": np.array([True] * 9),
    }
    answer = raw.read(outputs, None)
    assert answer_words(answer) == "names cat dög, map list of 1, none NoneType, flags bool[9] 1 to 1"
    assert answer_json(answer)["outputs"] == {
        "names": {"dtype": "string", "shape": [2], "values": ["cat", "dög"]},
        "map": [{"cat": 0.5, "3": {"dtype": "int64", "shape": [2], "values": [0, 1]}}],
        "none": None,
        "flags": {"dtype": "bool", "shape": [9], "values": [True] * 9},
    }
