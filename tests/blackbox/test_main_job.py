# SPDX-License-Identifier: Apache-2.0
"""The main job: artifacts written through one mount are read on another host, byte for byte."""

import os
import subprocess

import pytest

from lib.artifacts import attributes, digests, make_artifacts, user_xattrs
from lib.wait import eventually


@pytest.fixture(scope="module")
def artifacts(base):
    """Artifacts on a plain disk, with owners, modes, times and xattrs of their own."""
    root = base / "artifacts"
    root.mkdir()
    make_artifacts(root)
    done = root / "profile_test/videos/abc123/metadata.json"
    os.chmod(done, 0o640)
    os.chown(done, 1000, 1001)
    os.utime(done, ns=(10**18, 10**18 + 123456789))
    os.setxattr(done, "user.pipeline", b"v2")
    os.setxattr(done, "user.odd name", b"\0\xff")
    os.symlink("abc123", root / "profile_test/videos/latest")
    return root


def copy_in(artifacts, mount):
    """Ordinary tools write; then everything is in the store."""
    subprocess.run(["cp", "-a", artifacts, mount / "run"], check=True)
    mount.flush()


def test_another_host_reads_it_all(new_mount, store, artifacts):
    """Bytes, modes, owners, times, links and user xattrs are equal on a host with an empty cache."""
    a = new_mount("a", store)
    copy_in(artifacts, a)
    b = new_mount("b", store)
    assert digests(b / "run") == digests(artifacts)
    assert attributes(b / "run") == attributes(artifacts)
    assert user_xattrs(b / "run") == user_xattrs(artifacts)


def test_metadata_travels(new_mount, store, artifacts):
    """What cogfs knows of an object is the same on both hosts."""
    a = new_mount("a", store)
    copy_in(artifacts, a)
    b = new_mount("b", store)
    for key in ("metadata.json", "embeddings/colpali.npz", "segments/empty"):
        path = f"run/profile_test/videos/abc123/{key}"
        (b / path).read_bytes()
        here, there = a.xattrs(path), b.xattrs(path)
        for name in ("key", "xxh3", "size_bytes", "etag", "created_at", "ttl", "expires_at", "format"):
            assert here.get(f"user.cogfs.{name}") == there.get(f"user.cogfs.{name}"), (key, name)
        assert here["user.cogfs.key"] == path.encode()
        assert here["user.cogfs.state"] == there["user.cogfs.state"] == b"clean"


def test_store_holds_plain_objects(new_mount, store, artifacts):
    """In the store, each file is an object of its path with its bytes, and there is nothing else."""
    a = new_mount("a", store)
    copy_in(artifacts, a)
    expected = {f"run/{name}": (artifacts / name).stat().st_size for name in digests(artifacts)}
    keys = store.keys()
    files = {key: size for key, size in keys.items() if key in expected}
    assert files == expected
    extra = [key for key in keys if key not in expected and not key.endswith("/")]
    assert extra in ([], ["run/profile_test/videos/latest"])
    for key in list(expected)[::7]:
        assert store.get(key) == (artifacts / key[4:]).read_bytes()


@pytest.mark.s3
def test_server_stopped(new_mount, store, artifacts):
    """What a host has read once it reads again with the server stopped."""
    a = new_mount("a", store)
    copy_in(artifacts, a)
    b = new_mount("b", store)
    assert digests(b / "run") == digests(artifacts)
    b.proxy.stop()
    assert digests(b / "run") == digests(artifacts)
    assert attributes(b / "run") == attributes(artifacts)


@pytest.mark.s3
def test_warm_reads_cost_nothing(new_mount, store, artifacts):
    """Reading again what is resident sends no request, within the time that a listing is good for."""
    a = new_mount("a", store)
    copy_in(artifacts, a)
    b = new_mount("b", store, config={"mount": {"list_ttl": "1h"}})
    digests(b / "run")
    before = b.proxy.count()
    for _ in range(3):
        digests(b / "run")
        attributes(b / "run")
    assert b.proxy.count() == before


def test_survives_remount(new_mount, store, artifacts):
    """After an unmount and a mount everything is there, dirty or not, with the same inode numbers."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h", "drain_deadline": "1s"}})
    subprocess.run(["cp", "-a", artifacts, a / "run"], check=True)
    inodes = {name: os.stat(a / "run" / name).st_ino for name in digests(artifacts)}
    result = a.umount()
    assert result.returncode in (0, 3)
    a.configure()
    a.start()
    assert digests(a / "run") == digests(artifacts)
    assert attributes(a / "run") == attributes(artifacts)
    assert {name: os.stat(a / "run" / name).st_ino for name in inodes} == inodes
    a.flush()
    keys = store.keys()
    assert all(f"run/{name}" in keys for name in digests(artifacts))


def test_both_hosts_write(new_mount, store):
    """Two hosts that write different files see each other's after a listing's time."""
    a, b = new_mount("a", store), new_mount("b", store)
    (a / "shared").mkdir()
    (a / "shared/from_a").write_bytes(b"a" * 5000)
    a.flush()
    eventually(lambda: (b / "shared/from_a").read_bytes() == b"a" * 5000, what="a's file on b")
    (b / "shared/from_b").write_bytes(b"b" * 5000)
    b.flush()
    eventually(lambda: sorted(os.listdir(a / "shared")) == ["from_a", "from_b"], what="b's file on a")
    assert (a / "shared/from_b").read_bytes() == b"b" * 5000


def test_new_version_reaches_the_other_host(new_mount, store):
    """A changed object is seen on the other host after a listing's time, whole."""
    a, b = new_mount("a", store), new_mount("b", store)
    for version in (b"1" * 100000, b"2" * 50000, b"3"):
        (a / "f").write_bytes(version)
        a.flush()
        seen = eventually(
            lambda: (data := (b / "f").read_bytes()) == version and data, what="the new version"
        )
        assert os.stat(b / "f").st_size == len(seen)


