"""Executes every command of deploy/RUNBOOK.md. deploy/test-runbook starts it in its own namespaces.

An operator (desk.py) pastes the commands into a bash. Its kubectl (kubectl.py) controls a simulated cluster of one node
(cluster.py), in which the images of deploy/build-images run according to their manifests. After each procedure the test
checks that it achieved its purpose. On Postgres, clients make calls all the time, and no call may fail.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "manifests"))

import grpc  # noqa: E402

import direct  # noqa: E402
import postgres  # noqa: E402
from callers import Account, Directory, Traffic  # noqa: E402
from cluster import Cluster  # noqa: E402
from desk import Desk  # noqa: E402
from document import Document  # noqa: E402
from network import NODE, Dns, Network, resolv_conf  # noqa: E402
from server import Server  # noqa: E402

AUDIENCE = "did:web:hooks.yours"
# How long a gateway may take to notice a change in the core-services, in seconds.
FOLLOWS = 15
CORE_SERVICE = "core-service.athook.svc.cluster.local"
# What the test adds to the operator's overlay. Two core-services restart faster than three.
TEST_COMPONENTS = """\
components:
  - ../of-the-test
"""
ON_POSTGRES = """\
  - ../athook/deploy/kubernetes/components/mutual-tls
replicas:
  - name: core-service
    count: 2
