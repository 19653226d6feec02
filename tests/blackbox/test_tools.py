# SPDX-License-Identifier: Apache-2.0
"""A walk with real tools, unmodified."""

import os
import shutil
import sqlite3
import subprocess

import numpy
import pytest

from lib.artifacts import attributes, digests, make_artifacts, user_xattrs
from lib.wait import SLOW

ALL = os.environ.get("COGFS_TEST_ALL")


def run(*command, **more):
    """The command succeeds; its stdout."""
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180 * SLOW, **more,
    )  # fmt: skip
    said = (result.stderr + result.stdout)[:1500]
    assert result.returncode == 0, f"{command}: {said}"
    return result.stdout


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program} here")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Artifacts with links, modes, times, empty directories and xattrs, on a plain disk."""
    root = make_artifacts(tmp_path_factory.mktemp("artifacts"))
    os.symlink("metadata.json", root / "profile_test/videos/abc123/latest")
    os.symlink("/does/not/exist", root / "dangling")
    (root / "empty_directory").mkdir()
    (root / "script").write_text("#!/bin/sh\n")
    os.chmod(root / "script", 0o755)
    os.chown(root / "script", 1000, 1000)
    os.utime(root / "script", ns=(10**18, 10**18 + 123456789))
    os.chmod(root / "empty_directory", 0o700)
    # The temporary directory may lie on a filesystem without xattrs.
    try:
        os.setxattr(root / "script", "user.origin", b"tests")
    except OSError:
        pass
    return root


def assert_same(one, two):
    assert digests(one) == digests(two)
    assert attributes(one) == attributes(two)
    assert user_xattrs(one) == user_xattrs(two)


def test_cp(tree, scratch, artifacts):
    """cp -a in and out keeps everything; cp -r within does too."""
    run("cp", "-a", artifacts, tree / "in")
    assert_same(artifacts, tree / "in")
    run("cp", "-a", tree / "in", scratch / "out")
    assert_same(artifacts, scratch / "out")
    run("cp", "-a", tree / "in", tree / "again")
    run("diff", "-r", "--no-dereference", tree / "in", tree / "again")


def test_rsync(tree, scratch, artifacts):
    """rsync -aX there and back leaves no difference, and a second run finds nothing to do."""
    run("rsync", "-aX", f"{artifacts}/", tree / "in")
    assert_same(artifacts, tree / "in")
    # Without -X: what cogfs tells in xattrs the source does not have.
    assert run("rsync", "-anic", "--delete", f"{artifacts}/", tree / "in") == ""
    run("rsync", "-aX", f"{artifacts}/", tree / "in")
    run("rsync", "-aX", f"{tree}/in/", scratch / "out")
    assert_same(artifacts, scratch / "out")


def test_rsync_inplace(tree, artifacts, scratch):
    """rsync --inplace, --append and --delete update what is there."""
    source = scratch / "source"
    shutil.copytree(artifacts, source, symlinks=True)
    run("rsync", "-a", f"{source}/", tree / "in")
    big = source / "profile_test/videos/abc123/segments/segment_0_start_0.0_end_6.0.bin"
    with open(big, "r+b") as file:
        file.seek(1000000)
        file.write(b"changed")
    # rsync compares sizes and whole seconds.
    os.utime(big, (10**9, 10**9))
    os.unlink(source / "script")
    run("rsync", "-a", "--inplace", "--no-whole-file", "--delete", f"{source}/", tree / "in")
    assert digests(source) == digests(tree / "in")
    with open(big, "ab") as file:
        file.write(b"more")
    run("rsync", "-a", "--append-verify", f"{source}/", tree / "in")
    assert digests(source) == digests(tree / "in")


def test_tar_small_files(tree, scratch):
    """tar unpacks thousands of small files, and finds no difference afterwards."""
    count = 20000 if ALL else 2000
    source = scratch / "many"
    for i in range(count):
        folder = source / f"{i % 50:02}"
        if i < 50:
            folder.mkdir(parents=True)
        (folder / f"{i}.json").write_text(f'{{"n": {i}}}' * (i % 20))
    run("tar", "cf", scratch / "many.tar", "-C", source, ".")
    (tree / "out").mkdir()
    run("tar", "xf", scratch / "many.tar", "-C", tree / "out")
    assert run("tar", "df", scratch / "many.tar", "-C", tree / "out") == ""
    assert len(run("find", tree / "out", "-type", "f").splitlines()) == count
    run("rm", "-r", tree / "out")
    assert os.listdir(tree) == []


