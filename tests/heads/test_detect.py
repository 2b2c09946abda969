"""Claims about boxes, for every layout of outputs, beside a decoder in plain loops that shares no code with heads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.answers import Boxes, answer_json
from seamline.heads.choosing import choose_head
from seamline.heads.facts import ModelFacts
from seamline.heads.names import ClassNames

HEIGHT, WIDTH, N_CLASSES = 96, 128, 7
NAMES = ClassNames(names={index: f"thing {index}" for index in range(N_CLASSES)})
PICTURE = (300, 500)
TRANSFORM = picture_transform(Fit.LETTERBOX, PICTURE, (HEIGHT, WIDTH))
GRID = [(stride, row, column) for stride in (8, 16, 32) for row in range(HEIGHT // stride)
        for column in range(WIDTH // stride)]  # fmt: skip
N_PLACES = len(GRID)


# -- the oracle: one box at a time, no arrays ----


def overlap(one, other) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (areas[0] + areas[1] - both)


def wanted_boxes(candidates, overlap_ratio: float | None, least: float = 0.25):
    """(class, score, edges in the picture) of (class, score, edges in the input), greedily suppressed per class."""
    kept = []
    for index, score, edges in sorted(candidates, key=lambda each: -each[1]):
        if score < least:
            continue
        if overlap_ratio is None or all(
            index != other or overlap(edges, before) <= overlap_ratio for other, _, before in kept
        ):
            kept.append((index, score, edges))
    scale = min(HEIGHT / PICTURE[0], WIDTH / PICTURE[1])
    inner = round(PICTURE[0] * scale), round(PICTURE[1] * scale)
    top, left = (HEIGHT - inner[0]) // 2, (WIDTH - inner[1]) // 2
    found = []
    for index, score, (x1, y1, x2, y2) in kept:
        moved = [
            min(max((x - left) / inner[1] * PICTURE[1], 0), PICTURE[1]) for x in (x1, x2)
        ] + [min(max((y - top) / inner[0] * PICTURE[0], 0), PICTURE[0]) for y in (y1, y2)]  # fmt: skip
        if moved[1] > moved[0] and moved[3] > moved[2]:
            found.append((index, score, (moved[0], moved[2], moved[1], moved[3])))
    return found


def check(found: Boxes, wanted) -> None:
    assert [box.label.index for box in found.boxes] == [index for index, _, _ in wanted]
    assert wanted, "a test without a box claims nothing"
    np.testing.assert_allclose([box.label.score_ratio for box in found.boxes], [score for _, score, _ in wanted],
                               rtol=1e-6)  # fmt: skip
    edges = [(box.left, box.top, box.right, box.bottom) for box in found.boxes]
    np.testing.assert_allclose(edges, [edges for _, _, edges in wanted], atol=1e-3)  # float32 on the network's side
    assert all(box.label.name == f"thing {box.label.index}" for box in found.boxes)


# -- what networks give ----


def objects(rng, n: int, n_rows: int):
    """Random centres, sizes and scores of `n_rows` rows, of which about `n` are objects, in heaps that overlap."""
    heaps = rng.uniform((10, 10), (WIDTH - 10, HEIGHT - 10), (6, 2))
    centres = rng.uniform((0, 0), (WIDTH, HEIGHT), (n_rows, 2))
    sizes = rng.uniform(5, 60, (n_rows, 2))
    scores = rng.uniform(0, 0.2, (n_rows, N_CLASSES))
    for row in rng.choice(n_rows, n, replace=False):
        heap = rng.integers(len(heaps))
        centres[row] = heaps[heap] + rng.normal(0, 3, 2)
        sizes[row] = np.array((30, 24)) + rng.normal(0, 3, 2)
        scores[row, (heap + rng.integers(2)) % N_CLASSES] = rng.uniform(0.2, 0.99)
    return (each.astype(np.float32) for each in (centres, sizes, scores))


def candidates(centres, sizes, scores):
    for (x, y), (width, height), row in zip(centres.tolist(), sizes.tolist(), scores.tolist(), strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        yield best, row[best], (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def facts(metadata=None, names=NAMES, **outputs) -> ModelFacts:
    specs = tuple(TensorSpec(name=name, dtype=str(each.dtype), shape=each.shape) for name, each in outputs.items())
    return ModelFacts(outputs=specs, height=HEIGHT, width=WIDTH, metadata=metadata or {}, names=names)


def read(wanted="auto", metadata=None, names=NAMES, transform=TRANSFORM, **outputs) -> Boxes:
    head = choose_head(facts(metadata, names, **outputs), wanted).head
    answer = head.read(outputs, transform)
    assert isinstance(answer, Boxes), head.words
    return answer


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("metadata", [{"task": "detect"}, {}])
def test_yolov8_rows_along_the_last_axis(seed, metadata):
    centres, sizes, scores = objects(np.random.default_rng(seed), 60, N_PLACES)
    output = np.concatenate([centres, sizes, scores], axis=1).T[np.newaxis]
    check(read(metadata=metadata, output0=output), wanted_boxes(candidates(centres, sizes, scores), 0.7))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("names", [NAMES, ClassNames(names={})])
def test_yolov5_multiplies_objectness(seed, names):
    rng = np.random.default_rng(seed)
    centres, sizes, scores = objects(rng, 90, 3 * N_PLACES)
    objectness = rng.uniform(0.5, 1, (3 * N_PLACES, 1)).astype(np.float32)
    output = np.concatenate([centres, sizes, objectness, scores], axis=1)[np.newaxis]
    found = read(names=names, output=output)
    assert found.boxes
    if names is NAMES:
        products = scores.astype(np.float64) * objectness
        check(found, wanted_boxes(candidates(centres, sizes, products), 0.45))
    else:
        assert {box.label.name for box in found.boxes} <= {f"class {index}" for index in range(N_CLASSES)}


@pytest.mark.parametrize("is_decoded", [False, True])
def test_yolox_rows_are_relative_to_their_places_unless_decoded(is_decoded):
    rng = np.random.default_rng(5)
    centres, sizes, scores = objects(rng, 60, N_PLACES)
    output = np.concatenate([centres, sizes, np.ones((N_PLACES, 1), np.float32), scores], axis=1)
    if not is_decoded:
        for row, (stride, down, across) in enumerate(GRID):
            output[row, 0] = output[row, 0] / stride - across
            output[row, 1] = output[row, 1] / stride - down
            output[row, 2] = math.log(output[row, 2] / stride)
            output[row, 3] = math.log(output[row, 3] / stride)
    check(read(output=output[np.newaxis]), wanted_boxes(candidates(centres, sizes, scores), 0.45))


def test_boxes_in_shares_of_the_sides_are_scaled_to_them():
    centres, sizes, scores = objects(np.random.default_rng(6), 60, N_PLACES)
    sides = np.array([WIDTH, HEIGHT], np.float32)
    output = np.concatenate([centres / sides, sizes / sides, scores], axis=1).T[np.newaxis]
    check(read(output0=output), wanted_boxes(candidates(centres, sizes, scores), 0.7))


def test_scores_before_the_sigmoid_go_through_it():
    rng = np.random.default_rng(7)
    centres, sizes, scores = objects(rng, 60, N_PLACES)
    logits = np.log(scores / (1 - scores))
    output = np.concatenate([centres, sizes, logits], axis=1).T[np.newaxis]
    found = read(output0=output)
    wanted = wanted_boxes(candidates(centres, sizes, 1 / (1 + np.exp(-logits.astype(np.float64)))), 0.7)
    assert len(found.boxes) == len(wanted) > 3


def test_rows_that_suppress_themselves_stay_as_they_are():
    rng = np.random.default_rng(8)
    corners = np.sort(rng.uniform(0, 90, (300, 2, 2)), axis=1).reshape(300, 4)
    scores, classes = np.sort(rng.uniform(0, 1, 300))[::-1], rng.integers(N_CLASSES, size=300)
    output = np.column_stack([corners, scores, classes]).astype(np.float32)[np.newaxis]
    listed = [(int(row[5]), float(row[4]), tuple(row[:4].tolist())) for row in output[0]]
    check(read(metadata={"task": "detect"}, output0=output), wanted_boxes(listed, None))


def test_yolov7_rows_begin_with_the_picture_and_end_with_the_score():
    rows = np.array([[0, 10, 20, 50, 60, 3, 0.9], [0, 12, 30, 70, 70, 1, 0.5], [0, 0, 0, 1, 1, 1, 0.1]], np.float32)
    listed = [(int(row[5]), float(row[6]), tuple(row[1:5].tolist())) for row in rows]
    check(read("detect", output=rows), wanted_boxes(listed, None))


def queries(seed: int, n_scores: int):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.1, 0.9, (100, 4)).astype(np.float32)
    logits = rng.normal(-4, 1.5, (100, n_scores)).astype(np.float32)
    listed = []
    for x, y, width, height in boxes.tolist():
        listed.append(((x - width / 2) * WIDTH, (y - height / 2) * HEIGHT, (x + width / 2) * WIDTH,
                       (y + height / 2) * HEIGHT))  # fmt: skip
    return boxes, logits, listed


def test_detr_takes_the_softmax_with_a_class_for_nothing():
    boxes, logits, edges = queries(9, N_CLASSES + 1)
    logits[:60, -1] += 8
    listed = []
    for row, place in zip(logits.astype(np.float64).tolist(), edges, strict=True):
        raised = [math.exp(value) for value in row]
        best = max(range(N_CLASSES), key=raised.__getitem__)
        listed.append((best, raised[best] / sum(raised), place))
    check(read(logits=logits[np.newaxis], pred_boxes=boxes[np.newaxis]), wanted_boxes(listed, None))


@pytest.mark.parametrize("is_one_output", [False, True])
def test_rt_detr_takes_the_sigmoid_of_each_class(is_one_output):
    boxes, logits, edges = queries(10, N_CLASSES)
    shares = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    listed = []
    for row, place in zip(shares.tolist(), edges, strict=True):
        best = max(range(N_CLASSES), key=row.__getitem__)
        listed.append((best, row[best], place))
    if is_one_output:
        found = read(output0=np.concatenate([boxes, shares], axis=1)[np.newaxis])
    else:
        found = read(dets=boxes[np.newaxis], labels=logits[np.newaxis])
    check(found, wanted_boxes(listed, None))


def test_boxes_and_scores_as_columns_are_those_of_rows():
    centres, sizes, scores = objects(np.random.default_rng(16), 60, 1008)
    boxes = np.concatenate([centres, sizes], axis=1)
    outputs = {"boxes": boxes.T[np.newaxis], "scores": scores.T[np.newaxis]}
    check(read(**outputs), wanted_boxes(candidates(centres, sizes, scores), 0.45))


@pytest.mark.parametrize("names", [ClassNames(names={0: "thing 0", 1: "thing 1"}), ClassNames(names={})])
@pytest.mark.parametrize("are_rows", [False, True])
def test_six_columns_are_rows_or_the_queries_of_two_classes_by_their_last(names, are_rows):
    rng = np.random.default_rng(17)
    if are_rows:
        corners = np.sort(rng.uniform(0, 90, (300, 2, 2)), axis=1).reshape(300, 4)
        output = np.column_stack([corners, rng.uniform(0, 1, 300), rng.integers(2, size=300)]).astype(np.float32)
        listed = [(int(row[5]), float(row[4]), tuple(row[:4].tolist())) for row in output]
    else:
        boxes, logits, edges = queries(18, 2)
        shares = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
        output = np.concatenate([boxes, shares], axis=1)
        listed = [(int(row.argmax()), float(row.max()), place) for row, place in zip(shares, edges, strict=True)]
    found = read("detect", names=names, output0=output[np.newaxis])
    wanted = wanted_boxes(listed, None, 0.25)
    assert [box.label.index for box in found.boxes] == [index for index, _, _ in wanted][:300]
    assert len(wanted) > 1
    edges_found = [(box.left, box.top, box.right, box.bottom) for box in found.boxes]
    np.testing.assert_allclose(edges_found, [edges for _, _, edges in wanted][:300], atol=1e-3)


def test_two_outputs_with_edges_and_a_background_are_suppressed():
    rng = np.random.default_rng(11)
    n_rows = 1200
    corners = np.sort(rng.uniform(0, 1, (n_rows, 2, 2)), axis=1).reshape(n_rows, 4).astype(np.float32)
    scores = rng.dirichlet(np.ones(N_CLASSES + 1) * 0.3, n_rows).astype(np.float32)
    names = ClassNames(names={0: "BACKGROUND"} | {index: f"thing {index}" for index in range(1, N_CLASSES + 1)})
    listed = []
    for row, (x1, y1, x2, y2) in zip(scores.tolist(), corners.tolist(), strict=True):
        best = max(range(1, N_CLASSES + 1), key=row.__getitem__)
        listed.append((best, row[best], (x1 * WIDTH, y1 * HEIGHT, x2 * WIDTH, y2 * HEIGHT)))
    found = read(names=names, scores=scores[np.newaxis], boxes=corners[np.newaxis])
    check(found, wanted_boxes(listed, 0.45)[:300])


@pytest.mark.parametrize("kind", ["torchvision", "tensorflow", "tensorrt", "mmdetection"])
def test_lists_of_several_tensors(kind):
    rng = np.random.default_rng(12)
    boxes = np.sort(rng.uniform(2, 90, (20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32)
    scores = np.sort(rng.uniform(0, 1, 20).astype(np.float32))[::-1].copy()
    classes = rng.integers(N_CLASSES, size=20)
    listed = [(int(index), float(score), tuple(map(float, edges))) for index, score, edges in
              zip(classes, scores, boxes, strict=True)]  # fmt: skip
    if kind == "torchvision":
        found = read(boxes=boxes, labels=classes, scores=scores)
    elif kind == "tensorflow":
        sides = np.array([HEIGHT, WIDTH] * 2, np.float32)
        shares = (boxes[:, [1, 0, 3, 2]] / sides)[np.newaxis]
        found = read(
            detection_boxes=shares,
            detection_classes=classes.astype(np.float32)[np.newaxis],
            detection_scores=scores[np.newaxis],
            num_detections=np.array([20], np.float32),
        )
    elif kind == "tensorrt":
        listed = listed[:7]
        found = read(
            num_dets=np.array([[7]], np.int32),
            det_boxes=boxes[np.newaxis],
            det_scores=scores[np.newaxis],
            det_classes=classes.astype(np.int32)[np.newaxis],
        )
    else:
        found = read(dets=np.column_stack([boxes, scores])[np.newaxis], labels=classes[np.newaxis])
    check(found, wanted_boxes(listed, None))


def test_a_list_of_one_object_has_no_count_in_it():
    found = read(
        boxes=np.array([[10, 20, 60, 70]], np.float32), labels=np.array([3]), scores=np.array([0.75], np.float32)
    )
    check(found, wanted_boxes([(3, 0.75, (10.0, 20.0, 60.0, 70.0))], None))


def test_key_points_come_back_with_their_boxes():
    rng = np.random.default_rng(13)
    centres, sizes, _ = objects(rng, 0, N_PLACES)
    scores = np.zeros((N_PLACES, 1), np.float32)
    scores[17] = 0.8
    points = rng.uniform(0, 96, (N_PLACES, 5, 3)).astype(np.float32)
    output = np.concatenate([centres, sizes, scores, points.reshape(N_PLACES, 15)], axis=1).T[np.newaxis]
    metadata = {"task": "pose", "kpt_shape": "[5, 3]"}
    (box,) = read(metadata=metadata, names=ClassNames(names={0: "thing 0"}), output0=output).boxes
    scale = WIDTH / PICTURE[1]
    top = (HEIGHT - round(PICTURE[0] * scale)) // 2
    for (x, y, score), (x_there, y_there, score_there) in zip(points[17].tolist(), box.points, strict=True):
        inner = round(PICTURE[0] * scale)
        assert (x_there, y_there) == pytest.approx((x / scale, (y - top) * PICTURE[0] / inner), abs=1e-3)
        assert score_there == score


def test_masks_are_interpolated_inside_the_box():
    rng = np.random.default_rng(14)
    centres, sizes, scores = objects(rng, 0, N_PLACES)
    scores[:] = 0
    centres[40], sizes[40], scores[40, 2] = (64.0, 48.0), (40.0, 30.0), 0.9
    coefficients = rng.normal(0, 1, (N_PLACES, 8)).astype(np.float32)
    prototypes = rng.normal(0, 1, (1, 8, HEIGHT // 4, WIDTH // 4)).astype(np.float32)
    output = np.concatenate([centres, sizes, scores, coefficients], axis=1).T[np.newaxis]
    (box,) = read(metadata={"task": "segment"}, output0=output, output1=prototypes).boxes
    assert box.mask is not None
    whole = box.mask.within(*PICTURE)
    logits = sum(
        float(weight) * plane for weight, plane in zip(coefficients[40], prototypes[0].astype(float), strict=True)
    )
    n_wrong = 0
    for y in range(math.floor(box.top), math.ceil(box.bottom), 3):
        for x in range(math.floor(box.left), math.ceil(box.right), 3):
            at_x, at_y = TRANSFORM.to_input([x + 0.5, y + 0.5]) / 4 - 0.5
            left, top = math.floor(at_x), math.floor(at_y)
            share_x, share_y = at_x - left, at_y - top
            value = sum(
                weight * logits[top + down, left + across]
                for down, across, weight in (
                    (0, 0, (1 - share_x) * (1 - share_y)), (0, 1, share_x * (1 - share_y)),
                    (1, 0, (1 - share_x) * share_y), (1, 1, share_x * share_y),
                )
            )  # fmt: skip
            n_wrong += bool(value > 0) != bool(whole[y, x])
    assert n_wrong == 0
    assert 0 < whole.sum() < (box.right - box.left + 2) * (box.bottom - box.top + 2)
    outside = whole.copy()
    outside[math.floor(box.top) : math.ceil(box.bottom), math.floor(box.left) : math.ceil(box.right)] = False
    assert not outside.any()
    said = answer_json(read(metadata={"task": "segment"}, output0=output, output1=prototypes))["boxes"][0]["mask"]
    counts, flat, is_on = said["counts"], [], False
    for count in counts:
        flat += [is_on] * count
        is_on = not is_on
    np.testing.assert_array_equal(np.array(flat).reshape(PICTURE[::-1]).T, whole)


def test_classes_do_not_suppress_each_other_even_left_of_the_picture():
    rows = np.zeros((1, 4 + N_CLASSES, N_PLACES), np.float32)
    rows[0, :4, 3] = rows[0, :4, 4] = rows[0, :4, 5] = (0, 40, 60, 30)
    rows[0, 4, 3], rows[0, 5, 4], rows[0, 5, 5] = 0.9, 0.8, 0.7
    assert [box.label.index for box in read(output0=rows).boxes] == [0, 1]


def test_a_frame_without_objects_and_numbers_that_are_none_give_no_box():
    empty = np.zeros((1, 4 + N_CLASSES, N_PLACES), np.float32)
    assert read(output0=empty).boxes == ()
    empty[0, 0, 0], empty[0, 4, 0] = np.nan, 0.9
    assert read(output0=empty).boxes == ()


def test_least_score_and_most_boxes_are_the_users():
    centres, sizes, scores = objects(np.random.default_rng(15), 60, N_PLACES)
    output = np.concatenate([centres, sizes, scores], axis=1).T[np.newaxis]
    head = choose_head(facts(output0=output), score_ratio=0.5, n_most=3).head
    found = head.read({"output0": output}, TRANSFORM)
    assert isinstance(found, Boxes)
    check(found, wanted_boxes(candidates(centres, sizes, scores), 0.7, 0.5)[:3])
