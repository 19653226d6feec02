# SPDX-License-Identifier: Apache-2.0
"""Keys of the seeds, formats told from content, and sidecars: through the command line and a mount."""

import hashlib
import io
import json
import os
import pickle
import shutil
import time

import numpy
import pytest

from lib.mounts import cogfs
from lib.seeds import StructuredFilesystemBackend, run
from lib.wait import eventually, never

pytestmark = pytest.mark.not_plain

SIDECARS = {"classes": [{"name": "pipeline", "match": ["pipeline/{name}", "pipeline/**"], "sidecar": ".meta"}]}
TRANSCRIPT = "profile:video:abc123:transcript:model=base:lang=auto"


def tell(*args):
    """What a verb prints."""
    result = cogfs(*args, cwd="/")
    assert result.returncode == 0, result.stderr
    return result.stdout.rstrip("\n")


def refused(*args):
    """A verb fails with one line."""
    result = cogfs(*args, cwd="/")
    assert result.returncode == 1 and not result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def xattr(path, name):
    try:
        return os.getxattr(path, f"user.cogfs.{name}").decode()
    except OSError:
        return None


# --- path and key ---


@pytest.mark.parametrize(
    "key, path",
    [
        ("profile:video:abc123:keyframes", "profile/keyframes/abc123/metadata.pkl"),
        ("profile:video:abc123:keyframes:frame_42", "profile/keyframes/abc123/frame_42.jpg"),
        (
            "profile:video:abc123:segment_frames:segment_id=0:start_time=0.0:end_time=6.0:frame_1",
            "profile/segments/abc123/segment_0_start_0.0_end_6.0/frame_1.jpg",
        ),
        ("video:abc123:descriptions", "default/descriptions/abc123.pkl"),
        ("embedding:Qwen/Qwen2-VL-2B-Instruct:00ff", "embeddings/Qwen%2FQwen2-VL-2B-Instruct/00ff.pkl"),
        ("test_key", "misc/test_key"),
    ],
)
def test_path_and_back(key, path):
    """A key has the path that seed 003 lays out, and the path leads back, with no mount at all."""
    assert tell("path", key) == path
    assert tell("key", path) == key
    assert json.loads(tell("path", "--json", key)) == {
        "key": key, "path": path, "grammar": "003", "complete": True,
    }  # fmt: skip


def test_parameters_are_not_in_the_path():
    """A path does not have the parameters, and says so."""
    assert tell("path", TRANSCRIPT) == "profile/transcripts/abc123.pkl"
    assert not json.loads(tell("path", "--json", TRANSCRIPT))["complete"]
    assert tell("key", "profile/transcripts/abc123.pkl") == "profile:video:abc123:transcript"
    assert tell("path", "--format", "msgpack", TRANSCRIPT) == "profile/transcripts/abc123.msgpack"


def test_grammar_004():
    """Seed 004's keys are paths with slashes; in 003 they have no form."""
    assert tell("path", "--grammar", "004", "user:session:u1") == "user/session/u1"
    assert tell("key", "--grammar", "004", "user/session/u1") == "user:session:u1"
    assert tell("path", "video:metadata:v1") == "misc/video%3Ametadata%3Av1"


