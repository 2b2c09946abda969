"""``python -m experiments.adaptive_2026 [--quick] [--out DIR] [--json]``: run it, write report and results."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from experiments.adaptive_2026.experiment import main


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.adaptive_2026", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three days each, within four minutes on two cores")
    parser.add_argument("--out", type=Path, default=Path("reproduced"), help="folder for report and data")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--no-testbed", action="store_true", help="only the simulated part")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    results = main(quick=arguments.quick, out=arguments.out, is_emulating=not arguments.no_testbed)
    if arguments.json:
        print(json.dumps(results))
    else:
        for name, model in results["models"].items():
            vs_start, vs_best = model["energy_reduction_vs_start"], model["energy_reduction_vs_best"]
            print(
                f"{name}: latency {model['latency_reduction_vs_start']:.1%} lower than the start's cut, "
                f"{model['latency_reduction_vs_best']:.1%} than the best fixed; energy "
                f"{vs_start:.1%} and {vs_best:.1%} ({model['kind']}, energy modelled)"
            )
        print(f"report: {results['report']}", file=sys.stderr)
