# SPDX-License-Identifier: Apache-2.0
"""Directories: local and remote names together, few requests, hostile keys."""

import errno
import os
import time
from xml.sax.saxutils import escape

import pytest

from lib.files import raises
from lib.flaky import http
from lib.wait import eventually, never

ALL = os.environ.get("COGFS_TEST_ALL")


def listings(mount):
    return [r for r in mount.proxy.seen("GET") if "list-type=2" in r.query]


def test_big_directory(new_mount, store):
    """A directory of several pages lists completely, with sizes, in one pass and no request a name."""
    count = 20000 if ALL else 2500
    store.put_many({f"big/{i:06}.jpg": b"x" * (i % 7) for i in range(count)})
    a = new_mount("a", store, config={"mount": {"list_ttl": "1h"}})
    names = os.listdir(a / "big")
    assert sorted(names) == [f"{i:06}.jpg" for i in range(count)]
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(a / "big")}
    assert all(size == int(name[:6]) % 7 for name, size in sizes.items())
    if store.kind == "s3":
        assert a.proxy.count("HEAD") <= 2
        pages = (count + 999) // 1000
        assert pages <= len(listings(a)) <= pages + 3


def test_prefixes_are_directories(new_mount, store):
    """A prefix is a directory, at every level, and goes with its last object."""
    store.put_many({"a/b/c/deep": b"1", "a/b/flat": b"2", "top": b"3"})
    m = new_mount("a", store)
    assert sorted(os.listdir(m.dir)) == ["a", "top"]
    assert os.listdir(m / "a") == ["b"] and sorted(os.listdir(m / "a/b")) == ["c", "flat"]
    assert os.path.isdir(m / "a/b/c") and (m / "a/b/c/deep").read_bytes() == b"1"
    os.unlink(m / "a/b/c/deep")
    os.unlink(m / "a/b/flat")
    m.flush()
    eventually(lambda: os.listdir(m.dir) == ["top"], what="the end of the implied directories")


@pytest.mark.s3
def test_marker_objects(new_mount, store):
    """An object "dir/" is an empty directory; beside objects below it, it changes nothing."""
    store.put("empty/", b"")
    store.put("full/", b"")
    store.put("full/f", b"x")
    a = new_mount("a", store)
    assert sorted(os.listdir(a.dir)) == ["empty", "full"]
    assert os.listdir(a / "empty") == [] and os.listdir(a / "full") == ["f"]
    os.rmdir(a / "empty")
    os.unlink(a / "full/f")
    assert os.path.isdir(a / "full")
    a.flush()
    assert store.keys() == {"full/": 0}


def test_links_of_another_host(new_mount, store):
    """A listing tells links from files, and asks only about what has a link's size."""
    a = new_mount("a", store)
    os.mkdir(a / "d")
    os.symlink("../else where", a / "d/link")
    (a / "d/empty").write_bytes(b"")
    a.flush()
    link_size = store.keys()["d/link"]
    store.put("d/same-size", b"x" * link_size)
    b = new_mount("b", store, config={"mount": {"list_ttl": "1h"}})
    kinds = {e.name: (e.is_symlink(), e.is_file(follow_symlinks=False)) for e in os.scandir(b / "d")}
    assert kinds == {"link": (True, False), "empty": (False, True), "same-size": (False, True)}
    assert os.readlink(b / "d/link") == "../else where"
    assert os.lstat(b / "d/link").st_size == len("../else where")
    assert (b / "d/same-size").read_bytes() == b"x" * link_size
    if store.kind == "s3":
        assert not b.proxy.seen("HEAD", "d/empty")


def test_directory_goes_with_all_below(new_mount, store):
    """What another host removed with all that was below it is gone here, although it was seen."""
    store.put_many({"d/e/f": b"1", "d/g": b"2"})
    a = new_mount("a", store)
    assert (a / "d/e/f").read_bytes() == b"1" and (a / "d/g").read_bytes() == b"2"
    store.delete("d/e/f")
    store.delete("d/g")
    if store.kind == "dir":
        os.rmdir(store.path / "d/e")
        os.rmdir(store.path / "d")
    eventually(lambda: not (a / "d").exists(), what="the directory's end")
    raises(errno.ENOENT, os.stat, a / "d/e/f")
    assert os.listdir(a.dir) == []