@needs("git")
def test_git(tree, scratch):
    """git clones into the mount, works there, and fsck finds nothing."""
    config = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t",
              "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t", "GIT_TERMINAL_PROMPT": "0"}  # fmt: skip
    env = {**os.environ, **config}

    def git(where, *words):
        return run("git", "-c", "safe.directory=*", "-C", where, *words, env=env)

    source = scratch / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    for i in range(60):
        (source / f"file{i}.c").write_text(f"int f{i}(void);\n" * (i + 1))
        if i % 10 == 9:
            git(source, "add", ".")
            git(source, "commit", "-q", "-m", f"commit {i}")
    clone = tree / "clone"
    run("git", "-c", "safe.directory=*", "clone", "-q", source, clone, env=env)
    git(clone, "fsck", "--full", "--strict")
    assert git(clone, "status", "--porcelain") == ""
    (clone / "file0.c").write_text("changed\n")
    git(clone, "mv", "file1.c", "renamed.c")
    git(clone, "commit", "-q", "-a", "-m", "changed")
    git(clone, "checkout", "-q", "-b", "branch", "HEAD~2")
    git(clone, "gc", "-q")
    git(clone, "fsck", "--full", "--strict")
    assert len(git(clone, "log", "--oneline", "main").splitlines()) == 7


def test_sqlite(tree):
    """A thousand transactions in sqlite, with readers beside them; the database is sound."""
    path = tree / "db.sqlite"
    writer = sqlite3.connect(path, isolation_level=None)
    # The journal and its deletions are what is tested here, not the speed of the disk's fsync.
    writer.execute("PRAGMA synchronous=NORMAL")
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    reader = sqlite3.connect(path)
    for i in range(1000):
        writer.execute("INSERT INTO t VALUES (?, ?)", (i, "v" * (i % 100)))
        if i % 100 == 0:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (i + 1,)
            reader.rollback()
    writer.execute("BEGIN")
    writer.execute("DELETE FROM t")
    writer.execute("ROLLBACK")
    writer.close()
    assert reader.execute("SELECT count(*), sum(length(v)) FROM t").fetchone() == (1000, 49500)
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader.close()


def test_sqlite_wal(tree):
    """sqlite's write-ahead log, which needs a shared mapping between processes."""
    path = tree / "wal.sqlite"
    writer = sqlite3.connect(path, isolation_level=None)
    assert writer.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    writer.execute("CREATE TABLE t (v)")
    for i in range(200):
        writer.execute("INSERT INTO t VALUES (?)", (i,))
    if shutil.which("sqlite3"):
        assert run("sqlite3", path, "SELECT sum(v) FROM t").strip() == str(sum(range(200)))
    writer.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@needs("ffmpeg")
def test_ffmpeg(tree):
    """ffmpeg writes an MP4, goes back to its beginning, and reads it; frames are cut into the mount."""
    video = tree / "video.mp4"
    run("ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=3",
        "-pix_fmt", "yuv420p", "-movflags", "+faststart", video)  # fmt: skip
    probe = run("ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames",
                "-of", "csv=p=0", video)  # fmt: skip
    assert probe.strip().strip(",") == "30"
    run("ffmpeg", "-loglevel", "error", "-i", video, "-r", "1", tree / "frame_%02d.jpg")
    assert len(list(tree.glob("frame_*.jpg"))) >= 3


def test_numpy(tree):
    """numpy saves and loads, whole, compressed and mapped."""
    data = numpy.random.default_rng(1).standard_normal((2000, 128)).astype("float32")
    numpy.save(tree / "a.npy", data)
    numpy.savez(tree / "a.npz", x=data, y=data[:10])
    numpy.savez_compressed(tree / "c.npz", x=data)
    assert (numpy.load(tree / "a.npy") == data).all()
    assert (numpy.load(tree / "a.npz")["y"] == data[:10]).all()
    assert (numpy.load(tree / "c.npz")["x"] == data).all()
    mapped = numpy.load(tree / "a.npy", mmap_mode="r")
    assert (mapped[1500:1600] == data[1500:1600]).all()
    private = numpy.load(tree / "a.npy", mmap_mode="c")
    private[0] = 0
    assert (numpy.load(tree / "a.npy") == data).all()


def test_numpy_memmap_written(tree):
    """What is stored through a numpy memory map is in the file, also after its handle was closed."""
    data = numpy.arange(100000, dtype="int64")
    mapped = numpy.memmap(tree / "m.dat", dtype="int64", mode="w+", shape=data.shape)
    mapped[:] = data
    mapped.flush()
    del mapped
    assert (numpy.fromfile(tree / "m.dat", dtype="int64") == data).all()
    numpy.save(tree / "m.npy", data)
    mapped = numpy.load(tree / "m.npy", mmap_mode="r+")
    mapped[500] = -1
    mapped.flush()
    del mapped
    assert numpy.load(tree / "m.npy")[500] == -1