def test_hashes():
    """Keys that are hashes are what the seeds' own lines of Python compute."""
    model, text = "Qwen/Qwen2-VL-2B-Instruct", "Marie Curie, größer"
    digest = hashlib.sha256(f"{model}:{text}".encode()).hexdigest()[:16]
    found = json.loads(tell("path", "--json", "--embedding", model, text))
    assert found["key"] == f"embedding:{model}:{digest}"
    assert found["path"] == f"embeddings/Qwen%2FQwen2-VL-2B-Instruct/{digest}.pkl"
    query, filters = "robot soccer", {"b": [1, 0.5, 1e-7, None, True], "a": {"ü": "x\n"}}
    digest = hashlib.sha256(query.encode()).hexdigest()[:8]
    assert tell("path", "--search", query, "--strategy", "hybrid") == f"search_results/{digest}/hybrid.json"
    line = json.dumps([query, filters, "hybrid"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(line.encode()).hexdigest()[:16]
    for given in (filters, dict(reversed(filters.items()))):
        path = tell("path", "--search", query, "--strategy", "hybrid", "--filters", json.dumps(given))
        assert path == f"search_results/{digest}/hybrid.json"


def test_refusals():
    """What cannot be meant is refused with its name and the cause."""
    assert "empty" in refused("path", "")
    assert "kkkk" in refused("path", "k" * 2000)
    assert "pickle" in refused("path", "--format", "pickle", "k")
    assert "005" in refused("path", "--grammar", "005", "k")
    assert "--strategy" in refused("path", "--search", "q")
    assert "filters" in refused("path", "--search", "q", "--strategy", "s", "--filters", "[1")
    assert "profile/other/x.pkl" in refused("key", "profile/other/x.pkl")
    assert "/nowhere/x.pkl" in refused("key", "/nowhere/x.pkl")
    assert "usage" in refused("key")


def test_key_of_a_file(new_mount, store):
    """The object's own key comes first, here and on another host; without it the path says it."""
    mount = new_mount("a", store)
    path = mount / tell("path", TRANSCRIPT)
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"text": "x"}))
    assert tell("key", path) == "profile:video:abc123:transcript"
    os.setxattr(path, "user.cogfs.cache_key", TRANSCRIPT.encode())
    assert tell("key", path) == TRANSCRIPT
    assert json.loads(tell("key", "--json", path)) == {
        "key": TRANSCRIPT, "path": "profile/transcripts/abc123.pkl", "from": "user.cogfs.cache_key",
    }  # fmt: skip
    assert tell("key", mount / "profile/keyframes/none/frame_1.jpg") == "profile:video:none:keyframes:frame_1"
    mount.flush()
    other = new_mount("b", store)
    assert tell("key", other / "profile/transcripts/abc123.pkl") == TRANSCRIPT


def test_key_that_fits_nowhere(new_mount, store):
    """A key that the store's metadata has no room for is refused at once, not when it is uploaded."""
    mount = new_mount("a", store)
    (mount / "f").write_bytes(b"x")
    with pytest.raises(OSError) as error:
        os.setxattr(mount / "f", "user.cogfs.cache_key", b"k" * 3000)
    assert error.value.errno == 7  # E2BIG
    mount.flush()


# --- formats ---


def test_formats(tree):
    """user.cogfs.format is told from what a file is, and from its name where the bytes do not say."""
    array = io.BytesIO()
    numpy.savez(array, a=numpy.arange(3))
    plain = io.BytesIO()
    numpy.save(plain, numpy.arange(3))
    samples = {
        "a.npz": (array.getvalue(), "npz"),
        "a.npy": (plain.getvalue(), "npy"),
        "b": (plain.getvalue(), "npy"),
        "a.pkl": (pickle.dumps([1]), "pickle"),
        "c": (pickle.dumps({"a": [1] * 20}), "pickle"),
        "a.jpg": (b"\xff\xd8\xff\xe0" + bytes(100), "jpg"),
        "really.jpg": (b"\x89PNG\r\n\x1a\n" + bytes(100), "png"),
        "a.json": (b'{"a": 1}', "json"),
        "d": (b'{"a": 1}', "json"),
        "a.msgpack": (b"\x81\xa1a\x01", "msgpack"),
        "a.mp4": (b"\0\0\0\x20ftypisom" + bytes(50), "mp4"),
        "a.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        "a.wav": (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        "a.txt": (b"words", "txt"),
        "empty.npz": (b"", "npz"),
        "e": (b"\0\1\2", None),
    }
    for name, (data, _) in samples.items():
        (tree / name).write_bytes(data)
    assert {name: xattr(tree / name, "format") for name in samples} == {
        name: format for name, (_, format) in samples.items()
    }


def test_format_of_a_renamed_file(tree):
    """Writers that rename leave the format of the name that counts; a rewrite tells it again."""
    with open(tree / ".emb.npz.tmp123", "wb") as file:
        numpy.savez(file, a=numpy.arange(3))
    os.rename(tree / ".emb.npz.tmp123", tree / "emb.npz")
    assert xattr(tree / "emb.npz", "format") == "npz"
    (tree / "f").write_bytes(b'{"a": 1}')
    assert xattr(tree / "f", "format") == "json"
    (tree / "f").write_bytes(b"\xff\xd8\xff\xe0")
    assert xattr(tree / "f", "format") == "jpg"


