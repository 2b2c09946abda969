"""`seamline reproduce`: measure a paper's figures and tables anew, and print both beside each other.

The experiments are not part of the installed package: they live in `experiments/` of the repository, import Seamline
like anybody else, and run here as a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag, choice
from seamline.cli.shared.output import require_writable
from seamline.core.vocabulary.errors import SeamlineError, UsageError

PAPERS = {"neukonfig-2021": "experiments.neukonfig_2021", "adaptive-2026": "experiments.adaptive_2026"}

ENDING_S = 1.2

JSON_KEYS = {
    "reproduce": {
        "strategies": "by name of the strategy; each holds the keys below",
        "strategies.NAME.downtime_s.median": "downtime by the paper's equation for this strategy, seconds",
        "strategies.NAME.downtime_s.p95": "95th percentile",
        "strategies.NAME.downtime_s.max": "largest",
        "strategies.NAME.frames_dropped": "camera frames dropped because of the switches, all together",
        "strategies.NAME.frames_lost": "accepted frames without an answer",
        "strategies.NAME.memory_ratio_peak": "most physical memory (PSS, all nodes) over that of one pipeline",
        "strategies.NAME.memory_ratio_steady": "physical memory after the switches over that of one pipeline",
        "strategies.NAME.t_switch_s": "median of the swap itself",
        "strategies.NAME.prepare_s": "median from the request to the new plan serving",
        "models.NAME.latency_reduction_vs_start": "adaptive-2026: median over days, 0.2 is 20 % below the start's cut",
        "models.NAME.latency_reduction_vs_best": "the same against the best fixed plan in hindsight",
        "models.NAME.energy_reduction_vs_start": "the same for modelled energy, with energy as the objective",
        "models.NAME.energy_reduction_vs_best": "the same against the best fixed plan in hindsight",
        "models.NAME.*_spread": "lowest and highest of the days",
        "models.NAME.kind": "`simulated`",
        "models.NAME.n_runs": "days drawn",
        "models.NAME.reaches_published": "whether energy and latency reach the lowest published reduction",
        "models.NAME.why": "for energy and latency: why the published reduction is not reached, null where it is",
        "models.NAME.moments[]": "per phase of the day the least joules all on the Pi (`local`) and split (`split`)",
        "models.NAME.variants": "the same figures with one thing otherwise: half the changes, the Pi's joules alone",
        "models.NAME.remarks": "what else a reader has to know beside the figures, in words",
        "models.NAME.with_codecs": "the same figures with Seamline's codecs",
        "left_out": "adaptive-2026: cases for which there was no time; they are played when it is started again",
        "took_s": "seconds of this run",
        "emulated": "adaptive-2026: the same scenario, shorter, in processes on this computer; null without",
        "emulated.seconds": "length of each policy's run",
        "emulated.phases[]": "what happens (`what`) and since when (`at_s`)",
        "emulated.changes[]": "what was done to links and nodes, and when",
        "emulated.whole_s": "per node, seconds of the whole network alone",
        "emulated.objectives.*.n_runs": "rounds; all policies of a round run at the same time",
        "emulated.objectives.*.latency_reduction_vs_start": "median over rounds, 0.2 is 20 % below the start's plan",
        "emulated.objectives.*.*_reduction_vs_*": "the same for latency and energy against start, best, local, offload",
        "emulated.objectives.*.*_spread": "lowest and highest of the rounds",
        "emulated.objectives.*.policies.*.latency_s": "mean latency, median over rounds; without the first seconds",
        "emulated.objectives.*.policies.*.simulated_latency_s": "the simulator's, for the same testbed and profiles",
        "emulated.objectives.*.policies.*.latency_apart_ratio": "simulated over emulated, less 1",
        "emulated.objectives.*.policies.*.latency_s_by_phase[]": "mean latency of each phase, null without a frame",
        "emulated.objectives.*.policies.*.reasons[]": "per round, when and why each switch was made",
        "emulated.objectives.*.timelines.*[]": "the first round: when accepted, latency and plan of each frame",
        "fps": "camera frames offered per second",
        "model": "the model",
    }
}


def register(app: typer.Typer) -> None:
    app.command("reproduce")(reproduce)


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help=f"One of: {', '.join(PAPERS)}.")],
    quick: Annotated[bool, typer.Option("--quick", help="Few repeats: within 4 minutes on 2 cores.")] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where report and data are written; a run resumes there.")
    ] = Path("reproduced"),
    json: JsonFlag = False,
) -> None:
    """Measure a paper's figures and tables on this machine; writes an HTML report and JSON."""
    choice(paper, tuple(PAPERS), "a paper known here")
    root = Path(__file__).resolve().parents[4]
    if not (root / "experiments").is_dir():
        raise UsageError(
            "the experiments are not installed with the package",
            hint="clone the repository, `make install`, and run `.venv/bin/seamline reproduce` there",
        )
    if find_spec("matplotlib") is None:
        raise UsageError("the report's figures need matplotlib", hint="pip install 'seamline[report]'")
    require_writable(out, "--out", is_folder=True)
    command = [sys.executable, "-m", PAPERS[paper], "--out", str(out.resolve())]
    command += [flag for flag, is_wanted in (("--quick", quick), ("--json", json)) if is_wanted]
    exit_code = _run(command, root)
    if exit_code:
        raise SeamlineError(f"the experiment ended with exit code {exit_code}", hint="its last words are above")


def _run(command: Sequence[str], root: Path) -> int:
    """Exit code of the experiment. Whatever ends this process, it is given time to end the nodes that it started."""
    with subprocess.Popen(command, cwd=root) as process:
        try:
            return process.wait()
        except BaseException as ending:
            if not isinstance(ending, KeyboardInterrupt):  # Ctrl-C has reached it as well, a signal to this one has not
                process.terminate()
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