def test_find_and_du(tree, artifacts):
    """find and du see what is there."""
    run("cp", "-a", artifacts, tree / "in")
    assert len(run("find", tree / "in", "-name", "*.jpg").splitlines()) == 16
    assert len(run("find", tree / "in", "-size", "+10M").splitlines()) == 2
    assert len(run("find", tree / "in", "-empty", "-type", "f").splitlines()) == 2
    total = sum(os.path.getsize(artifacts / name) for name in digests(artifacts))
    assert int(run("du", "-s", "--block-size=1", tree / "in").split()[0]) >= total
    counted = sum(
        int(line) for line in run("find", tree / "in", "-type", "f", "-printf", "%s\\n").splitlines()
    )
    assert counted == total


def test_mv(tree, scratch, artifacts):
    """mv within the mount renames, mv across copies; both ways."""
    run("cp", "-a", artifacts, tree / "in")
    run("mv", tree / "in", tree / "moved")
    run("mv", tree / "moved", scratch / "out")
    assert_same(artifacts, scratch / "out")
    assert os.listdir(tree) == []
    run("mv", scratch / "out", tree / "back")
    assert_same(artifacts, tree / "back")
    assert os.listdir(scratch) == []


def test_rm(tree, artifacts):
    """rm -r leaves nothing."""
    run("cp", "-a", artifacts, tree / "in")
    run("rm", "-r", tree / "in")
    assert os.listdir(tree) == []


@needs("vim")
def test_vim(tree):
    """vim edits in place, with its backup and swap files."""
    path = tree / "text.txt"
    path.write_text("first\nsecond\n")
    run("vim", "-u", "NONE", "-N", "-es", "-c", "set backup swapfile", "-c", "%s/second/changed/", "-c", "wq", path,
        env={**os.environ, "TERM": "dumb"})  # fmt: skip
    assert path.read_text() == "first\nchanged\n"
    assert set(os.listdir(tree)) <= {"text.txt", "text.txt~"}


def test_small_tools(tree):
    """sed -i, sort -o onto itself, dd with fsync and append, install, truncate, split, cmp."""
    path = tree / "f"
    path.write_text("b\na\nc\n")
    run("sed", "-i", "s/c/d/", path)
    run("sort", "-o", path, path)
    assert path.read_text() == "a\nb\nd\n"
    run("dd", "if=/dev/zero", f"of={tree}/z", "bs=64k", "count=20", "conv=fsync", "status=none")
    run("dd", "if=/dev/zero", f"of={tree}/z", "bs=1k", "count=1", "oflag=append", "conv=notrunc", "status=none")
    assert os.path.getsize(tree / "z") == 20 * 65536 + 1024
    run("truncate", "-s", "100000", tree / "z")
    run("install", "-m", "0640", "-D", tree / "z", tree / "deep/er/z")
    run("cmp", tree / "z", tree / "deep/er/z")
    assert os.stat(tree / "deep/er/z").st_mode & 0o777 == 0o640
    run("split", "-b", "30000", tree / "z", tree / "part-")
    run("sh", "-c", f"cat {tree}/part-* | cmp - {tree}/z")


def test_shell_redirections(tree):
    """The shell's ways to write a file: >, >>, a group with several writers, noclobber."""
    run("sh", "-c", 'echo one > "$0"; echo two >> "$0"; (echo three; echo four) >> "$0"', tree / "f")
    assert (tree / "f").read_text() == "one\ntwo\nthree\nfour\n"
    run("sh", "-c", 'for i in 1 2 3; do echo $i; done > "$0"', tree / "f")
    assert (tree / "f").read_text() == "1\n2\n3\n"


def test_tail_follows(tree):
    """tail -f shows lines as they are appended."""
    path = tree / "log"
    path.write_text("begin\n")
    tail = subprocess.Popen(
        ["timeout", str(20 * SLOW), "tail", "-n", "+1", "-f", path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert tail.stdout.readline() == "begin\n"
        for i in range(3):
            with open(path, "a") as file:
                file.write(f"line {i}\n")
            assert tail.stdout.readline() == f"line {i}\n"
    finally:
        tail.kill()
        tail.wait()


def test_python_tempfile_and_shutil(tree):
    """Python's own helpers: tempfile, shutil, zipfile, pickle."""
    import pickle
    import tempfile
    import zipfile

    with tempfile.TemporaryFile(dir=tree) as file:
        file.write(b"x" * 100000)
        file.seek(0)
        assert len(file.read()) == 100000
    with tempfile.NamedTemporaryFile(dir=tree) as file:
        file.write(b"named")
        file.flush()
        assert open(file.name, "rb").read() == b"named"
    assert os.listdir(tree) == []
    with open(tree / "p", "wb") as file:
        pickle.dump({"a": list(range(1000))}, file)
    with zipfile.ZipFile(tree / "z.zip", "w") as archive:
        archive.write(tree / "p", "p")
    with zipfile.ZipFile(tree / "z.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tree / "out")
    assert pickle.loads((tree / "out/p").read_bytes())["a"][-1] == 999
    shutil.copytree(tree / "out", tree / "copy")
    shutil.rmtree(tree / "out")
    assert digests(tree / "copy").keys() == {"p"}
