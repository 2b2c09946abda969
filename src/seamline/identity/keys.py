"""The one kind of key that authorities and members sign with: ECDSA on P-256, with SHA-256.

Every library of TLS takes it. Ed25519 is shorter, but BoringSSL (gRPC, Chrome) refuses certificates of it.

Whoever sees an ECDSA signature (r, s) can write down another that is valid too, (r, n - s). Credentials count by their
bytes (`sealing.py`), so there is one spelling here: s is the smaller of the two.
"""

from __future__ import annotations

from typing import Final, TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from seamline.core.vocabulary.errors import IdentityError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

HASH: Final = hashes.SHA256()
SIGNATURE_BYTES: Final = 64
"""r and s, 32 bytes each."""

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def new_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """`key` as it is kept, unencrypted: who reads the file is the member."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def kept_key(pem: bytes, where: object, *, hint: str) -> PrivateKey:
    """The key in `pem`. Raises `ValueError` when it is damaged, `IdentityError` with `hint` for another kind."""
    key = load_pem_private_key(pem, None)
    if not isinstance(key, PrivateKey) or not is_ours(key.public_key()):
        raise IdentityError(f"the key in {where} is not of P-256: an earlier seamline made it", hint=hint)
    return key


def is_ours(key: object) -> TypeGuard[PublicKey]:
    """Whether `key` is a public one of the kind that all members have."""
    return isinstance(key, PublicKey) and isinstance(key.curve, ec.SECP256R1)


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The signature of `message`, `SIGNATURE_BYTES` long."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(HASH)))
    return r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32)


def verify(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Raises `InvalidSignature` unless `sign` made `signature`."""
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if len(signature) != SIGNATURE_BYTES or s > _ORDER // 2:
        raise InvalidSignature
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(HASH))


def sign_certificate(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    """The certificate in the one spelling of its signature; half of the tries have it."""
    while not has_one_spelling(certificate := builder.sign(key, HASH)):
        pass
    return certificate


def has_one_spelling(certificate: x509.Certificate) -> bool:
    """Whether the certificate is as `sign_certificate` spells it. Raises `ValueError` for a signature of other kind."""
    _, s = decode_dss_signature(certificate.signature)
    return s <= _ORDER // 2