def test_emptied_directory_can_be_filled_again(new_mount, store):
    """Who deletes the last file of a directory can put another one there."""
    store.put("d/old", b"1")
    a = new_mount("a", store, config={"write": {"upload_delay": "0ms"}})
    for i in range(3):
        for name in os.listdir(a / "d"):
            os.unlink(a / "d" / name)
        a.flush()
        time.sleep(1.2)
        (a / f"d/{i}").write_bytes(b"2")
    a.flush()
    assert store.keys() == {"d/2": 1}


def test_direct_name_without_listing(new_mount, store):
    """A deep path opens without anybody having listed the directories above it."""
    store.put("a/b/c/d/e.json", b"{}")
    a = new_mount("a", store)
    assert (a / "a/b/c/d/e.json").read_bytes() == b"{}"
    assert not (a / "a/b/none").exists() and not (a / "a/b/c/d/e.json/x").exists()


def test_local_and_remote_names(new_mount, store):
    """A listing has what is here and not uploaded yet, and lacks what was deleted here."""
    store.put_many({f"d/remote{i}": b"r" for i in range(3)})
    a = new_mount("a", store, config={"write": {"upload_delay": "1h", "drain_deadline": "1s"}})
    (a / "d/local").write_bytes(b"l")
    os.unlink(a / "d/remote1")
    os.rename(a / "d/remote2", a / "d/renamed")
    expected = ["local", "remote0", "renamed"]
    assert sorted(os.listdir(a / "d")) == expected
    time.sleep(1.5)
    assert sorted(os.listdir(a / "d")) == expected, "after the listing was refreshed"
    assert (a / "d/renamed").read_bytes() == b"r"


def test_remote_changes_are_seen(new_mount, store):
    """New, changed and deleted objects are seen after list_ttl."""
    store.put_many({"d/gone": b"1", "d/changed": b"old", "d/same": b"s"})
    a = new_mount("a", store)
    assert (a / "d/changed").read_bytes() == b"old"
    assert (a / "d/gone").read_bytes() == b"1"
    store.put("d/changed", b"newer")
    store.put("d/added", b"+")
    store.delete("d/gone")
    eventually(lambda: sorted(os.listdir(a / "d")) == ["added", "changed", "same"], what="the listing")
    eventually(lambda: (a / "d/changed").read_bytes() == b"newer", what="the new bytes")
    assert os.stat(a / "d/changed").st_size == 5
    assert (a / "d/added").read_bytes() == b"+"
    raises(errno.ENOENT, open, a / "d/gone", "rb")


def test_absent_then_present(new_mount, store):
    """A name that was absent is found after negative_ttl, when another host made it."""
    a = new_mount("a", store)
    assert not (a / "late").exists()
    store.put("late", b"now")
    eventually(lambda: (a / "late").exists(), within=5, what="the new name")
    assert (a / "late").read_bytes() == b"now"


@pytest.mark.s3
def test_absent_names_cost_one_request(new_mount, store):
    """Asking for an absent name again and again asks the store once in negative_ttl."""
    store.put_many({f"d/{i}": b"x" for i in range(3)})
    a = new_mount("a", store, config={"mount": {"negative_ttl": "1h", "list_ttl": "1h"}})
    assert not (a / "d/none.json").exists()
    before = a.proxy.count()
    for _ in range(50):
        assert not (a / "d/none.json").exists()
    assert a.proxy.count() == before


