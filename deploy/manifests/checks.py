"""Checks of rendered manifests and of images that need no processes. Each raises AssertionError."""

import ipaddress
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from rendered import ROOT, port_number, probe_of, the_container

# Secrets that the operator provides. The test makes its own.
TLS_SECRETS = {"core-service-tls", "gateway-tls"}
# Kinds of other projects, whose schemas custom-resources.mjs has.
CUSTOM_KINDS = {"HTTPRoute", "PodMonitor", "PrometheusRule"}
# How long the core-service may take to close its store after the drain, in seconds.
STORE_CLOSES = 5


def all_of(rendered, made_secrets):
    schemas(rendered)
    labels(rendered)
    checkov(rendered)
    references(rendered, made_secrets)
    connections(rendered)
    probes(rendered)
    grace(rendered)
    denied_ranges(rendered)
    versions(rendered)


def schemas(rendered):
    """Each object is valid under the newest schema of Kubernetes, without unknown fields, or under that of its project."""
    custom = [each for each in rendered.objects if each["kind"] in CUSTOM_KINDS]
    for each in rendered.objects:
        if each not in custom:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    command = ["node", Path(__file__).with_name("custom-resources.mjs"), os.environ["MODELS"]]
    lines = "".join(json.dumps(each) + "\n" for each in custom)
    ran = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [each["kind"] for each in custom]


def labels(rendered):
    """Every object, and every pod, has the labels that Kubernetes recommends."""
    recommended = {"name", "instance", "version", "component", "part-of", "managed-by"}
    for each in rendered.objects:
        for labelled in (each, each["spec"]["template"] if each["kind"] == "Deployment" else each):
            found = {name.removeprefix("app.kubernetes.io/") for name in labelled["metadata"].get("labels", {})}
            assert recommended <= found, (each["kind"], each["metadata"]["name"], recommended - found)
    versions = {each["metadata"]["labels"]["app.kubernetes.io/version"] for each in rendered.objects}
    assert versions == {version()}, versions


