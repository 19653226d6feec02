# SPDX-License-Identifier: Apache-2.0
"""Real artifacts of a video pipeline, and comparing trees."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import numpy


def make_frames(folder, count=8):
    """JPEG keyframes cut from a test video, by ffmpeg where it is there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("ffmpeg"):
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc=size=320x240:rate=1:duration={count}",
             "-start_number", "0", str(folder / "frame_%d.jpg")],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    else:
        for i in range(count):
            jpeg = b"\xff\xd8\xff\xe0" + os.urandom(20000) + b"\xff\xd9"
            (folder / f"frame_{i}.jpg").write_bytes(jpeg)
    return sorted(folder.glob("frame_*.jpg"))


def make_artifacts(root):
    """The tree of seed 000 for two videos, with files of every size class; metadata.json comes last."""
    root = Path(root)
    rng = numpy.random.default_rng(7)
    for video in ("abc123", "def456"):
        base = root / "profile_test/videos" / video
        make_frames(base / "keyframes")
        for name in ("audio", "descriptions", "embeddings", "segments"):
            (base / name).mkdir()
        (base / "audio/transcription.json").write_text(
            json.dumps({"text": "größer " * 500, "segments": [{"start": i, "end": i + 1} for i in range(200)]})
        )
        for i in range(5):
            (base / f"descriptions/frame_{i}.json").write_text(json.dumps({"caption": f"scene {i}"}))
        numpy.savez(base / "embeddings/colpali.npz", a=rng.standard_normal((1024, 128), dtype="float32"))
        (base / "segments/segment_0_start_0.0_end_6.0.bin").write_bytes(rng.bytes(12 * 1024 * 1024 + 17))
        (base / "segments/empty").write_bytes(b"")
        (base / "metadata.json").write_text(json.dumps({"video_id": video, "done": True}))
    return root


def digests(root):
    """{relative path: sha256} of all regular files."""
    root = Path(root)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def attributes(root):
    """{relative path: (type and mode, uid, gid, mtime of files, link target)} of everything."""
    root = Path(root)
    found = {}
    for path in sorted(root.rglob("*")):
        st = path.lstat()
        target = os.readlink(path) if path.is_symlink() else None
        # The permission bits of a link mean nothing.
        mode = 0o120000 if target else st.st_mode
        when = st.st_mtime_ns if stat.S_ISREG(st.st_mode) else None
        found[str(path.relative_to(root))] = (mode, st.st_uid, st.st_gid, when, target)
    return found


def user_xattrs(root):
    """{relative path: {name: value}} without ours."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        names = [n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("user.cogfs.")]
        if names:
            found[str(path.relative_to(root))] = {
                n: os.getxattr(path, n, follow_symlinks=False) for n in names if n.startswith("user.")
            }
    return found
