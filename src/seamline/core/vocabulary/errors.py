"""The error tree: one class per kind of trouble a caller can act on.

`UsageError` and below mean "you asked wrongly" (exit code 2); everything else means "the world failed" (exit code 1).
A message gives fact, cause and next step; the step stands after ``hint:``.
"""


class SeamlineError(Exception):
    """Base of every error that Seamline raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.hint = hint
        self.message = message
        super().__init__(message if hint is None else f"{message}; hint: {hint}")


class UsageError(SeamlineError):
    """The request itself is wrong: a flag, a name, a file that is not there."""


class ConfigError(UsageError):
    """A configuration or testbed file says something that cannot be meant."""


class ModelError(SeamlineError):
    """A model cannot be read, cut, fetched or run."""


class OpenAxis(ModelError):
    """How large an input is stays open; the message names the axis."""


class SourceError(SeamlineError):
    """Frames stop coming: an address that does not answer, a video that ends before its time."""


class FrameRefused(ModelError):
    """A segment that was ready could not compute one frame: the frame's values are at fault, or the node."""


class PlanError(SeamlineError):
    """A plan is malformed or does not fit the model."""


class Infeasible(PlanError):
    """No plan satisfies the constraints; the message names the one that binds."""


class CodecError(SeamlineError):
    """A payload cannot be encoded or decoded."""


class FabricError(SeamlineError):
    """A message could not be sent, received or understood."""


class PeerLost(FabricError):
    """The peer is gone or silent."""


class IdentityError(FabricError):
    """A certificate or a token is refused: expired, revoked, of another cluster, or for another name or role."""


class WireError(FabricError):
    """Bytes from a peer are not a message: truncated, oversized or malformed."""


class WireVersion(WireError):
    """The peer speaks another version of the wire format."""


class MeterError(SeamlineError):
    """An energy meter is not there, may not be read, or has stopped making sense."""


class SwitchError(SeamlineError):
    """A switch from one plan to another failed; the old plan keeps serving."""


class InvalidTransition(SwitchError):
    """An event that the switching table has no answer for."""

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"no transition from {state!r} on {event!r}")
