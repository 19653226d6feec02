# SPDX-License-Identifier: Apache-2.0
"""`cogfs import` adopts an existing cache: everything arrives, nothing is lost, nothing is replaced."""

import json
import os
import subprocess

from lib.mounts import cogfs

FILES = {"a": b"one", "d/b": b"two" * 100_000, "d/e/c": b"", "d/e/Qwen%2Fx y": b"four"}


def make_tree(path):
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    os.setxattr(path / "a", "user.origin", b"lab")
    os.chmod(path / "a", 0o640)
    os.chown(path / "a", 1234, 2345)
    os.utime(path / "a", (1_600_000_000, 1_600_000_000))
    (path / "empty").mkdir(mode=0o700)
    return path


def run(*args):
    result = cogfs("import", "--json", *args)
    assert result.stdout, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, lines[:-1], lines[-1]


def assert_arrived(root):
    for name, data in FILES.items():
        assert (root / name).read_bytes() == data
    st = (root / "a").stat()
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o640, 1234, 2345)
    assert st.st_mtime == 1_600_000_000
    assert os.getxattr(root / "a", "user.origin") == b"lab"
    assert (root / "empty").is_dir()


def test_a_tree_arrives_whole_and_reaches_the_store(new_mount, store, scratch):
    mount = new_mount("a", store)
    make_tree(scratch)
    status, found, totals = run(scratch, "--mount", mount.dir, "--into", "old/x")
    assert (status, found) == (0, [])
    assert totals["imported"] == len(FILES)
    assert_arrived(mount / "old/x")
    mount.flush()
    assert store.get("old/x/d/b") == FILES["d/b"]
    for name, data in FILES.items():
        assert (scratch / name).read_bytes() == data


def test_no_byte_is_copied_on_one_filesystem_unless_asked(new_mount, store, scratch):
    mount = new_mount("a", store)
    make_tree(scratch)
    totals = run(scratch, "--mount", mount.dir, "--into", "shared")[2]
    assert totals["shared"] + 1 >= len(FILES)  # an empty file has nothing to share
    totals = run(scratch, "--mount", mount.dir, "--into", "copied", "--copy")[2]
    assert totals["imported"] == len(FILES)
    # Who writes through the mount does not write to the source.
    (mount / "shared/a").open("r+b").write(b"X")
    assert (scratch / "a").read_bytes() == FILES["a"]
    assert (mount / "shared/a").read_bytes() == b"Xne"


def test_a_second_run_passes_over_what_is_there(new_mount, store, scratch):
    mount = new_mount("a", store)
    make_tree(scratch)
    run(scratch, "--mount", mount.dir)
    (scratch / "new").write_bytes(b"new")
    (mount / "d/b").write_bytes(b"mine")
    status, found, totals = run(scratch, "--mount", mount.dir)
    assert status == 1
    assert [(f["path"], f["outcome"]) for f in found] == [("d/b", "differs")]
    assert (totals["imported"], totals["there"]) == (1, len(FILES) - 1)
    assert (mount / "d/b").read_bytes() == b"mine"
    assert (mount / "new").read_bytes() == b"new"


def test_a_dry_run_changes_nothing(new_mount, store, scratch):
    mount = new_mount("a", store)
    make_tree(scratch)
    status, _, totals = run(scratch, "--mount", mount.dir, "--dry-run")
    assert (status, totals["imported"]) == (0, len(FILES))
    assert os.listdir(mount.dir) == []


def test_what_is_no_object_is_told_and_left_out(new_mount, store, scratch):
    mount = new_mount("a", store)
    (scratch / ".cogfs").mkdir()
    (scratch / ".cogfs/x").write_bytes(b"x")
    (scratch / "link").symlink_to("/etc/passwd")
    os.mkfifo(scratch / "fifo")
    (scratch / "good").write_bytes(b"good")
    status, found, totals = run(scratch, "--mount", mount.dir)
    assert status == 1
    assert sorted(f["path"] for f in found) == [".cogfs", ".cogfs/x", "fifo", "link"]
    assert totals["imported"] == 1
    assert os.listdir(mount.dir) == ["good"]


def test_into_a_cache_that_is_not_mounted(new_mount, store, scratch):
    mount = new_mount("a", store)
    mount.umount()
    make_tree(scratch)
    status, _, totals = run(scratch, "--config", mount.file)
    assert (status, totals["imported"]) == (0, len(FILES))
    assert cogfs("fsck", mount.cache).returncode == 0
    mount.start()
    assert_arrived(mount.dir)
    mount.flush()
    assert store.get("d/b") == FILES["d/b"]


def test_only_root_may_make_the_daemon_read_files(new_mount, store, scratch):
    mount = new_mount("a", store)
    os.chmod(scratch, 0o755)
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.environ["COGFS_BIN"],
         "import", str(scratch), "--mount", str(mount.dir)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1
    assert "only root" in result.stderr
