"""Manifests for Kubernetes: they fit its schemas and its strictest rules for pods, and say commands that there are.

They were not applied to a cluster; what is run here is the script that gives a pod its identity.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from seamline.cli.main import build_app, modules

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.name, each) for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())
    ]


DOCUMENTS = documents()


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, each in DOCUMENTS:
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


PODS = dict(pods())


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_every_manifest_fits_the_schemas_of_kubernetes(version):
    for name, document in DOCUMENTS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{name}: {error}")


def test_a_misspelt_field_would_be_found():
    wrong = {**DOCUMENTS[0][1], "sepc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_there_is_a_node_for_every_tier_by_the_label_of_the_machine():
    daemons = {each["metadata"]["name"]: each for _, each in DOCUMENTS if each["kind"] == "DaemonSet"}
    labels = {name: each["spec"]["template"]["spec"]["nodeSelector"] for name, each in daemons.items()}
    assert labels == {f"seamline-{tier}": {"seamline/tier": tier} for tier in ("edge", "fog", "cloud")}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_probed_bounded_and_closed(name):
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in (*pod["initContainers"], *pod["containers"]):
        closed = container["securityContext"]
        assert (closed["allowPrivilegeEscalation"], closed["capabilities"]["drop"]) == (False, ["ALL"])
        assert "memory" in container["resources"]["limits"]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts <= {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        named = {port["name"] for port in container["ports"]}
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        assert all(probe["tcpSocket"]["port"] in named for probe in probes), "Kubernetes has no certificate to ask with"
    inner, outer = (
        {mount["name"] for container in pod[kind] for mount in container["volumeMounts"]}
        for kind in ("initContainers", "containers")
    )
    assert inner & outer == {"data"}, "the authority's key, and its copy, stay in the first container"


def test_selectors_find_the_pods_of_their_own():
    labels = {}
    for _, each in DOCUMENTS:
        if "template" in each.get("spec", {}):
            own = each["spec"]["template"]["metadata"]["labels"]
            assert each["spec"]["selector"]["matchLabels"].items() <= own.items()
            labels[each["metadata"]["name"]] = own
    for _, each in DOCUMENTS:
        if each["kind"] == "Service":
            assert any(each["spec"]["selector"].items() <= own.items() for own in labels.values())


def commands() -> Iterator[list[str]]:
    """What is run by each container but the init containers, without the program."""
    for pod in PODS.values():
        for container in pod["containers"]:
            if "command" in container:
                *_, script = container["command"]
                yield shlex.split(script)[2:]
            else:
                yield container["args"]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_and_flag_is_there(words):
    command = typer.main.get_command(build_app(modules()))
    for name in words[:1]:
        assert name in command.commands
        command = command.commands[name]
    flags = {flag for parameter in command.params for flag in getattr(parameter, "opts", ())}
    assert {word for word in words if word.startswith("--")} <= flags
    variables = {parameter.envvar for parameter in command.params if getattr(parameter, "envvar", None)}
    assert {"SEAMLINE_LISTEN", "SEAMLINE_CONNECT", "SEAMLINE_METRICS"} <= variables


def test_a_pod_gets_a_certificate_for_its_name_and_never_the_authoritys_key(tmp_path):
    program = tmp_path / "bin" / "seamline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m seamline "$@"\n')
    program.chmod(0o755)
    base = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "SEAMLINE_CACHE": str(tmp_path / "cache")}

    def run(words: list[str], **more: str) -> None:
        subprocess.run(words, env={**base, **more}, check=True, capture_output=True, text=True, timeout=60)

    run(["seamline", "cluster", "init", "--name", "admin"], SEAMLINE_DATA=str(tmp_path / "admin"))
    pod = PODS["seamline-edge"]["initContainers"][0]
    (script,) = pod["args"]
    for inside in ("/authority/", "/data", "/tmp"):
        assert inside in script
    (tmp_path / "data").mkdir()
    outside = script.replace("/tmp/data", str(tmp_path / "workshop")).replace(" /data/", f" {tmp_path / 'data'}/")
    outside = outside.replace("/authority/*", str(tmp_path / "admin" / "authority" / "default") + "/*")
    run([*pod["command"], outside], NODE="machine-1.example.org")
    kept = sorted(path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.pem"))
    assert any(path.startswith("members/default/machine-1/") for path in kept)
    assert not any("authority/" in path for path in kept)
    assert not (tmp_path / "workshop").exists()
    shown = subprocess.run(
        ["seamline", "cluster", "show", "--json"],
        env={**base, "SEAMLINE_DATA": str(tmp_path / "data")},
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert '"machine-1"' in shown.stdout
