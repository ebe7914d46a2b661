"""The server behind the substitute for kubectl: parses its command lines strictly and executes them."""

import argparse
import json
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import yaml

from kubectl import NAMESPACE, Call, CommandError

# {verb: {flag: type of its value}}. None: the flag has no value.
FLAGS = {
    "apply": {"--kustomize": str, "--filename": str},
    "create": {"--filename": str},
    "delete": {"--ignore-not-found": None},
    "exec": {},
    "get": {"--output": str, "--raw": str, "--selector": str, "--sort-by": str},
    "logs": {"--prefix": None, "--selector": str, "--since": str, "--tail": int},
    "patch": {"--patch": str},
    "replace": {"--filename": str},
    "rollout restart": {},
    "rollout status": {"--timeout": str},
    "run": {
        "--image": str,
        "--labels": str,
        "--override-type": str,
        "--overrides": str,
        "--restart": str,
        "--rm": None,
        "--stdin": None,
    },
    "scale": {"--replicas": int},
    "wait": {"--for": str, "--selector": str, "--timeout": str},
}
# Verbs with a command after `--`.
WITH_COMMAND = ("exec", "run")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise CommandError(message)


class Server:
    def __init__(self, cluster, folder):
        self.cluster, self.socket = cluster, folder / "kubectl.socket"
        self.real = shutil.which("kubectl")
        self.parsers = {verb: self.parser(verb, flags) for verb, flags in FLAGS.items()}
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(str(self.socket))
        listening.listen()
        threading.Thread(target=self.accept, args=(listening,), daemon=True).start()

    def parser(self, verb, flags):
        """The parser of a verb. Checks that the real kubectl has the same flags."""
        usage = subprocess.run([self.real, *verb.split(), "--help"], check=True, capture_output=True, text=True).stdout
        known = set(re.findall(r"--[a-z-]+(?==)", usage))
        assert flags.keys() <= known, f"kubectl {verb} does not take {flags.keys() - known}"
        parser = Parser(prog=f"kubectl {verb}", add_help=False, allow_abbrev=False)
        parser.add_argument("names", nargs="*")
        for flag, kind in flags.items():
            parser.add_argument(flag, **({"type": kind} if kind else {"action": "store_true"}))
        return parser

    def accept(self, listening):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            asked, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            try:
                answer = self.answered(json.loads(asked), streams)
            except Exception as failure:  # noqa: BLE001 - any exception means that the command has failed
                with open(streams[2], "w", closefd=False) as error:
                    error.write(f"kubectl: {type(failure).__name__}: {failure}\n")
                answer = {"code": 1}
            connection.sendall(json.dumps(answer).encode())
            for stream in streams:
                socket.close(stream)

    def answered(self, asked, streams):
        words, kubeconfig = asked["arguments"], Path(asked["kubeconfig"])
        offline = (
            words[:1] == ["config"]
            or (words[:2] == ["create", "secret"] and "--dry-run=client" in words)
            or (words[:1] == ["label"] and "--local" in words)
        )
        if offline:
            return {"execute": [self.real, *words]}
        assert not self.cluster.failure, self.cluster.failure
        namespace = yaml.safe_load(kubeconfig.read_text())["contexts"][0]["context"].get("namespace")
        assert namespace == NAMESPACE, f"the namespace is {namespace}"
        call = Call(self.cluster, self.real, Path(asked["folder"]), streams)
        if words[:2] == ["create", "secret"]:
            return {"code": call.create_secret(words) or 0}
        verb = " ".join(words[: 2 if words[0] == "rollout" else 1])
        if verb not in FLAGS:
            raise CommandError(f"{verb} is not supported")
        rest, command = words[len(verb.split()) :], []
        if verb in WITH_COMMAND:
            at = rest.index("--")
            rest, command = rest[:at], [rest[at + 1 :]]
        code = getattr(call, verb.replace(" ", "_"))(self.parsers[verb].parse_intermixed_args(rest), *command)
        return {"code": code or 0}
