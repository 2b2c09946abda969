"""`seamline serve` under an open load: requests come at a fixed rate whether or not those before them are answered.

A request's latency is counted from when it was due, so a server that stalls pays for all that was due meanwhile
(coordinated omission). The load comes from this process, binary tensors over HTTP, a connection for each request under
way; the server is `seamline serve` in a process of its own, on the same machine, its plan local.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from reporting import Report, parser, progress, spread

from seamline.model.remote.oip_body import LENGTH_HEADER, InferRequest, encode_body, tensor_head

EXTENT = 32
WARM_UP_S = 3.0
LATE_S = 30.0


def main() -> None:
    options = parser("Requests to `seamline serve` at a fixed rate")
    options.add_argument("--rate", type=float, default=200.0, help="requests a second")
    options.add_argument("--seconds", type=float, default=60.0)
    chosen = options.parse_args()
    seconds = 5.0 if chosen.quick else chosen.seconds
    report = Report("serve", f"`seamline serve`, {chosen.rate:g} requests a second", chosen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.onnx"
        onnx.save(small_net(), path)
        command = ["serve", str(path), "--http", "0", "--grpc", "off", "--cache", folder, "--threads", "1", "--json"]
        server = subprocess.Popen([sys.executable, "-m", "seamline", *command], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["http"]
            host, _, port = url.removeprefix("http://").rpartition(":")
            asyncio.run(load(host, int(port), chosen.rate, WARM_UP_S))
            progress(f"{seconds:g} s at {chosen.rate:g} requests a second")
            latency_s, statuses = asyncio.run(load(host, int(port), chosen.rate, seconds))
            report.child_cpu(server.pid)
        finally:
            server.terminate()
            server.wait()
    n_refused = sum(count for status, count in statuses.items() if status != 200)
    found = spread(latency_s)
    p99, worst = np.percentile(latency_s, 99), max(latency_s)
    report.say(
        f"{sum(statuses.values())} requests in {seconds:g} s, {n_refused} not answered with 200"
        + (f" ({dict(statuses)})" if n_refused else ""),
        "",
        "Latency from when a request was due to the last byte of its answer, ms:",
        "",
    )
    rows = [(f"{chosen.rate:g}/s", len(latency_s), found.text(1e3), f"{p99 * 1e3:.1f}", f"{worst * 1e3:.1f}")]
    report.table(("rate", "n", "median (10th-90th percentile)", "p99", "longest"), rows)
    report.data = {"latency_s": latency_s, "statuses": {str(status): count for status, count in statuses.items()}}
    report.finish()


def small_net() -> onnx.ModelProto:
    """Four convolutions and ten classes on 32 x 32, 1.3 million multiply-accumulates."""
    rng = np.random.default_rng(3)
    nodes, weights, channels, value = [], [], 3, "image"
    for layer, (out, stride) in enumerate([(8, 1), (16, 2), (16, 1), (24, 2)]):
        kernel = (rng.standard_normal((out, channels, 3, 3)) * np.sqrt(2 / (9 * channels))).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        names = [value, f"w{layer}"], [f"c{layer}"]
        nodes.append(helper.make_node("Conv", *names, pads=[1] * 4, strides=[stride] * 2, name=f"conv{layer}"))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"relu{layer}"))
        channels, value = out, f"r{layer}"
    weights.append(numpy_helper.from_array(rng.standard_normal((channels, 10)).astype(np.float32), "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "head"], ["scores"], name="scores"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "small", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


async def load(host: str, port: int, rate: float, seconds: float) -> tuple[list[float], Counter[int]]:
    """(latency of each request, how often each status) of `rate` requests a second."""
    request, idle = _request(), deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    latency_s, statuses, began_s = list[float](), Counter[int](), time.perf_counter()

    async def ask(due_s: float) -> None:
        connection = idle.popleft() if idle else await asyncio.open_connection(host, port)
        reader, writer = connection
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("\r\ncontent-length: ")[1].split("\r\n")[0]))
        latency_s.append(time.perf_counter() - due_s)
        statuses[int(head.split(" ")[1])] += 1
        idle.append(connection)

    async with asyncio.timeout(seconds + LATE_S), asyncio.TaskGroup() as tasks:
        for number in range(round(rate * seconds)):
            due_s = began_s + number / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            tasks.create_task(ask(due_s))
    for _, writer in idle:
        writer.close()
    return latency_s, statuses


def _request() -> bytes:
    image = np.random.default_rng(1).standard_normal((1, 3, EXTENT, EXTENT)).astype(np.float32)
    asked = InferRequest(
        inputs=[tensor_head("image", image, as_bytes=True)],
        parameters={"binary_data_output": True, "timeout": 2_000_000},
    )
    body, length = encode_body(asked, [image])
    head = f"POST /v2/models/small/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{LENGTH_HEADER}: {length}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
