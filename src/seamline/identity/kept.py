"""Identities kept on this machine: key, certificate, the cluster's authority and its revocation list, a folder each."""

from __future__ import annotations

import shutil
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.identity.authority import newest_list
from seamline.identity.folders import make_private, members_folder, write_private
from seamline.identity.keys import PrivateKey, kept_key, key_pem
from seamline.identity.members import Member, member_of

RENEW_BEFORE = timedelta(days=30)
"""So long before it expires a certificate is renewed, and `seamline doctor` says so when it could not be."""


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cluster is. authority: ``HOST:PORT`` that enrols and renews. nodes: endpoints to connect to."""

    authority: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A member that this user may be. key: private. certificate: of `member`. folder: where it is kept."""

    folder: Path
    member: Member
    key: PrivateKey = field(compare=False, repr=False)
    certificate: x509.Certificate
    authority: x509.Certificate
    contact: Contact

    @property
    def cluster(self) -> str:
        return self.folder.parent.name

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew."""
        return datetime.now(UTC) > self.member.expires - RENEW_BEFORE

    def revoked_pem(self) -> bytes:
        """The newest revocation list seen here."""
        return (self.folder / "revoked.pem").read_bytes()

    def keep_revoked(self, pem: bytes) -> None:
        """Keep a list that is newer. Raises `IdentityError` when it is none of the cluster's."""
        number, _ = newest_list(pem, self.authority)
        if number > newest_list(self.revoked_pem(), self.authority)[0]:
            write_private(self.folder / "revoked.pem", pem)

    @property
    def is_revoked(self) -> bool:
        """Whether this identity is on the newest list seen here."""
        return self.member.serial in newest_list(self.revoked_pem(), self.authority)[1]

    def require_not_revoked(self) -> None:
        """Raise `IdentityError` when this identity is on the list."""
        if self.is_revoked:
            raise IdentityError(
                f"the certificate of `{self.member.name}` has been revoked",
                hint="`seamline invite` on the authority's machine makes a token to join again",
            )

    def tls(self) -> ssl.SSLContext:
        """How to connect as this member, TLS 1.3 only. The peer's name is in its certificate, not in its address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_verify_locations(self.folder / "authority.pem")
        context.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        return context


def keep(
    cluster: str,
    name: str,
    *,
    key: PrivateKey,
    certificate: x509.Certificate,
    authority: x509.Certificate,
    revoked: bytes,
    contact: Contact,
) -> Identity:
    """Keep a new identity, in place of one of the same name. Raises `IdentityError` when its parts do not fit."""
    member_of(certificate, authority)
    newest_list(revoked, authority)
    folder = members_folder(cluster) / name
    make_private(folder)
    write_private(folder / "authority.pem", authority.public_bytes(Encoding.PEM))
    write_private(folder / "revoked.pem", revoked)
    write_private(folder / "contact.json", msgspec.json.encode(contact))
    write_private(folder / "key.pem", key_pem(key))
    write_private(folder / "certificate.pem", certificate.public_bytes(Encoding.PEM))
    return load(cluster, name)


def load(cluster: str, name: str) -> Identity:
    """The identity `name` in `cluster`. Raises `UsageError` when there is none, `IdentityError` when it is no good."""
    folder = members_folder(cluster) / name
    try:
        key = kept_key((folder / "key.pem").read_bytes(), folder, hint="join again, with another token")
        certificate = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
        contact = msgspec.json.decode((folder / "contact.json").read_bytes(), type=Contact)
    except FileNotFoundError:
        raise _missing(cluster, name) from None
    except (ValueError, msgspec.DecodeError) as exc:
        raise IdentityError(f"{folder} is damaged: {exc}", hint="remove it, and join again") from exc
    if key.public_key() != certificate.public_key():
        raise IdentityError(f"key and certificate in {folder} do not belong together", hint="join again")
    member = member_of(certificate, authority)
    if member.name != name:
        raise IdentityError(f"the certificate in {folder} is for `{member.name}`", hint="the folder was renamed")
    return Identity(
        folder=folder, member=member, key=key, certificate=certificate, authority=authority, contact=contact
    )


def forget(cluster: str, name: str) -> None:
    """Remove an identity from this machine; nothing happens when there is none."""
    shutil.rmtree(members_folder(cluster) / name, ignore_errors=True)


def names(cluster: str) -> tuple[str, ...]:
    """Members of `cluster` that this user may be."""
    folder = members_folder(cluster)
    if not folder.is_dir():
        return ()
    return tuple(sorted(one.name for one in folder.iterdir() if (one / "certificate.pem").is_file()))


def _missing(cluster: str, name: str) -> UsageError:
    here = names(cluster)
    if here:
        return UsageError(
            f"this machine has no certificate for the name `{name}`, but for {', '.join(here)}",
            hint=f"use --name {here[0]} (`run`: the first of --over), or join again as `{name}` with another token",
        )
    return UsageError(
        f"this machine has no certificate for cluster `{cluster}`",
        hint="`seamline node --invite` begins a cluster, `seamline join TOKEN` joins one; --insecure does without",
    )
