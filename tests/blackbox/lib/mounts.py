# SPDX-License-Identifier: Apache-2.0
"""A mount of cogfs under test: configuration, start, end, crash, and questions to it."""

import ctypes
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

from lib.servers import ACCESS, SECRET
from lib.wait import SLOW, descendants, eventually, processes

COGFS = os.environ.get("COGFS_BIN", "")
PASSTHROUGH = os.environ.get("COGFS_TEST_PASSTHROUGH", "on")
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def merge(base, over):
    """Deep merge; None removes."""
    result = dict(base)
    for name, value in over.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = value
    return result


def mounted_at(path):
    """(device "major:minor", type) of what is mounted exactly there, or None."""
    found = None
    with open("/proc/self/mountinfo") as table:
        for line in table:
            fields = line.split()
            if fields[4].encode().decode("unicode_escape") == str(path):
                found = (fields[2], fields[fields.index("-") + 1])
    return found


def cogfs(*args, within=60, **more):
    """Runs the program; its exit code and what it said are the result's."""
    return subprocess.run(
        [COGFS, *map(str, args)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within * SLOW, **more,
    )  # fmt: skip


class Mount:
    def __init__(self, base, store, config=None, ram=None, disk=None, cold=None, env=None):
        """
        config is merged over the default; ram, disk and cold over the tiers' (False: no such tier).
        """
        self.base = Path(base)
        self.base.mkdir(parents=True, exist_ok=True)
        self.dir = self.base / "mnt"
        self.dir.mkdir(exist_ok=True)
        self.cache = self.base / "cache"
        self.file = self.base / "cogfs.yaml"
        self.log_path = self.base / "log"
        self.store = store
        self.proxy = store.proxy() if store else None
        self.known = set()  # pids seen
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith("COGFS_")
        }
        self.env.update(env or {})
        self.process = None
        self.configure(config, ram, disk, cold)

    def configure(self, config=None, ram=None, disk=None, cold=None):
        tiers = []
        if ram is not False:
            tiers.append(merge({"name": "ram", "type": "ram", "max_size": "64MiB"}, ram or {}))
        if disk is not False:
            default = {
                "name": "warm", "type": "disk", "path": str(self.cache),
                "max_size": "1GiB", "min_free": "0",
            }  # fmt: skip
            tiers.append(merge(default, disk or {}))
        if self.store and cold is not False:
            tiers.append(merge(self.store.tier(self.proxy), cold or {}))
        default = {
            "version": 1,
            "cache_dir": str(self.cache),
            "mount": {"passthrough": PASSTHROUGH, "list_ttl": "1s", "negative_ttl": "300ms"},
            "write": {"upload_delay": "100ms", "drain_deadline": "20s"},
            "deadlines": {"open": "8s", "read": "8s", "lookup": "4s", "list": "8s", "mount": "8s"},
            "network": {
                "retry": {"tries": 3, "min": "50ms", "max": "400ms"},
                "breaker": {"after": 5, "for": "1s"},
            },
            "log": {"level": "debug"},
            "tiers": tiers,
        }
        merged = merge(default, config or {})
        self.cache_dir = Path(merged["cache_dir"])
        # JSON is YAML.
        self.file.write_text(json.dumps(merged, indent=1) + "\n")

    # --- start and end ---

    def start(self, *options, within=30):
        """Mounts in the foreground, with the log in a file; returns when it answers."""
        command = [COGFS, "mount", "-f", "--config", str(self.file), *options, str(self.dir)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd="/"
            )
        eventually(lambda: self._up(), within, f"mount of {self.dir}")
        self.pids()
        return self

    def _up(self):
        """
        Something is mounted there that answers: what a crash left does not, and what answers before and after that
        was taken away is the directory below.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"cogfs mount ended with {self.process.returncode}:\n{self.log_tail()}")
        found = mounted_at(self.dir)
        return found and os.statvfs(self.dir) and mounted_at(self.dir) == found

    def start_background(self, *options, within=40):
        """Mounts as a user does: the parent's exit says that it is ready."""
        result = cogfs(
            "mount", "--config", self.file, *options, self.dir, within=within, env=self.env, cwd="/"
        )
        assert result.returncode == 0, result.stderr
        assert mounted_at(self.dir)
        assert self.pids()
        return result

    def umount(self, within=60):
        """An orderly end through the command; returns what it said."""
        result = cogfs("umount", self.dir, within=within, env=self.env, cwd="/")
        assert result.returncode in (0, 3), f"{result.stderr}\n{self.log_tail()}"
        eventually(lambda: not self.pids(), within, "end of cogfs after umount")
        self._reap()
        assert not mounted_at(self.dir)
        return result

    def remount(self, **changes):
        self.umount()
        if changes:
            self.configure(**changes)
        return self.start()

    def _reap(self):
        if self.process:
            try:
                self.process.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def abort(self):
        """Ends the kernel's side, so that nobody waits for a server that hangs."""
        found = mounted_at(self.dir)
        if not found or not found[1].startswith("fuse"):
            return
        minor = found[0].split(":")[1]
        try:
            Path(f"/sys/fs/fuse/connections/{minor}/abort").write_text("1")
        except OSError:
            pass

    def destroy(self):
        """Whatever state it is in: no process and no mount is left."""
        self.abort()
        for pid in self.pids():
            _kill(pid, signal.SIGKILL)
        while mounted_at(self.dir):
            if libc.umount2(os.fsencode(self.dir), MNT_DETACH) != 0:
                break
        self._reap()
        if self.proxy:
            self.proxy.close()

    # --- processes ---

    def pids(self):
        """
        All processes of this mount that live (zombies do not), oldest first: the one that was started, the one
        that holds the cache directory's lock, those seen before, and their children.
        """
        table = processes()
        roots = {self.process.pid} if self.process else set()
        try:
            roots.add(int((self.cache_dir / "lock").read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            pass
        roots |= self.known
        ours = {pid for pid in roots if pid in table and table[pid].name.startswith("cogfs")}
        # Below us only: a number in an old lock file may be anybody's by now.
        found = descendants(table, ours) & descendants(table, {os.getpid()})
        self.known |= found
        return sorted(pid for pid in found if table[pid].state not in "ZX")

    def worker(self):
        """The process that serves: the one whose parent is another of the mount's processes."""
        pids, table = self.pids(), processes()
        parents = {pid: table[pid].parent for pid in pids if pid in table}
        for pid, parent in parents.items():
            if parent in parents and pid not in parents.values():
                return pid
        raise AssertionError(f"no supervised worker among {parents}")

    def kill_worker(self):
        """kill -9 of the worker; returns when another one is there."""
        old = self.worker()
        _kill(old, signal.SIGKILL)
        eventually(lambda: self.worker() != old, 10, "a new worker")
        return old

    def kill_both(self):
        """kill -9 of everything: the supervisor first, so that it starts no new worker."""
        pids = self.pids()
        for pid in pids:
            _kill(pid, signal.SIGSTOP)
        for pid in self.pids():
            _kill(pid, signal.SIGKILL)
        eventually(lambda: not self.pids(), 10, "the end of killed processes")
        self._reap()

    # --- questions ---

    def __truediv__(self, name):
        return self.dir / name

    def stats(self):
        return json.loads((self.dir / ".cogfs/stats.json").read_text())

    def counter(self, name):
        """A number of stats.json, wherever it stands in it."""
        found = _find(self.stats(), name)
        assert found is not None, f"stats.json has no {name}"
        return found

    def flush(self, path=None, within=60):
        result = cogfs("flush", path or self.dir, within=within, env=self.env)
        assert result.returncode == 0, f"flush: {result.stderr}\n{self.log_tail()}"
        return result

    def xattrs(self, path):
        path = self.dir / path
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        }

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])


class Watchdog:
    """
    Aborts the mounts of a test that takes too long: a call into a server that hangs cannot be
    interrupted otherwise, not even by pytest-timeout.
    """

    def __init__(self, seconds):
        self.mounts = []
        self.timer = threading.Timer(seconds, self._bite)
        self.timer.daemon = True
        self.timer.start()

    def _bite(self):
        for mount in list(self.mounts):
            mount.abort()

    def close(self):
        self.timer.cancel()


def _find(tree, name):
    if isinstance(tree, dict):
        if name in tree and not isinstance(tree[name], (dict, list)):
            return tree[name]
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            found = _find(value, name)
            if found is not None:
                return found
    return None


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def credentials():
    return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
