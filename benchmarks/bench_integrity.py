"""What the checksum of a message costs: XXH3 beside CRC-32 of zlib, the copy that packing makes anyway, and both ways.

Processor time of this thread, the kinds taken in turn, so that what else runs on the machine hits all alike.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from reporting import Report, parser, spread

from seamline.fabric.integrity import checksum
from seamline.fabric.messages import Ping
from seamline.fabric.wire import pack, unpack

SIZES_BYTES = (300, 60_000, 600_000, 6_000_000)
N_SAMPLES = 400


def main() -> None:
    chosen = parser("Cost of a message's checksum").parse_args()
    report = Report("integrity", "Cost of a message's checksum", chosen)
    report.say("Microseconds of processor time, median (p10-p90).", "")
    rows: list[dict[str, Any]] = []
    for n_bytes in SIZES_BYTES:
        samples = _measured(n_bytes, 40 if chosen.quick else N_SAMPLES)
        rows.append({"n_bytes": n_bytes, "seconds": samples})
    report.table(
        ("bytes", "XXH3, 64 bits", "CRC-32 (zlib)", "copy", "pack", "unpack"),
        [(row["n_bytes"], *(spread(seconds).text(1e6, 1) for seconds in row["seconds"].values())) for row in rows],
    )
    report.data = {"rows": rows}
    report.finish()


def _measured(n_bytes: int, n_samples: int) -> dict[str, list[float]]:
    tensor = np.random.default_rng(0).integers(0, 255, n_bytes, dtype=np.uint8)
    data, message = tensor.tobytes(), bytes(pack(Ping(1), [tensor]))
    kinds: dict[str, Callable[[], object]] = {
        "xxh3": lambda: checksum(data),
        "crc32": lambda: zlib.crc32(data),
        "copy": lambda: bytearray(data),
        "pack": lambda: pack(Ping(1), [tensor]),
        "unpack": lambda: unpack(message),
    }
    samples: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(n_samples):
        for kind, run in kinds.items():
            begun_s = time.thread_time()
            run()
            samples[kind].append(time.thread_time() - begun_s)
    return samples


if __name__ == "__main__":
    main()
