"""The cluster's network and its DNS, inside the network namespace of the test."""

import signal
import subprocess
from pathlib import Path

# Of the node, with which pods, probes, DNS and Postgres speak.
NODE = "10.244.0.1"
# Given to the bridge for good. By itself it takes the lowest of its ports', and changes it when that pod goes: what the
# other pods then send to the node is lost until they ask for its address again, which takes them many seconds.
HARDWARE_ADDRESS = "02:00:0a:f4:00:01"


def run(*command, **settings):
    subprocess.run([str(word) for word in command], check=True, **settings)


class Network:
    """A bridge on which each pod has an address."""

    def __init__(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "pods", "address", HARDWARE_ADDRESS, "type", "bridge")
        run("ip", "address", "add", f"{NODE}/16", "dev", "pods")
        run("ip", "link", "set", "pods", "up")
        self.made = 0

    def address(self):
        """An address that no pod has had yet."""
        self.made += 1
        return f"10.244.{1 + self.made // 250}.{1 + self.made % 250}"

    def attach(self, process, address):
        """Gives the network namespace of a process an interface with this address."""
        outside, inside = f"v{process}", f"e{process}"
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
        run("ip", "link", "set", inside, "netns", process)
        run("ip", "link", "set", outside, "master", "pods", "up")
        within = ["nsenter", f"--net=/proc/{process}/ns/net", "ip"]
        run(*within, "link", "set", inside, "name", "eth0")
        run(*within, "address", "add", f"{address}/16", "dev", "eth0")
        run(*within, "link", "set", "eth0", "up")


class Dns:
    """Names as the cluster's DNS has them: a headless service has the addresses of its ready pods."""

    def __init__(self, folder):
        self.hosts = Path(folder, "hosts")
        self.records = {}
        self.hosts.touch()
        self.process = subprocess.Popen(
            [
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file"),
                *("--no-resolv", "--no-hosts", "--local=/cluster.local/", f"--addn-hosts={self.hosts}"),
                *("--bind-interfaces", f"--listen-address={NODE}", "--local-ttl=1", "--no-negcache"),
            ]
        )

    def say(self, name, addresses):
        self.records[name] = addresses
        lines = [f"{address} {name}\n" for name, addresses in self.records.items() for address in addresses]
        self.hosts.write_text("".join(lines))
        self.process.send_signal(signal.SIGHUP)


def resolv_conf(namespace):
    """What the kubelet writes into a pod."""
    search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    return f"nameserver {NODE}\nsearch {search}\noptions ndots:5\n"
