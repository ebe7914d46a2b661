"""An overlay as kubectl renders it, with look-ups for the tests."""

import base64
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
# The defaults of Kubernetes for probes.
PROBE_DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}


class Rendered:
    """The objects of one overlay."""

    def __init__(self, folder):
        self.folder = folder
        self.text = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
        self.objects = list(yaml.safe_load_all(self.text))

    def of_kind(self, kind):
        return {each["metadata"]["name"]: each for each in self.objects if each["kind"] == kind}

    @property
    def namespace(self):
        (name,) = self.of_kind("Namespace")
        return name

    def deployment(self, name):
        return self.of_kind("Deployment")[name]

    def replicas(self, name):
        """The number of pods of a deployment without load."""
        for scaler in self.of_kind("HorizontalPodAutoscaler").values():
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                return scaler["spec"]["minReplicas"]
        return self.deployment(name)["spec"]["replicas"]

    def pod_spec(self, deployment):
        return self.deployment(deployment)["spec"]["template"]["spec"]

    def selected(self, selector):
        """The deployments whose pods match `selector`. An empty one matches all."""
        return {
            name
            for name, each in self.of_kind("Deployment").items()
            if selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        }

    def service_target(self, service, port_name):
        """The (deployment, port) to which a port of a service leads."""
        spec = self.of_kind("Service")[service]["spec"]
        (deployment,) = self.selected(spec["selector"])
        (target,) = (port["targetPort"] for port in spec["ports"] if port["name"] == port_name)
        return deployment, port_number(the_container(self.pod_spec(deployment)), target)

    def environment(self, container):
        """The environment variables of a container, as the kubelet combines them."""
        variables = {}
        for source in container.get("envFrom", []):
            variables |= self.of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
        for each in container.get("env", []):
            # Fails on `valueFrom`, which is not supported here.
            variables[each["name"]] = each["value"]
        return variables


def the_container(pod_spec):
    """The only container of a pod, besides init containers."""
    (container,) = pod_spec["containers"]
    return container


def port_number(container, port):
    """The number of a port that is given by number or by name."""
    if isinstance(port, int):
        return port
    (number,) = (each["containerPort"] for each in container["ports"] if each["name"] == port)
    return number


def probe_of(container, kind):
    return PROBE_DEFAULTS | container[f"{kind}Probe"]


def secrets(database_url_file):
    """The Secrets of deploy/kubernetes/make-secrets: {name: {key: bytes}}."""
    command = [KUBERNETES / "make-secrets", *([database_url_file] if database_url_file else [])]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        each["metadata"]["name"]: {key: base64.b64decode(value) for key, value in each["data"].items()}
        for each in yaml.safe_load_all(text)
    }
