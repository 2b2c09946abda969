"""A stream over two nodes in ten lines of Python; the second node is a process of its own on this machine.

    python examples/02_two_nodes.py [MODEL.onnx] [VIDEO]

On two machines: start `seamline node --name fog --listen tcp/0.0.0.0:7447 --insecure` there, and connect to it here.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import seamline

ENDPOINT = "tcp/127.0.0.1:7450"


@contextmanager
def second_node(endpoint: str) -> Iterator[None]:
    """`seamline node`, ready to take part."""
    command = [sys.executable, "-m", "seamline", "node", "--name", "fog", "--tier", "fog", "--listen", endpoint]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        print(node.stdout.readline().strip())
        yield
    finally:
        node.terminate()
        node.communicate()


def main(model: str, video: str | None = None, endpoint: str = ENDPOINT) -> None:
    video = video or str(files("seamline.data") / "bigbuckbunny.mp4")
    with second_node(endpoint), seamline.connect(endpoint, slowdown=8.0) as cluster:
        stream = cluster.stream(model, over=["edge", "fog"], objective="latency", private=1)
        for result in stream.run(seamline.open_source(video), n_frames=20):
            print(f"frame {result.frame}: {1e3 * result.latency_s:.1f} ms by {result.plan}")
        print(f"lost: {stream.summary()['frames']['lost']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
