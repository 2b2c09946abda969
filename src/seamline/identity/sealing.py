"""Messages bound to the name in a certificate, from end to end: relays on the way can neither read nor forge them.

Theory of operation. A run of a node makes an X25519 key and signs it, with the cluster and its own incarnation, by the
key of its certificate: that is its *credential*, and it travels beside its liveliness token. Two runs that have
admitted each other share a secret by X25519; HKDF-SHA256 makes of it one key for each direction and kind of message,
bound to both names and incarnations. Messages are ChaCha20-Poly1305 with a counter as nonce; a counter seen before, or
far behind the newest, is refused. Keys are forgotten with the run, so nothing that was recorded can be read later with
what a disk holds.

The same two runs always agree on the same keys, and a stalled link makes a token go and come back. So one counter
serves all peers and never starts again, and what came from a peer is remembered after its token has gone.

Layout: the counter (u64), then the sealed bytes and their tag of 16.
"""

from __future__ import annotations

import base64
import logging
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.core.vocabulary.errors import IdentityError, PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity.access import access_rules
from seamline.identity.authority import newest_list
from seamline.identity.kept import Identity
from seamline.identity.keys import SIGNATURE_BYTES, has_one_spelling, sign, verify
from seamline.identity.members import Member, Role, cluster_id, member_of, public_key, speaks_for

KINDS: Final = ("control", "data", "credit")
PURPOSE: Final = b"seamline credential/1"
MAX_CREDENTIAL = 2048
REPLAY_WINDOW = 4096
"""Counters behind the newest that may still come: urgent messages of several threads overtake each other, and those to
other peers count too."""
MAX_PEERS = 4096

log = logging.getLogger(__name__)

_NUMBER = struct.Struct("<Q")
_KEY_BYTES = 32


@dataclass(slots=True)
class _Opener:
    """Opens one kind of messages of one peer. newest and seen: counters that came, a bit for each behind `newest`."""

    cipher: ChaCha20Poly1305
    newest: int = -1
    seen: int = 0

    def is_new(self, number: int) -> bool:
        behind = self.newest - number
        return behind < 0 or (behind < REPLAY_WINDOW and not self.seen >> behind & 1)

    def note(self, number: int) -> None:
        if number > self.newest:
            self.seen = (self.seen << min(number - self.newest, REPLAY_WINDOW) | 1) & ((1 << REPLAY_WINDOW) - 1)
            self.newest = number
        else:
            self.seen |= 1 << self.newest - number


@dataclass(slots=True)
class _Peer:
    """A run of a peer that was admitted. credential: as it was shown. is_here: its token has not gone since."""

    member: Member
    credential: str
    sealers: dict[str, ChaCha20Poly1305]
    openers: dict[str, _Opener]
    is_here: bool = True


