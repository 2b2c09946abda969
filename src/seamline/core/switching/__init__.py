"""Switching strategies as tables: (state, event) -> (state, commands), without clock, thread or socket.

`live.py` switches make-before-break (and serves `spawn`), `pause_resume.py` break-before-make, `standby.py` to a second
pipeline; `named.py` lists the strategies by name, `vocabulary.py` has the states, events and commands they share.
`core.session.switcher` feeds the tables and translates their commands.
"""

from seamline.core.switching.between import enter, leave
from seamline.core.switching.live import live
from seamline.core.switching.named import STRATEGIES, NamedStrategy, PreparationMode, strategy_named
from seamline.core.switching.pause_resume import pause_resume
from seamline.core.switching.standby import standby
from seamline.core.switching.vocabulary import (
    Command,
    Deadline,
    Drain,
    Drained,
    Draining,
    Event,
    FallBack,
    Generation,
    Idle,
    Loading,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Paired,
    Pause,
    Pausing,
    Prepare,
    Preparing,
    Refuse,
    Release,
    Restoring,
    Resume,
    Route,
    Serving,
    StandbyChosen,
    State,
    Step,
    StopRequested,
    Strategy,
    SwitchRequested,
    generations,
    is_switching,
    routed,
    validate,
)

__all__ = [
    "live", "pause_resume", "standby", "STRATEGIES", "NamedStrategy", "PreparationMode", "strategy_named",
    "Strategy", "Step", "leave", "enter", "Generation", "generations", "routed", "is_switching", "validate",
    "State", "Idle", "Serving", "Preparing", "Draining", "Pausing", "Loading", "Restoring", "Paired",
    "Event", "SwitchRequested", "StandbyChosen", "NodePrepared", "NodeFailed", "NodeLost", "Drained", "Deadline",
    "StopRequested",
    "Command", "Prepare", "Route", "Release", "Refuse", "Drain", "Pause", "Resume", "FallBack",
]  # fmt: skip