def test_open_sees_one_version(new_mount, store):
    """A file that is open on one host while another replaces it is read to its end as it was, or ESTALE."""
    a, b = new_mount("a", store), new_mount("b", store)
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    (a / "f").write_bytes(old)
    a.flush()
    eventually(lambda: (b / "f").exists(), what="the file")
    with open(b / "f", "rb", buffering=0) as file:
        first = file.read(4096)
        (a / "f").write_bytes(new)
        a.flush()
        rest = first
        try:
            while chunk := file.read(1 << 20):
                rest += chunk
            assert rest == old
        except OSError as error:
            import errno

            assert error.errno == errno.ESTALE
            assert rest == old[: len(rest)]
    eventually(lambda: (b / "f").read_bytes() == new, what="the new version")


def test_delete_reaches_the_other_host(new_mount, store):
    """A deleted file vanishes from the store and from the other host."""
    a, b = new_mount("a", store), new_mount("b", store)
    (a / "d").mkdir()
    (a / "d/f").write_bytes(b"x")
    (a / "d/g").write_bytes(b"y")
    a.flush()
    eventually(lambda: (b / "d/f").read_bytes() == b"x", what="the file")
    os.unlink(a / "d/f")
    a.flush()
    assert set(store.keys()) & {"d/f", "d/g"} == {"d/g"}
    eventually(lambda: not (b / "d/f").exists(), what="the deletion")
    assert os.listdir(b / "d") == ["g"]


def test_big_object_lazily(new_mount, store):
    """Reading the end of a big object brings little of it; reading all of it brings all of it right."""
    size = 48 * 1024 * 1024
    data = os.urandom(1 << 20) * 48
    store.put("big.bin", data)
    b = new_mount("b", store)
    assert os.stat(b / "big.bin").st_size == size
    with open(b / "big.bin", "rb") as file:
        file.seek(size - 4096)
        assert file.read() == data[-4096:]
    if store.kind == "s3":
        assert b.counter("fill_bytes") <= 4 << 20
    assert (b / "big.bin").read_bytes() == data
    with open(b / "big.bin", "rb") as file:
        assert os.pread(file.fileno(), 100, 12345678) == data[12345678:12345778]
    eventually(lambda: len(b.xattrs("big.bin")["user.cogfs.xxh3"]) == 32, what="the checksum")


def test_many_readers_one_fetch(new_mount, store):
    """Processes that read one cold object at the same time share its fetch."""
    data = os.urandom(8 << 20)
    store.put("hot.bin", data)
    b = new_mount("b", store)
    (b.base / "expected").write_bytes(data)
    readers = [subprocess.Popen(["cmp", b / "hot.bin", b.base / "expected"]) for _ in range(8)]
    assert [reader.wait() for reader in readers] == [0] * 8
    assert b.counter("fill_bytes") + b.counter("stream_bytes") <= 2 * len(data)


def object_requests(mount, method):
    """Requests for objects: no listings, no names that are directories."""
    return [r for r in mount.proxy.seen(method) if "list-type=2" not in r.query and r.key() not in ("", "d")]


@pytest.mark.s3
def test_cold_small_objects_cost_one_get(new_mount, store):
    """Each small object of a listed directory is one GET, its attributes included."""
    names = [f"{i:03}.json" for i in range(100)]
    store.put_many({f"d/{name}": name.encode() * 300 for name in names})
    b = new_mount("b", store, config={"mount": {"list_ttl": "1h"}})
    assert sorted(os.listdir(b / "d")) == names
    before = len(object_requests(b, "GET"))
    heads = b.proxy.count("HEAD")
    for name in names:
        assert (b / "d" / name).read_bytes() == name.encode() * 300
    assert len(object_requests(b, "GET")) - before == len(names)
    assert b.proxy.count("HEAD") == heads
    assert b.counter("fill_bytes") == sum(len(name) * 300 for name in names)
    for name in names:
        assert (b / "d" / name).read_bytes() == name.encode() * 300
        assert os.stat(b / "d" / name).st_size == len(name) * 300
    assert len(object_requests(b, "GET")) - before == len(names), "read again"


@pytest.mark.s3
def test_a_name_that_was_never_listed_costs_one_get(new_mount, store):
    """The first look at a name brings a small object's bytes along."""
    store.put("d/direct.json", b"{}" * 1000)
    b = new_mount("b", store, config={"mount": {"list_ttl": "1h"}})
    assert (b / "d/direct.json").read_bytes() == b"{}" * 1000
    assert len(object_requests(b, "GET")) == 1
    assert b.proxy.count("HEAD") == 0


@pytest.mark.s3
def test_attributes_of_a_large_object_bring_little(new_mount, store):
    """Asking for a large object's attributes does not fetch it, and they are the true ones."""
    a = new_mount("a", store)
    (a / "d").mkdir()
    (a / "d/large.bin").write_bytes(bytes(3 << 20))
    os.chmod(a / "d/large.bin", 0o640)
    a.flush()
    b = new_mount("b", store)
    seen = os.stat(b / "d/large.bin")
    assert (seen.st_size, seen.st_mode & 0o7777) == (3 << 20, 0o640)
    assert b.counter("fill_bytes") == 0
    assert (b / "d/large.bin").read_bytes() == bytes(3 << 20)
