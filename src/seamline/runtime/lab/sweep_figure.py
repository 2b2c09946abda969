"""Figure of a sweep: latency of every cut, stacked, and what crosses there. Needs matplotlib, the extra `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seamline.report.bars import CutPanel, Measured, cuts_figure
from seamline.runtime.lab.sweep_summary import SweepSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sweep_figure(swept: SweepSummary) -> Figure:
    """Latency of every cut stacked by part, one panel for each link, and the bytes that cross."""
    panels = [
        CutPanel(
            title=f"{swept.model}, {link.text}",
            parts={
                swept.origin: [1e3 * cut.origin_s for cut in link.cuts],
                "transfer": [1e3 * cut.transfer_s for cut in link.cuts],
                swept.target: [1e3 * cut.target_s for cut in link.cuts],
            },
            best=link.best_cut,
            measured=[
                Measured(at=cut.cut, n=found.n, median=1e3 * found.median, low=1e3 * found.min, high=1e3 * found.max)
                for cut in link.cuts
                if (found := cut.measured_s) is not None
            ],
        )
        for link in swept.links
    ]
    boundaries = {
        "uncompressed": [cut.boundary_bytes / 1e6 for cut in swept.links[0].cuts],
        f"sent ({swept.codec})": [cut.sent_bytes / 1e6 for cut in swept.links[0].cuts],
    }
    return cuts_figure(panels, boundaries)
