"""How fast each codec encodes and decodes boundary tensors, and what it leaves of their bytes.

The tensors are what a convolution with ReLU leaves (half zeros). Its channels differ enough for u8 to give each a range
of its own. JPEG takes a camera frame from the package's own video. Compared in the same rounds with plain NumPy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from models import video_frame
from reporting import Report, Spread, parser, progress, spread

from seamline import codec
from seamline.core.vocabulary.plans import Codec
from seamline.model import Preprocess

SHAPES = ((1, 8, 56, 56), (1, 48, 56, 56), (1, 64, 112, 112))
"""100 kB, 602 kB and 3.2 MB of float32."""

BOUNDARY_CODECS = tuple(one for one in Codec if one is not Codec.JPEG)
N_ROUNDS = 100


def main() -> None:
    chosen = parser("Codec throughput").parse_args()
    report = Report("codecs", "Codec throughput", chosen)
    n_rounds = 10 if chosen.quick else N_ROUNDS
    rows = []
    for shape in SHAPES:
        tensor = np.maximum(np.random.default_rng(0).standard_normal(shape, np.float32), 0.0)
        progress(f"float32{list(shape)}")
        rows += _measure({"boundary": tensor}, BOUNDARY_CODECS, n_rounds, NUMPY)
    frame = {codec.JPEG_TENSOR: video_frame(Preprocess(height=224, width=224))}
    rows += _measure(frame, (Codec.RAW, Codec.JPEG), n_rounds, {})
    report.data = {"rows": rows}
    _tell(report, rows)
    report.finish()


NUMPY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "f16": (lambda values: values.astype(np.float16), lambda values: values.astype(np.float32)),
    "u8": (
        lambda values: (np.clip(np.rint(values / (values.max() / 255)), 0, 255).astype(np.uint8), values.max() / 255),
        lambda levels: levels[0].astype(np.float32) * levels[1],
    ),
}
"""The baseline: encode and decode as one would write them."""


def _measure(
    tensors: Mapping[str, Any], codecs: tuple[Codec, ...], n_rounds: int, plain: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One row per codec, and per baseline; all of them take turns."""
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    first = next(iter(tensors.values()))
    ways: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {}
    for one in codecs:
        ways[one] = (
            partial(codec.encode, tensors, one),
            lambda encoded: codec.decode(encoded.encoding, encoded.buffers),
        )
        if one in plain:
            ways[f"{one}, NumPy"] = (partial(plain[one][0], first), plain[one][1])
    rows = {
        way: {"codec": way, "shape": list(first.shape), "n_bytes": n_bytes, "encode_s": [], "decode_s": []}
        for way in ways
    }
    for number in range(n_rounds + 2):
        for way, (encode, decode) in ways.items():
            started_s = time.perf_counter()
            encoded = encode()
            encoded_s = time.perf_counter()
            decoded = decode(encoded)
            decoded_s = time.perf_counter()
            if number >= 2:
                rows[way]["encode_s"].append(encoded_s - started_s)
                rows[way]["decode_s"].append(decoded_s - encoded_s)
            if isinstance(encoded, codec.Encoded):
                rows[way]["wire_bytes"] = encoded.n_bytes
            del encoded, decoded  # giving megabytes back takes time too, and is not the next one's
    return list(rows.values())


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        "Throughput counts uncompressed bytes; one thread; median (p10-p90). Rows with NumPy are the baseline. Raw",
        "costs microseconds whatever the size (the tensors travel as views), so its throughput has no meaning.",
        "",
    )
    report.table(
        ("codec, tensor", "n", "bytes", "on the wire", "encode ms", "decode ms", "encode GB/s", "decode GB/s"),
        [_row(row, spread(row["encode_s"]), spread(row["decode_s"])) for row in rows],
    )


def _row(row: dict[str, Any], encode: Spread, decode: Spread) -> tuple[object, ...]:
    wire = f"{row['wire_bytes']:,}" if "wire_bytes" in row else ""
    is_raw = row["codec"] == Codec.RAW
    speeds = ("", "") if is_raw else (f"{row['n_bytes'] / time_.median / 1e9:.2f}" for time_ in (encode, decode))
    what = f"{row['codec']}, {'x'.join(map(str, row['shape']))}"
    return (what, encode.n, f"{row['n_bytes']:,}", wire, encode.text(1e3, 3), decode.text(1e3, 3), *speeds)


if __name__ == "__main__":
    main()
