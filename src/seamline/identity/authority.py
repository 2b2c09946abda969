"""The authority of a cluster: signs certificates, keeps the list of members and invitations, revokes.

All of it is one folder on one machine: ``key.pem``, ``certificate.pem``, ``ledger.json`` and ``revoked.pem``, a
certificate revocation list as X.509 defines it, whose number grows. Several processes may use the folder at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity.folders import authority_folder, make_private, only_one, write_private
from seamline.identity.keys import HASH, PublicKey, is_ours, kept_key, key_pem, new_key, sign_certificate
from seamline.identity.members import SCHEME, Role, cluster_id, common_name, fingerprint, member_name
from seamline.identity.tokens import ID_BYTES, SECRET_BYTES, Token

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
MAX_ATTEMPTS = 5
"""Wrong secrets after which an invitation is void."""
MAX_INVITATION = timedelta(days=30)
_CLOCKS_APART = timedelta(hours=1)
_ANOTHER = "`seamline cluster rotate` makes another, and all machines join again"


class Issued(msgspec.Struct, kw_only=True):
    """A certificate that was issued. serial: in hexadecimal."""

    serial: str
    name: str
    role: Role
    expires: datetime
    revoked: bool = False


class Invitation(msgspec.Struct, kw_only=True):
    """An open invitation; `name` is the joiner's choice when None."""

    id: str
    secret_hash: str
    role: Role
    expires: datetime
    name: str | None = None
    n_attempts: int = 0


class Ledger(msgspec.Struct, kw_only=True):
    """What the authority remembers. number: of the last revocation list."""

    issued: list[Issued] = msgspec.field(default_factory=list)
    invitations: Annotated[list[Invitation], msgspec.Meta(max_length=1000)] = msgspec.field(default_factory=list)
    number: int = 0


class Authority:
    """The authority of one cluster, in `folder`. Safe from any thread and process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._key = kept_key((folder / "key.pem").read_bytes(), folder, hint=_ANOTHER)
            self.certificate = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        except FileNotFoundError:
            raise _missing(folder) from None
        except ValueError as exc:
            raise IdentityError(f"{folder} is damaged: {exc}", hint=_ANOTHER) from exc

    @property
    def id(self) -> str:
        return cluster_id(self.certificate)

    def tls(self) -> ssl.SSLContext:
        """How to answer machines that join: TLS 1.3 as the authority itself; who has a certificate may show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(self.folder / "certificate.pem")
        context.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        return context

    def issue(self, key: PublicKey, name: str, role: Role, valid: timedelta | None = None) -> x509.Certificate:
        """A certificate of `key` for `name` and `role`, `CERTIFICATE_DAYS` long if not said.

        Raises `IdentityError` when the name belongs to somebody else.
        """
        with self._ledger() as ledger:
            return self._issue(ledger, key, name, role, valid)

    def invite(self, addresses: tuple[str, ...], *, role: Role, name: str | None, valid: timedelta) -> Token:
        """Open an invitation. Raises `UsageError` for a name that is none or taken, or too long a time."""
        if not timedelta() < valid <= MAX_INVITATION:
            raise UsageError("an invitation holds for a second to 30 days", hint="write --valid 1h")
        secret, identifier = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(ID_BYTES)
        expires = datetime.now(UTC) + valid
        with self._ledger() as ledger:
            if name is not None:
                self._require_free(ledger, member_name(name))
            ledger.invitations.append(
                Invitation(id=identifier.hex(), secret_hash=_hash(secret), role=role, expires=expires, name=name)
            )
        return Token(
            id=identifier,
            secret=secret,
            fingerprint=fingerprint(self.certificate),
            expires_s=int(expires.timestamp()),
            cluster=self.folder.name,
            name=name,
            addresses=addresses,
        )

    def admit(self, identifier: bytes, secret: bytes, key: PublicKey, wanted: str) -> x509.Certificate:
        """Use up an invitation for a certificate of `key`. Raises `IdentityError` in words that a stranger may read."""
        with self._ledger() as ledger:
            found = next((one for one in ledger.invitations if one.id == identifier.hex()), None)
            if found is None:
                raise IdentityError("the token is unknown here, has been used, or has expired")
            if not hmac.compare_digest(found.secret_hash, _hash(secret)):
                found.n_attempts += 1
                if found.n_attempts >= MAX_ATTEMPTS:
                    ledger.invitations.remove(found)
                raise IdentityError("the token's secret is wrong")
            if found.name not in (None, wanted):
                raise IdentityError(f"the token is for the name `{found.name}`, not `{wanted}`")
            certificate = self._issue(ledger, key, wanted, found.role)
            ledger.invitations.remove(found)
            return certificate

    def renew(self, serial: int, key: PublicKey) -> x509.Certificate:
        """Another certificate for whoever holds the valid one of `serial`. Raises `IdentityError` when revoked."""
        with self._ledger() as ledger:
            found = next((one for one in ledger.issued if one.serial == f"{serial:x}"), None)
            if found is None or found.revoked:
                raise IdentityError("the certificate has been revoked")
            return self._sign(ledger, key, found.name, found.role)

    def is_open(self, token: Token) -> bool:
        """Whether the invitation of `token` can still be used."""
        return any(one.id == token.id.hex() for one in self.ledger().invitations)

    def revoke(self, name: str) -> int:
        """Revoke all certificates of `name`, and say how many. Raises `UsageError` when there is none."""
        with self._ledger() as ledger:
            theirs = [one for one in ledger.issued if one.name == name and not one.revoked]
            if not theirs:
                known = ", ".join(sorted({one.name for one in ledger.issued if not one.revoked})) or "nobody"
                raise UsageError(f"no certificate of `{name}` is valid", hint=f"members: {known}")
            for one in theirs:
                one.revoked = True
            ledger.number += 1
            write_private(self.folder / "revoked.pem", self._revocation_list(ledger))
        return len(theirs)

    def revoked(self) -> bytes:
        """The newest revocation list, PEM."""
        return (self.folder / "revoked.pem").read_bytes()

    def ledger(self) -> Ledger:
        """What is remembered now. Changes to it are not kept."""
        path = self.folder / "ledger.json"
        try:
            ledger = msgspec.json.decode(path.read_bytes(), type=Ledger)
        except msgspec.DecodeError as exc:
            raise IdentityError(f"{path} is damaged: {exc}", hint="restore it, or `seamline cluster rotate`") from exc
        now = datetime.now(UTC)
        ledger.invitations = [one for one in ledger.invitations if one.expires > now]
        return ledger

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        """Within it, the ledger belongs to the caller; it is kept afterwards, what was counted before an error too."""
        with only_one(self.folder):
            ledger = self.ledger()
            try:
                yield ledger
            finally:
                write_private(self.folder / "ledger.json", msgspec.json.encode(ledger))

    def _issue(
        self, ledger: Ledger, key: PublicKey, name: str, role: Role, valid: timedelta | None = None
    ) -> x509.Certificate:
        self._require_free(ledger, member_name(name))
        return self._sign(ledger, key, name, role, valid)

    def _sign(
        self, ledger: Ledger, key: PublicKey, name: str, role: Role, valid: timedelta | None = None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        expires = now + (timedelta(days=CERTIFICATE_DAYS) if valid is None else valid)
        unsigned = (
            _builder(
                common_name(role, self.id), self.certificate.subject, key, min(now - _CLOCKS_APART, expires), expires
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{SCHEME}{name}"), x509.DNSName(name)]),
                critical=False,
            )
        )
        certificate = sign_certificate(unsigned, self._key)
        ledger.issued = [one for one in ledger.issued if one.expires > now]
        ledger.issued.append(Issued(serial=f"{certificate.serial_number:x}", name=name, role=role, expires=expires))
        return certificate

    def _require_free(self, ledger: Ledger, name: NodeId) -> None:
        now = datetime.now(UTC)
        if any(one.name == name and not one.revoked and one.expires > now for one in ledger.issued):
            raise IdentityError(
                f"the name `{name}` belongs to a member already",
                hint=f"take another name, or `seamline cluster revoke {name}` on the authority's machine",
            )

    def _revocation_list(self, ledger: Ledger) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now)
            .next_update(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.CRLNumber(ledger.number), critical=False)
        )
        for one in ledger.issued:
            if one.revoked:
                entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(now)
                builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, HASH).public_bytes(Encoding.PEM)


