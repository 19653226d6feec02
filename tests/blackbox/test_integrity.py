# SPDX-License-Identifier: Apache-2.0
"""A flipped bit anywhere is found, and refetched or reported; it is never served."""

import errno
import hashlib
import json
import os
import subprocess

import pytest

from lib.mounts import cogfs
from lib.wait import eventually

SIZE = 300_000
CLEAN, REPAIRED, LEFT, FAILED = 0, 1, 4, 8
QUIET = {"integrity": {"scrub": "never"}}
HELD_BACK = {"integrity": {"scrub": "never"}, "write": {"upload_delay": "1h", "drain_deadline": "0s"}}


def content(name, size=SIZE):
    """Bytes that are the name's own."""
    block = hashlib.sha256(name.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def flip(path, at=12345, bit=3):
    """As a disk does it: the file's times tell nothing."""
    before = path.stat()
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ (1 << bit)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def own_inode(path):
    """The same file, sharing its bytes with no store."""
    copy = path.with_name(path.name + ".copy")
    subprocess.run(["cp", "-a", "--reflink=never", path, copy], check=True)
    copy.rename(path)


def findings(result):
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return lines[:-1], lines[-1]


def fsck(*args, **more):
    result = cogfs("fsck", "--json", *args, **more)
    assert result.returncode in (CLEAN, REPAIRED, LEFT), result.stderr
    found, totals = findings(result)
    return result.returncode, found, totals


@pytest.fixture
def resident(new_mount, store):
    """A mount with one object that is here and in the store, each with bytes of its own."""

    def make(**settings):
        settings.setdefault("config", QUIET)
        mount = new_mount("a", store, **settings)
        (mount / "d").mkdir()
        (mount / "d/a").write_bytes(content("a"))
        mount.flush()
        own_inode(mount.cache / "objects/d/a")
        return mount

    return make


# --- bodies on disk ---


def test_a_mount_in_order_has_no_findings(resident):
    mount = resident()
    status, found, totals = fsck(mount.dir)
    assert (status, found) == (CLEAN, [])
    assert totals["files"] >= 1 and totals["bytes"] >= SIZE


def test_fsck_of_a_mount_drops_a_flipped_body_and_the_next_read_is_right(resident):
    mount = resident()
    assert (mount / "d/a").read_bytes() == content("a")
    flip(mount.cache / "objects/d/a")
    status, found, _ = fsck(mount.dir, "--repair")
    assert status == REPAIRED
    assert [f["path"] for f in found] == ["d/a"]
    assert (mount / "d/a").read_bytes() == content("a")
    assert mount.counter("corruptions") == 1
    assert "d/a" in (mount / ".cogfs/errors").read_text()
    assert fsck(mount.dir)[0] == CLEAN


def test_what_fsck_only_reported_is_not_served_either(resident):
    mount = resident()
    flip(mount.cache / "objects/d/a")
    assert fsck(mount.dir)[0] == LEFT
    assert (mount / "d/a").read_bytes() == content("a")


def test_the_scrub_finds_a_flipped_body_by_itself(resident):
    mount = resident(config={"integrity": {"scrub": "1s", "rate": "100MiB"}})
    flip(mount.cache / "objects/d/a")
    eventually(lambda: mount.counter("corruptions") == 1, 15, "the scrub")
    assert (mount / "d/a").read_bytes() == content("a")
    eventually(lambda: mount.counter("scrub_passes") >= 2, 15, "two passes")


def test_the_scrub_goes_on_after_a_restart(resident):
    mount = resident(config={"integrity": {"scrub": "1h", "rate": "64KiB"}})
    for name in "bcd":
        (mount / f"d/{name}").write_bytes(content(name))
    mount.flush()
    eventually(lambda: mount.counter("scrub_bytes") > 0 or mount.counter("scrub_passes"), 15, "a start")
    mount.umount()
    assert "running" in (mount.cache / "scrub").read_text()
    mount.start()
    assert mount.counter("scrub_bytes") >= 0


def test_verify_open_finds_what_was_flipped_while_unmounted(resident):
    mount = resident(config={"integrity": {"scrub": "never", "verify": "open"}})
    mount.umount()
    flip(mount.cache / "objects/d/a")
    mount.start()
    assert (mount / "d/a").read_bytes() == content("a")
    assert mount.counter("corruptions") == 1


def test_a_copy_in_ram_is_never_made_of_flipped_bytes(resident):
    mount = resident(ram={"admit": "always"})
    mount.umount()
    flip(mount.cache / "objects/d/a")
    mount.start()
    with open(mount / "d/a", "rb") as f:
        f.read(1)
    eventually(lambda: mount.counter("corruptions") == 1, 10, "the promotion's look")
    assert (mount / "d/a").read_bytes() == content("a")


# --- a cache that is not mounted ---


def test_fsck_of_a_directory_needs_it_unmounted(resident):
    mount = resident()
    result = cogfs("fsck", mount.cache)
    assert result.returncode == FAILED
    assert str(mount.dir) in result.stderr


def test_fsck_without_a_cache_says_so(scratch):
    result = cogfs("fsck", "--cache-dir", scratch)
    assert result.returncode == FAILED
    assert "no cogfs cache" in result.stderr


def test_offline_repair_drops_removes_and_says_each_once(resident):
    mount = resident()
    mount.umount()
    flip(mount.cache / "objects/d/a")
    (mount.cache / "partial/0000000000000001").write_bytes(b"x")
    (mount.cache / "staging/0000000000000002").write_bytes(b"x")
    flip(mount.cache / "state", 3)
    before = fsck(mount.cache)
    assert before[0] == LEFT
    paths = ["d/a", "partial/0000000000000001", "staging/0000000000000002", "state"]
    assert sorted(f["path"] for f in before[1]) == paths
    assert (mount.cache / "objects/d/a").exists()
    text = cogfs("fsck", mount.cache)
    assert text.returncode == LEFT
    assert len(text.stdout.splitlines()) == 5
    assert "d/a: " in text.stdout and "--repair" in text.stdout
    assert fsck(mount.cache, "--repair")[0] == REPAIRED
    assert fsck(mount.cache)[0] == CLEAN
    mount.start()
    assert (mount / "d/a").read_bytes() == content("a")


# --- what no store has yet ---


@pytest.fixture
def unsaved(new_mount, store):
    """A mount that ended with one change in its journal: the mount, and the change's bytes."""
    mount = new_mount("a", store, config=HELD_BACK)
    (mount / "a").write_bytes(content("a"))
    mount.umount()
    (staged,) = (mount.cache / "staging").iterdir()
    return mount, staged


def test_flipped_bytes_of_a_change_are_not_uploaded_and_not_read(unsaved):
    mount, staged = unsaved
    flip(staged)
    mount.configure(QUIET)
    mount.start()
    eventually(lambda: mount.counter("corruptions") == 1, 10, "the drainer's look")
    with pytest.raises(OSError) as error:
        (mount / "a").read_bytes()
    assert error.value.errno == errno.EIO
    assert mount.store.keys() == {}
    assert fsck(mount.dir, "--repair")[0] == LEFT
    assert list((mount.cache / "aside").iterdir())
    (mount / "a").write_bytes(content("again"))
    assert (mount / "a").read_bytes() == content("again")
    mount.flush()
    assert mount.store.get("a") == content("again")


def test_offline_repair_moves_a_flipped_change_aside(unsaved):
    mount, staged = unsaved
    flip(staged)
    flipped = staged.read_bytes()
    assert fsck(mount.cache)[0] == LEFT
    assert staged.read_bytes() == flipped
    status, found, _ = fsck(mount.cache, "--repair")
    assert status == REPAIRED and [f["path"] for f in found] == ["a"]
    assert (mount.cache / "aside/a").read_bytes() == flipped
    mount.configure(QUIET)
    mount.start()
    assert not (mount / "a").exists()


def test_a_flipped_bit_in_the_journal_is_found(unsaved):
    mount, staged = unsaved
    (log,) = (mount.cache / "journal").glob("log.*")
    flip(log, log.stat().st_size - 40)
    status, found, _ = fsck(mount.cache)
    assert status == LEFT
    assert any(f["tier"] == "journal" for f in found)
    assert fsck(mount.cache, "--repair")[0] == REPAIRED
    mount.configure(QUIET)
    mount.start()
    try:
        assert (mount / "a").read_bytes() == content("a")
    except FileNotFoundError:
        pass


# --- on the way here, and in the store ---


def cold(store, mount, key):
    """Where the test's server keeps the object."""
    if store.kind == "dir":
        return store.path / key
    return store.server.dir / store.bucket / key


@pytest.mark.parametrize("size", [1000, SIZE, 5_000_000])
def test_a_cold_object_that_was_flipped_is_reported_and_not_served(new_mount, store, size):
    writer = new_mount("w", store, config=QUIET)
    (writer / "a").write_bytes(content("a", size))
    writer.umount()
    flip(cold(store, writer, "a"), size // 2)
    mount = new_mount("r", store, config=QUIET)
    with pytest.raises(OSError) as error:
        (mount / "a").read_bytes()
    assert error.value.errno == errno.EIO
    assert mount.counter("corruptions") >= 1
    assert "a" in (mount / ".cogfs/errors").read_text()


@pytest.mark.s3  # from a directory, it is another name of the store's own file
def test_a_partial_that_was_flipped_never_becomes_a_body(new_mount, store):
    size = 9_000_000
    writer = new_mount("w", store, config=QUIET)
    (writer / "a").write_bytes(content("a", size))
    writer.umount()
    mount = new_mount("r", store, config=QUIET)
    with open(mount / "a", "rb") as f:
        f.read(4096)
        partial = [p for p in (mount.cache / "partial").iterdir() if p.stat().st_blocks]
        if partial:
            flip(partial[0], 1)
        try:
            while f.read(1 << 20):
                pass
        except OSError as error:
            assert error.errno == errno.EIO
    # Whatever the first reader met: who opens it now gets the right bytes, or EIO.
    try:
        assert (mount / "a").read_bytes() == content("a", size)
    except OSError as error:
        assert error.errno == errno.EIO
    assert fsck(mount.dir)[0] == CLEAN


def test_fsck_of_the_store_finds_a_flipped_object_and_puts_the_good_copy_back(resident, store):
    mount = resident()
    assert fsck(mount.dir, "--cold", "--bytes")[0] == CLEAN
    flip(cold(store, mount, "d/a"))
    status, found, totals = fsck(mount.dir, "--cold", "--bytes")
    assert (status, totals["cold"]) == (LEFT, 1)
    assert [(f["path"], f["tier"]) for f in found] == [("d/a", "cold")]
    assert fsck(mount.dir, "--cold", "--bytes", "--repair")[0] == REPAIRED
    assert store.get("d/a") == content("a")
    assert fsck(mount.dir, "--cold", "--bytes")[0] == CLEAN


@pytest.mark.s3
def test_unsafe_keys_of_the_store_are_counted_and_listed(new_mount, store):
    mount = new_mount("a", store, config=QUIET)
    store.put("good", b"x")
    status, found, totals = fsck(mount.dir, "--cold")
    assert status == CLEAN
    assert totals["cold"] == 1
    assert totals["unsafe_keys"] == len(found)


def test_nobody_but_root_and_the_owner_checks(resident):
    mount = resident()
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.environ["COGFS_BIN"], "fsck", str(mount.dir)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == FAILED
    assert "only root" in result.stderr
