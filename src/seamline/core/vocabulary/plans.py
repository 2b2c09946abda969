"""Plans: the ordered stages of one frame, segment by segment, and the codecs between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.nodes import NodeId

_STAGE = re.compile(r"(?P<node>[a-z0-9][a-z0-9-]{0,62})\[(?P<start>\d{1,6}):(?P<stop>\d{1,6})\](?P<codec>[a-z0-9]*)")


class Codec(StrEnum):
    """How a boundary leaves a node. `RAW` and `LOSSLESS` keep every bit; `JPEG` is only for the camera frame at cut 0.

    `Q6` to `Q2` are entropy-coded: on a dense feature map a value takes about so many bits, fewer on a sparse one.
    Their order is the order of preference among equally good ones.
    """

    RAW = "raw"
    LOSSLESS = "lossless"
    F16 = "f16"
    U8 = "u8"
    Q6 = "q6"
    Q5 = "q5"
    Q4 = "q4"
    Q3 = "q3"
    Q2 = "q2"
    JPEG = "jpeg"


BIT_DEPTHS = {Codec.Q6: 6, Codec.Q5: 5, Codec.Q4: 4, Codec.Q3: 3, Codec.Q2: 2}
"""Bits that a value of a dense feature map takes under the entropy-coded codecs."""


LOSSINESS = (Codec.LOSSLESS, Codec.F16, Codec.U8, *BIT_DEPTHS)
"""What a user may ask for at most, from none to the most."""


LOSSY = frozenset(LOSSINESS[1:])
"""Codecs of tensors that round values."""


def codecs_up_to(most: Codec) -> tuple[Codec, ...]:
    """What may be used when tensors lose at most what `most`, one of `LOSSINESS`, takes from them.

    Camera frames as JPEG are always among them: whether frames may travel at all is `Constraints.n_private_cuts`.
    Raises `UsageError` for a codec that is no such limit.
    """
    if most not in LOSSINESS:
        raise UsageError(f"`{most}` is no limit of what may be lost", hint=f"one of {', '.join(LOSSINESS)}")
    forbidden = LOSSINESS[LOSSINESS.index(most) + 1 :]
    return tuple(codec for codec in Codec if codec not in forbidden)


EIGHT_BIT_CODECS = codecs_up_to(Codec.U8)
"""What is used where nothing is limited: fewer bits are for who asks for them, and for a calibration."""


DEFAULT_CODECS = codecs_up_to(Codec.LOSSLESS)
"""What commands, `Cluster.stream` and simulations use where nobody says what may be lost: tensors lose no bit."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """The layers between cut `start` and cut `stop`; empty when they are equal."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise PlanError(f"segment [{self.start}:{self.stop}] runs backwards")

    @property
    def is_empty(self) -> bool:
        return self.start == self.stop

    def __str__(self) -> str:
        return f"[{self.start}:{self.stop}]"


@dataclass(frozen=True, slots=True)
class Stage:
    """One node's part of a plan. codec: how its result leaves for the next stage; None on the last stage."""

    node: NodeId
    segment: Segment
    codec: Codec | None = None

    def __str__(self) -> str:
        return f"{self.node}{self.segment}{self.codec or ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered stages of one frame's way. The first stage's node is the origin.

    Prints as ``edge[0:14]f16 > fog[14:31]u8 > cloud[31:45]`` and parses back. Offloading everything is
    ``edge[0:0]jpeg > cloud[0:45]``, running everything on the origin ``edge[0:45]``.
    Only the first stage may be empty; a node appears once; JPEG leaves only cut 0.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise PlanError("a plan needs at least one stage")
        if self.stages[0].segment.start != 0:
            raise PlanError(f"plan `{self}` does not start at cut 0")
        if self.stages[-1].codec is not None:
            raise PlanError(f"plan `{self}` has a codec after its last stage")
        if len({stage.node for stage in self.stages}) != len(self.stages):
            raise PlanError(f"plan `{self}` visits a node twice")
        for here, there in zip(self.stages, self.stages[1:], strict=False):
            if here.segment.stop != there.segment.start:
                raise PlanError(f"plan `{self}` leaves a gap between `{here}` and `{there}`")
            if there.segment.is_empty:
                raise PlanError(f"plan `{self}` has an empty stage `{there}`", hint="only the origin may run no layers")
            if here.codec is None:
                raise PlanError(
                    f"plan `{self}` does not say how `{here}` is sent",
                    hint=f"add a codec behind it: `{here}lossless`; see `seamline run --help`",
                )
            if here.codec is Codec.JPEG and here.segment.stop != 0:
                raise PlanError(f"plan `{self}` sends `{here}` as JPEG", hint="JPEG fits only the frame itself, [0:0]")
        if len(self.stages) == 1 and self.stages[0].segment.is_empty:
            raise PlanError("a plan must run at least one layer")

    @property
    def origin(self) -> NodeId:
        return self.stages[0].node

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(stage.node for stage in self.stages)

    @property
    def is_local(self) -> bool:
        return len(self.stages) == 1

    @property
    def is_offload(self) -> bool:
        """The origin runs nothing: the frame itself is sent."""
        return self.stages[0].segment.is_empty

    def __str__(self) -> str:
        return " > ".join(str(stage) for stage in self.stages)

    @staticmethod
    def parse(text: str) -> Plan:
        """The plan that prints as `text`. Raises `PlanError` naming the part that is not a stage."""
        stages = []
        for part in text.split(">"):
            match = _STAGE.fullmatch(part.strip())
            if match is None:
                raise PlanError(f"`{part.strip()}` is not a stage", hint="write e.g. edge[0:14]f16 > cloud[14:45]")
            try:
                codec = Codec(match["codec"]) if match["codec"] else None
            except ValueError:
                known = ", ".join(Codec)
                raise PlanError(f"`{match['codec']}` is not a codec", hint=f"one of {known}") from None
            segment = Segment(int(match["start"]), int(match["stop"]))
            stages.append(Stage(NodeId(match["node"]), segment, codec))
        return Plan(tuple(stages))

    @staticmethod
    def local(origin: NodeId, n_cuts: int) -> Plan:
        """Everything on `origin`, for a model with `n_cuts` legal cuts."""
        return Plan((Stage(origin, Segment(0, n_cuts - 1)),))
