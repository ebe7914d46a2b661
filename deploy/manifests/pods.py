"""Runs the pods of a rendered deployment as a kubelet would, with runc as the runtime.

Fails on anything in a manifest that it does not know, rather than ignore it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path

from network import resolv_conf, run
from rendered import ROOT, the_container

# The default profile of Kubernetes runtimes, from the package golang-github-containers-common.
DEFAULT_SECCOMP = Path("/usr/share/containers/seccomp.json")
MEBIBYTE = 1 << 20
# The state ESTABLISHED in /proc/net/tcp.
ESTABLISHED = "01"


class Image:
    """An image as deploy/build-images unpacked it."""

    def __init__(self, name, folder):
        """`folder`: for a copy of the root file system, in which the runtime creates its mount points."""
        laid_out = ROOT / "target/images" / name
        self.config = json.loads((laid_out / "image.json").read_text())["OCIv1"]["config"]
        self.rootfs = folder / name
        shutil.copytree(laid_out / "rootfs", self.rootfs)

    @staticmethod
    def name_of(reference):
        return re.fullmatch(r".*/([^/:]+):[^/:]+", reference)[1]


class Node:
    """The node on which pods run: images, volumes, network."""

    def __init__(self, folder, network, secrets):
        self.folder, self.network, self.secrets = folder, network, secrets
        self.images = {}

    def image(self, reference):
        name = Image.name_of(reference)
        if name not in self.images:
            self.images[name] = Image(name, self.folder / "images")
        return self.images[name]

    def volume(self, pod, volume):
        """Returns the folder of a volume."""
        group = pod.spec["securityContext"]["fsGroup"]
        match volume:
            case {"name": name, "secret": {"secretName": secret, "defaultMode": mode}}:
                folder = self.folder / "volumes" / pod.name / name
                folder.mkdir(parents=True)
                for key, value in self.secrets[secret].items():
                    file = folder / key
                    file.write_bytes(value)
                    os.chown(file, 0, group)
                    file.chmod(mode)
            case {"persistentVolumeClaim": {"claimName": claim}}:
                folder = self.folder / "claims" / claim
                folder.mkdir(parents=True, exist_ok=True)
                os.chown(folder, 0, group)
                folder.chmod(0o2770)
            case _:
                raise AssertionError(f"unknown kind of volume: {volume}")
        return folder


class Pod:
    def __init__(self, node, rendered, deployment, number):
        self.node, self.rendered, self.deployment = node, rendered, deployment
        self.name = f"{deployment}-{number}"
        self.spec = rendered.pod_spec(deployment)
        self.container = the_container(self.spec)
        self.address = node.network.address()
        self.volumes = {volume["name"]: node.volume(self, volume) for volume in self.spec["volumes"]}
        self.folder = node.folder / "pods" / self.name
        self.folder.mkdir(parents=True)
        (self.folder / "resolv.conf").write_text(resolv_conf(rendered.namespace))
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.address} {self.name}\n")

    def start(self):
        """Runs the init containers, then starts the pod."""
        for container in self.spec.get("initContainers", []):
            process = self.run(container)
            _, status = os.waitpid(process, 0)
            self.runc("delete", self.id_of(container))
            assert os.waitstatus_to_exitcode(status) == 0, self.log()
        self.started = time.monotonic()
        self.process = self.run(self.container)

    def run(self, container):
        """Starts a container and returns its process id."""
        bundle = self.folder / container["name"]
        bundle.mkdir()
        run("runc", "spec", "--bundle", bundle)
        file = bundle / "config.json"
        file.write_text(json.dumps(self.configured(container, json.loads(file.read_text()))))
        process = bundle / "process"
        with (self.folder / "log").open("ab") as log:
            create = ["create", "--bundle", bundle, "--pid-file", process, self.id_of(container)]
            self.runc(*create, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        process = int(process.read_text())
        self.node.network.attach(process, self.address)
        self.runc("start", self.id_of(container))
        return process

    def runc(self, *words, **settings):
        run("runc", "--root", self.node.folder / "runc", *words, **settings)

    def id_of(self, container):
        return f"athook-test-{self.name}-{container['name']}"

    def configured(self, container, config):
        """Changes `config`, the runtime's default, to that of the container."""
        image = self.node.image(container["image"])
        context = self.spec["securityContext"] | container["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] != 0
        assert image.config["User"] == f"{context['runAsUser']}:{context['runAsGroup']}"
        assert context["seccompProfile"] == {"type": "RuntimeDefault"} and context["capabilities"] == {"drop": ["ALL"]}
        entry = container.get("command", image.config["Entrypoint"])
        variables = dict(each.split("=", 1) for each in image.config.get("Env", []))
        variables |= self.rendered.environment(container)
        config["process"] |= {
            "terminal": False,
            "args": entry + container.get("args", []),
            "cwd": image.config.get("WorkingDir") or "/",
            "env": [f"{name}={value}" for name, value in variables.items()],
            "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"], "additionalGids": [context["fsGroup"]]},
            "capabilities": {},
            "noNewPrivileges": not context["allowPrivilegeEscalation"],
            "rlimits": [],
        }
        config["root"] = {"path": str(image.rootfs), "readonly": context["readOnlyRootFilesystem"]}
        config["hostname"] = self.name
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
        for file in ("hosts", "resolv.conf"):
            config["mounts"].append(bound(self.folder / file, f"/etc/{file}", "ro"))
        for mount in container["volumeMounts"]:
            mode = "ro" if mount.get("readOnly", False) else "rw"
            config["mounts"].append(bound(self.volumes[mount["name"]], mount["mountPath"], mode))
        limit = int(re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])[1]) * MEBIBYTE
        config["linux"]["resources"]["memory"] = {"limit": limit}
        config["linux"]["seccomp"] = seccomp()
        return config

    def log(self):
        return f"the log of {self.name}:\n" + (self.folder / "log").read_text(errors="replace")

    def status(self):
        """/proc/PID/status of the process."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return {key: value.split() for key, value in (line.split(":", 1) for line in lines)}

    def is_confined(self):
        """Asserts that the kernel applies the security context of the manifest to the process."""
        status, user = self.status(), str(self.spec["securityContext"]["runAsUser"])
        assert status["Uid"] == [user] * 4 and status["Gid"] == [user] * 4, self.name
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind][0], 16) == 0, (self.name, kind)
        assert status["NoNewPrivs"] == ["1"] and status["Seccomp"] == ["2"], self.name
        mounts = [line.split() for line in Path(f"/proc/{self.process}/mountinfo").read_text().splitlines()]
        writable = {mount[4] for mount in mounts if "rw" in mount[5].split(",")}
        of_the_runtime = {path for path in writable if path.split("/")[1] in ("dev", "proc")}
        asked_for = {mount["mountPath"] for mount in self.container["volumeMounts"] if not mount.get("readOnly")}
        assert writable - of_the_runtime == asked_for, (self.name, writable)

    def connected_to(self, port):
        """The IPv4 addresses to whose `port` the pod has connections."""
        lines = Path(f"/proc/{self.process}/net/tcp").read_text().splitlines()[1:]
        peers = [line.split()[2].split(":") for line in lines if line.split()[3] == ESTABLISHED]
        # The kernel prints addresses in hexadecimal, in the byte order of the machine.
        return {str(IPv4Address(int(host, 16).to_bytes(4, "little"))) for host, at in peers if int(at, 16) == port}

    def memory(self):
        """Resident memory: (now, peak), in MiB."""
        status = self.status()
        return tuple(int(status[key][0]) / 1024 for key in ("VmRSS", "VmHWM"))

    def terminate(self):
        self.terminated = time.monotonic()
        os.kill(self.process, signal.SIGTERM)

    def kill(self):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        self.runc("delete", self.id_of(self.container))

    def exit_code(self):
        """Waits for the process to end, for its grace period. Returns (exit code, seconds since SIGTERM)."""
        grace = self.spec["terminationGracePeriodSeconds"]
        while (took := time.monotonic() - self.terminated) < grace:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.runc("delete", self.id_of(self.container))
                return os.waitstatus_to_exitcode(status), took
            time.sleep(0.02)
        raise AssertionError(f"{self.name} did not end within its grace period of {grace} s; {self.log()}")


def bound(source, destination, mode):
    options = ["bind", mode, "nosuid", "nodev"]
    return {"source": str(source), "destination": destination, "type": "bind", "options": options}


def seccomp():
    """The default profile, for a process without capabilities on x86-64."""

    def applies(rule):
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        wanted = includes.get("arches") or ["amd64"]
        return not includes.get("caps") and "amd64" in wanted and "amd64" not in (excludes.get("arches") or [])

    profile = json.loads(DEFAULT_SECCOMP.read_text())
    keys = ("names", "action", "args", "errnoRet")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{key: rule[key] for key in keys if rule.get(key)} for rule in profile["syscalls"] if applies(rule)],
    }
