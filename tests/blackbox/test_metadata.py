# SPDX-License-Identifier: Apache-2.0
"""What is known of an object besides its bytes: user.cogfs.*, time to live, users' own xattrs."""

import errno
import os
import subprocess
import time

import pytest

from lib.artifacts import user_xattrs
from lib.files import raises
from lib.wait import eventually


def own(mount, path, name):
    return os.getxattr(mount / path, f"user.cogfs.{name}")


def expire(path, seconds):
    command = ["setfattr", "-n", "user.cogfs.ttl", "-v", str(seconds), path]
    subprocess.run(command, check=True)


def test_xattrs_tell(new_mount, store):
    """Every name that is listed has a value, and the values are true."""
    a = new_mount("a", store)
    data = b"frame" * 1000
    (a / "d").mkdir()
    (a / "d/frame_1.jpg").write_bytes(data)
    assert own(a, "d/frame_1.jpg", "state") == b"dirty"
    a.flush()
    known = a.xattrs("d/frame_1.jpg")
    assert known["user.cogfs.key"] == b"d/frame_1.jpg"
    assert known["user.cogfs.state"] == b"clean"
    assert known["user.cogfs.size_bytes"] == b"5000"
    assert known["user.cogfs.format"] == b"jpg"
    assert known["user.cogfs.ttl"] == b"never"
    assert known["user.cogfs.tier"] in (b"warm", b"ram")
    assert b"cold" in known["user.cogfs.tiers"] and b"warm" in known["user.cogfs.tiers"]
    assert len(known["user.cogfs.xxh3"]) == 32
    assert known["user.cogfs.etag"]
    assert abs(time.time() - float(known["user.cogfs.created_at"])) < 120


def test_tier_of_a_cold_object(new_mount, store):
    """Before the first read an object that is not small is in the store only; afterwards here too."""
    store.put("f", b"x" * 100_000)
    a = new_mount("a", store)
    assert own(a, "f", "tier") == b"cold" and own(a, "f", "tiers") == b"cold"
    (a / "f").read_bytes()
    assert own(a, "f", "tier") in (b"warm", b"ram")
    assert b"cold" in own(a, "f", "tiers")


@pytest.mark.s3
def test_listing_xattrs_costs_nothing(new_mount, store):
    """listxattr sends no request."""
    store.put_many({f"{i}": b"x" for i in range(20)})
    a = new_mount("a", store, config={"mount": {"list_ttl": "1h"}})
    names = os.listdir(a.dir)
    before = a.proxy.count()
    for name in names:
        os.listxattr(a / name)
    assert a.proxy.count() == before


def test_names_that_do_not_apply(new_mount, store):
    """A name that means nothing here is ENODATA, never EIO."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    for name in ("user.cogfs.nonsense", "user.none", "security.capability", "security.selinux", "trusted.x"):
        raises((errno.ENODATA, errno.EOPNOTSUPP), os.getxattr, a / "f", name)


def test_read_only_names_take_a_write(new_mount, store):
    """Setting what cannot be set succeeds without effect, so that cp -a and rsync -X go both ways."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    a.flush()
    before = a.xattrs("f")
    for name in ("key", "etag", "xxh3", "size_bytes", "state", "tier", "created_at"):
        os.setxattr(a / "f", f"user.cogfs.{name}", b"forged")
    a.flush()
    after = a.xattrs("f")
    for name in ("key", "xxh3", "size_bytes", "state", "created_at"):
        assert after[f"user.cogfs.{name}"] == before[f"user.cogfs.{name}"], name
    subprocess.run(["cp", "-a", a / "f", a / "copy"], check=True)
    subprocess.run(["rsync", "-aX", a / "f", a / "synced"], check=True)
    assert own(a, "copy", "key") == b"copy" and own(a, "synced", "key") == b"synced"


# --- time to live ---


