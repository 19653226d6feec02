# SPDX-License-Identifier: Apache-2.0
"""
Work to crash under, and the account of it.

Each worker is a process that notes in a log outside of the mount "B ..." before an operation and "D ..." when it
returned. After the crash the logs say what must be there (done), what may be (begun), and what must not.
"""

import hashlib
import os
import random
import signal
import time
from pathlib import Path


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Worker:
    """A forked process that repeats one kind of work until it is killed or the mount fails."""

    def __init__(self, root, log, kind, seed, cold):
        self.root, self.log_path, self.cold = Path(root), Path(log), cold
        self.name = f"{kind}{seed}"
        self.rng = random.Random(seed)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                getattr(self, kind)()
            except OSError:
                pass
            finally:
                os._exit(0)

    def stop(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)

    def note(self, *words):
        os.write(self.log, (" ".join(words) + "\n").encode())

    def data(self):
        size = self.rng.choice((0, 100, 5000, 70000, 300000))
        return self.rng.randbytes(size)

    def write(self, name, data):
        fd = os.open(self.root / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for at in range(0, len(data), 65536):
            os.write(fd, data[at : at + 65536])
        os.close(fd)

    # --- kinds of work; names hold no blanks ---

    def create(self):
        for i in range(10**6):
            name, data = f"{self.name}-{i}", self.data()
            self.note("B", "put", name, digest(data))
            self.write(name, data)
            self.note("D")

    def replace(self):
        for i in range(10**6):
            name, data = f"{self.name}-{i % 5}", self.data()
            self.note("B", "replace", name, digest(data))
            self.write(f"{name}.tmp", data)
            os.replace(self.root / f"{name}.tmp", self.root / name)
            self.note("D")

    def rename(self):
        for i in range(10**6):
            old, new, data = f"{self.name}-{i}-old", f"{self.name}-{i}-new", self.data()
            self.note("B", "put", old, digest(data))
            self.write(old, data)
            self.note("D")
            self.note("B", "rename", old, new)
            os.rename(self.root / old, self.root / new)
            self.note("D")

    def unlink(self):
        for i in range(10**6):
            name, data = f"{self.name}-{i}", self.data()
            self.note("B", "put", name, digest(data))
            self.write(name, data)
            self.note("D")
            self.note("B", "unlink", name)
            os.unlink(self.root / name)
            self.note("D")

    def move_tree(self):
        for i in range(10**6):
            os.mkdir(self.root / f"{self.name}-{i}-dir")
            for n in range(5):
                name, data = f"{self.name}-{i}-dir/{n}", self.data()
                self.note("B", "put", name, digest(data))
                self.write(name, data)
                self.note("D")
            old, new = f"{self.name}-{i}-dir", f"{self.name}-{i}-moved"
            self.note("B", "tree", old, new)
            os.rename(self.root / old, self.root / new)
            self.note("D")

    def hold(self):
        """Files that are written and never closed."""
        for i in range(40):
            name = f"{self.name}-never-{i}"
            self.note("B", "never", name)
            fd = os.open(self.root / name, os.O_WRONLY | os.O_CREAT)
            os.write(fd, b"never closed" * 1000)
            time.sleep(0.02)
        time.sleep(1000)

    def read(self):
        """Cold objects, of which nobody has read any yet; wrong bytes are noted."""
        for key, expected in self.cold.items():
            self.note("B", "read", key)
            with open(self.root.parent / key, "rb") as file:
                found = digest(file.read())
            if found != expected:
                self.note("X", key, found)
            self.note("D")
        time.sleep(1000)


class Account:
    """For each name, the digests that it may have; None is "absent"."""

    def __init__(self):
        self.may = {}
        self.wrong = []
        self.in_flight = []

    def read(self, log):
        """Takes in one worker's log."""
        begun = None
        for line in Path(log).read_text().splitlines() if Path(log).exists() else []:
            kind, *words = line.split()
            if kind == "X":
                self.wrong.append(line)
            elif kind == "B":
                begun = words
            elif kind == "D":
                self._done(*begun)
                begun = None
        if begun:
            self._begun(*begun)
            if begun[0] != "never":
                self.in_flight.append(begun)

    def _of(self, name):
        return self.may.get(name, {None})

    def _done(self, what, name, value=None):
        if what in ("put", "replace"):
            self.may[name] = {value}
            self.may[f"{name}.tmp"] = {None}
        elif what == "rename":
            self.may[value], self.may[name] = self._of(name), {None}
        elif what == "unlink":
            self.may[name] = {None}
        elif what == "tree":
            for old in [key for key in self.may if key.startswith(name + "/")]:
                self.may[value + old[len(name) :]], self.may[old] = self.may[old], {None}

    def _begun(self, what, name, value=None):
        if what in ("put", "replace"):
            self.may[name] = self._of(name) | {value}
            if what == "replace":
                self.may[f"{name}.tmp"] = {None, value}
        elif what == "rename":
            self.may[value] = self._of(name) | {None}
            self.may[name] = self._of(name) | {None}
        elif what == "unlink":
            self.may[name] = self._of(name) | {None}
        elif what == "tree":
            for old in [key for key in self.may if key.startswith(name + "/")]:
                self.may[value + old[len(name) :]] = self.may[old] | {None}
                self.may[old] = self.may[old] | {None}

    def settle(self, found):
        """Compares with {name: digest} and takes what was open as it is. Returns what is wrong."""
        problems = list(self.wrong)
        for name, digests in self.may.items():
            have = found.get(name)
            if have not in digests:
                problems.append(f"{name}: {have} instead of {digests}")
            self.may[name] = {have}
        problems += [f"{name}: shows up" for name in found if name not in self.may]
        self.in_flight = []
        return problems


def found_in(root):
    """{relative path: digest} of all files."""
    return {
        str(path.relative_to(root)): digest(path.read_bytes())
        for path in Path(root).rglob("*")
        if path.is_file()
    }
