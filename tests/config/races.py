"""Three threads convert a document of types that nobody has used before, over and over; run by `test_toml.py`."""

from __future__ import annotations

import sys
import threading
from dataclasses import make_dataclass
from typing import Any

from seamline.config import convert

N_ROUNDS, N_THREADS, DEPTH = 150, 3, 8


def main() -> None:
    sys.setswitchinterval(1e-6)
    for _ in range(N_ROUNDS):
        schema: Any = int
        document: Any = 1
        for depth in range(DEPTH):
            schema = make_dataclass(f"Level{depth}", [("a", tuple[schema, ...] if depth else schema), ("b", float)])
            document = {"a": [document] if depth else document, "b": 1.0}
        together = threading.Barrier(N_THREADS)

        def work(schema: Any = schema, document: Any = document, together: threading.Barrier = together) -> None:
            together.wait()
            convert(document, schema, origin="a race")

        threads = [threading.Thread(target=work) for _ in range(N_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