def test_ttl_expires_here(new_mount, store):
    """An object is gone when its time is over, although its name and attributes are in every cache."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x" * 5000)
    (a / "keep").write_bytes(b"y")
    a.flush()
    assert own(a, "f", "ttl") == b"never"
    expire(a / "f", 2)
    began = time.monotonic()
    assert own(a, "f", "ttl") in (b"1", b"2")
    assert abs(float(own(a, "f", "expires_at")) - time.time()) <= 3
    while time.monotonic() < began + 1:
        assert os.stat(a / "f").st_size == 5000
        assert (a / "f").read_bytes() == b"x" * 5000
    eventually(lambda: not (a / "f").exists(), within=4, what="the expiry")
    assert os.listdir(a.dir) == ["keep"]
    raises(errno.ENOENT, open, a / "f", "rb")


def test_ttl_expires_everywhere(new_mount, store):
    """The same on another host that has it in its caches, and on one that comes later."""
    a, b = new_mount("a", store), new_mount("b", store)
    (a / "f").write_bytes(b"x" * 5000)
    expire(a / "f", 5)
    a.flush()
    began = time.monotonic()
    eventually(lambda: (b / "f").read_bytes() == b"x" * 5000, within=3, what="the file on b")
    eventually(lambda: own(b, "f", "ttl") != b"never", within=3, what="its life on b")
    eventually(lambda: not (b / "f").exists(), within=8, what="the expiry on b")
    assert time.monotonic() - began > 3.5
    assert "f" not in os.listdir(b.dir) and not (a / "f").exists()
    c = new_mount("c", store)
    assert not (c / "f").exists() and "f" not in os.listdir(c.dir)


def test_ttl_taken_back(new_mount, store):
    """`never` and a longer life hold from then on."""
    a = new_mount("a", store)
    for name in ("f", "g"):
        (a / name).write_bytes(b"x")
        expire(a / name, 2)
    expire(a / "f", "never")
    expire(a / "g", 3600)
    assert own(a, "f", "ttl") == b"never"
    assert 3590 <= int(own(a, "g", "ttl")) <= 3600
    time.sleep(2.5)
    assert (a / "f").read_bytes() == (a / "g").read_bytes() == b"x"


def test_ttl_by_expires_at(new_mount, store):
    """expires_at is written as seconds since the epoch; nonsense is refused."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    when = int(time.time()) + 1000
    os.setxattr(a / "f", "user.cogfs.expires_at", str(when).encode())
    assert own(a, "f", "expires_at") == str(when).encode()
    for value in (b"soon", b"", b"-5", b"1e9", b"12x"):
        raises(errno.EINVAL, os.setxattr, a / "f", "user.cogfs.ttl", value)
    assert own(a, "f", "expires_at") == str(when).encode()


def test_default_ttl(new_mount, store):
    """defaults.ttl gives each written object its life, anew with each write; foreign ones live for ever."""
    store.put("foreign", b"x")
    a = new_mount("a", store, config={"defaults": {"ttl": "1h"}})
    (a / "f").write_bytes(b"x")
    assert 3590 <= int(own(a, "f", "ttl")) <= 3600
    assert own(a, "foreign", "ttl") == b"never"


def test_expired_name_is_free(new_mount, store):
    """A name whose object expired can be written again, and lives."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"old")
    expire(a / "f", 1)
    eventually(lambda: not (a / "f").exists(), within=4, what="the expiry")
    (a / "f").write_bytes(b"new")
    a.flush()
    time.sleep(1.2)
    assert (a / "f").read_bytes() == b"new"
    assert own(a, "f", "ttl") == b"never"
    assert store.get("f") == b"new"


def test_ttl_survives_remount(new_mount, store):
    """A life that was set is kept over a remount."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    expire(a / "f", 1000)
    a.remount()
    assert 900 <= int(own(a, "f", "ttl")) <= 1000


# --- what users set ---


VALUES = {
    "user.plain": b"value",
    "user.under_score9": b"with spaces and = signs, commas; (all) of them",
    "user.empty": b"",
    "user.UPPER": b"case",
    "user.dotted.name": b"dots",
    "user.ünï": "größer".encode(),
    "user.binary": bytes(range(256)),
    "user.newline": b"a\nb\r\n",
    "user.percent": b"100%41",
}


