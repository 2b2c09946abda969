"""Who is answered beyond this machine: members of its cluster that may start streams and are not revoked."""

from __future__ import annotations

import grpc
from cryptography import x509
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from seamline.core.vocabulary.errors import IdentityError
from seamline.identity.authority import newest_list
from seamline.identity.kept import Identity
from seamline.identity.members import Role, member_of


def require_caller(certificate: x509.Certificate, identity: Identity) -> None:
    """Raise `IdentityError` unless who shows `certificate` is answered by `identity`, by the list of this moment."""
    member = member_of(certificate, identity.authority)
    if member.serial in newest_list(identity.revoked_pem(), identity.authority)[1]:
        raise IdentityError(f"the certificate of `{member.name}` has been revoked")
    if member.role == Role.OBSERVER:
        raise IdentityError(f"`{member.name}` may only look", hint="`seamline invite --role origin` makes who may ask")


def grpc_credentials(identity: Identity) -> grpc.ServerCredentials:
    """How a gRPC server answers as `identity`, to whoever has a certificate of its cluster; see `require_rpc`."""
    key, certificate, authority = (
        (identity.folder / name).read_bytes() for name in ("key.pem", "certificate.pem", "authority.pem")
    )
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)


def for_callers(app: ASGIApp, certificate: x509.Certificate, identity: Identity) -> ASGIApp:
    """`app` on a connection of who shows `certificate`: 403 to each request while `identity` does not answer it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            require_caller(certificate, identity)
        except IdentityError as error:
            await JSONResponse({"error": str(error)}, 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


async def require_rpc(context: grpc.aio.ServicerContext, identity: Identity) -> None:
    """End the call of `context` with ``PERMISSION_DENIED`` unless its caller is answered by `identity`."""
    (certificate,) = context.auth_context()["x509_pem_cert"]
    try:
        require_caller(x509.load_pem_x509_certificate(certificate), identity)
    except IdentityError as error:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