@pytest.mark.s3
def test_own_new_names_ask_nothing(new_mount, store):
    """Files that are made in a directory that was listed need no question to the store."""
    store.put("d/there", b"x")
    a = new_mount("a", store, config={"mount": {"list_ttl": "1h", "negative_ttl": "1h"},
                                      "write": {"upload_delay": "1h", "drain_deadline": "1s"}})  # fmt: skip
    os.listdir(a / "d")
    before = a.proxy.count()
    for i in range(50):
        (a / f"d/{i}").write_bytes(b"new")
    assert a.proxy.count() == before


# --- keys that are no safe path ---

HOSTILE = [
    "../../etc/passwd", "x/../../y", "a//b", "/absolute", "./dot", "a/./b", "..", ".",
    ".cogfs/stats.json", "n" * 300, "d/" + "n" * 300, "k/" * 600 + "end",
]  # fmt: skip


def forged_listing(keys, prefixes=()):
    """What a server might answer to a listing, whatever was asked."""
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>3</Size><ETag>&quot;0123&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key in keys
    )
    entries += "".join(
        f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )
    return http(200, body, "Content-Type: application/xml\r\n")


@pytest.mark.s3
def test_hostile_keys_are_hidden(new_mount, store):
    """Keys that are no safe path are not shown and lead nowhere, but are counted."""
    a = new_mount("a", store)
    a.proxy.fail(
        answer=forged_listing(["good"] + HOSTILE, ["fine/", "../", "/", "//", ".cogfs/", "n" * 300 + "/"]),
        only=lambda r: "list-type=2" in r.query,
    )
    time.sleep(1.1)
    assert set(os.listdir(a.dir)) <= {"good", "fine", "a", "x", "d", "k"}
    assert {"good", "fine"} <= set(os.listdir(a.dir))
    assert a.counter("unsafe_keys") >= 5
    assert not os.path.exists(a / "etc") and not os.path.exists(a / "absolute")
    assert os.listdir(a / ".cogfs") is not None


@pytest.mark.s3
def test_file_and_directory_of_one_name(new_mount, store):
    """Where a store has both "a" and "a/b", one of them is shown, and the tree stays whole."""
    a = new_mount("a", store)
    a.proxy.fail(
        answer=forged_listing(["clash", "good"], ["clash/"]), only=lambda r: "list-type=2" in r.query
    )
    time.sleep(1.1)
    assert sorted(os.listdir(a.dir)) == ["clash", "good"]
    assert len(list(os.scandir(a.dir))) == 2


@pytest.mark.s3
def test_endless_listing_ends(new_mount, store):
    """A server that gives the same continuation for ever does not hang a listing for ever."""
    answer = forged_listing(["x"]).replace(
        b"<IsTruncated>false</IsTruncated>",
        b"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
    )
    body = answer.split(b"\r\n\r\n", 1)[1]
    a = new_mount("a", store, config={"deadlines": {"list": "2s"}})
    a.proxy.fail(answer=http(200, body), only=lambda r: "list-type=2" in r.query)
    time.sleep(1.1)
    begin = time.monotonic()
    try:
        os.listdir(a.dir)
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ETIMEDOUT)
    assert time.monotonic() - begin < 20


@pytest.mark.s3
def test_incomplete_listing_hides_nothing(new_mount, store):
    """A listing that breaks off after a page neither deletes nor hides what is known."""
    store.put_many({f"d/{i:04}": b"x" for i in range(1500)})
    a = new_mount("a", store, config={"deadlines": {"list": "2s"}})
    assert len(os.listdir(a / "d")) == 1500
    assert (a / "d/1400").read_bytes() == b"x"
    a.proxy.fail(answer=http(500), only=lambda r: "continuation-token" in r.query)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        try:
            assert len(os.listdir(a / "d")) == 1500
        except OSError as error:
            assert error.errno in (errno.EIO, errno.ETIMEDOUT)
        assert (a / "d/1400").read_bytes() == b"x"
    a.proxy.heal()
    eventually(lambda: len(os.listdir(a / "d")) == 1500, what="the whole listing")
    never(lambda: len(store.keys("d/")) != 1500, during=0.2, what="a deletion")