def known_xattrs(mount):
    """Those of all files. A listing does not tell them, and listxattr asks nobody: a read does."""
    for path in mount.dir.iterdir():
        if path.is_file():
            path.read_bytes()
    return user_xattrs(mount.dir)


def test_user_xattrs_travel(new_mount, store):
    """Any user.* name with any value is the same on another host."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    for name, value in VALUES.items():
        os.setxattr(a / "f", name, value)
    a.flush()
    b = new_mount("b", store)
    assert known_xattrs(b) == {"f": VALUES}


def test_directory_xattrs_travel(new_mount, store):
    """The same for a directory."""
    a = new_mount("a", store)
    (a / "d").mkdir()
    os.setxattr(a / "d", "user.note", b"of a directory")
    a.flush()
    b = new_mount("b", store)
    assert os.getxattr(b / "d", "user.note") == b"of a directory"


def test_user_xattr_changes_travel(new_mount, store):
    """Changing and removing one later reaches the store and a host that comes then, without the bytes."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x" * 1000)
    os.setxattr(a / "f", "user.one", b"1")
    os.setxattr(a / "f", "user.two", b"2")
    a.flush()
    os.setxattr(a / "f", "user.one", b"changed")
    os.removexattr(a / "f", "user.two")
    a.flush()
    b = new_mount("b", store)
    assert known_xattrs(b) == {"f": {"user.one": b"changed"}}
    assert (b / "f").read_bytes() == b"x" * 1000
    if a.proxy:
        assert sum(r.method == "PUT" and "/f" in r.path for r in a.proxy.seen()) <= 2


@pytest.mark.s3
def test_user_xattrs_are_s3_metadata(new_mount, store):
    """Plain names are S3 user metadata one to one, both ways; so are owner, mode and time."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    os.setxattr(a / "f", "user.pipeline", b"v2")
    os.chmod(a / "f", 0o640)
    os.chown(a / "f", 1000, 1001)
    os.utime(a / "f", ns=(10**18, 10**18))
    a.flush()
    metadata = store.metadata("f")
    assert metadata["pipeline"] == "v2"
    assert (metadata["uid"], metadata["gid"]) == ("1000", "1001")
    assert metadata["mtime"].startswith("1000000000")
    assert "xxh3" in metadata and "created_at" in metadata
    store.put("foreign", b"y", {"origin": "elsewhere", "tenant_id": "acme"})
    assert os.getxattr(a / "foreign", "user.origin") == b"elsewhere"
    assert os.getxattr(a / "foreign", "user.tenant_id") == b"acme"


def test_too_much_metadata(new_mount, store):
    """Above what a store takes, setxattr says E2BIG (or ENOSPC), and what was there stays."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    os.setxattr(a / "f", "user.small", b"1")
    raises((errno.E2BIG, errno.ENOSPC), os.setxattr, a / "f", "user.big", b"x" * 4000)
    count = 0
    try:
        while count < 100:
            os.setxattr(a / "f", f"user.n{count}", b"x" * 100)
            count += 1
    except OSError as error:
        assert error.errno in (errno.E2BIG, errno.ENOSPC)
    assert 5 < count < 30
    a.flush()
    b = new_mount("b", store)
    assert len(known_xattrs(b)["f"]) == count + 1


def test_metadata_of_a_rewritten_file(new_mount, store):
    """Mode, owner and xattrs stay when the bytes are written anew, by truncation."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"one")
    os.chmod(a / "f", 0o604)
    os.setxattr(a / "f", "user.x", b"kept")
    a.flush()
    (a / "f").write_bytes(b"two")
    a.flush()
    b = new_mount("b", store)
    assert os.stat(b / "f").st_mode & 0o777 == 0o604
    assert os.getxattr(b / "f", "user.x") == b"kept"
    assert (b / "f").read_bytes() == b"two"
