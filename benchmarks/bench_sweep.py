"""Every cut of a model between an edge and a cloud: what is predicted, and what frames take at some of them.

The curves of NEUKONFIG's Fig. 2 and 3 (20 and 5 Mbit/s, 20 ms one way), of nodes of this machine: `seamline sweep
--measure` with its defaults, kept as a result with its figure.
"""

from __future__ import annotations

from reporting import Report, parser

from seamline.core.vocabulary.documented import to_json
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.model.locate import load_model
from seamline.runtime.lab.offline import parse_link
from seamline.runtime.lab.sweep import Measuring, measured_summary
from seamline.runtime.lab.sweep_figure import sweep_figure
from seamline.runtime.lab.sweep_summary import CutSummary, SweepSummary

LINKS = ("edge:cloud=20mbps,20ms", "edge:cloud=5mbps,20ms")
N_CUTS = {"vgg19": 10}
"""Per model; an early cut of VGG-19 takes 20 s a frame at 5 Mbit/s."""

MANY_CUTS, QUICK_CUTS = 24, 3
SLOWDOWNS = {NodeId("edge"): 8.0, NodeId("cloud"): 1.0}


def main() -> None:
    options = parser("Predicted and measured latency of a model's cuts")
    options.add_argument("model", help="of the zoo, e.g. vgg19 or mobilenetv2")
    options.add_argument("--frames", type=int, default=5, help="per cut; three where they take long")
    chosen = options.parse_args()
    report = Report(f"sweep-{chosen.model}", f"Every cut of {chosen.model}", chosen)
    how = Measuring(
        ends=(NodeId("edge"), NodeId("cloud")),
        slowdowns=SLOWDOWNS,
        n_threads=1,
        codec=Codec.RAW,
        n_cuts=QUICK_CUTS if chosen.quick else N_CUTS.get(chosen.model, MANY_CUTS),
        n_frames=chosen.frames,
    )
    links = [(text, parse_link(text)) for text in (LINKS[:1] if chosen.quick else LINKS)]
    swept = measured_summary(load_model(chosen.model)[1], links, how)
    report.data = {**to_json(swept), "slowdowns": dict(SLOWDOWNS)}
    if report.is_kept:
        sweep_figure(swept).savefig(report.path("png"), dpi=150)
        report.data["files"] = [report.path("png").name]
        report.say(f"![latency of every cut, and what crosses there]({report.path('png').name})", "")
    _tell(report, swept)
    report.finish()


def _tell(report: Report, swept: SweepSummary) -> None:
    slow = ", ".join(f"{node} {ratio:g}x" for node, ratio in SLOWDOWNS.items())
    report.say(
        f"Boundaries travel {swept.codec}; nodes: {slow} as slow as a core of this machine, one thread each. "
        "Predicted from profiles of both nodes and the link as five frames showed it.",
        "",
    )
    for link in swept.links:
        assert link.median_error_ratio is not None, "some cuts were measured"
        report.say(
            f"## {link.text}",
            "",
            f"Estimated: {link.goodput_bps / 1e6:.2f} Mbit/s, round trip {1e3 * link.rtt_s:.1f} ms. "
            f"Predicted best: cut {link.best_cut}; measured best: cut {link.measured_best_cut}. "
            f"Predicted and measured differ by **{100 * link.median_error_ratio:.1f} %** (median over the cuts "
            "below).",
            "",
        )
        report.table(
            (
                "cut",
                "after",
                "sent kB",
                "edge ms",
                "transfer ms",
                "cloud ms",
                "predicted ms",
                "measured ms",
                "n",
                "error",
            ),
            [_row(each) for each in link.cuts if each.measured_s],
        )


def _row(each: CutSummary) -> tuple[str, ...]:
    found = each.measured_s
    assert found is not None
    parts = [f"{1e3 * time_s:.1f}" for time_s in (each.origin_s, each.transfer_s, each.target_s, each.latency_s)]
    measured = f"{1e3 * found.median:.1f} ({1e3 * found.min:.1f}-{1e3 * found.max:.1f})"
    error = f"{100 * (each.latency_s / found.median - 1):+.1f} %"
    return str(each.cut), each.after, f"{each.sent_bytes / 1e3:.1f}", *parts, measured, str(found.n), error


if __name__ == "__main__":
    main()
