# SPDX-License-Identifier: Apache-2.0
"""
Classes: the layouts of the seeds, written through ordinary tools. What their xattrs tell, where their bytes are, how
long they live.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from lib.mounts import cogfs
from lib.servers import ACCESS, SECRET
from lib.wait import eventually

EXAMPLES = Path(__file__).resolve().parents[2] / "etc/examples"
DAY = 86400
TIERS = {
    "000": {"disk": "warm", "s3": "cold"},
    "001": {"ram": "hot", "disk": "warm", "s3": "cold"},
    "002": {"disk": "warm", "s3": "cold"},
    "003": {"ram": "ram", "disk": "disk", "dir": "remote"},
    "004": {"ram": "memory", "disk": "redis", "dir": "database"},
}


def with_example(new_mount, store, name):
    """A mount with an example as it is shipped, on the test's store and in the test's directories."""
    a = new_mount("a", store, start=False)
    a.file = EXAMPLES / f"{name}.yaml"
    a.env |= {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    options = {"cache_dir": a.cache, "write.upload_delay": "100ms"}
    for kind, tier in TIERS[name].items():
        if kind == "disk":
            options |= {f"tiers.{tier}.path": a.cache, f"tiers.{tier}.max_size": "1GiB", f"tiers.{tier}.min_free": 0}
        elif kind == "ram":
            options[f"tiers.{tier}.max_size"] = "64MiB"
        elif kind == "dir":
            options[f"tiers.{tier}.path"] = a.base / "store"
        else:
            ours = store.tier(a.proxy)
            keep = ("bucket", "endpoint", "region", "path_style", "part_size")
            ours = {key: ours[key] for key in keep}
            options |= {f"tiers.{tier}.{key}": value for key, value in ours.items()}
            options[f"tiers.{tier}.prefix"] = ""
    return a.start("-o", ",".join(f"{key}={value}" for key, value in options.items()))


def own(mount, path, name):
    return os.getxattr(mount / path, f"user.cogfs.{name}").decode()


def write(mount, path, data=b"bytes"):
    """As a shell does."""
    target = mount / path
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["sh", "-c", 'cat > "$1"', "sh", target], input=data, check=True)


def write_beside(mount, path, data=b"bytes"):
    """As careful programs do."""
    target = mount / path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, target)


# example, path, class, placeholders, whole life (None: for ever), where it is kept
LAYOUTS = [
    ("000", "profile_p/videos/v1/metadata.json", "done", {"profile": "p", "video_id": "v1"}, 30 * DAY, "store"),
    ("000", "profile_p/videos/v1/keyframes/frame_7.jpg", "keyframes",
     {"profile": "p", "video_id": "v1", "timestamp": "7", "artifact": "keyframes"}, 30 * DAY, "store"),
    ("000", "profile_p/videos/v1/audio/transcription.json", "audio", {"artifact": "audio"}, 30 * DAY, "store"),
    ("000", "profile_p/videos/v1/embeddings/colpali.npz", "embeddings", {"model": "colpali"}, 30 * DAY, "store"),
    ("001", "tenant_acme/embeddings/m/v1/c9.npz", "embeddings",
     {"tenant": "acme", "model": "m", "video_id": "v1", "chunk_id": "c9"}, None, "store"),
    ("001", "tenant_acme/frames/v1/frame_12.5.jpg", "frames", {"tenant": "acme", "timestamp": "12.5"}, DAY, "store"),
    ("001", "tenant_acme/search_results/abc/hybrid.json", "search_results",
     {"tenant": "acme", "query_hash": "abc", "strategy": "hybrid"}, 3600, "ram"),
    ("002", "0123abcd.pkl", "embeddings", {"hash": "0123abcd", "ending": "pkl"}, DAY, "store"),
    ("003", "embeddings/m/0123abcd.pkl", "embeddings", {"model": "m", "artifact": "embeddings"}, 7 * DAY, "store"),
    ("003", "realtime/now", "realtime", {}, 60, "store"),
    ("004", "static/system_config", "static", {}, None, "store"),
    ("004", "user/session/u1", "session", {"user_id": "u1"}, 7200, "disk"),
    ("004", "processing/status/j1", "temporary", {"job_id": "j1"}, 1800, "disk"),
]  # fmt: skip


def stored(mount, store):
    """The keys in the mount's store, which for 004 is a directory of its own."""
    if (mount.base / "store").exists():
        return [str(path.relative_to(mount.base / "store")) for path in (mount.base / "store").rglob("*")]
    return store.keys()


def check_layout(mount, store, path, cls, names, life, where):
    assert own(mount, path, "class") == cls
    listed = mount.xattrs(path)
    for name, value in names.items():
        assert own(mount, path, name) == value
        assert listed[f"user.cogfs.{name}"].decode() == value
    if life is None:
        assert own(mount, path, "ttl") == "never"
    else:
        assert life - 60 <= int(own(mount, path, "ttl")) <= life
    assert (mount / path).read_bytes() == b"bytes"
    mount.flush()
    in_store = any(key.endswith(path.partition("/")[2]) for key in stored(mount, store))
    assert in_store == (where == "store")
    assert own(mount, path, "state") == ("volatile" if where == "ram" else "clean")


