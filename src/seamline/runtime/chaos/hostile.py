"""A hostile peer: joins a node by its fabric and sends what no node would, under invented names."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import zenoh

from seamline.fabric import messages as msg
from seamline.fabric.bulk.chunks import cut
from seamline.fabric.wire import pack

LANES = ("control", "data", "credit")
N_NOISE = 200
N_NAMES = 8
CHUNK_BYTES = 64 * 1024
ANNOUNCED_BYTES = 16 << 20
"""Of messages of which only the first chunk comes."""

ANSWER_S = 2.0


class HostilePeer:
    """Connected from its making until `close`. endpoint: of the node, named `target` in `cluster`."""

    def __init__(self, cluster: str, target: str, endpoint: str) -> None:
        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("connect/endpoints", json.dumps([endpoint]))
        config.insert_json5("connect/timeout_ms", "1000")
        config.insert_json5("connect/exit_on_failure", "false")
        config.insert_json5("scouting/multicast/enabled", "false")
        self._session = zenoh.open(config)
        self._root = f"seamline/{cluster}"
        self._target = target
        self._tokens: list[zenoh.LivelinessToken] = []

    def attack(self, rng: random.Random) -> None:
        """Noise and damaged messages on every lane, and the beginnings of messages that never end.

        Every other name has a token, as a node has: what comes without one waits for it, unread.
        """
        for there in self._incarnations():
            for number in range(N_NAMES):
                name, own = f"mallory-{number}", f"{rng.getrandbits(64):016x}"
                if number % 2:
                    self._tokens.append(self._session.liveliness().declare_token(f"{self._root}/{name}/alive/{own}"))
                for lane in LANES:
                    for payload in _payloads(rng):
                        self._session.put(f"{self._root}/{self._target}/{lane}/{name}/{own}/{there}", payload)

    def close(self) -> None:
        self._session.close()  # type: ignore[no-untyped-call] # Zenoh has no types for it

    def _incarnations(self) -> list[str]:
        """Of the target, as its tokens say; none when it does not answer."""
        replies = self._session.liveliness().get(f"{self._root}/{self._target}/alive/*", timeout=ANSWER_S)
        return [str(reply.ok.key_expr).rpartition("/")[2] for reply in replies if reply.ok is not None]


def _payloads(rng: random.Random) -> Iterator[bytes]:
    for _ in range(N_NOISE):
        yield rng.randbytes(rng.randrange(2000))
    whole = pack(msg.Probe(seq=1))
    for _ in range(N_NAMES):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        yield bytes(damaged)
        yield bytes(whole[: rng.randrange(len(whole))])
    yield bytes(next(cut(bytes(ANNOUNCED_BYTES), rng.getrandbits(64), 0, lambda: CHUNK_BYTES)))