def make_authority(cluster: str) -> Authority:
    """A new authority for `cluster`. Raises `UsageError` when this machine has one."""
    folder = authority_folder(cluster)
    if (folder / "key.pem").exists():
        raise UsageError(
            f"cluster `{cluster}` has its authority here already", hint="`seamline cluster show`, or `cluster rotate`"
        )
    make_private(folder)
    key = new_key()
    now = datetime.now(UTC)
    common = f"seamline cluster {cluster} {secrets.token_hex(4)}"
    certificate = (
        _builder(common, _subject(common), key.public_key(), now - _CLOCKS_APART, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, HASH)
    )
    write_private(folder / "ledger.json", msgspec.json.encode(Ledger()))
    write_private(folder / "certificate.pem", certificate.public_bytes(Encoding.PEM))
    write_private(folder / "key.pem", key_pem(key))
    authority = Authority(folder)
    write_private(folder / "revoked.pem", authority._revocation_list(Ledger()))
    return authority


def rotate_authority(cluster: str) -> Authority:
    """Another authority for `cluster`: no certificate of the old one is valid any more for those who know the new.

    Of the old one nothing is read: it may be damaged. Raises `UsageError` when there is none here.
    """
    folder = authority_folder(cluster)
    if not (folder / "key.pem").exists():
        raise _missing(folder)
    shutil.rmtree(folder)
    return make_authority(cluster)


def newest_list(pem: bytes, authority: x509.Certificate) -> tuple[int, frozenset[int]]:
    """(number, serials) of a revocation list. Raises `IdentityError` when it is none of `authority`."""
    try:
        revoked = x509.load_pem_x509_crl(pem)
        key = authority.public_key()
        if not is_ours(key) or not revoked.is_signature_valid(key):
            raise ValueError("signature")
        number = revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise IdentityError("the list of revoked certificates was not signed by this cluster's authority") from None
    return number, frozenset(one.serial_number for one in revoked)


def _missing(folder: Path) -> UsageError:
    return UsageError(
        f"the authority of cluster `{folder.name}` is not on this machine",
        hint="`seamline cluster init` makes one; else run this where that was done",
    )


def _builder(common: str, issuer: x509.Name, key: PublicKey, start: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(common))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