@pytest.mark.s3
@pytest.mark.parametrize("name", sorted({row[0] for row in LAYOUTS}))
@pytest.mark.parametrize("how", [write, write_beside], ids=["shell", "rename"])
def test_layouts_of_the_seeds(new_mount, store, name, how):
    """A seed's tree, written as it is written there: class, placeholders, life and place are its example's."""
    a = with_example(new_mount, store, name)
    rows = [row[1:] for row in LAYOUTS if row[0] == name]
    for path, *_, where in rows:
        how(a, path)
        if where == "ram":
            eventually(lambda p=path: own(a, p, "state") == "volatile", 10, f"{path} is volatile")
    for row in rows:
        check_layout(a, store, *row)


def mount_with(new_mount, store, *classes, **more):
    return new_mount("a", store, config={"classes": list(classes), **more})


def test_volatile_objects_end_with_the_mount(new_mount, store):
    """A class of RAM only: no request, no upload, gone after a remount; and a worker's death costs nothing."""
    a = mount_with(new_mount, store, {"name": "hot", "match": "hot/**", "tiers": ["ram"]})
    write(a, "hot/a", b"x" * 200_000)
    eventually(lambda: own(a, "hot/a", "tiers") == "ram", 10, "it is in RAM")
    assert own(a, "hot/a", "state") == "volatile"
    a.flush()
    assert not store.keys("hot/a")
    a.kill_worker()
    assert (a / "hot/a").read_bytes() == b"x" * 200_000
    a.remount()
    assert not (a / "hot/a").exists()


def test_a_class_without_a_disk(new_mount, store):
    """Stored, kept in RAM, and never a file in objects/ on the disk."""
    a = mount_with(new_mount, store, {"name": "rc", "match": "rc/*", "tiers": ["ram", "cold"]})
    write(a, "rc/f", b"y" * 300_000)
    a.flush()
    assert store.keys("rc/f") == {"rc/f": 300_000}
    eventually(lambda: own(a, "rc/f", "tiers") == "ram,cold", 10, "RAM and the store have it")
    assert (a / "rc/f").read_bytes() == b"y" * 300_000
    assert not (a.cache / "objects/rc/f").exists()


def test_a_class_without_a_store(new_mount, store):
    """On this host's disk only, through a remount and a crash."""
    a = mount_with(new_mount, store, {"name": "here", "match": "here/*", "tiers": ["warm"]})
    write(a, "here/f", b"z" * 50_000)
    a.flush()
    assert not store.keys("here/f")
    a.kill_both()
    a.start()
    time.sleep(1.2)  # past list_ttl
    assert (a / "here/f").read_bytes() == b"z" * 50_000
    assert own(a, "here/f", "tiers") == "warm"


def test_write_through_is_per_class(new_mount, store):
    """close returns when the store has it, for that class alone."""
    a = mount_with(
        new_mount, store, {"name": "t", "match": "t/*", "write": "through"}, write={"upload_delay": "1h"}
    )
    (a / "t").mkdir()
    (a / "t/f").write_bytes(b"bytes")
    (a / "other").write_bytes(b"bytes")
    assert store.keys("t/f") and not store.keys("other")


def test_compression_is_per_class(new_mount, store):
    """Packed in the store, as zstd -d opens it; the plain bytes and sizes for whoever mounts."""
    a = mount_with(new_mount, store, {"name": "z", "match": "z/*", "compression": "zstd"})
    data = json.dumps({"text": "again " * 5000}).encode()
    write(a, "z/f.json", data)
    write(a, "plain.json", data)
    a.flush()
    assert store.keys("z/f.json")["z/f.json"] < len(data) // 10
    assert store.keys("plain.json")["plain.json"] == len(data)
    b = new_mount("b", store, config={"classes": []})
    assert (b / "z/f.json").stat().st_size == len(data)
    assert (b / "z/f.json").read_bytes() == data


@pytest.mark.s3
def test_storage_class_is_per_class(new_mount, store):
    """What the bucket is told with each upload, also where only attributes change."""
    a = mount_with(
        new_mount, store, {"name": "ia", "match": "ia/*", "storage_class": "STANDARD_IA"}
    )
    write(a, "ia/f")
    write(a, "other")
    a.flush()
    os.setxattr(a / "ia/f", "user.note", b"1")
    a.flush()
    told = [r.headers.get("x-amz-storage-class") for r in a.proxy.seen("PUT", "ia/f")]
    assert len(told) >= 2 and set(told) == {"STANDARD_IA"}
    assert [r.headers.get("x-amz-storage-class") for r in a.proxy.seen("PUT", "other")] == [None]


