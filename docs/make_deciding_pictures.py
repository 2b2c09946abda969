"""Pictures of docs/how-it-decides.md, of a real recording: through time, by plan, and every cut.

seamline demo --record demo.jsonl && python docs/make_deciding_pictures.py demo.jsonl
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib import rc_context

from seamline.cli.reporting.recorded import recording_chapter
from seamline.core.recording.history import history
from seamline.report.document import Plot
from seamline.runtime.origin.recording import read_recording

DOCS = Path(__file__).resolve().parent
PICTURES = {"timeline": "deciding-through-time", "by-plan": "deciding-by-plan", "cuts-cloud": "deciding-every-cut"}
"""Names of the figures' numbers, and of their files."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recording", type=Path)
    options.add_argument("--out", type=Path, default=DOCS)
    chosen = options.parse_args()
    chapter = recording_chapter(history(read_recording(chosen.recording)), "demo")
    for part in chapter.parts:
        if isinstance(part, Plot) and part.numbers is not None and part.numbers.name in PICTURES:
            path = chosen.out / f"{PICTURES[part.numbers.name]}.svg"
            with rc_context({"svg.hashsalt": "seamline"}):
                part.figure.savefig(path, metadata={"Date": None}, facecolor="white")
            print(path)


if __name__ == "__main__":
    main()