# --- sidecars ---


@pytest.fixture
def pipeline(new_mount, store):
    mount = new_mount("a", store, config=SIDECARS)
    (mount / "pipeline").mkdir()
    return mount


def meta(**values):
    return json.dumps({"key": TRANSCRIPT, "created_at": 1696723200.0, "format": "pickle", **values})


def test_sidecar_sets_the_record(pipeline, new_mount, store):
    """What N.meta says is N's, as soon as it is closed; N.meta lives as long; other hosts see it."""
    path = pipeline / "pipeline/abc.pkl"
    end = time.time() + 5000.5
    path.write_bytes(b"data")
    assert xattr(path, "ttl") == "never"
    (pipeline / "pipeline/abc.pkl.meta").write_text(meta(expires_at=end, ttl=604800, size_bytes=99))
    wanted = {
        "expires_at": str(int(end)), "created_at": "1696723200", "cache_key": TRANSCRIPT,
        "format": "pickle", "size_bytes": "4", "class": "pipeline",
    }  # fmt: skip
    assert {name: xattr(path, name) for name in wanted} == wanted
    assert xattr(f"{path}.meta", "expires_at") == str(int(end))
    assert (xattr(f"{path}.meta", "class"), xattr(f"{path}.meta", "name")) == ("pipeline", "abc.pkl")
    assert tell("key", path) == TRANSCRIPT
    pipeline.flush()
    other = new_mount("b", store, config=SIDECARS)
    assert {name: xattr(other / "pipeline/abc.pkl", name) for name in wanted} == wanted


def test_sidecar_before_its_file(pipeline):
    """An N that comes after its N.meta takes it: written, or renamed from a temporary name."""
    root = pipeline / "pipeline"
    for name in ("a", "b"):
        (root / f"{name}.pkl.meta").write_text(meta(ttl=900, expires_at=None))
    (root / "a.pkl").write_bytes(b"data")
    assert xattr(root / "a.pkl", "cache_key") == TRANSCRIPT
    (root / ".b.tmp").write_bytes(b"data")
    os.rename(root / ".b.tmp", root / "b.pkl")
    assert xattr(root / "b.pkl", "cache_key") == TRANSCRIPT
    (root / "c.pkl").write_bytes(b"data")
    (root / ".c.meta.tmp").write_text(meta(expires_at=2000000000))
    os.rename(root / ".c.meta.tmp", root / "c.pkl.meta")
    assert xattr(root / "c.pkl", "expires_at") == "2000000000"
    assert xattr(root / "c.pkl.meta", "expires_at") == "2000000000"


def test_sidecar_goes_with_its_file(pipeline, new_mount, store):
    """N.meta expires with N, and goes where N is removed; who removes both finds both."""
    root = pipeline / "pipeline"
    for name in ("a", "b", "c"):
        (root / name).write_bytes(b"data")
        (root / f"{name}.meta").write_text(meta(ttl=None, expires_at=None))
    os.setxattr(root / "a", "user.cogfs.ttl", b"2")
    (root / "b").unlink()
    (root / "c").unlink()
    (root / "c.meta").unlink()
    eventually(lambda: not (root / "b.meta").exists(), what="the end of b.meta")
    eventually(lambda: os.listdir(root) == [], what="the end of a and a.meta")
    pipeline.flush()
    other = new_mount("b", store, config=SIDECARS)
    assert os.listdir(other / "pipeline") == []


@pytest.mark.s3
def test_sidecar_is_evicted_with_its_file(new_mount, store):
    """Where a body makes room, its sidecar's does too, however lately that was written."""
    mount = new_mount("a", store, config=SIDECARS, disk={"max_size": "1MiB"}, ram=False)
    root = mount / "pipeline"
    root.mkdir()
    for i in range(12):
        (root / f"f{i}").write_bytes(bytes(200000))
        (root / f"f{i}.meta").write_text(meta())
        mount.flush()
        (root / f"f{i}.meta").touch()
    here = {i: "warm" in xattr(root / f"f{i}", "tiers").split(",") for i in range(12)}
    assert not all(here.values())
    assert here == {i: "warm" in xattr(root / f"f{i}.meta", "tiers").split(",") for i in here}


