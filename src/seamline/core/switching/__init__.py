"""Switching strategies as tables: (state, event) -> (state, commands), without clock, thread or socket.

`live.py` is ours (and serves `spawn`), `pause_resume.py` and `standby.py` are those it is compared with; `named.py`
lists what can be chosen, `vocabulary.py` holds the words they share. `core/session/switcher.py` carries commands out.
"""

from seamline.core.switching.between import enter, leave
from seamline.core.switching.live import live
from seamline.core.switching.named import STRATEGIES, Form, NamedStrategy, strategy_named
from seamline.core.switching.pause_resume import pause_resume
from seamline.core.switching.standby import standby
from seamline.core.switching.vocabulary import (
    Command,
    Deadline,
    Drained,
    Draining,
    Event,
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
    Refuse,
    Release,
    Restoring,
    Resume,
    Retire,
    Retreat,
    Route,
    Serving,
    SpareChosen,
    State,
    Step,
    StopRequested,
    Strategy,
    SwitchRequested,
    Warming,
    generations,
    is_switching,
    routed,
    validate,
)

__all__ = [
    "live", "pause_resume", "standby", "STRATEGIES", "NamedStrategy", "Form", "strategy_named", "Strategy", "Step",
    "leave", "enter", "Generation", "generations", "routed", "is_switching", "validate",
    "State", "Idle", "Serving", "Warming", "Draining", "Pausing", "Loading", "Restoring", "Paired",
    "Event", "SwitchRequested", "SpareChosen", "NodePrepared", "NodeFailed", "NodeLost", "Drained", "Deadline",
    "StopRequested",
    "Command", "Prepare", "Route", "Release", "Refuse", "Retire", "Pause", "Resume", "Retreat",
]  # fmt: skip
