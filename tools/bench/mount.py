# SPDX-License-Identifier: Apache-2.0
"""A cogfs mount for a benchmark: empty at its start, gone at its end."""

import json
import os
import shutil
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def find_cogfs():
    for path in (os.environ.get("COGFS_BIN"), REPO / "build/release/bin/cogfs", shutil.which("cogfs")):
        if path and os.access(path, os.X_OK):
            return str(path)
    return None


class Mount:
    """with Mount(folder, name, tier) as m: m.dir is the tree, m.stats() its numbers."""

    def __init__(self, folder, name, cold, passthrough="auto", **config):
        self.base = Path(folder) / name
        self.dir = self.base / "mnt"
        self.dir.mkdir(parents=True)
        disk = {"name": "warm", "type": "disk", "path": str(self.base / "cache"), "max_size": "20GiB", "min_free": "0"}
        document = {
            "version": 1,
            "cache_dir": str(self.base / "cache"),
            "mount": {"passthrough": passthrough, "list_ttl": "10m"},
            "tiers": [disk, cold],
        }
        document.update(config)
        self.file = self.base / "cogfs.yaml"
        self.file.touch(0o600)
        self.file.write_text(json.dumps(document) + "\n")  # JSON is YAML

    def __enter__(self):
        subprocess.run([find_cogfs(), "mount", "--config", str(self.file), str(self.dir)], check=True)
        return self

    def __exit__(self, *_):
        command = [find_cogfs(), "umount", "--timeout", "60s", str(self.dir)]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.base / "cache", ignore_errors=True)

    def stats(self):
        return json.loads((self.dir / ".cogfs/stats.json").read_text())["manager"]

    def flush(self):
        subprocess.run([find_cogfs(), "flush", str(self.dir)], check=True)

    def pids(self):
        """The worker, and its supervisor where it has one."""
        worker = self.stats()["pid"]
        parent = int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
        same = parent > 1 and os.readlink(f"/proc/{parent}/exe") == os.readlink(f"/proc/{worker}/exe")
        return [worker, parent] if same else [worker]

    def rss(self):
        """Bytes in memory of all its processes; the RAM tier's files are not among them."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total