class Seal:
    """A `fabric.guard.Guard` for one run of `identity` under `name`, which may be that of a tool. Thread-safe.

    Raises `IdentityError` when the identity may not use that name, or has been revoked.
    """

    def __init__(self, identity: Identity, name: NodeId, incarnation: str) -> None:
        if not speaks_for(identity.member, name):
            raise IdentityError(
                f"the certificate is for `{identity.member.name}`, not for `{name}`",
                hint=f"use the name {identity.member.name}, or join again with a token for `{name}`",
            )
        identity.require_not_revoked()
        self._name, self._incarnation = name, incarnation
        self._key = X25519PrivateKey.generate()
        self.take_up(identity)
        self._number, self._revoked = newest_list(identity.revoked_pem(), identity.authority)
        self._nonces = count()
        self._peers: dict[tuple[str, str], _Peer] = {}
        self._excluded: dict[int, None] = {}
        self._lock = threading.Lock()

    @property
    def member(self) -> Member:
        return self._identity.member

    @property
    def incarnation(self) -> str:
        return self._incarnation

    @property
    def settings(self) -> Mapping[str, Any]:
        folder, link = self._identity.folder, "transport/link/tls/"
        key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
        return {
            "id": self._incarnation.lstrip("0"),
            f"{link}root_ca_certificate": str(folder / "authority.pem"),
            f"{link}enable_mtls": True,
            f"{link}verify_name_on_connect": False,  # members are known by certificate, addresses change
            f"{link}close_link_on_expiration": True,
            f"{link}listen_private_key": key,
            f"{link}listen_certificate": certificate,
            f"{link}connect_private_key": key,
            f"{link}connect_certificate": certificate,
            "access_control": access_rules(self._identity.cluster, cluster_id(self._identity.authority)),
        }

    def take_up(self, identity: Identity) -> None:
        """Go on as the same run with a renewed certificate: `settings` and `credential` are of that one from now on."""
        self._identity = identity
        public = self._key.public_key().public_bytes_raw()
        signature = sign(identity.key, self._signed(self._incarnation, public))  # another one each time
        self._credential = _text(public + signature + identity.certificate.public_bytes(Encoding.DER))

    @property
    def credential(self) -> str:
        return self._credential

    def verify(self, name: str, incarnation: str, credential: str) -> None:
        self._verified(name, incarnation, credential)

    def admit(self, name: str, incarnation: str, credential: str) -> None:
        member, public = self._verified(name, incarnation, credential)
        with self._lock:
            self._require_not_revoked(member)
            self._require_not_revoked(self.member)
            if (known := self._peers.get((name, incarnation))) is not None:
                known.member, known.credential, known.is_here = member, credential, True
                return
            self._make_room(name)
            self._peers[name, incarnation] = self._agreed(name, incarnation, member, credential, public)

    def leave(self, name: str, incarnation: str, credential: str) -> bool:
        run = name, incarnation
        with self._lock:
            peer = self._peers.get(run)
            if peer is None or peer.credential != credential:
                return False
            peer.is_here = False
            self._peers[run] = self._peers.pop(run)  # those that left last are remembered longest
        return True

    def standing(self, session: str) -> bool | None:
        """Whether the session of that number is a run that is admitted; None when it has not shown who it is."""
        number = int(session, 16)
        with self._lock:
            if any(int(run, 16) == number for _, run in self._peers):
                return True
        return False if number in self._excluded else None

    def seal(self, target: NodeId, incarnation: str, kind: str, payload: bytes | bytearray) -> bytes:
        if (peer := self._peers.get((target, incarnation))) is None:
            raise PeerLost(f"`{target}` has not shown who it is")
        number = next(self._nonces)
        return _NUMBER.pack(number) + peer.sealers[kind].encrypt(_nonce(number), payload, None)

    def open(self, source: str, incarnation: str, kind: str, payload: bytes) -> bytes:
        if len(payload) < _NUMBER.size:
            raise IdentityError(f"`{source}` sent what is not sealed")
        if (peer := self._peers.get((source, incarnation))) is None:
            raise IdentityError(f"`{source}` has not shown who it is")
        (number,) = _NUMBER.unpack_from(payload)
        opener = peer.openers[kind]
        try:
            opened = opener.cipher.decrypt(_nonce(number), memoryview(payload)[_NUMBER.size :], None)
        except InvalidTag:
            raise IdentityError(f"a message is not from `{source}`, or was changed on its way") from None
        with self._lock:
            if not opener.is_new(number):
                raise IdentityError(f"`{source}` repeated a message")
            opener.note(number)
        return opened

    def role_of(self, source: str, incarnation: str) -> Role:
        peer = self._peers.get((source, incarnation))
        return Role.OBSERVER if peer is None else peer.member.role

    def notice(self) -> bytes:
        return self._identity.revoked_pem()

    def require_member(self) -> None:
        with self._lock:
            self._require_not_revoked(self.member)

    def on_notice(self, notice: bytes) -> frozenset[str] | None:
        number, revoked = newest_list(notice, self._identity.authority)
        with self._lock:
            if number <= self._number:
                return None
            self._number, self._revoked = number, revoked
            lost = [run for run, peer in self._peers.items() if peer.member.serial in revoked]
            for run in lost:
                del self._peers[run]
                self._exclude(run[1])
        gone = {name for name, _ in lost}
        try:
            self._identity.keep_revoked(notice)
        except OSError as exc:  # it counts all the same
            log.warning("the list of revoked certificates cannot be kept: %s", exc)
        if self.member.serial in revoked:
            gone.add(self._name)
        return frozenset(gone)

    def _require_not_revoked(self, member: Member) -> None:
        if member.serial in self._revoked:
            raise IdentityError(
                f"the certificate of `{member.name}` has been revoked",
                hint="`seamline invite` on the authority's machine makes a token to join again",
            )

    def _make_room(self, name: str) -> None:
        """Forget who left longest ago when there are too many. Raises `IdentityError` when all are here."""
        if len(self._peers) < MAX_PEERS:
            return
        gone = next((run for run, peer in self._peers.items() if not peer.is_here), None)
        if gone is None:
            raise IdentityError(f"no room for `{name}`: {MAX_PEERS} peers are here")
        del self._peers[gone]

    def _signed(self, incarnation: str, public: bytes) -> bytes:
        return b"\0".join((PURPOSE, self._identity.cluster.encode(), incarnation.encode(), public))

    def _verified(self, name: str, incarnation: str, credential: str) -> tuple[Member, X25519PublicKey]:
        try:
            if len(credential) > MAX_CREDENTIAL:
                raise ValueError("long")
            shown = base64.b64decode(credential + "=" * (-len(credential) % 4), altchars=b"-_", validate=True)
            public, rest = shown[:_KEY_BYTES], shown[_KEY_BYTES:]
            signature, der = rest[:SIGNATURE_BYTES], rest[SIGNATURE_BYTES:]
            certificate, key = x509.load_der_x509_certificate(der), X25519PublicKey.from_public_bytes(public)
            if _text(shown) != credential or not has_one_spelling(certificate):
                raise ValueError("another way to write it")  # one credential is one token
            int(incarnation, 16)
        except ValueError:
            raise IdentityError(f"`{name[:60]}` shows no credential") from None
        member = member_of(certificate, self._identity.authority)
        try:
            verify(public_key(certificate), signature, self._signed(incarnation, public))
        except InvalidSignature:
            raise IdentityError(f"`{name[:60]}` shows a credential of another run") from None
        try:
            if not speaks_for(member, name):
                raise IdentityError(f"`{name[:60]}` shows a certificate that is for `{member.name}`")
            self._require_not_revoked(member)
        except IdentityError:
            self._exclude(incarnation)
            raise
        return member, key

    def _exclude(self, incarnation: str) -> None:
        """Remember a run that proved to be whom nobody takes; those of long ago are forgotten."""
        self._excluded[int(incarnation, 16)] = None
        while len(self._excluded) > MAX_PEERS:
            self._excluded.pop(next(iter(self._excluded)))

    def _agreed(self, name: str, incarnation: str, member: Member, credential: str, public: X25519PublicKey) -> _Peer:
        try:
            shared = self._key.exchange(public)
        except ValueError:
            raise IdentityError(f"`{name}` shows a key that is none") from None
        here, there = f"{self._name} {self._incarnation}", f"{name} {incarnation}"

        def cipher(kind: str, sender: str, receiver: str) -> ChaCha20Poly1305:
            info = f"seamline message/1 {self._identity.cluster} {kind} {sender} {receiver}".encode()
            return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, info).derive(shared))

        return _Peer(
            member=member,
            credential=credential,
            sealers={kind: cipher(kind, here, there) for kind in KINDS},
            openers={kind: _Opener(cipher(kind, there, here)) for kind in KINDS},
        )


def _text(credential: bytes) -> str:
    return base64.urlsafe_b64encode(credential).decode().rstrip("=")


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
