"""Rules of estimators, probing and policy, each with a way to do without it: the table of `bench_ablation.py`.

A rule is switched off by names in its module: a constant takes the value at which the rule never applies, a function
returns what it would without it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from seamline.core.adaptation.policy import PolicySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. without: what is known when it is off, by ``module:name`` or ``module:class.name`` below
    `seamline.core`. settings: of the policy without it."""

    name: str
    without: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)

    @contextmanager
    def off(self) -> Iterator[PolicySettings]:
        """Settings to play with meanwhile."""
        before: list[tuple[Any, str, Any]] = []
        try:
            for where, value in self.without.items():
                module, _, path = where.partition(":")
                owner: Any = importlib.import_module(f"seamline.core.{module}")
                *outer, name = path.split(".")
                for part in outer:
                    owner = getattr(owner, part)
                before.append((owner, name, vars(owner)[name]))
                setattr(owner, name, value)
            yield PolicySettings(**self.settings)
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _first(known: Any, *_: Any, **__: Any) -> Any:
    return known


_GOODPUT, _ENVELOPE, _ESTIMATOR = "link.goodput", "link.lower_envelope", "link.estimator"
_POLICY, _PROBING = "adaptation.policy", "link.probing"

RULES = (
    # -- policy --------------------------------------------------------------------------------------------------------
    Rule(name="least gain", settings={"min_gain_ratio": 0.0}),
    Rule(name="gain beyond uncertainty", settings={"uncertainty_factor": 0.0}),
    Rule(name="cooldown", settings={"cooldown_s": 0.0}),
    Rule(name="a jump ends the cooldown", without={f"{_POLICY}:has_jumped": _always(False)}),
    Rule(name="moves by load take turns", without={"adaptation.policy:is_due": _always(True)}),
    Rule(name="surprise", settings={"surprise_ratio": math.inf}),
    Rule(name="deadline headroom", settings={"headroom_ratio": 0.0}),
    Rule(name="cost of a further hop", settings={"hop_cost_s": 0.0}),
    Rule(name="silence", without={"link.silence:Silence.begins_s": property(_always(math.inf))}),
    Rule(name="fast idle links beside others", without={"link.meter:FAST_BPS": math.inf}),
    Rule(
        name="excess of transfers",
        without={
            "adaptation.excess:Excess.mean_ratio": _always(0.0),
            "adaptation.excess:Excess.quantile_ratio": _always(0.0),
        },
    ),
    Rule(name="no move while silent", without={"adaptation.view:View.is_uplink_silent": property(_always(False))}),
    Rule(name="shared uplink", without={"adaptation.view:observe_uplink": _always(None)}),
    Rule(name="uplink: own bottleneck", without={"adaptation.uplink:OWN_RATIO": 0.0}),
    Rule(name="uplink: at its ceiling", without={"adaptation.uplink:AT_CEILING_RATIO": math.inf}),
    Rule(
        name="average while oscillating",
        without={
            f"{_POLICY}:oscillating_nodes": _always(frozenset()),
            "adaptation.risk_adjustment:oscillating_nodes": _always(frozenset()),
        },
    ),
    # -- a link's estimate ---------------------------------------------------------------------------------------------
    Rule(name="outlier candidates", without={f"{_GOODPUT}:_OUTLIER_SIGMAS": math.inf}),
    Rule(name="late by chance", without={f"{_GOODPUT}:_may_be_chance": _always(False)}),
    Rule(name="late by a retransmission", without={f"{_GOODPUT}:_may_be_a_loss": _always(False)}),
    Rule(name="two sizes decide", without={f"{_GOODPUT}:_OTHER_SIZE_FACTOR": math.inf}),
    Rule(name="revert a downward change", without={f"{_GOODPUT}:_fits_former": _always(False)}),
    Rule(name="usual delay", without={f"{_GOODPUT}:_usual_delay_s": _always(0.0)}),
    Rule(name="candidates wait for a longer message", without={f"{_GOODPUT}:_contradicts": _always(True)}),
    Rule(name="downward drift", without={f"{_GOODPUT}:_drifted_down": _always(None)}),
    Rule(name="straddled sample", without={f"{_GOODPUT}:_STRADDLED_RATIO": 0.0}),
    Rule(name="token bucket", without={f"{_ESTIMATOR}:BURST_BYTES": 0}),
    Rule(
        name="fixed overhead",
        without={f"{_ENVELOPE}:MAX_FIXED_OVERHEAD_S": 0.0, f"{_ENVELOPE}:_fixed_overhead_bound_s": _always(0.0)},
    ),
    Rule(name="bound of the fixed overhead", without={f"{_ENVELOPE}:_fixed_overhead_bound_s": _always(5e-3)}),
    Rule(name="weightiest old samples", without={f"{_ENVELOPE}:_N_WEIGHTIEST": 0}),
    Rule(
        name="mean overhead",
        without={f"{_ENVELOPE}:Goodput.overhead_s": property(lambda known: known.fixed_overhead_s)},
    ),
    Rule(name="doubt of age", without={f"{_ENVELOPE}:DRIFT_PER_S": 0.0, f"{_GOODPUT}:DRIFT_PER_S": 0.0}),
    Rule(name="last value", without={"link.last_value:LastValue.is_selected": _always(False)}),
    Rule(name="silence bounds", without={f"{_ESTIMATOR}:observe_silence": _first}),
    Rule(name="two messages after an outage", without={f"{_ESTIMATOR}:N_BELIEVED": 1}),
    Rule(name="first round trips misjudged", without={f"{_ESTIMATOR}:_N_YOUNG": -1}),
    Rule(name="round trips of a window", without={f"{_ESTIMATOR}:RTT_WINDOW_S": math.inf}),
    # -- probing -------------------------------------------------------------------------------------------------------
    Rule(
        name="confirming probes",
        without={f"{_PROBING}:N_CONFIRMING_PROBES": -1, f"{_PROBING}:bottleneck_changed": _first},
    ),
    Rule(name="probes after another's jump", without={f"{_PROBING}:bottleneck_changed": _first}),
    Rule(name="regular probe grows with the rate", without={f"{_PROBING}:REGULAR_SHARE_RATIO": 0.0}),
    Rule(name="long first probes", without={f"{_PROBING}:long_probe_bytes": _always(4096)}),
    Rule(name="busy limit", without={f"{_PROBING}:BUSY_LIMIT_S": math.inf}),
    # -- compute, and the pipeline -------------------------------------------------------------------------------------
    Rule(name="compute: outlier candidates", without={"speed.kalman:_OUTLIER_SIGMAS": math.inf}),
    Rule(name="compute: replaced when uninformative", without={"speed.kalman:UNINFORMATIVE_VARIANCE": math.inf}),
    Rule(name="stuck pipeline takes no more", without={"session.ledger:STUCK_RATIO": math.inf}),
)


def rule_named(name: str) -> Rule:
    """The rule of that name, or several at once: ``cooldown + surprise``. Raises `KeyError`."""
    by_name = {rule.name: rule for rule in RULES}
    rules = [by_name[part.strip()] for part in name.split("+")]
    return Rule(
        name=name,
        without={key: value for rule in rules for key, value in rule.without.items()},
        settings={key: value for rule in rules for key, value in rule.settings.items()},
    )
