"""Runs the manifests. deploy/test-manifests starts it in its own namespaces.

For each overlay: makes the checks that need no processes, then starts the pods from the images, with the rendered number
of replicas, environment, user, volumes, limits and security context. Probes them from outside as the kubelet would: at
the start, while something that a pod depends on is down, and during shutdown.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path

import checks
import compose
import postgres
from network import NODE, Dns, Network
from pods import Node, Pod
from probes import get, passes, started, until
from rendered import KUBERNETES, ROOT, Rendered, secrets

# How long a pod may take to notice a change in what its readiness depends on, in seconds.
FOLLOWS = 15


def main():
    for image in ("athook", "core-service", "gateway", "migrate"):
        checks.sbom(ROOT / "target/images" / image)
    with tempfile.TemporaryDirectory(prefix="athook-manifests-") as folder:
        folder = Path(folder)
        # The user of the services must be able to reach its volumes.
        folder.chmod(0o755)
        network, dns, server = Network(), Dns(folder), postgres.Postgres()
        dns.say(postgres.NAME, [NODE])
        overlays = [
            ("sqlite", KUBERNETES / "overlays/sqlite", None),
            ("postgres", KUBERNETES / "overlays/postgres", server),
            ("postgres with all components", ROOT / "deploy/manifests/all-components", server),
        ]
        for number, (name, overlay, its_server) in enumerate(overlays):
            begun = time.monotonic()
            own = folder / str(number)
            own.mkdir()
            rendered = Rendered(overlay)
            made = made_secrets(own, its_server, two_roles="athook-database-owner" in rendered.text)
            checks.all_of(rendered, made)
            print(f"{name}: {len(rendered.objects)} objects are valid", flush=True)
            node = Node(own, network, made | certificates(own, rendered.namespace))
            Drill(rendered, node, dns, its_server).run()
            print(f"{name}: passed in {time.monotonic() - begun:.0f} s", flush=True)
        own = folder / "compose"
        own.mkdir()
        compose.run(lambda secrets: Node(own, network, secrets), dns, server)
        dns.process.terminate()
        server.stop()
    print(f"{len(overlays)} passed, 0 failed")


def made_secrets(folder, server, two_roles):
    """The Secrets of make-secrets, with a new database on `server` if there is one, and that of its owner."""
    if server is None:
        return secrets(None)
    name = f"athook{folder.name}"
    owner, url = server.database(name), folder / "database-url"
    url.write_text(server.serving_role(name) if two_roles else owner)
    return secrets(url) | ({"athook-database-owner": {"url": owner.encode()}} if two_roles else {})


def certificates(folder, namespace):
    """The Secrets of components/mutual-tls: one authority, a certificate for each service."""

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=athook test")
    made = {}
    for service in ("core-service", "gateway"):
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        host = ["-subj", f"/CN={service}", "-addext", f"subjectAltName=DNS:{service}.{namespace}.svc.cluster.local"]
        openssl("req", "-x509", *key, *signed, *host, "-keyout", f"{service}.key", "-out", f"{service}.crt")
        files = {"tls.crt": f"{service}.crt", "tls.key": f"{service}.key", "ca.crt": "ca.crt"}
        made[f"{service}-tls"] = {name: (folder / file).read_bytes() for name, file in files.items()}
    return made


class Drill:
    """The test of one overlay."""

    def __init__(self, rendered, node, dns, database):
        self.rendered, self.node, self.dns, self.database = rendered, node, dns, database
        self.pods = {"gateway": [], "core-service": []}

    def run(self):
        self.start("gateway")
        for gateway in self.pods["gateway"]:
            self.is_alive_and_not_ready(gateway)
        self.start("core-service")
        self.all_are_ready()
        for pod in self.all_pods():
            pod.is_confined()
        self.serves()
        self.calls_are_spread()
        if self.database:
            self.database_goes_away()
        else:
            self.core_service_dies()
        self.metrics()
        for pod in self.all_pods():
            now, most = pod.memory()
            print(f"  {pod.name}: {now:.0f} MiB, at most {most:.0f} MiB", flush=True)
        # Gateways first, since their readiness depends on the core-services.
        self.update("gateway")
        self.update("core-service")
        self.all_are_ready()
        for deployment in ("gateway", "core-service"):
            self.stop(*self.pods[deployment])

    def all_pods(self):
        return self.pods["gateway"] + self.pods["core-service"]

    def start(self, deployment, replicas=None):
        new = []
        for _ in range(replicas or self.rendered.replicas(deployment)):
            number = len(list(self.node.folder.glob(f"pods/{deployment}-*")))
            pod = Pod(self.node, self.rendered, deployment, number)
            pod.start()
            new.append(pod)
        for pod in new:
            print(f"  {pod.name}: started after {started(pod) * 1000:.0f} ms", flush=True)
        self.pods[deployment] += new

    def say_names(self):
        """Publishes in DNS the ready pods of the headless services."""
        for name, service in self.rendered.of_kind("Service").items():
            if service["spec"].get("clusterIP") == "None":
                ready = [
                    pod.address
                    for deployment in self.rendered.selected(service["spec"]["selector"])
                    for pod in self.pods[deployment]
                    if passes(pod, "readiness")
                ]
                self.dns.say(f"{name}.{self.rendered.namespace}.svc.cluster.local", ready)

    def all_are_ready(self):
        for core_service in self.pods["core-service"]:
            until(core_service, "readiness", True, FOLLOWS)
        self.say_names()
        for gateway in self.pods["gateway"]:
            until(gateway, "readiness", True, FOLLOWS)
        for pod in self.all_pods():
            assert passes(pod, "liveness"), pod.log()

    def is_alive_and_not_ready(self, pod):
        until(pod, "readiness", False, FOLLOWS)
        assert passes(pod, "liveness"), pod.log()

    def serves(self):
        """Calls the gateways through the service's port, as a client in the cluster would."""
        deployment, port = self.rendered.service_target("gateway", "http")
        host = self.rendered.of_kind("ConfigMap")
        (settings,) = (each["data"] for name, each in host.items() if name.startswith("gateway-"))
        for pod in self.pods[deployment]:
            status, body = get(f"http://{pod.address}:{port}/xrpc/_health", 5)
            assert status == 200, (status, body)
            status, body = get(f"http://{pod.address}:{port}/.well-known/did.json", 5)
            public = settings["PUBLIC_URL"].removeprefix("https://")
            assert status == 200 and json.loads(body)["id"] == f"did:web:{public}", (status, body)

    def calls_are_spread(self):
        """Checks that each gateway is connected to each core-service."""
        _, port = self.rendered.service_target("core-service", "grpc")
        wanted = {pod.address for pod in self.pods["core-service"]}
        end = time.monotonic() + FOLLOWS
        for gateway in self.pods["gateway"]:
            while (connected := gateway.connected_to(port)) != wanted:
                assert time.monotonic() < end, f"{gateway.name} is connected to {connected}, not {wanted}"
                time.sleep(0.02)

    def database_goes_away(self):
        self.database.stop()
        for pod in self.all_pods():
            self.is_alive_and_not_ready(pod)
        self.database.start()
        self.all_are_ready()

    def core_service_dies(self):
        (core_service,) = self.pods["core-service"]
        core_service.kill()
        self.pods["core-service"] = []
        for gateway in self.pods["gateway"]:
            self.is_alive_and_not_ready(gateway)
        # The new pod has the same volume.
        self.start("core-service")
        self.all_are_ready()

    def metrics(self):
        for pod in self.all_pods():
            annotations = self.rendered.deployment(pod.deployment)["spec"]["template"]["metadata"]["annotations"]
            assert annotations["prometheus.io/scrape"] == "true"
            status, body = get(f"http://{pod.address}:{annotations['prometheus.io/port']}/metrics", 5)
            assert status == 200 and b"# TYPE " in body, (pod.name, status, body)

    def update(self, deployment):
        """Replaces a pod by a new one, in the order of the strategy."""
        old = self.pods[deployment][0]
        if self.rendered.deployment(deployment)["spec"]["strategy"].get("type") == "Recreate":
            self.stop(old)
            self.start(deployment, replicas=1)
        else:
            self.start(deployment, replicas=1)
            self.all_are_ready()
            self.stop(old)

    def stop(self, *pods):
        """Sends SIGTERM. A pod must be unready but alive during its delay, then end with 0 within its grace."""
        self.pods[pods[0].deployment] = [pod for pod in self.pods[pods[0].deployment] if pod not in pods]
        for pod in pods:
            pod.terminate()
        for pod in pods:
            delay = checks.seconds(self.rendered.environment(pod.container)["SHUTDOWN_DELAY"])
            off = until(pod, "readiness", False, delay) - pod.terminated
            assert passes(pod, "liveness"), pod.log()
            assert off < delay / 2, f"{pod.name} was ready for {off:.1f} s of its delay"
        self.say_names()
        for pod in pods:
            code, took = pod.exit_code()
            assert code == 0 and took >= delay, f"{pod.name}: {code} after {took:.1f} s; {pod.log()}"


main()