def test_a_reload_changes_what_holds(new_mount, store):
    """SIGHUP: the next write has the new life, and xattrs the new class."""
    a = mount_with(new_mount, store, {"name": "one", "match": "d/*", "ttl": "1d"})
    write(a, "d/f")
    assert own(a, "d/f", "class") == "one"
    a.configure(config={"classes": [{"name": "zero", "match": "x"}, {"name": "two", "match": "d/*", "ttl": "1h"}]})
    os.kill(a.worker(), 1)
    eventually(lambda: own(a, "d/f", "class") == "two", 10, "the new class")
    write(a, "d/g")
    assert 3500 <= int(own(a, "d/g", "ttl")) <= 3600


def test_directories_say_what_is_made_below(new_mount, store):
    """setfattr on a directory: the default of what comes, on this host after a remount, and on another one."""
    a = new_mount("a", store)
    (a / "d/e").mkdir(parents=True)
    subprocess.run(["setfattr", "-n", "user.cogfs.ttl", "-v", "1000", a / "d"], check=True)
    subprocess.run(["setfattr", "-n", "user.cogfs.pinned", "-v", "1", a / "d"], check=True)
    write(a, "d/e/f")
    assert 900 <= int(own(a, "d/e/f", "ttl")) <= 1000 and own(a, "d/e/f", "pinned") == "1"
    a.flush()
    a.remount()
    assert own(a, "d", "ttl") == "1000" and own(a, "d", "pinned") == "1"
    write(a, "d/g")
    assert 900 <= int(own(a, "d/g", "ttl")) <= 1000 and own(a, "d/g", "pinned") == "1"
    a.flush()
    b = new_mount("b", store)
    assert 900 <= int(own(b, "d/g", "ttl")) <= 1000 and own(b, "d/g", "pinned") == "1"


def explain(mount, path):
    result = cogfs("explain", "--json", mount / path)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_explain(new_mount, store):
    """cogfs explain: class, pattern, placeholders, place, life, why it is kept or not, and what a read would do."""
    a = mount_with(
        new_mount, store,
        {"name": "frames", "match": "{video_id}/frame_{n}.jpg", "ttl": "1d", "tiers": {"warm": {"ttl": "1h"}, "cold": {}}},
        {"name": "streamed", "match": "s/*", "tiers": ["cold"]},
        {"name": "hot", "match": "hot/*", "tiers": ["ram"]},
    )  # fmt: skip
    write(a, "v1/frame_7.jpg", b"x" * 100_000)
    write(a, "s/f", b"x" * 100_000)
    a.flush()
    told = explain(a, "v1/frame_7.jpg")
    assert told["path"] == "v1/frame_7.jpg" and told["class"] == "frames"
    assert told["pattern"] == "{video_id}/frame_{n}.jpg"
    assert told["placeholders"] == {"video_id": "v1", "n": "7"}
    assert told["state"] == "clean" and set(told["copies"]) == {"warm", "cold"}
    assert told["class_tiers"] == "warm (for 3600 s), cold"
    assert 86000 < int(told["expires"].split()[1]) <= 86400
    assert told["kept"].startswith("yes") and told["read"] == "is served from warm, without the store"
    streamed = explain(a, "s/f")
    assert streamed["kept"] == "no: its class has no tier here"
    assert streamed["read"] == "streams it from cold and keeps nothing"
    none = explain(a, "hot/nowhere/near")
    assert none["class"] == "default" and none["state"] == "absent"
    assert explain(a, "hot/none")["kept"] == "no: there is nothing; no store is asked for its class"
    b = new_mount("b", store)
    cold = explain(b, "v1/frame_7.jpg")
    assert cold["class"] == "default" and cold["kept"] == "no: nobody has read it here yet"
    assert cold["read"] == "fetches it from cold and keeps it in warm"
    assert "pattern        {video_id}/frame_{n}.jpg" in cogfs("explain", a / "v1/frame_7.jpg").stdout


def test_statistics_per_class(new_mount, store):
    """2 hits, 1 miss, 2 sets: seed 003's numbers, for the class and for its type, with its shape kept."""
    a = mount_with(new_mount, store, {"name": "kf", "match": "{profile}/{artifact:keyframes|audio}/*"})
    (a / "p/keyframes").mkdir(parents=True)
    (a / "p/keyframes/a").write_bytes(b"1")
    (a / "p/keyframes/b").write_bytes(b"2")
    assert (a / "p/keyframes/a").read_bytes() + (a / "p/keyframes/b").read_bytes() == b"12"
    before = a.stats()["classes"]["kf"]["misses"]  # each create looked its name up
    assert not (a / "p/keyframes/c").exists()
    eventually(lambda: a.stats()["classes"]["kf"]["total_files"] == 2, 10, "both are published")
    told = json.loads(cogfs("stats", "--json", a.dir).stdout)
    assert {"manager", "backends", "classes"} <= set(told)
    for row in (told["classes"]["kf"], told["key_types"]["keyframes"]):
        assert (row["hits"], row["sets"], row["misses"]) == (2, 2, before + 1)
        assert row["total_files"] == 2 and row["size_bytes"] > 0
        assert row["hit_rate"] == pytest.approx(2 / (3 + before))
    os.unlink(a / "p/keyframes/a")
    assert a.stats()["classes"]["kf"]["deletes"] == 1
