"""`seamline inspect`: where a model can be cut, and what crosses there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from seamline.cli.shared.options import (
    JsonFlag,
    LayoutOption,
    MeanOption,
    ModelArgument,
    ShapeOption,
    SizeOption,
    StdOption,
    ValueOption,
)

JSON_KEYS = {
    "inspect": {
        "model": "the model",
        "model.name": "its name",
        "model.id": "content id: the same on every node that has the model",
        "model.n_layers": "layers, weights not counted",
        "model.macs": "multiply-accumulates of one inference",
        "model.frame": "how a camera frame becomes the input, null when the model does not say",
        "model.frame.height": "rows of the frame",
        "model.frame.width": "columns of the frame",
        "model.frame.layout": "nchw or nhwc",
        "model.frame.mean": "subtracted, per channel R, G, B on the 0-255 scale",
        "model.frame.std": "divided by after that",
        "cuts": "every legal cut, in order; the first is the model input, the last its output",
        "cuts[].index": "number of the cut, as plans name it",
        "cuts[].after": "last layer before the cut",
        "cuts[].tensors": "what crosses the cut",
        "cuts[].tensors[].name": "name of the tensor",
        "cuts[].tensors[].dtype": "NumPy name of its element type",
        "cuts[].tensors[].shape": "its shape",
        "cuts[].bytes": "size of all crossing tensors, uncompressed",
        "cuts[].macs_before": "multiply-accumulates before the cut",
        "cuts[].macs_after": "multiply-accumulates behind the cut",
        "cuts[].is_candidate": "whether the planner considers the cut",
        "cuts[].carries_input": "whether a model input itself crosses, so that raw pixels would leave",
    }
}


def register(app: typer.Typer) -> None:
    """Add `inspect` to `app`."""
    app.command(name="inspect")(inspect)


def inspect(
    model: ModelArgument,
    shape: ShapeOption = None,
    value: ValueOption = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    candidates: Annotated[bool, typer.Option("--candidates", help="Show only cuts the planner considers.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print every place where MODEL can be cut, with what crosses there and the work before and after it."""
    from seamline.cli.shared.models import load_model, parse_frame
    from seamline.cli.shared.output import NARROW_WIDTH, data_console, print_json
    from seamline.cli.shared.tables import cut_table

    _, stored = load_model(model, shapes=shape or (), values=value or (), frame=parse_frame(size, layout, mean, std))
    macs = stored.cuts[-1].macs_before
    cuts = [cut for cut in stored.cuts if cut.is_candidate or not candidates]
    if not as_json:
        console = data_console()
        console.print(cut_table(stored.name, cuts, macs, is_narrow=console.width < NARROW_WIDTH))
        return
    print_json(
        {
            "model": {
                "name": stored.name,
                "id": stored.model_id,
                "n_layers": len(stored.graph.layers),
                "macs": macs,
                "frame": asdict(stored.preprocess) if stored.preprocess is not None else None,
            },
            "cuts": [
                {
                    "index": cut.index,
                    "after": cut.after,
                    "tensors": [
                        {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
                        for tensor in cut.tensors
                    ],
                    "bytes": cut.payload_bytes,
                    "macs_before": cut.macs_before,
                    "macs_after": macs - cut.macs_before,
                    "is_candidate": cut.is_candidate,
                    "carries_input": cut.carries_input,
                }
                for cut in cuts
            ],
        }
    )
