"""Pictures of the demo's view for README, of a real run: docs/demo-80x24.svg and docs/demo-120x40.svg.

    python docs/make_demo_pictures.py [--at 0.95]

A run takes as long as `seamline demo`; the closing table is printed as well.
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from seamline.cli.demo.playing import Viewer, contenders, imitated, shipped_captions, shipped_video, take
from seamline.cli.demo.story import ADAPTIVE, Answer, scene_figures, scenes_of, verdict
from seamline.cli.demo.view import DemoState, demo_panel, scenes_table
from seamline.config import load_testbed
from seamline.model.locate import resolve_model
from seamline.model.progress import SILENT
from seamline.runtime.lab.scenario import Scenario
from seamline.runtime.lab.side_by_side import SideBySide
from seamline.runtime.origin.summary import RunSummary
from seamline.testbed import demo_testbed_path
from seamline.testbed.changes import schedule

DOCS = Path(__file__).resolve().parent
SIZES = ((80, 24), (120, 40))
MODEL = "efficientnet-lite0"
_WEB_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--at", type=float, default=0.95, help="share of the run at which the picture is taken")
    options.add_argument("--out", type=Path, default=DOCS)
    chosen = options.parse_args()
    bed, path = load_testbed(demo_testbed_path()), resolve_model(MODEL, SILENT)
    here = imitated(bed, path, MODEL)
    assert bed.seconds is not None
    assert bed.fps is not None
    scenario = Scenario(
        testbed=here.testbed, model=str(path), source=shipped_video(), seconds=bed.seconds, fps=bed.fps, codecs="f16"
    )
    viewer = Viewer(
        console=Console(stderr=True),
        model=MODEL,
        duration_s=bed.seconds,
        scenes=scenes_of(bed, bed.seconds),
        imitated=here,
        captions=shipped_captions(),
        changes=schedule(here.testbed, bed.seconds),
        is_offload_allowed=False,
    )
    answers: dict[str, list[Answer]] = {}
    policies = contenders(scenario, 1, baselines=True)
    answers = {key: [] for key in policies}
    runs: dict[str, RunSummary] = {}
    shown: DemoState | None = None
    with SideBySide(policies) as side_by_side:
        for key, event in side_by_side.events():
            take(key, event, runs, answers)
            if (
                key == ADAPTIVE
                and event.kind == "snapshot"
                and viewer.follow(event.data).at_s < chosen.at * bed.seconds
            ):
                state = viewer.state(answers)
                shown = replace(state, answers={name: tuple(each) for name, each in answers.items()})
    assert shown is not None
    for width, height in SIZES:
        write(chosen.out / f"demo-{width}x{height}.svg", shown, width, height)
    figures = scene_figures(scenes_of(bed, bed.seconds), answers)
    Console(width=120).print(scenes_table(figures, is_offload_allowed=False), verdict(figures))


def write(path: Path, state: DemoState, width: int, height: int) -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, file=nowhere, width=width, height=height, force_terminal=True, highlight=False)
        console.print(demo_panel(state, width, height))
    text = console.export_text(clear=False)
    picture = console.export_svg(title="seamline demo")
    path.write_text(_WEB_FONTS.sub("", picture), encoding="utf-8")  # nothing is fetched by whoever looks at it
    print(text)
    print(f"wrote {path}: {len(text.splitlines())} lines, {max(map(len, text.splitlines()))} columns")


if __name__ == "__main__":
    main()
