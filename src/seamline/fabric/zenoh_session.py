"""Zenoh sessions opened, in words where that fails, and closed within a time limit."""

from __future__ import annotations

import logging
import re
import socket
import threading
from typing import Any

import zenoh

from seamline.core.vocabulary.errors import FabricError

log = logging.getLogger(__name__)


def open_session(config: Any, endpoints: tuple[str, ...]) -> Any:
    """A Zenoh session. Raises `FabricError` when `endpoints` cannot be listened on; out of reach is no error."""
    try:
        return zenoh.open(config)
    except zenoh.ZError as exc:
        raise FabricError(
            f"cannot listen on {', '.join(endpoints)}: {_cause(exc)}",
            hint="is the port in use, or the address not of this machine? choose another --listen",
        ) from exc


def with_port(endpoint: str) -> str:
    """`endpoint` with port 0 replaced by a free port: Zenoh does not tell which one it chose."""
    protocol, _, address = endpoint.partition("/")
    host, _, port = address.rpartition(":")
    if port != "0":
        return endpoint
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host.strip("[]"), 0))
            return f"{protocol}/{host}:{probe.getsockname()[1]}"
    except OSError as exc:
        raise FabricError(f"cannot listen on {endpoint} ({exc})", hint="endpoints look like tcp/HOST:PORT") from exc


def _cause(error: BaseException) -> str:
    """Return the system's words, out of Zenoh's chain of errors with the places in its source where they passed."""
    said = re.search(r"([A-Z][\w ]+) \(os error \d+\)", str(error))
    return said[1].lower() if said is not None else re.sub(r" at /\S+\.rs:\d+\.?", "", str(error))


def close_session(session: Any, declared: list[Any], timeout_s: float) -> None:
    """Undeclare and close, but do not wait for it longer than `timeout_s`: Zenoh's close may hang on a full queue."""

    def leave() -> None:
        try:
            for one in reversed(declared):
                one.undeclare()
            session.close()
        except zenoh.ZError as exc:
            log.info("closing the session: %s", exc)

    thread = threading.Thread(target=leave, name="fabric-close", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        log.info("the session did not close within %g s", timeout_s)
