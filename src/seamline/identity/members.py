"""Members of a cluster: the one name and role that a certificate stands for, and how both stand in it.

The role and the cluster are the certificate's common name, because that is all Zenoh's access rules match; the name is
its alternative name, ``seamline:NAME``, and that of a host, for clients that compare it with whom they called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.identity.keys import PublicKey, is_ours

SCHEME = "seamline:"
OBSERVER_PREFIX = "observer-"
MAX_NAME = 40
_TOOL = re.compile(r"observer-[0-9a-f]{8}-(?P<owner>.+)")


class Role(StrEnum):
    """What a certificate is for.

    node: computes for others. origin: starts streams. observer: looks. A node may start streams too.
    """

    NODE = "node"
    ORIGIN = "origin"
    OBSERVER = "observer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Holder of a certificate. cluster: `cluster_id` of the authority. serial: of the certificate."""

    name: NodeId
    role: Role
    cluster: str
    serial: int
    expires: datetime


def member_name(text: str) -> NodeId:
    """`text` as a name that a certificate may carry. Raises `UsageError`."""
    if text.startswith(OBSERVER_PREFIX) or len(text) > MAX_NAME:
        raise UsageError(
            f"`{text}` cannot be a member's name", hint=f"at most {MAX_NAME} letters, not starting with observer-"
        )
    return node_id(text)


def speaks_for(member: Member, name: str) -> bool:
    """Whether `member` may use `name`: its own, or that of a tool it runs (``observer-1a2b3c4d-NAME``)."""
    return owner_of(name) == member.name


def owner_of(name: str) -> str:
    """The member whose name `name` is, or whose tool uses it."""
    tool = _TOOL.fullmatch(name)
    return name if tool is None else tool["owner"]


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate, 32 bytes."""
    return certificate.fingerprint(hashes.SHA256())


def cluster_id(authority: x509.Certificate) -> str:
    """What tells this authority from all others, short enough for a common name."""
    return fingerprint(authority)[:8].hex()


def common_name(role: Role, cluster: str) -> str:
    """The common name of certificates of `role`; no public authority issues one that looks like it."""
    return f"{role}.{cluster}"


def public_key(certificate: x509.Certificate) -> PublicKey:
    """The certificate's key. Raises `IdentityError` when it is of another kind than ours."""
    key = certificate.public_key()
    if not is_ours(key):
        raise IdentityError("the certificate's key is not of P-256")
    return key


def member_of(certificate: x509.Certificate, authority: x509.Certificate) -> Member:
    """Whom `certificate` stands for. Raises `IdentityError` in words when it is not one of `authority`, or expired."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        raise IdentityError("the certificate was issued by the authority of another cluster") from None
    now, member = datetime.now(UTC), _read(certificate, cluster_id(authority))
    if now > certificate.not_valid_after_utc:
        raise IdentityError(
            f"the certificate of `{member.name}` expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            hint="`seamline invite` on the authority's machine, then `seamline join TOKEN` here",
        )
    if now < certificate.not_valid_before_utc:
        raise IdentityError(f"the certificate of `{member.name}` is not valid yet", hint="are the clocks right?")
    return member


def _read(certificate: x509.Certificate, cluster: str) -> Member:
    try:
        subject = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
        role = Role(subject.partition(".")[0])
        if subject != common_name(role, cluster) or not uri.startswith(SCHEME):
            raise ValueError(subject)
        name = member_name(uri.removeprefix(SCHEME))
    except (IndexError, ValueError, x509.ExtensionNotFound, UsageError):
        raise IdentityError("the certificate names no member of a cluster") from None
    return Member(
        name=name, role=role, cluster=cluster, serial=certificate.serial_number, expires=certificate.not_valid_after_utc
    )
