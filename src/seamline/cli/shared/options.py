"""Arguments that several commands share, so that they read and behave alike everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from seamline.cli.shared.completion import files, meters, one_of, one_of_later, powers
from seamline.cli.shared.deployment import from_deployment
from seamline.cli.shared.models import complete_model, complete_preset

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Path of an ONNX file, or a name from `seamline zoo list` (built on demand).",
        autocompletion=complete_model,
        show_default=False,
    ),
]


def complete_deployable(incomplete: str) -> list[str]:
    """Shell completion for what `seamline run` takes: models, and deployment files."""
    return list(dict.fromkeys((*complete_model(incomplete), *files(".onnx", ".toml")(incomplete))))


DeployableArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|FILE.toml",
        help="Path of an ONNX file, a name from `seamline zoo list`, or a deployment file that says what flags would.",
        autocompletion=complete_deployable,
        show_default=False,
        is_eager=True,
        callback=from_deployment,
    ),
]
OptionalModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Path of an ONNX file or zoo name; not needed where profiles are given, which carry the cuts.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        envvar="SEAMLINE_THREADS",
        help="Threads for computing; as many as the cores that may be used when not given.",
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=AXES", help="Fix an open input, e.g. input=1,3,224,224. Repeatable."),
]
ValueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--value", metavar="NAME=NUMBER", help="Make an input a constant, e.g. sr=16000; what it decides is folded."
    ),
]
EnergyScopeOption = Annotated[
    str,
    typer.Option(
        "--energy-scope",
        metavar="WHOSE",
        autocompletion=one_of("all", "origin"),
        help="Whose joules count: all, origin, or weights as in fog=0.5,cloud=0 (nodes not named count 1).",
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option("--size", metavar="HxW", help="Size of the camera frames the model takes; what its input says."),
]
LayoutOption = Annotated[
    str | None,
    typer.Option("--layout", metavar="LAYOUT", help="Axes of the model's input: nchw, nhwc, chw, hwc, nhw, hw."),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="NAME",
        help="How a picture becomes the input: imagenet, yolo, yolox, unit, symmetric, caffe, clip, raw, or none.",
        autocompletion=complete_preset,
    ),
]
FitOption = Annotated[
    str | None,
    typer.Option(
        "--fit", metavar="FIT", help="What becomes of pictures of another aspect: letterbox, crop or stretch."
    ),
]
ChannelsOption = Annotated[
    str | None, typer.Option("--channels", metavar="ORDER", help="Colours of the model's input: rgb, bgr or grey.")
]
MeanOption = Annotated[
    str | None, typer.Option("--mean", metavar="R,G,B", help="Subtracted from frames of 0-255 before they enter.")
]
StdOption = Annotated[
    str | None, typer.Option("--std", metavar="R,G,B", help="What frames are divided by after that. A zero is refused.")
]

# what a command that joins a cluster as a node says of itself
ConnectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--connect",
        metavar="ENDPOINT",
        envvar="SEAMLINE_CONNECT",
        help="Where another node listens, tcp/HOST:7447; repeatable.",
    ),
]
ListenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="ENDPOINT",
        envvar="SEAMLINE_LISTEN",
        help="Where to listen, tcp/HOST:PORT; a free local port if not given.",
    ),
]
ClusterOption = Annotated[
    str,
    typer.Option("--cluster", metavar="NAME", envvar="SEAMLINE_CLUSTER", help="Nodes of other clusters are not seen."),
]
SlowdownOption = Annotated[
    float,
    typer.Option("--slowdown", metavar="X", help="Make computing take X times what the profile says (for a testbed)."),
]
LoadsFlag = Annotated[
    bool, typer.Option("--slowdown-from-stdin", help="Follow lines `slowdown X` on standard input.", hidden=True)
]
NoRelayFlag = Annotated[bool, typer.Option("--no-relay", help="Do not pass on messages between other nodes.")]
InsecureFlag = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="SEAMLINE_INSECURE",
        help="Listen beyond this machine although peers are not authenticated yet.",
    ),
]
PowerOption = Annotated[
    str | None,
    typer.Option(
        "--power",
        metavar="POWER",
        autocompletion=one_of_later(powers),
        envvar="SEAMLINE_POWER",
        help="What this device draws: a profile (raspberry-pi-4, laptop+wifi, ...) or idle=W,busy=W[,tx=J/MB,rx=J/MB].",
    ),
]
MeterOption = Annotated[
    str | None,
    typer.Option(
        "--meter",
        metavar="METER",
        autocompletion=one_of_later(meters),
        envvar="SEAMLINE_METER",
        help="Measure energy: ina, pmic, battery, rapl, nvml, auto or replay:FILE. Modelled by --power if not given.",
    ),
]
LeaseOption = Annotated[
    float,
    typer.Option(
        "--lease",
        metavar="SECONDS",
        envvar="SEAMLINE_LEASE",
        help="Silence after which a peer is lost; raise it where links stall or machines are very busy.",
    ),
]
