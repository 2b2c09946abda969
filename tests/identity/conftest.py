"""A data folder of its own for every test, and members of a cluster made without a network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from seamline.identity.authority import Authority, make_authority
from seamline.identity.kept import Contact, Identity, keep
from seamline.identity.keys import new_key
from seamline.identity.members import Role

MakeMember = Callable[..., Identity]


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def authority() -> Authority:
    return make_authority("home")


@pytest.fixture
def member(authority: Authority) -> MakeMember:
    """Makes a member of the cluster `home`: its name, and its role if it is no node."""

    def make(name: str, role: Role = Role.NODE, valid: timedelta | None = None) -> Identity:
        key = new_key()
        return keep(
            "home",
            name,
            key=key,
            certificate=authority.issue(key.public_key(), name, role, valid),
            authority=authority.certificate,
            revoked=authority.revoked(),
            contact=Contact(),
        )

    return make
