"""Where can a network be cut, what crosses there, and does cutting change its answers?

    python examples/01_split_a_model.py [MODEL.onnx]

Without a file a small zoo model with random weights is built in a temporary folder.
"""

import sys
import tempfile
from pathlib import Path

from seamline.model import ModelStore, OrtEngine, verify_cuts, zoo


def main(model_file: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(model_file) if model_file else zoo.build("mobilenetv2", Path(folder) / "mobilenetv2.onnx")
        store = ModelStore(Path(folder) / "store")
        model = store.add(path)
        candidates = [cut for cut in model.cuts if cut.is_candidate]
        print(f"{model.name}: {len(model.cuts)} cuts, {len(candidates)} of them worth planning with")

        smallest = min(candidates[1:-1], key=lambda cut: cut.payload_bytes)
        print(f"least crosses at cut {smallest.index}, after {smallest.after}: {smallest.payload_bytes / 1e3:.1f} kB")

        # whole, then split at every candidate, on the same random input
        engine = OrtEngine(store, n_threads=1)
        checks = list(verify_cuts(engine, model, cuts=[cut.index for cut in candidates]))
        worst = max(checks, key=lambda check: check.max_relative_error)
        n_equal = sum(check.bit_equal for check in checks)
        print(f"{n_equal} of {len(checks)} cuts give the same bits; at most {worst.max_relative_error:.1e} off")


if __name__ == "__main__":
    main(*sys.argv[1:])