"""


class KeptRows:
    """Rows of an account that every procedure must preserve."""

    def __init__(self, account):
        self.account = account
        self.name, self.url = "kept", "https://receiver.example/kept"
        account.create_secret(self.name)
        self.webhook = account.create_webhook(self.url)

    def check(self):
        assert self.account.url_of(self.webhook) == self.url
        self.account.is_refused(self.account.create_webhook, self.url, error="DuplicateWebhook")
        assert self.account.webhooks() == {self.url}
        assert self.account.secrets() == {self.name}


class Journey:
    """The test on one cluster, from installation to shutdown."""

    def __init__(self, name, folder, document, network, dns, directory, server):
        self.folder = folder / f"on-{name}"
        self.folder.mkdir()
        self.document, self.directory, self.server = document, directory, server
        self.releases = [release_in(document, "Roll back"), release_in(document, "Upgrade")]
        tags = {release.removeprefix("v") for release in self.releases}
        self.cluster = Cluster(self.folder, network, dns, tags)
        self.desk = Desk(self.folder, document, Server(self.cluster, self.folder).socket, self.releases)
        self.private = self.desk.folder / "private"
        self.traffic = None

    def account(self, did=None):
        return Account(self.cluster, self.directory, AUDIENCE, did)

    def follow(self, *headings, **settings):
        if self.traffic:
            self.traffic.at = headings[0]
        begun = time.monotonic()
        printed = self.desk.follow(*headings, **settings)
        assert not self.cluster.failure, self.cluster.failure
        print(f"  {', '.join(headings)}: {time.monotonic() - begun:.0f} s", flush=True)
        return printed

    def install(self, instead, added):
        self.follow("Your overlay", every_time=False, instead=instead)
        with (self.desk.folder / "hooks/kustomization.yaml").open("a") as overlay:
            overlay.write(TEST_COMPONENTS + added)
        self.follow("Apply it")
        assert not self.cluster.pods, "pods started before their Secrets existed"

    def is_well(self):
        printed = self.follow("Is it well?")
        assert '{"version":"' in printed, printed

    def ready(self):
        """Waits until a gateway is ready again."""
        self.cluster.wait(lambda: self.cluster.serving("gateway"), FOLLOWS, "no gateway is ready")

    def images_are(self, release):
        for pod in self.cluster.serving("gateway") + self.cluster.serving("core-service"):
            assert pod.container["image"].endswith(f":{release.removeprefix('v')}"), pod.container["image"]

    def secret(self, name):
        return dict(self.cluster.secrets[name])


class OnPostgres(Journey):
    def run(self):
        self.install(instead=(), added=ON_POSTGRES)
        self.follow("Make certificates", "Secrets, with mutual TLS")
        self.desk.edits(self.server.database("first"))
        self.follow("Secrets, with Postgres")
        self.is_well()
        kept = KeptRows(self.account())
        keys = self.back_up()
        with Traffic(self.cluster, self.directory, AUDIENCE) as self.traffic:
            for procedure in (self.upgrade_and_back, self.seal_keys, self.shared_token, self.certificates):
                procedure()
                kept.check()
        print(f"  {self.traffic.calls} calls, none failed", flush=True)
        self.traffic = None
        self.restore(keys, kept)
        self.purge()
        kept.check()
        self.two_roles()
        kept.check()
        printed = self.follow("Alerts")
        assert all(pod.name in printed for pod in self.cluster.pods), printed
        # From the time without a database.
        assert re.search(r'^\[pod/gateway-.*"level":"(WARN|ERROR)"', printed, re.MULTILINE), printed
        printed = self.follow("SealedValueDoesNotOpen")
        assert "every sealed value is under the first key" in printed, printed
        self.cluster.end()

    def upgrade_and_back(self):
        before, after = self.releases
        self.images_are(before)
        self.follow("Upgrade")
        self.images_are(after)
        # The newer release leaves a schema that the older one does not fully know.
        self.sql("first", "SET ROLE athook; CREATE TABLE of_the_next_release (id integer)")
        self.sql("first", "INSERT INTO seaql_migrations VALUES ('m9999_of_the_next_release', 0)")
        self.follow("Roll back")
        self.images_are(before)
        for command in ("reseal", "export", "purge --did did:plc:aaaabbbbccccddddeeeeffff"):
            output = self.desk.fails(f"kubectl exec deployment/core-service -- /core-service {command}\n")
            assert "newer" in output, output
        self.sql("first", "DELETE FROM seaql_migrations WHERE version = 'm9999_of_the_next_release'")

    def seal_keys(self):
        before = self.secret("athook-seal-keys")["keys"]
        printed = self.follow("Rotate the seal keys")
        # The second time with only the new key.
        assert printed.count("every sealed value is under the first key") == 2, printed
        after = self.secret("athook-seal-keys")["keys"]
        assert after.count(b"\n") == 1 and after not in before, "the old key is still there"
        for pod in self.cluster.serving("core-service"):
            assert (pod.volumes["seal-keys"] / "keys").read_bytes() == after

    def shared_token(self):
        before = self.secret("athook-core-token")["token"].decode().strip()
        self.follow("Rotate the shared token")
        after = self.secret("athook-core-token")["token"].decode().strip()
        for pod in self.cluster.serving("core-service"):
            with direct.over_tls(pod, CORE_SERVICE, self.secret("gateway-tls")) as channel:
                assert direct.code_of(channel, before) == grpc.StatusCode.UNAUTHENTICATED
                assert direct.code_of(channel, after) == grpc.StatusCode.OK

    def certificates(self):
        before = self.secret("gateway-tls")
        self.follow("Rotate the certificates", "Make certificates", "Put them in the place of the old ones")
        after, token = self.secret("gateway-tls"), self.secret("athook-core-token")["token"].decode().strip()
        assert after["ca.crt"].count(b"BEGIN") == 1
        for pod in self.cluster.serving("core-service"):
            for files, code in (
                (after, grpc.StatusCode.OK),
                # A certificate of the old authority; and a client that trusts only the old authority.
                (before | {"ca.crt": after["ca.crt"]}, grpc.StatusCode.UNAVAILABLE),
                (after | {"ca.crt": before["ca.crt"]}, grpc.StatusCode.UNAVAILABLE),
            ):
                with direct.over_tls(pod, CORE_SERVICE, files) as channel:
                    assert direct.code_of(channel, token) == code

    def back_up(self):
        printed = self.follow("Back up", "Back up Postgres")
        assert "TABLE DATA" in printed
        keys = (self.private / "seal.keys").read_bytes()
        assert keys == self.secret("athook-seal-keys")["keys"]
        return keys

    def restore(self, keys, kept):
        """Restores a backup that is older than the current seal keys, with the keys of its time."""
        kept.account.create_secret("after")
        self.sql("first", "DROP TABLE webhook")
        (self.private / "seal.keys").write_bytes(keys)
        self.follow("Restore", "Restore Postgres")
        self.ready()
        kept.check()
        self.desk.edits(self.server.database("second"))
        self.follow("Restore", "Restore onto another Postgres", "Restore Postgres")
        self.ready()
        self.server.sql("DROP DATABASE first")
        kept.check()
        printed = self.follow("Requeue deliveries")
        assert "due again: 0 deliveries" in printed, printed

    def purge(self):
        (block,) = self.document.blocks["Purge an account"]
        account = self.account(re.search(r"did:plc:[a-z2-7]{24}", block)[0])
        account.create_secret("one")
        for number in range(2):
            account.create_webhook(f"https://receiver.example/{number}")
        printed = self.follow("Purge an account")
        assert "1 secrets, 2 webhooks" in printed, printed
        assert account.webhooks() == set() and account.secrets() == set()

    def two_roles(self):
        serving = self.server.serving_role("second")
        self.desk.edits(serving)
        self.follow("Grant rights to the second role")
        overlay = (self.desk.folder / "hooks/kustomization.yaml").read_text()
        mutual_tls = "  - ../athook/deploy/kubernetes/components/mutual-tls\n"
        self.desk.edits(overlay.replace(mutual_tls, mutual_tls + mutual_tls.replace("mutual-tls", "two-roles")))
        self.follow("Serve as the second role")
        self.is_well()
        for pod in self.cluster.serving("core-service"):
            assert (pod.volumes["database"] / "url").read_text() == serving

    def sql(self, database, statement):
        self.server.run("psql", "-h", self.server.folder, "-d", database, "-c", statement)


class OnSqlite(Journey):
    def run(self):
        self.install(instead=[("overlays/postgres", "overlays/sqlite")], added="")
        self.follow("Secrets, with SQLite")
        self.is_well()
        kept = KeptRows(self.account())
        printed = self.follow("Back up", "Back up SQLite")
        assert '"webhooks":1' in printed, printed
        kept.account.create_secret("after")
        claim = self.cluster.claims["database"]
        with (self.folder / "claims" / claim / "athook.db").open("r+b") as file:
            file.write(bytes(4096))
        self.follow("Restore", "Restore SQLite")
        damaged = self.cluster.volumes.keys() - set(self.cluster.claims.values())
        assert damaged == {claim}, "the damaged volume is gone"
        self.ready()
        kept.check()
        self.move(kept)
        self.cluster.end()

    def move(self, kept):
        accounts = [self.account() for _ in range(20)]
        for account in accounts:
            account.create_webhook("https://receiver.example/moved")
        self.desk.edits(self.server.database("given_up"))
        self.follow("Everything out", "Everything in", "Break it off")
        self.is_well()
        kept.check()
        self.desk.edits(self.server.database("moved"))
        self.follow("Everything out", "Everything in", "The other overlay")
        assert len(self.cluster.serving("core-service")) > 1
        self.ready()
        kept.check()
        rows = (self.private / "athook.jsonl").read_text()
        self.server.sql("DROP DATABASE given_up")
        self.follow("Back up SQLite")
        assert (self.private / "athook.jsonl").read_text() == rows, "the exported rows have changed"
        for account in accounts:
            account.is_refused(account.create_webhook, "https://receiver.example/moved", error="DuplicateWebhook")


def on_one_machine(desk):
    """The procedures for `athook` on one machine. A core-service stands in for it: it owns the database."""
    machine = direct.OneMachine(desk.folder)
    (desk.folder / "athook.keys").write_bytes(base64.b64encode(os.urandom(32)))
    machine.start()
    did, names = "did:plc:aaaabbbbccccddddeeeeffff", []
    ending = threading.Event()

    def write():
        # Not as many as a DID may have: one more is made after the backup.
        while not ending.is_set() and len(names) < 90:
            direct.create_secret(machine.channel, did, f"name-{len(names)}-")
            names.append(f"name-{len(names)}-")

    writing = threading.Thread(target=write)
    writing.start()
    while len(names) < 10:
        time.sleep(0.01)
    before = list(names)
    printed = desk.follow("Back up `athook` on one machine", every_time=False)
    ending.set()
    writing.join()
    assert printed == "ok\n", printed
    direct.create_secret(machine.channel, did, "after")
    machine.stop()
    desk.follow("Restore `athook` on one machine", every_time=False)
    machine.start()
    there = direct.list_secrets(machine.channel, did)
    assert all(name.encode() in there for name in before) and b"after" not in there
    machine.stop()
    print("one machine: passed", flush=True)


def release_in(document, heading):
    return re.search(r"^release=(v[\d.]+)$", "".join(document.blocks[heading]), re.MULTILINE)[1]


def main():
    begun = time.monotonic()
    document = Document()
    document.check_links()
    print(f"{document.check_alerts()} alerts have a section", flush=True)
    with tempfile.TemporaryDirectory(prefix="athook-runbook-") as folder:
        folder = Path(folder)
        # The user of the services must be able to reach its volumes.
        folder.chmod(0o755)
        network, dns, server, directory = Network(), Dns(folder), postgres.Postgres(), Directory()
        dns.say(postgres.NAME, [NODE])
        # The operator's machine resolves the names of the cluster.
        (folder / "resolv.conf").write_text(resolv_conf("athook"))
        resolving = Path("/etc/resolv.conf").resolve()
        subprocess.run(["mount", "--bind", folder / "resolv.conf", resolving], check=True)
        for name, kind in (("sqlite", OnSqlite), ("postgres", OnPostgres)):
            print(f"{name}:", flush=True)
            journey = kind(name, folder, document, network, dns, directory, server)
            journey.run()
        (folder / "machine").mkdir()
        on_one_machine(Desk(folder / "machine", document, folder / "nowhere", journey.releases))
        subprocess.run(["umount", resolving], check=True)
        dns.process.terminate()
        server.stop()
    left = document.with_commands() - Desk.followed
    assert not left, f"not executed: {left}"
    print(f"the runbook: passed in {time.monotonic() - begun:.0f} s", flush=True)


main()
