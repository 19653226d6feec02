# SPDX-License-Identifier: Apache-2.0
"""The seed documents' own file backends, unmodified, with the mount as their base path."""

import os
import time

import numpy
import pytest

from lib.seeds import (
    CacheManager,
    FilesystemCacheBackend,
    LocalFSBackend,
    StructuredFilesystemBackend,
    VideoProcessor,
    run,
)
from lib.wait import eventually, never


def test_local_backend(tree):
    """LocalFSBackend: put, exists, get, list, stats, delete."""
    backend = LocalFSBackend(tree / "cache")
    frame = os.urandom(20000)
    key = "frames/abc123/frame_1.5.jpg"
    assert run(backend.get(key, "acme")) is None
    assert run(backend.put(key, frame, "acme"))
    assert run(backend.exists(key, "acme"))
    assert not run(backend.exists(key, "other"))
    for _ in range(5):
        assert run(backend.get(key, "acme")) == frame
    run(backend.put("transcriptions/abc123/transcription.json", b"{}", "acme"))
    assert run(backend.list_keys("frames/", "acme")) == [key]
    assert run(backend.get_stats("acme")) == {"files": 2, "bytes": 20002}
    assert run(backend.delete(key, "acme"))
    assert not run(backend.delete(key, "acme"))
    assert run(backend.get(key, "acme")) is None


def test_filesystem_backend(tree):
    """FilesystemCacheBackend: values come back, expire by their age, and are cleared by pattern."""
    backend = FilesystemCacheBackend(tree / "cache")
    value = {"embedding": numpy.arange(128, dtype="float32"), "text": "größer"}
    run(backend.set("video:abc:embedding", value))
    for _ in range(5):
        got = run(backend.get("video:abc:embedding"))
        assert (got["embedding"] == value["embedding"]).all() and got["text"] == value["text"]
    old = time.time() - 7200
    os.utime(backend._path("video:abc:embedding"), (old, old))
    assert run(backend.get("video:abc:embedding")) is None
    assert not run(backend.exists("video:abc:embedding"))
    for i in range(10):
        run(backend.set(f"q:{i}", i))
    assert run(backend.clear()) == 10


def test_own_touch_moves_the_age(tree):
    """An entry that was just written and is touched on each read does not expire while it is used."""
    backend = FilesystemCacheBackend(tree / "cache", ttl=3600)
    run(backend.set("k", 1))
    for _ in range(3):
        assert run(backend.get("k")) == 1
        assert time.time() - backend._path("k").stat().st_mtime < 60


def test_structured_backend(tree):
    """StructuredFilesystemBackend: paths by artifact, .meta files, clean-up at the start."""
    backend = StructuredFilesystemBackend(tree / "pipeline")
    frame = os.urandom(5000)
    run(backend.set("profile:video:abc123:keyframes", {"count": 2}, ttl=604800))
    run(backend.set("profile:video:abc123:keyframes:frame_42", frame, ttl=604800))
    run(backend.set("profile:video:abc123:transcript:model=base:lang=auto", {"text": "x"}))
    run(backend.set(
        "profile:video:abc123:segment_frames:segment_id=0:start_time=0.0:end_time=6.0:frame_1", frame
    ))  # fmt: skip
    root = tree / "pipeline/profile"
    assert (root / "keyframes/abc123/frame_42.jpg").read_bytes() == frame
    assert (root / "segments/abc123/segment_0_start_0.0_end_6.0/frame_1.jpg").exists()
    assert run(backend.get("profile:video:abc123:keyframes")) == {"count": 2}
    assert run(backend.get("profile:video:abc123:keyframes:frame_42")) == frame
    assert run(backend.get("profile:video:none:keyframes")) is None
    assert backend.stats == {"hits": 2, "misses": 1, "evictions": 0}
    run(backend.set("profile:video:old:transcript", "x", ttl=-1))
    fresh = StructuredFilesystemBackend(tree / "pipeline")
    assert fresh.stats["evictions"] == 1
    assert not (root / "transcripts/old.pkl").exists()
    assert len(list(root.rglob("*.meta"))) == 4


def test_get_or_compute(tree):
    """A value is computed once, however often and from however many managers it is asked for."""
    managers = [CacheManager(LocalFSBackend(tree / "cache"), "acme") for _ in range(3)]
    values = [
        run(manager.get_or_compute(f"search_results/q{i % 4}/hybrid.json", lambda: b"%d" % (i % 4)))
        for i in range(40)
        for manager in managers
    ]
    assert values == [b"%d" % (i % 4) for i in range(40) for _ in managers]
    assert sum(manager.computed for manager in managers) == 4


def test_processed_video_is_skipped(tree):
    """A video whose metadata.json is there is not processed again."""
    frames = {t: os.urandom(3000) for t in range(10)}
    assert VideoProcessor(tree).process("abc", frames)
    assert not VideoProcessor(tree).process("abc", frames)
    assert VideoProcessor(tree).process("def", frames)


# --- what it costs and what other hosts see ---


@pytest.mark.s3
def test_warm_get_and_touch_cost_no_request(new_mount, store):
    """A read with its touch, again and again, sends nothing to the store: not now, not later."""
    mount = new_mount("a", store, config={"mount": {"list_ttl": "1h"}})
    backend = LocalFSBackend(mount / "cache")
    run(backend.put("frames/abc/frame_0.jpg", b"jpeg" * 1000, "acme"))
    mount.flush()
    run(backend.get("frames/abc/frame_0.jpg", "acme"))
    before = mount.proxy.count()
    for _ in range(50):
        assert run(backend.get("frames/abc/frame_0.jpg", "acme")) == b"jpeg" * 1000
    never(lambda: mount.proxy.count() > before, during=1.5, what="a request")
    mount.flush()
    assert mount.proxy.count("PUT", "frame_0") == 1


def test_another_host_skips_the_video(new_mount, store):
    """What one host processed the next one skips, and reads its frames."""
    a, b = new_mount("a", store), new_mount("b", store)
    frames = {t: os.urandom(3000) for t in range(10)}
    assert VideoProcessor(a.dir).process("abc", frames)
    a.flush()
    eventually(
        lambda: (b / "profile_default/videos/abc/metadata.json").exists(), what="the completion mark"
    )
    assert not VideoProcessor(b.dir).process("abc", frames)
    for timestamp, frame in frames.items():
        assert (b / f"profile_default/videos/abc/keyframes/frame_{timestamp}.jpg").read_bytes() == frame


def test_backend_after_remount(new_mount, store):
    """A backend finds everything again after the mount went away and came back."""
    mount = new_mount("a", store)
    backend = StructuredFilesystemBackend(mount / "pipeline")
    for i in range(30):
        run(backend.set(f"profile:video:v{i}:transcript", {"n": i}, ttl=3600))
    mount.remount()
    backend = StructuredFilesystemBackend(mount / "pipeline")
    assert [run(backend.get(f"profile:video:v{i}:transcript")) for i in range(30)] == [
        {"n": i} for i in range(30)
    ]
