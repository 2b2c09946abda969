"""Access rules of Zenoh, by role: what each kind of member may publish, subscribe to and declare.

Zenoh applies them on every link, to both directions, by the common name of the peer's certificate, which is its role
(`members.common_name`): they cannot be changed while a session is open, so names, which come and go, are bound by
`sealing.py` instead. Whatever no rule allows is denied: another common name, another cluster's keys, subscribing to
more than single inboxes (``seamline/**``), and the administration of nodes (``@/**``).

==============  ====  ======  ========
keys            node  origin  observer
==============  ====  ======  ========
control         yes   yes     yes
credit, notice  yes   yes     yes
data            yes   yes     **no**
liveliness      yes   yes     yes
==============  ====  ======  ========
"""

from __future__ import annotations

from typing import Any

from seamline.identity.members import Role, common_name

_INBOX = ("put", "declare_subscriber")
_LIVELINESS = ("liveliness_token", "liveliness_query", "declare_liveliness_subscriber")


def access_rules(cluster: str, authority_id: str) -> dict[str, Any]:
    """The section ``access_control`` of a Zenoh configuration. authority_id: `members.cluster_id` of `cluster`'s."""

    def rule(name: str, messages: tuple[str, ...], *keys: str) -> dict[str, Any]:
        return {
            "id": name,
            "messages": list(messages),
            "flows": ["ingress", "egress"],
            "permission": "allow",
            "key_exprs": [f"seamline/{cluster}/*/{key}" for key in keys],
        }

    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": [
            rule("talk", _INBOX, "control/*/*/*", "credit/*/*/*", "notice/*"),
            rule("tensors", _INBOX, "data/*/*/*"),
            rule("presence", _LIVELINESS, "alive/**"),
        ],
        "subjects": [{"id": role, "cert_common_names": [common_name(role, authority_id)]} for role in Role],
        "policies": [
            {"rules": ["talk", "presence"], "subjects": [Role.NODE, Role.ORIGIN, Role.OBSERVER]},
            {"rules": ["tensors"], "subjects": [Role.NODE, Role.ORIGIN]},
        ],
    }
