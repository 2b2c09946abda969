"""`seamline import`: what it takes, and what it says to wrong use. Exporting itself: tests/model/test_frameworks.py."""

from __future__ import annotations

import pytest

from seamline.cli.commands.importing import parse_inputs
from seamline.core.vocabulary.errors import UsageError


def test_shapes_of_inputs_are_read_with_their_dtype():
    assert [(spec.name, spec.dtype, spec.shape) for spec in parse_inputs(["1,3,8,8"])] == [
        ("input", "float32", (1, 3, 8, 8))
    ]
    assert [(spec.name, spec.dtype, spec.shape) for spec in parse_inputs(["1,16:int64", "2"])] == [
        ("input_0", "int64", (1, 16)), ("input_1", "float32", (2,)),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "1,x", "0,3", "1,3:text", "1;3"])
def test_a_malformed_input_is_wrong_use(text):
    with pytest.raises(UsageError):
        parse_inputs([text])


def test_a_target_without_function_or_module_is_wrong_use(seamline, tmp_path):
    for arguments in (("torch", "nonsense", "--input", "1,3"), ("keras", str(tmp_path / "absent.keras"))):
        outcome = seamline("import", *arguments)
        assert outcome.exit_code == 2
        assert outcome.stdout == ""
        assert outcome.stderr.splitlines()[0].startswith("error: ")
        assert "Traceback" not in outcome.stderr
