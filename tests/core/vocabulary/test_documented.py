"""Summaries give the JSON object and the table of its keys, so that neither can say what the other does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated

from seamline.core.vocabulary.documented import INLINED, Names, copied, json_line, key_docs, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    latency_s: Annotated[float, "seconds"]
    energy_j: Annotated[float | None, "joules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: Annotated[str, "its name"]
    costs: Costs = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    steps: Annotated[tuple[Step, ...], "in order"]
    answer: Step | None
    files: tuple[Annotated[str, "one of them"], ...] | None
    by_node: Mapping[str, Costs]
    drawn: Mapping[str, Annotated[float, "of each"]]
    known: Annotated[Mapping[str, Costs], Names({"first": "the first", "last": "the last"})]


STEP = Step(name="a", costs=Costs(latency_s=0.5, energy_j=None))


def test_an_object_has_the_fields_in_order_with_inlined_ones_in_place():
    assert list(to_json(STEP).items()) == [("name", "a"), ("latency_s", 0.5), ("energy_j", None)]


def test_summaries_are_found_in_lists_and_mappings():
    costs = Costs(latency_s=1.0, energy_j=2.0)
    trip = Trip(steps=(STEP,), answer=None, files=("x",), by_node={"edge": costs}, drawn={"fog": 3.0}, known={})
    assert to_json(trip) == {
        "steps": [to_json(STEP)],
        "answer": None,
        "files": ["x"],
        "by_node": {"edge": {"latency_s": 1.0, "energy_j": 2.0}},
        "drawn": {"fog": 3.0},
        "known": {},
    }


def test_every_key_has_the_text_that_stands_on_it():
    assert list(key_docs(Trip).items()) == [
        ("steps", "in order"),
        ("steps[].name", "its name"),
        ("steps[].latency_s", "seconds"),
        ("steps[].energy_j", "joules"),
        ("answer.name", "its name"),
        ("answer.latency_s", "seconds"),
        ("answer.energy_j", "joules"),
        ("files[]", "one of them"),
        ("by_node.*.latency_s", "seconds"),
        ("by_node.*.energy_j", "joules"),
        ("drawn.*", "of each"),
        ("known.first", "the first"),
        ("known.last", "the last"),
        ("known.*.latency_s", "seconds"),
        ("known.*.energy_j", "joules"),
    ]


def test_a_summary_takes_the_values_of_the_same_name_but_for_those_that_are_given():
    found = copied(Costs, SimpleNamespace(latency_s=0.5, energy_j=None, other=1), energy_j=2.0)
    assert found == Costs(latency_s=0.5, energy_j=2.0)


def test_numbers_that_json_has_not_become_null():
    assert json_line({"a": [math.inf, 1.5, {"b": math.nan}]}) == '{"a": [null, 1.5, {"b": null}]}'