def test_tree_with_sidecars_is_removed(pipeline):
    """Tools that list first and remove then do not stumble over sidecars that went by themselves."""
    root = pipeline / "pipeline/video"
    root.mkdir()
    for i in range(20):
        (root / f"frame_{i}.jpg").write_bytes(b"data")
        (root / f"frame_{i}.jpg.meta").write_text(meta())
    shutil.rmtree(root)
    assert not root.exists()


def test_file_without_a_class_has_no_sidecar(pipeline):
    """Elsewhere a .meta is a file like any other."""
    (pipeline / "x").write_bytes(b"data")
    (pipeline / "x.meta").write_text(meta(ttl=60))
    assert xattr(pipeline / "x", "ttl") == "never"
    (pipeline / "x").unlink()
    never(lambda: not (pipeline / "x.meta").exists(), during=5, what="the end of x.meta")


def test_senseless_sidecar(pipeline):
    """What is no JSON changes nothing and is noted; what makes no sense in it is left out."""
    root = pipeline / "pipeline"
    (root / "a").write_bytes(b"data")
    (root / "a.meta").write_bytes(b"\x80\x04 no JSON")
    assert xattr(root / "a", "ttl") == "never"
    assert "pipeline/a.meta" in (pipeline / ".cogfs/errors").read_text()
    (root / "a.meta").write_text('{"ttl": "soon", "expires_at": [], "key": "k", "format": 7}')
    assert (xattr(root / "a", "ttl"), xattr(root / "a", "cache_key")) == ("never", "k")


def test_structured_backend(pipeline):
    """Seed 003's backend, its lives kept by the mount: what expired is gone before it cleans up."""
    root = pipeline / "pipeline"
    backend = StructuredFilesystemBackend(root)
    run(backend.set(TRANSCRIPT, {"text": "x"}, ttl=604800))
    run(backend.set("profile:video:abc123:keyframes:frame_42", b"\xff\xd8\xff" + bytes(5000), ttl=2))
    path = root / "profile/transcripts/abc123.pkl"
    assert xattr(path, "cache_key") == TRANSCRIPT and xattr(path, "format") == "pickle"
    assert 604000 < int(xattr(path, "ttl")) <= 604800
    assert run(backend.get(TRANSCRIPT)) == {"text": "x"}
    frame = root / "profile/keyframes/abc123/frame_42.jpg"
    eventually(lambda: not frame.exists() and not frame.with_name("frame_42.jpg.meta").exists(), what="its end")
    assert StructuredFilesystemBackend(root).stats["evictions"] == 0
    assert run(backend.get(TRANSCRIPT)) == {"text": "x"}
    run(backend.set(TRANSCRIPT, {"text": "y"}, ttl=60))
    assert run(backend.get(TRANSCRIPT)) == {"text": "y"}
    assert int(xattr(path, "ttl")) <= 60
    run(backend.delete(TRANSCRIPT))
    assert run(backend.get(TRANSCRIPT)) is None
    assert list(root.rglob("*.meta")) == []
    run(backend.set(TRANSCRIPT, {"text": "z"}, ttl=-1))
    assert run(backend.get(TRANSCRIPT)) is None


def test_structured_backend_after_remount(pipeline):
    """The record that a sidecar set is there after the mount went away, without its sidecar."""
    backend = StructuredFilesystemBackend(pipeline / "pipeline")
    run(backend.set(TRANSCRIPT, {"text": "x"}, ttl=3600))
    pipeline.remount()
    path = pipeline / "pipeline/profile/transcripts/abc123.pkl"
    assert xattr(path, "cache_key") == TRANSCRIPT
    assert run(StructuredFilesystemBackend(pipeline / "pipeline").get(TRANSCRIPT)) == {"text": "x"}
