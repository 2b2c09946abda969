"""Small models, profiles and links for the tests of the core."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import (
    Block,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)

MEGABIT = 1e6


@pytest.fixture
def make_link() -> Callable[..., LinkEstimate]:
    def make(source: str, target: str, mbps: float, rtt_s: float = 0.02, **fields: object) -> LinkEstimate:
        fields = {"n_samples": 5, "goodput_std_ratio": 0.02, **fields}
        return LinkEstimate(
            source=NodeId(source), target=NodeId(target), rtt_s=rtt_s, goodput_bps=mbps * MEGABIT, **fields
        )

    return make


@pytest.fixture
def make_cuts() -> Callable[..., tuple[Cut, ...]]:
    """Cuts whose crossing tensors have so many float32 elements."""

    def make(*n_elements: int) -> tuple[Cut, ...]:
        return tuple(
            Cut(
                index=at,
                after="input" if at == 0 else f"layer{at}",
                tensors=(TensorSpec(name=f"t{at}", dtype="float32", shape=(1, n)),),
                payload_bytes=4 * n,
                macs_before=1000 * at,
            )
            for at, n in enumerate(n_elements)
        )

    return make


@pytest.fixture
def make_profile() -> Callable[..., Profile]:
    def make(
        node: str,
        cuts: tuple[Cut, ...],
        block_s: list[float],
        *,
        frame: FrameInfo | None = None,
        idle_w: float | None = None,
        busy_w: float | None = None,
        codecs: tuple[object, ...] = (),
    ) -> Profile:
        blocks = tuple(
            Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=seconds, p90=seconds))
            for at, seconds in enumerate(block_s)
        )
        return Profile(
            model=ModelInfo(name="toy"),
            device=DeviceInfo(name=NodeId(node), idle_w=idle_w, busy_w=busy_w),
            cuts=cuts,
            blocks=blocks,
            whole_s=Quantiles(median=sum(block_s), p90=sum(block_s)),
            frame=frame,
            codecs=codecs,
        )

    return make


@pytest.fixture
def three_tiers(make_cuts, make_profile, make_link) -> Problem:
    """A frame model of four blocks on edge (slow), fog and cloud (fast), with links of 20 and 100 Mbit/s both ways."""
    cuts = make_cuts(150_528, 200_000, 50_000, 10_000, 1_000)
    frame = FrameInfo(raw_bytes=150_528, jpeg_bytes=25_000, preprocess_s=0.002)
    profiles = {
        NodeId("edge"): make_profile("edge", cuts, [0.04, 0.08, 0.08, 0.2], frame=frame, idle_w=2.0, busy_w=6.0),
        NodeId("fog"): make_profile("fog", cuts, [0.02, 0.04, 0.04, 0.1], frame=frame, idle_w=5.0, busy_w=25.0),
        NodeId("cloud"): make_profile(
            "cloud", cuts, [0.004, 0.008, 0.008, 0.02], frame=frame, idle_w=40.0, busy_w=90.0
        ),
    }
    links = {}
    for source, target, mbps in (("edge", "fog", 20), ("fog", "cloud", 100), ("edge", "cloud", 18)):
        for link in (make_link(source, target, mbps), make_link(target, source, mbps)):
            links[link.source, link.target] = link
    return Problem(origin=NodeId("edge"), cuts=cuts, profiles=profiles, links=links)


@pytest.fixture
def random_problem() -> Callable[..., Problem]:
    """By seed: fast nodes draw much and slow ones little, so that time can be bought with energy; most links are up."""
    return _random_problem


def _random_problem(seed: int, n_cuts: int | None = None) -> Problem:
    random = np.random.default_rng(seed)
    nodes = [NodeId(name) for name in ("edge", "fog", "cloud", "extra")[: random.integers(2, 5)]]
    n_cuts = n_cuts or int(random.integers(3, 8 if len(nodes) < 4 else 5))
    cuts = tuple(
        Cut(
            index=at,
            after=f"l{at}",
            tensors=(),
            payload_bytes=int(random.integers(0, 300_000)),
            weights_before_bytes=200_000 * at,
        )
        for at in range(n_cuts)
    )
    frame = FrameInfo(raw_bytes=150_000, jpeg_bytes=25_000, preprocess_s=0.004) if random.random() < 0.5 else None
    profiles = {}
    for node in nodes:
        speed = float(random.uniform(0.2, 3.0))
        block_s = [float(random.uniform(0.0, 0.04)) / speed for _ in range(n_cuts - 1)]
        idle_w = float(random.uniform(0.5, 3.0))
        profiles[node] = Profile(
            model=ModelInfo(name="random"),
            device=DeviceInfo(
                name=node,
                idle_w=idle_w,
                busy_w=idle_w + 4.0 * speed**2,
                tx_j_per_byte=float(random.choice([0.0, 2e-6])),
            ),
            cuts=cuts,
            blocks=tuple(
                Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=s, p90=s)) for at, s in enumerate(block_s)
            ),
            whole_s=Quantiles(median=sum(block_s), p90=sum(block_s)),
            frame=frame,
            codecs=tuple(
                CodecCost(codec=codec, encode_s_per_byte=float(random.choice([0.0, 2e-8])), decode_s_per_byte=1e-8)
                for codec in (Codec.U8, Codec.F16)
            ),
        )
    links = {
        ends: LinkEstimate(
            source=ends[0],
            target=ends[1],
            rtt_s=float(random.uniform(0.0, 0.02)),
            goodput_bps=float(random.choice([0.0, 1e7, 3e7, 1e8, 1e9], p=[0.1, 0.2, 0.2, 0.2, 0.3])),
        )
        for ends in permutations(nodes, 2)
    }
    limits = Constraints(
        codecs=(Codec.RAW, Codec.F16, Codec.U8, Codec.JPEG),
        memory_bytes=((nodes[-1], 900_000),) if random.random() < 0.3 else (),
        pins=((1, nodes[0]),) if random.random() < 0.2 else (),
        n_private_cuts=2 if random.random() < 0.2 else 0,
        trusted=(nodes[1],),
        forbidden_codecs=((nodes[-1], Codec.U8),) if random.random() < 0.2 else (),
    )
    queue_s = {nodes[-1]: 0.01} if random.random() < 0.3 else {}
    return Problem(
        origin=nodes[0], cuts=cuts, profiles=profiles, links=links, queue_s=queue_s, constraints=limits,
        objective=Objective.ENERGY,
    )  # fmt: skip
