"""A Postgres server that pods reach by a name in the cluster, with a password."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from network import NODE, run

NAME = "postgres.postgres.svc.cluster.local"
PASSWORD = "of-the-test"
# A tmpfs is mounted here, in the mount namespace of the test, and disappears with it.
MEMORY = "/dev/shm"


class Postgres:
    """Its data is in memory: the tests do not depend on the disk, which is still busy with the images."""

    def __init__(self):
        self.user = pwd.getpwnam("postgres")
        run("mount", "-t", "tmpfs", "postgres", MEMORY)
        self.folder = Path(MEMORY, "postgres")
        self.folder.mkdir()
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: int(bin.parent.name))[-1]
        self.bin = newest
        self.run("initdb", "--pgdata", self.folder / "data", "--auth=trust", "--no-sync")
        (self.folder / "data/pg_hba.conf").write_text("local all all trust\nhost all all 10.244.0.0/16 scram-sha-256\n")
        self.start()
        self.sql(f"CREATE ROLE athook LOGIN PASSWORD '{PASSWORD}'")

    def sql(self, statement, database="postgres"):
        self.run("psql", "-h", self.folder, "-d", database, "-c", statement)

    def database(self, name):
        """Creates a database and returns its URL for pods."""
        self.sql(f"CREATE DATABASE {name} OWNER athook")
        return f"postgres://athook:{PASSWORD}@{NAME}/{name}"

    def serving_role(self, name):
        """Creates a role that may only read and write rows of the database, and returns its URL for pods."""
        self.sql(f"CREATE ROLE athook_serving LOGIN PASSWORD '{PASSWORD}'")
        rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO athook_serving"
        self.sql(f"ALTER DEFAULT PRIVILEGES FOR ROLE athook IN SCHEMA public {rights}", name)
        return f"postgres://athook_serving:{PASSWORD}@{NAME}/{name}"

    def run(self, program, *arguments):
        command = [shutil.which(program, path=self.bin), *arguments]
        subprocess.run(
            [str(word) for word in command],
            check=True,
            user=self.user.pw_uid,
            group=self.user.pw_gid,
            extra_groups=[],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self):
        options = f"-c listen_addresses={NODE} -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        self.run("pg_ctl", "--pgdata", self.folder / "data", "--log", log, "--options", options, "--wait", "start")

    def stop(self):
        self.run("pg_ctl", "--pgdata", self.folder / "data", "--mode", "immediate", "--wait", "stop")
