"""A simulated cluster of one node, with the features that the runbook needs: the applied objects and controllers.

Deployments are rolled out according to their strategy, Services have the addresses of ready pods, and a pod gets the
Secrets and volumes that exist when it starts. Pods run as in deploy/manifests. The test fails if a pod does something
that no procedure asked for, such as ending by itself.
"""

import hashlib
import json
import os
import re
import threading
import time

import kubernetes_validate

from pods import Node, Pod
from probes import passes
from rendered import Rendered

# The interval of the controllers, in seconds.
TICK = 0.2


class CurrentObjects(Rendered):
    """The current objects, with the look-ups of rendered manifests. `spec`: the pod spec of any deployment."""

    def __init__(self, objects, spec=None):
        self.objects, self.spec = list(objects), spec

    def pod_spec(self, deployment):
        return self.spec or super().pod_spec(deployment)


class ClusterNode(Node):
    """A node that has the images of some releases, and knows which volume each claim is bound to."""

    def __init__(self, cluster, releases):
        super().__init__(cluster.folder, cluster.network, cluster.secrets)
        self.cluster, self.releases = cluster, releases

    def image(self, reference):
        assert reference.rpartition(":")[2] in self.releases, f"no registry has {reference}"
        return super().image(reference)

    def volume(self, pod, volume):
        match volume:
            case {"name": name, "persistentVolumeClaim": {"claimName": claim}}:
                volume = {"name": name, "persistentVolumeClaim": {"claimName": self.cluster.claims[claim]}}
        return super().volume(pod, volume)


class ClusterPod(Pod):
    terminating = False
    ready_since = None

    def claims(self):
        return claims_of(self.spec)


def claims_of(spec):
    return {each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each}


def secrets_of(spec):
    return {each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}