def checkov(rendered):
    file = ROOT / "target/manifests/rendered.yaml"
    file.write_text(rendered.text)
    config = Path(__file__).with_name("checkov.yaml")
    command = [Path(sys.executable).with_name("checkov"), "--config-file", config, "--file", file]
    ran = subprocess.run([*command, "--quiet", "--compact", "--skip-download"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # checkov also exits with 0 when it finds nothing to check.
    passed = re.search(r"Passed checks: (\d+), Failed checks: 0", ran.stdout)
    assert passed and int(passed[1]) > 100, ran.stdout


def references(rendered, made_secrets):
    """Every object that is referred to by name exists."""
    deployments = rendered.of_kind("Deployment")
    for kind in ("Service", "PodDisruptionBudget"):
        for name, each in rendered.of_kind(kind).items():
            selector = each["spec"]["selector"]
            assert len(rendered.selected(selector.get("matchLabels", selector))) == 1, (kind, name)
    for scaler in rendered.of_kind("HorizontalPodAutoscaler").values():
        name = scaler["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in deployments[name]["spec"], f"{name}: an update would undo the autoscaler's number"
    for name, each in rendered.of_kind("Service").items():
        for port in each["spec"]["ports"]:
            rendered.service_target(name, port["name"])
    for each in rendered.of_kind("NetworkPolicy").values():
        targets = rendered.selected(each["spec"]["podSelector"].get("matchLabels", {}))
        assert targets, each["metadata"]["name"]
        for rule in each["spec"].get("ingress", []):
            for port in rule["ports"]:
                for target in targets:
                    port_number(the_container(rendered.pod_spec(target)), port["port"])
    for name in deployments:
        pod = rendered.pod_spec(name)
        assert pod["serviceAccountName"] in rendered.of_kind("ServiceAccount")
        for volume in pod["volumes"]:
            if "secret" in volume:
                secret = volume["secret"]["secretName"]
                assert secret in made_secrets.keys() | TLS_SECRETS, secret
            else:
                assert volume["persistentVolumeClaim"]["claimName"] in rendered.of_kind("PersistentVolumeClaim")
    for monitor in rendered.of_kind("PodMonitor").values():
        targets = rendered.selected(monitor["spec"]["selector"]["matchLabels"])
        assert targets == set(deployments), targets
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for target in targets:
                port_number(the_container(rendered.pod_spec(target)), endpoint["port"])
    for rule in rendered.of_kind("PrometheusRule").values():
        links = [alert["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for alert in group["rules"]]
        assert links and all(link.startswith("https://docs.example/athook/RUNBOOK.md#") for link in links), links
    services = rendered.of_kind("Service")
    for route in rendered.of_kind("HTTPRoute").values():
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert backend["port"] in [port["port"] for port in services[backend["name"]]["spec"]["ports"]]
    for ingress in rendered.of_kind("Ingress").values():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                rendered.service_target(backend["name"], backend["port"]["name"])


def connections(rendered):
    """Behind a proxy, which has one address for everybody, an address has no limit of connections."""
    variables = rendered.environment(the_container(rendered.pod_spec("gateway")))
    expected = "0" if rendered.of_kind("Ingress") or rendered.of_kind("HTTPRoute") else None
    assert variables.get("CONNECTIONS_PER_ADDRESS") == expected, variables


def probes(rendered):
    """Readiness probes include what the pod depends on; liveness and startup probes only the process."""
    for name in rendered.of_kind("Deployment"):
        container = the_container(rendered.pod_spec(name))
        ready, live, startup = (probe_of(container, kind) for kind in ("readiness", "liveness", "startup"))
        if "grpc" in ready:
            assert "service" not in ready["grpc"] and live["grpc"]["service"] == "liveness", name
            assert startup["grpc"] == live["grpc"], name
        else:
            assert (ready["httpGet"]["path"], live["httpGet"]["path"]) == ("/readyz", "/livez"), name
            assert startup["httpGet"] == live["httpGet"], name


def grace(rendered):
    """The grace period is longer than delay, drain and closing the store: the kubelet kills no pod early."""
    for name in rendered.of_kind("Deployment"):
        pod = rendered.pod_spec(name)
        variables = rendered.environment(the_container(pod))
        delay, drain = (seconds(variables[each]) for each in ("SHUTDOWN_DELAY", "DRAIN_LIMIT"))
        assert delay > 0 and pod["terminationGracePeriodSeconds"] > delay + drain + STORE_CLOSES, name


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def denied_ranges(rendered):
    """The network policies except exactly the ranges that the egress rules refuse."""
    source = (ROOT / "egress/src/policy/ranges.rs").read_text()
    refused = set()
    for kind, numbers, prefix in re.findall(r"ipv([46])\(\[([^\]]+)\], (\d+)\)", source):
        numbers = [int(number, 0) for number in numbers.split(", ")]
        if kind == "4":
            address = ipaddress.IPv4Address(bytes(numbers))
        else:
            address = ipaddress.IPv6Address(numbers[0] << 112 | numbers[1] << 96)
        refused.add(ipaddress.ip_network(f"{address}/{prefix}"))
    world = ipaddress.ip_network("2000::/3")
    assert len(refused) == 24 and world in refused, "the tables of ranges.rs can't be read"
    blocks = [
        peer["ipBlock"]
        for policy in rendered.of_kind("NetworkPolicy").values()
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", str(world)}
    denied = {ipaddress.ip_network(each) for block in blocks for each in block["except"]}
    assert denied == refused - {world}, denied ^ (refused - {world})


def version():
    """That of the workspace."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def versions(rendered):
    """The images have the tag of this version."""
    for name in rendered.of_kind("Deployment"):
        pod = rendered.pod_spec(name)
        for container in pod.get("initContainers", []) + pod["containers"]:
            assert container["image"].endswith(f"/{container['name']}:{version()}"), container["image"]


def sbom(image):
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str((image / "rootfs/sbom.cdx.json").read_text())
    assert error is None, error
