"""One-time links to pages that run already (`seamline dashboard --link`), for the user who started them."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING

from seamline.config.paths import data_dir
from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.identity.folders import write_private

if TYPE_CHECKING:
    from seamline.dashboard.server import Dashboard

TIMEOUT_S = 5.0


class LinkOffer:
    """Lets this user's other processes ask `page` for links, until `close`; not where no file can be written."""

    def __init__(self, page: Dashboard) -> None:
        self._path = _path(page.port)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._path, page.key.encode())
        except OSError:
            self._path = Path()

    def close(self) -> None:
        if self._path.name:
            self._path.unlink(missing_ok=True)


def ask_link(port: int) -> str:
    """Another link to the page on `port` of this machine.

    Raises `UsageError` when this user has no page there, `FabricError` when it does not answer.
    """
    try:
        key = _path(port).read_text(encoding="utf-8")
    except OSError:
        raise UsageError(
            f"no page of this user is on port {port}", hint="--at PORT says which; `seamline dashboard` starts one"
        ) from None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    try:
        connection.request("POST", "/api/link", json.dumps({"token": key}), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FabricError(f"the page on port {port} does not answer: {error}", hint="has it ended?") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise FabricError(f"the page on port {port} gives no link: {said.get('error')}")
    return str(said["link"])


def _path(port: int) -> Path:
    return data_dir() / "dashboards" / f"{port}.key"
