"""What cutting parallel branches apart would bring: all downward-closed sets of layers against prefixes.

Two nodes, latency, boundaries as 8 bits, the frame kept private. Computing is modelled (a whole-model time shared out
by multiply-accumulates), so nothing but the time of the minimum cut itself is measured here.
"""

from __future__ import annotations

import time
from typing import Any

from reporting import Report, parser

from seamline.core.analysis.mincut import LayerCosts, best_closed_set, best_prefix, costs_between
from seamline.core.cost.problem import Problem
from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Block, DeviceInfo, ModelInfo, Profile, Quantiles, TensorSpec
from seamline.model.locate import load_model

MODELS = ("mobilenetv2", "resnet50", "efficientnet-lite0")
RATES_MBPS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
WHOLE_S = {"edge": 0.2, "cloud": 0.02}
EDGE, CLOUD = NodeId("edge"), NodeId("cloud")


def main() -> None:
    report = Report("mincut", "Cutting branches apart", parser("Minimum cut against prefixes").parse_args())
    rows = [_row(name, *_model(name, mbps), mbps) for name in MODELS for mbps in RATES_MBPS]
    rows += [_row("made-up, 4 branches", *_branched(mbps), mbps) for mbps in RATES_MBPS]
    report.data = {"whole_s": WHOLE_S, "rows": rows}
    report.say("Latency in ms by the best set of layers, by the best prefix, and the time to find the set.", "")
    report.table(
        ("model", "Mbit/s", "**any set**", "prefix", "prefix / set", "search"),
        [
            (
                row["model"],
                row["mbps"],
                f"**{1e3 * row['set_s']:.1f}**",
                f"{1e3 * row['prefix_s']:.1f}",
                f"{row['prefix_s'] / row['set_s']:.2f}",
                f"{1e3 * row['search_s']:.1f}",
            )
            for row in rows
        ],
    )
    report.finish()


def _row(name: str, graph: ModelGraph, costs: LayerCosts, mbps: float) -> dict[str, Any]:
    started_s = time.perf_counter()
    found = best_closed_set(graph, costs)
    search_s = time.perf_counter() - started_s
    prefix_s = best_prefix(graph, costs).latency_s
    return {"model": name, "mbps": mbps, "set_s": found.latency_s, "prefix_s": prefix_s, "search_s": search_s}


def _model(name: str, mbps: float) -> tuple[ModelGraph, LayerCosts]:
    stored = load_model(name)[1]
    last = stored.cuts[-1].index
    profiles = {
        NodeId(node): Profile(
            model=ModelInfo(name=name),
            device=DeviceInfo(name=NodeId(node)),
            cuts=stored.cuts,
            blocks=(Block(from_cut=0, to_cut=last, compute_s=Quantiles(median=whole_s, p90=whole_s)),),
            whole_s=Quantiles(median=whole_s, p90=whole_s),
        )
        for node, whole_s in WHOLE_S.items()
    }
    links = {
        (a, b): LinkEstimate(source=a, target=b, rtt_s=0.002, goodput_bps=mbps * 1e6)
        for a, b in ((EDGE, CLOUD), (CLOUD, EDGE))
    }
    limits = Constraints(n_private_cuts=1, codecs=(Codec.U8,))
    problem = Problem(origin=EDGE, cuts=stored.cuts, profiles=profiles, links=links, constraints=limits)
    return stored.graph, costs_between(stored.graph, problem, CLOUD)


def _branched(mbps: float) -> tuple[ModelGraph, LayerCosts]:
    """A stem, four branches of six layers that shrink their tensor at layer 1, 2, 4 and 6, and a head."""
    sizes, layers = {"t0": 150_000, "stem": 100_000}, [_layer("stem", ("t0",))]
    for branch, shrinks_at in enumerate((1, 2, 4, 6)):
        before = "stem"
        for depth in range(1, 7):
            name = f"b{branch}-{depth}"
            layers.append(_layer(name, (before,)))
            sizes[name] = 2_000 if depth >= shrinks_at else 60_000
            before = name
    layers.append(_layer("head", tuple(f"b{branch}-6" for branch in range(4))))
    sizes["head"] = 1_000
    specs = {name: TensorSpec(name=name, dtype="uint8", shape=(size,)) for name, size in sizes.items()}
    graph = ModelGraph(name="made-up", layers=tuple(layers), tensors=specs, inputs=("t0",), outputs=("head",))
    costs = LayerCosts(
        origin_s={layer.name: WHOLE_S["edge"] / len(layers) for layer in layers},
        target_s={layer.name: WHOLE_S["cloud"] / len(layers) for layer in layers},
        transfer_s={name: float("inf") if name == "t0" else 8 * size / (mbps * 1e6) for name, size in sizes.items()},
        answer_s={"head": 8_000 / (mbps * 1e6)},
        delay_s=0.002,
    )
    return graph, costs


def _layer(name: str, inputs: tuple[str, ...]) -> Layer:
    return Layer(name=name, op="Conv", inputs=inputs, outputs=(name,), macs=1)


if __name__ == "__main__":
    main()