class Cluster:
    def __init__(self, folder, network, dns, releases):
        self.folder, self.network, self.dns = folder, network, dns
        self.objects, self.secrets = {}, {}
        # {claim: volume} and {volume: reclaim policy}. The volume of a deleted claim remains only under
        # `Retain`.
        self.claims, self.volumes = {}, {}
        self.pods, self.made, self.events, self.said = [], 0, [], {}
        self.node = ClusterNode(self, releases)
        self.lock, self.ending, self.failure = threading.RLock(), threading.Event(), None
        self.controllers = threading.Thread(target=self.control, daemon=True)
        self.controllers.start()

    # The API.

    def put(self, made):
        """Creates or updates an object. Keeps fields that something else than its manifest has set."""
        kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
        kind, name = made["kind"], made["metadata"]["name"]
        with self.lock:
            before = self.objects.get((kind, name))
            if kind == "Deployment":
                made["spec"].setdefault("replicas", before["spec"]["replicas"] if before else 1)
                restarted = before and annotations(before).get(RESTARTED)
                if restarted:
                    annotations(made)[RESTARTED] = restarted
            if kind == "PersistentVolumeClaim" and not before:
                volume = f"pv-{len(self.events)}"
                self.claims[name] = volume
                self.volumes[volume] = "Delete"
            self.objects[kind, name] = made
            self.event(f"{kind} {name} {'configured' if before else 'created'}")
        return "configured" if before else "created"

    def find(self, kind, name):
        assert (kind, name) in self.objects, f"there is no {kind} {name}"
        return self.objects[kind, name]

    def delete_claim(self, name):
        """Deletes a claim once no pod uses it any more, as the finalizer requires."""
        self.find("PersistentVolumeClaim", name)
        self.wait(lambda: not any(name in pod.claims() for pod in self.pods), 60, f"{name} is in use")
        with self.lock:
            del self.objects["PersistentVolumeClaim", name]
            volume = self.claims.pop(name)
            if self.volumes[volume] == "Delete":
                del self.volumes[volume]

    def of_deployment(self, name):
        return [pod for pod in self.pods if pod.deployment == name]

    def serving(self, name):
        """The ready pods of a deployment, to which its Service leads."""
        with self.lock:
            return [pod for pod in self.of_deployment(name) if pod.ready_since and not pod.terminating]

    def rolled_out(self, name):
        with self.lock:
            live = self.find("Deployment", name)
            mine = [pod for pod in self.of_deployment(name) if not pod.terminating]
            new = [pod for pod in mine if pod.revision == revision(live)]
            return len(mine) == len(new) == live["spec"]["replicas"] and all(is_available(pod, live) for pod in new)

    def wait(self, condition, seconds, otherwise):
        end = time.monotonic() + seconds
        while not condition():
            assert not self.failure, self.failure
            assert time.monotonic() < end, f"{otherwise}, after {seconds} s"
            time.sleep(TICK)

    def event(self, text):
        self.events.append(text)

    # The controllers and the kubelet.

    def control(self):
        try:
            while not self.ending.wait(TICK):
                with self.lock:
                    self.reap()
                    for (kind, name), live in list(self.objects.items()):
                        if kind == "HorizontalPodAutoscaler":
                            self.scale(live["spec"])
                        elif kind == "Deployment":
                            self.roll(name, live)
                    serving = [pod for pod in self.pods if not pod.terminating]
                for pod in serving:
                    ready = passes(pod, "readiness")
                    pod.ready_since = (pod.ready_since or time.monotonic()) if ready else None
                with self.lock:
                    self.publish()
        except BaseException as failure:  # noqa: BLE001 - reported by the next call that waits
            self.failure = f"the cluster failed: {failure!r}"
            raise

    def reap(self):
        for pod in list(self.pods):
            process, status = os.waitpid(pod.process, os.WNOHANG)
            if process:
                assert pod.terminating, f"{pod.name} ended by itself; {pod.log()}"
                code = os.waitstatus_to_exitcode(status)
                assert code == 0, f"{pod.name} ended with {code}; {pod.log()}"
                pod.runc("delete", pod.id_of(pod.container))
                self.pods.remove(pod)
                self.event(f"{pod.name} ended")
            elif pod.terminating:
                late = time.monotonic() - pod.terminated > pod.spec["terminationGracePeriodSeconds"]
                assert not late, f"{pod.name} did not end within its grace period; {pod.log()}"

    def scale(self, scaler):
        """A HorizontalPodAutoscaler without load. Does not change a deployment that was scaled to 0."""
        live = self.find("Deployment", scaler["scaleTargetRef"]["name"])
        if live["spec"]["replicas"]:
            live["spec"]["replicas"] = max(live["spec"]["replicas"], scaler["minReplicas"])

    def roll(self, name, live):
        mine = [pod for pod in self.of_deployment(name) if not pod.terminating]
        new = [pod for pod in mine if pod.revision == revision(live)]
        old = [pod for pod in mine if pod not in new]
        wanted, strategy = live["spec"]["replicas"], live["spec"]["strategy"]
        for pod in new[wanted:]:
            self.terminate(pod)
        if strategy.get("type") == "Recreate":
            for pod in old:
                self.terminate(pod)
            if len(new) < wanted and all(pod in new for pod in self.of_deployment(name)):
                self.start(name, live)
            return
        if len(new) < wanted and len(mine) < wanted + strategy["rollingUpdate"]["maxSurge"]:
            self.start(name, live)
        may_go = sum(is_available(pod, live) for pod in mine) - wanted + strategy["rollingUpdate"]["maxUnavailable"]
        for pod in sorted(old, key=lambda pod: is_available(pod, live)):
            if not is_available(pod, live) or may_go > 0:
                may_go -= is_available(pod, live)
                self.terminate(pod)

    def start(self, name, live):
        """Starts a pod, if everything that it mounts exists and is free."""
        spec = live["spec"]["template"]["spec"]
        taken = {claim for pod in self.pods for claim in pod.claims()}
        claims = claims_of(spec)
        if secrets_of(spec) <= self.secrets.keys() and claims <= self.claims.keys() and not claims & taken:
            pod = self.pod(name, spec)
            pod.revision = revision(live)
            pod.start()
            self.pods.append(pod)
            self.event(f"{pod.name} started")

    def pod(self, name, spec, kind=ClusterPod):
        self.made += 1
        return kind(self.node, CurrentObjects(self.objects.values(), spec), name, self.made)

    def terminate(self, pod):
        pod.terminating, pod.ready_since = True, None
        pod.terminate()
        self.event(f"{pod.name} terminated")

    def publish(self):
        """Publishes the headless Services in DNS, where they have changed."""
        for (kind, name), service in self.objects.items():
            if kind == "Service" and service["spec"].get("clusterIP") == "None":
                deployment = service["spec"]["selector"]["app.kubernetes.io/name"]
                addresses = sorted(pod.address for pod in self.serving(deployment))
                if self.said.get(name) != addresses:
                    self.said[name] = addresses
                    self.dns.say(f"{name}.{service['metadata']['namespace']}.svc.cluster.local", addresses)

    def warnings(self):
        """The warnings in the logs of all pods, also of ended ones: lines that begin with the pod's name."""
        logs = sorted((self.folder / "pods").glob("*/log"))
        lines = ((log, line) for log in logs for line in log.read_text(errors="replace").splitlines())
        return [f"{log.parent.name}: {line}" for log, line in lines if WARNING.search(line)]

    def end(self):
        """Stops everything. Raises if something has failed."""
        with self.lock:
            for live in self.objects.values():
                if live["kind"] == "Deployment":
                    live["spec"]["replicas"] = 0
        self.wait(lambda: not self.pods, 60, "pods are left")
        self.ending.set()
        self.controllers.join()
        assert not self.failure, self.failure


# Log lines that operators should see.
WARNING = re.compile('"level":"(WARN|ERROR)"|panicked')
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def annotations(deployment):
    return deployment["spec"]["template"]["metadata"].setdefault("annotations", {})


def revision(deployment):
    return hashlib.sha256(json.dumps(deployment["spec"]["template"], sort_keys=True).encode()).hexdigest()


def is_available(pod, deployment):
    settles = deployment["spec"].get("minReadySeconds", 0)
    return pod.ready_since is not None and time.monotonic() - pod.ready_since >= settles
