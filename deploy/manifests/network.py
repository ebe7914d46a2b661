"""The network and the DNS of the cluster, inside the network namespace of the test."""

import signal
import subprocess
from pathlib import Path

# The address of the node, which probes, DNS and Postgres use.
NODE = "10.244.0.1"
# A fixed hardware address for the bridge. By default it has the lowest address of its ports, which changes
# when that pod ends; then the packets of other pods to the node are lost for many seconds, until they resolve
# its address again.
HARDWARE_ADDRESS = "02:00:0a:f4:00:01"


def run(*command, **settings):
    subprocess.run([str(word) for word in command], check=True, **settings)


class Network:
    """A bridge to which each pod is attached with its own address."""

    def __init__(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "pods", "address", HARDWARE_ADDRESS, "type", "bridge")
        run("ip", "address", "add", f"{NODE}/16", "dev", "pods")
        run("ip", "link", "set", "pods", "up")
        self.made = 0

    def address(self):
        """Returns an unused address."""
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
    """The cluster's DNS: the name of a headless service resolves to the addresses of its ready pods."""

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
    """The resolv.conf that the kubelet writes for a pod."""
    search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    return f"nameserver {NODE}\nsearch {search}\noptions ndots:5\n"
