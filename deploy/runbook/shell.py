"""A bash of the operator, into which commands are pasted block by block."""

import os
import select
import subprocess
import sys
from pathlib import Path

# The substitute for kubectl, and the Python that runs it.
BIN = f"{Path(__file__).parent / 'bin'}:{Path(sys.executable).parent}"
# How long a block may take, in seconds.
BLOCK_LIMIT = 120
# Reads file names on descriptor 3, executes the files and reports each on descriptor 4. Ends at the first
# failure.
LOOP = 'while read -r block <&3; do source "$block" </dev/null; echo done >&4; done'


class Shell:
    """A context manager: leaving it ends the bash."""

    def __init__(self, folder, scratch, variables):
        """In `folder`. `scratch` is for its own files; `variables` are added to PATH, HOME and LC_ALL."""
        self.scratch, self.pasted = scratch, 0
        asked, self.asking = os.pipe()
        self.answered, answering = os.pipe()
        self.log = (scratch / "output").open("w+")
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", f"{LOOP} 3<&{asked} 4>&{answering}"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(scratch), "LC_ALL": "C.UTF-8"} | variables,
            pass_fds=(asked, answering),
        )
        os.close(asked)
        os.close(answering)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.asking)
        os.close(self.answered)
        self.process.kill()
        self.process.wait()
        self.log.close()

    def paste(self, block):
        """Runs a block to its end and returns its output."""
        self.pasted += 1
        file = self.scratch / f"block-{self.pasted}"
        file.write_text(block)
        before = os.fstat(self.log.fileno()).st_size
        os.write(self.asking, f"{file}\n".encode())
        ready, _, _ = select.select([self.answered], [], [], BLOCK_LIMIT)
        # An empty read means that bash has ended.
        done = ready and os.read(self.answered, 64)
        printed = (self.scratch / "output").read_text()[before:]
        assert done, f"{'failed' if ready else 'hangs'}:\n{block}\nprinted:\n{printed}"
        return printed
