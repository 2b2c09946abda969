"""Claims about a sample of ONNX's backend suite: every kind of model that was once refused or wrong, and then some.

`benchmarks/bench_onnx_backend.py` runs all of it. Importing one module of the suite makes its cases, which is quick;
collecting all takes many seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module

import pytest
from onnx.backend.test.case import node as suite

from seamline.model import StoredModel

Check = Callable[..., StoredModel]

SAMPLE: dict[str, tuple[str, ...]] = {
    "affinegrid": ("affine_grid_2d_expanded", "affine_grid_3d_align_corners_expanded"),
    "attention": ("attention_4d_causal_fp16_expanded", "attention_3d_gqa_with_past_and_present"),
    "col2im": ("col2im",),
    "constant": ("constant",),
    "constantofshape": ("constantofshape_int_shape_zero",),
    "conv": ("conv_with_autopad_same",),
    "dft": ("dft_rfft",),
    "equal": ("equal_string_broadcast",),
    "gru": ("gru_defaults",),
    "identity": ("identity_sequence", "identity_opt"),
    "if_": ("if", "if_seq", "if_opt"),
    "layernormalization": ("layer_normalization_2d_axis1_expanded",),
    "loop": ("loop11", "loop13_seq", "loop16_seq_none"),
    "lstm": ("lstm_with_peepholes",),
    "nonmaxsuppression": ("nonmaxsuppression_two_batches",),
    "nonzero": ("nonzero_example",),
    "reducel1": ("reduce_l1_default_axes_keepdims_example_expanded",),
    "reducesum": ("reduce_sum_empty_axes_input_noop", "reduce_sum_empty_set_non_reduced_axis_zero"),
    "regex_full_match": ("regex_full_match_empty",),
    "reshape": ("reshape_allowzero_reordered", "reshape_zero_and_negative_dim"),
    "resize": ("resize_upsample_sizes_nearest_not_smaller",),
    "scan": ("scan9_sum",),
    "sequence_map": ("sequence_map_add_2_sequences_expanded",),
    "sequenceinsert": ("sequence_insert_at_front",),
    "slice": ("slice_start_out_of_bounds",),
    "softmax": ("softmax_axis_1_expanded",),
    "splittosequence": ("split_to_sequence_nokeepdims",),
    "string_concat": ("string_concat_empty_string", "string_concat_utf8"),
    "string_split": ("string_split_maxsplit",),
    "tfidfvectorizer": ("tfidfvectorizer_tf_batch_uniandbigrams_skip5",),
    "trilu": ("tril_zero",),
}  # fmt: skip
"""Cases by the module that makes them."""


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in SAMPLE.items() for name in names], ids=str
)
def test_a_model_of_the_suite_answers_as_the_runtime_does(check_answers: Check, module: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the suite divides by zero on purpose
        import_module(f"{suite.__name__}.{module}")
    case = next(case for case in suite._NodeTestCases if case.name == f"test_{name}")
    names = [value.name for value in case.model.graph.input]
    frames = [dict(zip(names, inputs, strict=True)) for inputs, _ in case.data_sets]
    stored = check_answers(case.model, *frames)
    assert len(stored.cuts) >= 2
    if stored.graph.is_local:
        assert len(stored.cuts) == 2
