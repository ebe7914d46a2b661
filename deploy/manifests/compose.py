"""Runs the services of deploy/compose.yaml from the images, confined as the file says, and without Docker."""

import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

import yaml

import postgres
from network import NODE
from pods import Pod
from probes import get
from rendered import ROOT

FILE = ROOT / "deploy/compose.yaml"
USER = 65532
# How long a service may take to answer, in seconds.
SOON = 30


class Compose:
    """The file, with the look-ups that a Pod makes in rendered manifests."""

    namespace = "compose"

    def __init__(self):
        self.services = yaml.safe_load(FILE.read_text())["services"]

    def environment(self, container):
        defaults = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in container["environment"].items()}
        assert not any("$" in value for value in defaults.values()), defaults
        return defaults

    def pod_spec(self, name):
        """A service as a pod."""
        service = self.services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"] and service["build"]["target"] == name
        mounts, volumes = [], []
        for mount in service.get("volumes", []):
            volume, path = mount.split(":")
            mounts.append({"name": volume, "mountPath": path})
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": volume}})
        if "secrets" in service:
            mounts.append({"name": "secrets", "mountPath": "/run/secrets", "readOnly": True})
            volumes.append({"name": "secrets", "secret": {"secretName": name, "defaultMode": 0o440}})
        context = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
        container = {
            "name": name,
            "image": f"registry/{service['image']}",
            "environment": service["environment"],
            "volumeMounts": mounts,
            "resources": {"limits": {"memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        return {
            "securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": int(service["stop_grace_period"].removesuffix("s")),
            "volumes": volumes,
            "containers": [container],
        }

    def secrets_of(self, files):
        """What /run/secrets of each service has."""
        return {
            name: {secret: files[secret] for secret in service["secrets"]}
            for name, service in self.services.items()
            if "build" in service and "secrets" in service
        }


def schemas():
    """The file, and the workflow of a forge, are valid."""
    program = Path(sys.executable).with_name("check-jsonschema")
    for schema, file in (("compose-spec", FILE), ("github-workflows", ROOT / ".github/workflows/ci.yaml")):
        subprocess.run([program, "--builtin-schema", f"vendor.{schema}", file], check=True)


def files(server):
    """What the first lines of the file make, with a database of `server`."""
    key = secrets.token_bytes(32)
    url = server.database("compose").replace(postgres.NAME, "postgres")
    made = subprocess.run(["base64"], input=key, check=True, capture_output=True).stdout
    return {"seal-keys": made, "core-token": made, "database-url": url.encode()}


def run(node_of, dns, server):
    schemas()
    compose = Compose()
    node = node_of(compose.secrets_of(files(server)))
    alone = Pod(node, compose, "athook", 0)
    alone.start()
    answers(alone, "/readyz")
    alone.is_confined()
    kept = node.folder / "claims/data"
    assert {"athook.db", "athook.keys"} <= {file.name for file in kept.iterdir()}, list(kept.iterdir())
    ended(alone)

    pair = {name: Pod(node, compose, name, 0) for name in ("core-service", "gateway")}
    dns.say("postgres", [NODE])
    dns.say("core-service", [pair["core-service"].address])
    for pod in pair.values():
        pod.start()
    answers(pair["gateway"], "/readyz")
    for pod in pair.values():
        pod.is_confined()
    for pod in reversed(pair.values()):
        ended(pod)
    print("compose: passed", flush=True)


def answers(pod, path):
    end = time.monotonic() + SOON
    while get(f"http://{pod.address}:8080{path}", 3)[0] != 200:
        assert time.monotonic() < end, pod.log()
        time.sleep(0.1)


def ended(pod):
    pod.terminate()
    code, _ = pod.exit_code()
    assert code == 0, pod.log()
