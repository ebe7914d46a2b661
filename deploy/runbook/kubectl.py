"""The kubectl commands of the runbook, executed on a Cluster.

Fails on any flag, object or syntax that it does not know, or that the real kubectl does not know. What needs no cluster
is done by the real kubectl: it renders, and makes the objects of `create secret` and `run`.
"""

import base64
import json
import os
import re
import subprocess
from datetime import UTC, datetime

import kubernetes_validate
import yaml

from cluster import RESTARTED, ClusterPod, CurrentObjects, annotations
from discovery import discovery
from probes import get
from rendered import Rendered

NAMESPACE = "athook"


class CommandError(Exception):
    """An error message of kubectl; the exit code is 1."""


class AttachedPod(ClusterPod):
    """A pod of `kubectl run`, attached to the streams of the command."""

    streams = ()

    def runc(self, *words, **settings):
        if words[0] == "create":
            settings = dict(zip(("stdin", "stdout", "stderr"), self.streams, strict=True))
        super().runc(*words, **settings)


class Call:
    """One command, with the streams and the working directory of its caller."""

    def __init__(self, cluster, real, folder, streams):
        self.cluster, self.real, self.folder, self.streams = cluster, real, folder, streams

    def print(self, text):
        os.write(self.streams[1], f"{text}\n".encode())

    def text_of(self, name):
        if name == "-":
            with os.fdopen(os.dup(self.streams[0])) as stream:
                return stream.read()
        return (self.folder / name).read_text()

    def offline(self, *words):
        """The output of the real kubectl, for a command that needs no cluster."""
        done = subprocess.run([self.real, *words], capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            raise CommandError(done.stderr)
        return done.stdout

    def documents(self, name):
        documents = list(yaml.safe_load_all(self.text_of(name)))
        assert documents, f"{name} is empty"
        for each in documents:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
            assert each["metadata"].setdefault("namespace", NAMESPACE) == NAMESPACE, each["metadata"]
        return documents

    def apply(self, arguments):
        if arguments.kustomize:
            objects = Rendered(self.folder / arguments.kustomize).objects
        else:
            objects = self.documents(arguments.filename)
        for each in objects:
            assert each["kind"] != "Secret", "applying a Secret would copy its content into an annotation"
            self.print(f"{each['kind'].lower()}/{each['metadata']['name']} {self.cluster.put(each)}")

    def create(self, arguments):
        self.write_secrets(self.documents(arguments.filename), new=True)

    def create_secret(self, words):
        text = self.offline(*words, "--dry-run=client", "--output=yaml")
        self.write_secrets([yaml.safe_load(text)], new=True)

    def replace(self, arguments):
        self.write_secrets(self.documents(arguments.filename), new=False)

    def write_secrets(self, documents, new):
        for each in documents:
            name = each["metadata"]["name"]
            assert each["kind"] == "Secret", "only Secrets are created or replaced"
            if (name in self.cluster.secrets) == new:
                raise CommandError(f"secret {name} {'already exists' if new else 'not found'}")
            self.cluster.secrets[name] = {key: base64.b64decode(text) for key, text in each["data"].items()}
            self.print(f"secret/{name} {'created' if new else 'replaced'}")

    def get(self, arguments):
        if arguments.raw:
            return self.get_raw(arguments.raw)
        kind, *names = arguments.names
        match kind, names:
            case "events", []:
                assert arguments.sort_by == ".lastTimestamp"
                self.print("\n".join(self.cluster.events))
            case "pods", []:
                pods = self.selected(arguments.selector) if arguments.selector else self.cluster.pods
                for pod in list(pods):
                    if arguments.output == "name":
                        self.print(f"pod/{pod.name}")
                    else:
                        assert not arguments.output
                        self.print(f"{pod.name}  {'1/1' if pod.ready_since else '0/1'}")
            case "secret", [name]:
                if name not in self.cluster.secrets:
                    raise CommandError(f"secret {name} not found")
                files = self.cluster.secrets[name]
                data = {key: base64.b64encode(each).decode() for key, each in files.items()}
                self.print_path({"data": data}, arguments)
            case "persistentvolumeclaim", [name]:
                self.cluster.find("PersistentVolumeClaim", name)
                self.print_path({"spec": {"volumeName": self.cluster.claims[name]}}, arguments)
            case "deployment", [name]:
                self.print_path(self.cluster.find("Deployment", name), arguments)
            case _:
                raise CommandError(f"get {arguments.names} is not supported")

    def get_raw(self, path):
        """A request to a Service through the API server."""
        way = re.fullmatch(rf"/api/v1/namespaces/{NAMESPACE}/services/([^/:]+):(\w+)/proxy(/.*)", path)
        service, port, path = way.groups()
        deployment, port = CurrentObjects(self.cluster.objects.values()).service_target(service, port)
        status, body = get(f"http://{self.cluster.serving(deployment)[0].address}:{port}{path}", 10)
        self.print(body.decode())
        if status != 200:
            raise CommandError(f"the server answered {status}")

    def print_path(self, value, arguments):
        """Prints the value at a JSON path, or nothing if there is none, as kubectl does."""
        path = re.fullmatch(r"jsonpath=\{(.+)\}", arguments.output)[1]
        while path:
            step = re.match(r"\.((?:\\\.|[\w-])+)|\[(\d+)\]", path)
            assert step, f"{path} is not supported"
            try:
                value = value[int(step[2])] if step[2] else value[step[1].replace("\\.", ".")]
            except (KeyError, IndexError):
                return
            path = path[step.end() :]
        os.write(self.streams[1], str(value).encode())

    def selected(self, selector):
        key, _, name = selector.partition("=")
        assert key == "app.kubernetes.io/name", selector
        self.cluster.find("Deployment", name)
        return self.cluster.of_deployment(name)

    def logs(self, arguments):
        for pod in self.selected(arguments.selector):
            for line in (pod.folder / "log").read_text().splitlines():
                self.print(f"[pod/{pod.name}/{pod.container['name']}] {line}" if arguments.prefix else line)

    def patch(self, arguments):
        patch = json.loads(arguments.patch)
        match arguments.names, patch:
            case ["secret", name], {"data": data}:
                assert data.keys() <= self.cluster.secrets[name].keys(), data.keys()
                self.cluster.secrets[name] |= {key: base64.b64decode(text) for key, text in data.items()}
            case ["persistentvolume", name], {"spec": {"persistentVolumeReclaimPolicy": policy}}:
                assert name in self.cluster.volumes and policy in ("Delete", "Retain"), (name, policy)
                self.cluster.volumes[name] = policy
            case _:
                raise CommandError(f"patch {arguments.names} is not supported")
        self.print(f"{'/'.join(arguments.names)} patched")

    def delete(self, arguments):
        match arguments.names:
            case "persistentvolumeclaim", name:
                self.cluster.delete_claim(name)
            case "secret", name:
                if not self.cluster.secrets.pop(name, None) and not arguments.ignore_not_found:
                    raise CommandError(f"secret {name} not found")
            case _:
                raise CommandError(f"delete {arguments.names} is not supported")

    def scale(self, arguments):
        with self.cluster.lock:
            self.cluster.find(*deployment_in(arguments.names))["spec"]["replicas"] = arguments.replicas

    def rollout_restart(self, arguments):
        with self.cluster.lock:
            live = self.cluster.find(*deployment_in(arguments.names))
            annotations(live)[RESTARTED] = datetime.now(UTC).isoformat()

    def rollout_status(self, arguments):
        _, name = deployment_in(arguments.names)
        self.cluster.wait(
            lambda: self.cluster.rolled_out(name), seconds(arguments.timeout), f"{name} does not roll out"
        )

    def wait(self, arguments):
        assert getattr(arguments, "for") == "delete"
        if arguments.selector:
            assert arguments.names == ["pod"]
            gone = {pod.name for pod in self.selected(arguments.selector)}
        else:
            assert arguments.names, "wait needs a resource"
            gone = {re.fullmatch(r"pod/(.+)", name)[1] for name in arguments.names}
        self.cluster.wait(
            lambda: not gone & {pod.name for pod in self.cluster.pods},
            seconds(arguments.timeout),
            f"some of {gone} are left",
        )

    def exec(self, arguments, command):
        _, name = deployment_in(arguments.names)
        pod = self.cluster.serving(name)[0]
        within = ["runc", "--root", pod.node.folder / "runc", "exec", pod.id_of(pod.container), *command]
        return self.run_on_streams(within)

    def run_on_streams(self, command):
        _, out, error = self.streams
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=error, check=False).returncode

    def run(self, arguments, command):
        assert arguments.rm and arguments.stdin and arguments.restart == "Never"
        (name,) = arguments.names
        options = [f"--image={arguments.image}", f"--overrides={arguments.overrides}"]
        options += [f"--override-type={arguments.override_type}", f"--labels={arguments.labels or ''}"]
        with discovery() as server:
            where = [f"--server={server}", "--restart=Never", "--dry-run=client", "--output=json"]
            made = json.loads(self.offline("run", name, *where, *options, "--", *command))
        kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
        with self.cluster.lock:
            pod = self.cluster.pod(name, made["spec"], AttachedPod)
            taken = {claim for other in self.cluster.pods for claim in other.claims()}
            assert not pod.claims() & taken, f"{taken} are in use"
            pod.streams = self.streams
            pod.start()
        _, status = os.waitpid(pod.process, 0)
        pod.runc("delete", pod.id_of(pod.container))
        return os.waitstatus_to_exitcode(status)


def deployment_in(names):
    (name,) = names
    kind, _, name = name.partition("/")
    assert kind == "deployment" and name, names
    return "Deployment", name


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([ms])", text).groups()
    return int(number) * {"m": 60, "s": 1}[unit]
