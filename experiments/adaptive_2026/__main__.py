"""``python -m experiments.adaptive_2026 [--quick] [--out DIR] [--json]``: run it, write report and results."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from experiments.adaptive_2026.experiment import main
from seamline.core.vocabulary.errors import SeamlineError


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.adaptive_2026", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three days each, within four minutes on two cores")
    parser.add_argument("--out", type=Path, default=Path("reproduced"), help="folder for report and data")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--no-testbed", action="store_true", help="only the simulated part")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    try:
        results = main(quick=arguments.quick, out=arguments.out, is_emulating=not arguments.no_testbed)
    except SeamlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(results))
        return 0
    for name, model in results["models"].items():
        vs_start, vs_best = model["energy_reduction_vs_start"], model["energy_reduction_vs_best"]
        print(
            f"{name}: latency {model['latency_reduction_vs_start']:.1%} lower than the start's cut, "
            f"{model['latency_reduction_vs_best']:.1%} than the best fixed; energy "
            f"{vs_start:.1%} and {vs_best:.1%} ({model['kind']}, energy modelled)"
        )
    if results["left_out"]:
        print(f"{len(results['left_out'])} cases were left out for lack of time", file=sys.stderr)
    print(f"report: {results['report']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as an exception, so that nodes end too
    sys.exit(_run(_arguments()))
