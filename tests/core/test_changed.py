"""`changed` is `dataclasses.replace`, only quicker."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from seamline.core.changed import changed
from seamline.core.events import View
from seamline.core.lower_edge import Crossing
from seamline.core.probing import Probing
from seamline.core.values import NodeId

VALUES = [
    View(origin=NodeId("edge"), now_s=3.0, generation=2),
    Probing(n_pongs=4, credit_s=0.1),
    Crossing(n_bits=8.0, whole_s=1.0, least_s=0.5, burst_bits=0.0, at_s=2.0),
]


@pytest.mark.parametrize("value", VALUES)
def test_any_field_can_be_changed_and_the_rest_stays_as_with_replace(value):
    before = replace(value)
    for field in fields(value):
        assert changed(value, **{field.name: -1}) == replace(value, **{field.name: -1})
    assert changed(value) == value == before
    assert changed(value) is not value


def test_what_comes_out_is_of_the_same_class_and_frozen_too():
    assert [type(changed(value)) for value in VALUES] == [View, Probing, Crossing]
    with pytest.raises(FrozenInstanceError):
        changed(VALUES[1], n_pongs=1).n_pongs = 2


def test_a_field_that_is_none_is_an_error():
    with pytest.raises(AttributeError, match="n_pings"):
        changed(VALUES[1], n_pings=1)
