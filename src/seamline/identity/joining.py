"""The joining side: makes a key, recognises the authority by the token, has the key signed, keeps what it gets."""

from __future__ import annotations

import hashlib
import socket
import ssl
from contextlib import closing

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from seamline.core.vocabulary.errors import FabricError, IdentityError
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity.kept import Contact, Identity, keep
from seamline.identity.keys import HASH, PrivateKey, new_key
from seamline.identity.members import fingerprint
from seamline.identity.tokens import Token
from seamline.identity.wire import TIMEOUT_S, Granted, Join, Refused, Renew, read_line, send_line

CONNECT_S = 2.0


def join(token: Token, name: NodeId) -> Identity:
    """Become member `name` of the token's cluster, and keep the identity. The private key never leaves this machine.

    Raises `FabricError` when the authority cannot be reached, `IdentityError` when it is another than the token's, or
    refuses.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # `_recognised` compares the fingerprint before anything is shown
    key = new_key()
    address, connection = _reached(token.addresses, context)
    with closing(connection):
        authority = _recognised(connection, token.fingerprint)
        granted = _asked(connection, Join(token.id, token.secret, name, _request_of(key, name)))
    nodes = () if granted.port is None else (f"tls/{address.rpartition(':')[0]}:{granted.port}",)
    return keep(
        token.cluster,
        name,
        key=key,
        certificate=_certificate(granted),
        authority=authority,
        revoked=granted.revoked.encode(),
        contact=Contact(authority=token.addresses, nodes=nodes),
    )


def renew(identity: Identity) -> Identity:
    """Get another certificate for another key, and keep it in place of `identity`'s. Raises as `join` does."""
    key = new_key()
    _, connection = _reached(identity.contact.authority, identity.tls())
    with closing(connection):
        _recognised(connection, fingerprint(identity.authority))
        granted = _asked(connection, Renew(_request_of(key, identity.member.name)))
    return keep(
        identity.cluster,
        identity.member.name,
        key=key,
        certificate=_certificate(granted),
        authority=identity.authority,
        revoked=granted.revoked.encode(),
        contact=identity.contact,
    )


def _reached(addresses: tuple[str, ...], context: ssl.SSLContext) -> tuple[str, ssl.SSLSocket]:
    """(address, connection) of the first that answers."""
    failures = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            raw = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S)
        except (OSError, ValueError) as exc:
            failures.append(f"{address} ({exc})")
            continue
        try:
            raw.settimeout(TIMEOUT_S)
            return address, context.wrap_socket(raw)
        except ssl.SSLError as exc:
            raw.close()
            raise IdentityError(f"{address} is no authority of this cluster ({exc.reason or exc})") from exc
        except OSError as exc:
            raw.close()
            failures.append(f"{address} ({exc})")
    raise FabricError(
        f"no authority answers at {', '.join(failures) or 'any address'}",
        hint="does `seamline node --invite` or `seamline invite` still run there, and is its port open?",
    )


def _recognised(connection: ssl.SSLSocket, expected: bytes) -> x509.Certificate:
    """The authority's certificate, once it is who answers. A member, which has one of its own, is refused too."""
    shown = connection.getpeercert(binary_form=True)
    if shown is None or hashlib.sha256(shown).digest() != expected:
        raise IdentityError("another than the cluster's authority answers there", hint="ask for a token once more")
    return x509.load_der_x509_certificate(shown)


def _asked(connection: ssl.SSLSocket, question: Join | Renew) -> Granted:
    try:
        send_line(connection, question)
        answer: Granted | Refused = read_line(connection, Granted | Refused)
    except OSError as exc:
        raise _refused_words(exc) from exc
    if isinstance(answer, Refused):
        raise IdentityError(f"the authority refused: {answer.why}", hint=answer.hint)
    return answer


def _refused_words(error: OSError) -> FabricError:
    if isinstance(error, ssl.SSLError):
        return IdentityError(f"the authority refused: {(error.reason or str(error)).replace('_', ' ').lower()}")
    return FabricError(f"the authority fell silent ({error})", hint="try again")


def _certificate(granted: Granted) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(granted.certificate.encode())
    except ValueError as exc:
        raise IdentityError(f"the authority sent a certificate that is none ({exc})") from exc


def _request_of(key: PrivateKey, name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, HASH)
    return request.public_bytes(Encoding.PEM).decode()
