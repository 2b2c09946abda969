"""`changed` is `dataclasses.replace`, and what a `maker` makes is what its class makes, only quicker."""

from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from seamline.core.adaptation.view import View
from seamline.core.link.lower_envelope import Crossing
from seamline.core.link.probing import Probing
from seamline.core.vocabulary.changed import changed, maker
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import Cut

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


@pytest.mark.parametrize("value", VALUES)
def test_a_maker_makes_what_the_class_makes(value):
    kind, given = type(value), {one.name: getattr(value, one.name) for one in fields(value)}
    made = maker(kind)(**given)
    assert (type(made), made, asdict(made)) == (kind, value, asdict(value))
    assert hash(maker(Segment)(1, 4)) == hash(Segment(1, 4))
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(value)[0].name, 1)


def test_a_maker_has_the_defaults_of_its_class_and_asks_for_the_rest():
    make_cut = maker(Cut)
    given = {"index": 1, "after": "relu", "tensors": (), "payload_bytes": 8}
    assert make_cut(**given) == Cut(**given)
    assert maker(View)(origin=NodeId("edge")) == View(origin=NodeId("edge"))
    assert maker(View)(origin=NodeId("edge")).links is not maker(View)(origin=NodeId("edge")).links
    with pytest.raises(TypeError, match="payload_bytes"):
        make_cut(index=1, after="relu", tensors=())
    with pytest.raises(TypeError, match="positional"):
        make_cut(1, "relu", (), 8)


def test_a_maker_checks_what_the_class_checks():
    with pytest.raises(PlanError, match="runs backwards"):
        maker(Segment)(4, 1)
