"""The operator: a working directory as the runbook asks for, and a bash in it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from rendered import ROOT
from shell import Shell

HERE = Path(__file__).parent
EVERY_TIME = "Every time"
AUTHOR = {f"GIT_{who}_{what}": "athook@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Desk:
    followed = set()

    def __init__(self, folder, document, socket, releases):
        """`releases`: the tags of the repository; the first one is checked out."""
        self.folder, self.document = folder / "desk", document
        self.scratch, self.shells = folder / "shells", 0
        self.folder.mkdir()
        self.scratch.mkdir()
        self.check_out(folder / "origin", releases)
        shutil.copytree(HERE / "overlay", self.folder / "of-the-test")
        self.text = folder / "text"
        editor = folder / "editor"
        editor.write_text(f'#!/bin/sh\ncp {self.text} "$1"\n')
        editor.chmod(0o755)
        config = folder / "kubeconfig"
        config.write_text(yaml.safe_dump(kubeconfig()))
        self.variables = {"CLUSTER_SOCKET": str(socket), "KUBECONFIG": str(config), "EDITOR": str(editor)}

    def check_out(self, origin, releases):
        """Creates a repository whose releases differ in the tags of their images."""

        def git(*words):
            subprocess.run(["git", "-C", origin, *words], check=True, capture_output=True, env=os.environ | AUTHOR)

        shutil.copytree(ROOT / "deploy/kubernetes", origin / "deploy/kubernetes")
        git("init", "--quiet")
        for release in releases:
            for file in origin.rglob("kustomization.yaml"):
                file.write_text(re.sub(r"newTag: .*", f"newTag: {release.removeprefix('v')}", file.read_text()))
            git("add", "--all")
            git("commit", "--quiet", "--message", release)
            git("tag", release)
        clone = ["git", "clone", "--quiet", "--branch", releases[0], origin, self.folder / "athook"]
        subprocess.run(clone, check=True, capture_output=True)

    def edits(self, text):
        """Sets what the operator writes into the next file opened in the editor."""
        self.text.write_text(text)

    def follow(self, *headings, every_time=True, instead=()):
        """Pastes the commands under these headings into a new shell. `instead`: pairs of (text, replacement)."""
        printed = []
        with self.shell(self.folder, every_time) as shell:
            for heading in headings:
                blocks = self.document.blocks[heading]
                assert blocks, f"there are no commands under {heading}"
                for block in blocks:
                    for text, other in instead:
                        block = block.replace(text, other)
                    printed.append(shell.paste(block))
                self.followed.add(heading)
        return "".join(printed)

    def fails(self, command):
        """Runs a command that must fail, and returns its output."""
        with self.shell(self.folder, True) as shell:
            try:
                shell.paste(command)
            except AssertionError as failure:
                return str(failure)
        raise AssertionError(f"{command} succeeds")

    def shell(self, folder, every_time):
        self.shells += 1
        scratch = self.scratch / str(self.shells)
        scratch.mkdir()
        shell = Shell(folder, scratch, self.variables)
        if every_time:
            (block,) = self.document.blocks[EVERY_TIME]
            shell.paste(block)
            self.followed.add(EVERY_TIME)
        return shell


def kubeconfig():
    """A kubeconfig of a server that does not exist, so that only the substitute for kubectl works."""
    cluster = {"name": "test", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    user = {"name": "test", "user": {}}
    head = {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
    return head | {"clusters": [cluster], "contexts": [context], "users": [user]}
