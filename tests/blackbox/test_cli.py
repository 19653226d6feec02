# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, one clear line on failure, background mounts, signals."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lib.flaky import s3_error
from lib.mounts import COGFS, cogfs, credentials, mounted_at
from lib.servers import SECRET
from lib.wait import SLOW, eventually

pytestmark = pytest.mark.not_plain


def fails(mount, code, *words, options=(), within=40):
    """The mount fails with that exit code and one line that has the words; nothing is left behind."""
    result = cogfs("mount", "--config", mount.file, *options, mount.dir, within=within, env=mount.env)
    assert result.returncode == code, f"{result.returncode}: {result.stderr}"
    lines = [line for line in result.stderr.splitlines() if "warning" not in line]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word.lower() in lines[0].lower(), lines[0]
    assert not mounted_at(mount.dir)
    eventually(lambda: not mount.pids(), what="the end of the failed mount's processes")
    return result


# --- mount that works ---


def test_background_mount(new_mount, store):
    """The parent returns 0 when the mount answers; what goes on is detached; umount ends it."""
    a = new_mount("a", store, start=False)
    a.start_background()
    (a / "f").write_bytes(b"x")
    assert a.pids()
    kind = mounted_at(a.dir)[1]
    assert kind == "fuse.cogfs"
    for pid in a.pids():
        assert os.getsid(pid) != os.getsid(0)
    result = a.umount()
    assert result.returncode == 0, result.stderr
    assert store.get("f") == b"x"


def test_mount_by_source(new_mount, store, base):
    """`cogfs mount SOURCE DIR` needs no file: the source is the store, the environment has the rest."""
    a = new_mount("a", store, start=False)
    env = {**a.env, **credentials(), "COGFS_CACHE_DIR": str(a.cache)}
    options = []
    if store.kind == "s3":
        source = f"s3://{store.bucket}/pre/fix"
        options = ["-o", f"endpoint=http://127.0.0.1:{a.proxy.port},region=us-east-1,path_style"]
    else:
        source = f"dir:{store.path}"
    result = cogfs("mount", *options, source, a.dir, env=env, cwd="/")
    assert result.returncode == 0, result.stderr
    (a / "f").write_bytes(b"x")
    a.flush()
    assert set(store.keys()) == ({"pre/fix/f"} if store.kind == "s3" else {"f"})
    assert a.umount().returncode == 0


def test_mount_helper(new_mount, store):
    """mount.cogfs takes what mount(8) gives it."""
    a = new_mount("a", store, start=False)
    helper = Path(COGFS).with_name("mount.cogfs")
    result = subprocess.run(
        [helper, "cogfs", a.dir, "-o", f"rw,nodev,nosuid,_netdev,config={a.file}"],
        capture_output=True, text=True, env=a.env, cwd="/", timeout=60 * SLOW,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (a / "f").write_bytes(b"x")
    assert a.umount().returncode == 0


def test_read_only(new_mount, store):
    """-o ro: reads work, every change is EROFS."""
    store.put("f", b"x")
    a = new_mount("a", store, start=False)
    a.start("-o", "ro")
    assert (a / "f").read_bytes() == b"x"
    for change in (
        lambda: open(a / "new", "w"),
        lambda: open(a / "f", "a"),
        lambda: os.unlink(a / "f"),
        lambda: os.mkdir(a / "d"),
        lambda: os.chmod(a / "f", 0o600),
    ):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == 30


# --- mount that fails ---


def test_missing_mount_point(new_mount, store):
    """A mount point that is not there."""
    a = new_mount("a", store, start=False)
    os.rmdir(a.dir)
    fails(a, 32, str(a.dir))
    a.dir.mkdir()


def test_mount_point_in_use(new_mount, store):
    """A mount point with files is refused, with the way out; nothing is hidden."""
    a = new_mount("a", store, start=False)
    (a / "precious").write_bytes(b"x")
    fails(a, 32, "not empty", "precious")
    assert (a / "precious").read_bytes() == b"x"


def test_mounted_already(new_mount, store):
    """A second mount on the same directory says that it is mounted."""
    a = new_mount("a", store)
    result = cogfs("mount", "--config", a.file, a.dir, env=a.env)
    assert result.returncode == 32 and "mounted already" in result.stderr
    (a / "f").write_bytes(b"still works")


def test_cache_directory_in_use(new_mount, store):
    """A second mount of the same cache directory is refused, and told who has it."""
    a = new_mount("a", store)
    b = new_mount("b", store, start=False, config={"cache_dir": str(a.cache)}, disk={"path": str(a.cache)})
    b.cache_dir = b.cache  # where the harness looks for b's own lock
    fails(b, 32, "in use", str(a.dir))
    (a / "f").write_bytes(b"still works")


def test_unknown_option_in_the_file(new_mount, store):
    """An unknown key is an error with file, line and the nearest name."""
    a = new_mount("a", store, start=False)
    a.file.write_text(a.file.read_text().replace('"list_ttl"', '"list_tll"'))
    fails(a, 1, str(a.file), "list_tll", "list_ttl")


def test_missing_configuration(new_mount, store):
    """A configuration file that was named must be there."""
    a = new_mount("a", store, start=False)
    a.file.unlink()
    fails(a, 1, "cogfs.yaml")


@pytest.mark.s3
def test_refused_credentials(new_mount, store):
    """A wrong secret stops the mount, with the cause and without the secret."""
    a = new_mount("a", store, start=False, cold={"secret_key": "wrong-and-secret"})
    result = fails(a, 32, "cold")
    assert "wrong-and-secret" not in result.stderr


@pytest.mark.s3
def test_missing_bucket(new_mount, store):
    """A bucket that does not exist stops the mount, by its name."""
    a = new_mount("a", store, start=False, cold={"bucket": "there-is-no-such"})
    fails(a, 32, "there-is-no-such")


@pytest.mark.s3
def test_wrong_region(new_mount, store):
    """A region that the server does not serve stops the mount."""
    a = new_mount("a", store, start=False, cold={"region": "mars-north-1"})
    fails(a, 32, "region")


@pytest.mark.s3
def test_unreachable_store(new_mount, store):
    """An unreachable store is mounted degraded; --strict refuses it."""
    a = new_mount("a", store, start=False, config={"deadlines": {"mount": "2s"}})
    a.proxy.stop()
    fails(a, 32, "cold", options=["--strict"])
    result = cogfs("mount", "--config", a.file, a.dir, env=a.env)
    assert result.returncode == 0
    (warning,) = [line for line in result.stderr.splitlines() if "secret" not in line]
    assert "unreachable" in warning and "cold" in warning and "degraded" in warning, warning
    assert "cold" in (a / ".cogfs/errors").read_text()
    assert a.worker()
    a.proxy.heal()

    def writes():
        (a / "f").write_bytes(b"kept")
        return True

    eventually(writes, what="a write after the store came back")
    a.flush()
    assert store.get("f") == b"kept"


@pytest.mark.s3
def test_store_refuses_at_mount(new_mount, store):
    """403 from the store at the mount is exit 32, not a degraded mount."""
    a = new_mount("a", store, start=False)
    a.proxy.fail(answer=s3_error(403, "AccessDenied"))
    fails(a, 32, "cold")


# --- the end ---


def test_umount_of_a_busy_mount(new_mount, store):
    """umount names who holds the mount: pid, command and path."""
    a = new_mount("a", store)
    (a / "held").write_bytes(b"x")
    holder = subprocess.Popen(["sleep", "1000"], stdin=open(a / "held", "rb"))
    try:
        result = cogfs("umount", a.dir, env=a.env)
        assert result.returncode == 4
        assert str(holder.pid) in result.stderr
        assert "sleep" in result.stderr and "held" in result.stderr
        assert (a / "held").read_bytes() == b"x"
    finally:
        holder.kill()
        holder.wait()
    assert a.umount().returncode == 0


def test_umount_of_nothing(new_mount, store, scratch):
    """umount of what is no mount of cogfs says so."""
    result = cogfs("umount", scratch)
    assert result.returncode == 1 and "not a mount" in result.stderr


@pytest.mark.s3
def test_umount_says_what_is_left(new_mount, store):
    """With the store gone an unmount ends at its deadline, says what is left, and the next mount uploads it."""
    a = new_mount("a", store, config={"write": {"drain_deadline": "1s"}, "mount": {"list_ttl": "1h"}})
    os.listdir(a.dir)  # so that the new name needs no question
    a.proxy.stop()
    (a / "f").write_bytes(b"kept")
    begin = time.monotonic()
    result = a.umount()
    assert result.returncode == 3 and "not in the store" in result.stderr, result.stderr
    assert time.monotonic() - begin < 15 * SLOW
    a.proxy.heal()
    a.start()
    assert (a / "f").read_bytes() == b"kept"
    a.flush()
    assert store.get("f") == b"kept"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_leaves(new_mount, store, number):
    """SIGTERM and SIGINT bring what is dirty to the store, unmount and end with 0."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    (a / "f").write_bytes(b"x" * 10000)
    process = a.process
    process.send_signal(number)
    assert process.wait(30 * SLOW) == 0, a.log_tail()
    assert not mounted_at(a.dir)
    assert store.get("f") == b"x" * 10000


def test_plain_umount_drains(new_mount, store):
    """umount(8) does the same."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    (a / "f").write_bytes(b"x" * 10000)
    subprocess.run(["umount", a.dir], check=True)
    assert a.process.wait(30 * SLOW) == 0, a.log_tail()
    assert store.get("f") == b"x" * 10000


def test_hangup_reads_the_configuration_again(new_mount, store):
    """SIGHUP takes over what may change while mounted."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    a.configure({"write": {"upload_delay": "50ms"}})
    a.process.send_signal(signal.SIGHUP)

    def arrives():
        (a / "f").write_bytes(b"x")
        time.sleep(0.5)
        return "f" in store.keys()

    eventually(arrives, what="the new upload_delay")
    a.umount()


# --- the other verbs ---


def test_version():
    """--version says what it is, what it was built with and what this kernel gives."""
    for arguments in (["--version"], ["version"]):
        result = cogfs(*arguments)
        assert result.returncode == 0
        assert "cogfs" in result.stdout and "libfuse" in result.stdout.lower()
        assert "passthrough" in result.stdout.lower()


def test_help():
    """--help names every verb; each verb has a help of its own."""
    result = cogfs("--help")
    assert result.returncode == 0
    for verb in ("mount", "umount", "config", "stats", "flush"):
        assert verb in result.stdout
        assert cogfs(verb, "--help").returncode == 0


def test_wrong_usage():
    """Unknown verbs, options and missing arguments are exit 1 with a hint on stderr."""
    for arguments in (["mont"], ["mount"], ["mount", "--no-such-option", "x"], ["flush", "a", "b", "c"], []):
        result = cogfs(*arguments)
        assert result.returncode == 1 and result.stderr, arguments
    assert "mount" in cogfs("mont").stderr


def test_config_check(new_mount, store):
    """config check accepts a good file, and names the line of what is wrong in a bad one."""
    a = new_mount("a", store, start=False)
    assert cogfs("config", "check", a.file).returncode == 0
    bad = a.base / "bad.yaml"
    bad.write_text("version: 1\nmount:\n  list_tll: 5s\n")
    result = cogfs("config", "check", bad)
    assert result.returncode == 1
    assert f"{bad}:3:" in result.stderr and "list_ttl" in result.stderr
    for text in ("version: 99\n", "a: [", "mount: {list_ttl: soon}\n", "tiers: [{type: tape}]\n", "- x\n"):
        bad.write_text(text)
        result = cogfs("config", "check", bad)
        assert result.returncode == 1 and str(bad) in result.stderr, text


def test_config_show_hides_secrets(new_mount, store):
    """config show prints what holds, with secrets as ***, as a configuration that is good again."""
    a = new_mount("a", store, start=False)
    result = cogfs("config", "show", a.file)
    assert result.returncode == 0
    assert SECRET not in result.stdout
    if store.kind == "s3":
        assert "***" in result.stdout
    again = a.base / "again.yaml"
    again.write_text(result.stdout)
    assert cogfs("config", "check", again).returncode == 0
    origin = cogfs("config", "show", "--origin", a.file)
    assert origin.returncode == 0 and "from" in origin.stdout


@pytest.mark.s3
def test_secrets_stay_secret(new_mount, store):
    """The secret is in no log, no control file, no command line."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x")
    a.flush()
    shown = a.log()
    for name in ("stats.json", "config.yaml", "errors", "version"):
        shown += (a / ".cogfs" / name).read_text()
    for pid in a.pids():
        shown += Path(f"/proc/{pid}/cmdline").read_text()
    assert SECRET not in shown


def test_control_files(new_mount, store):
    """.cogfs/ tells the state, the effective configuration, the errors and the version."""
    a = new_mount("a", store)
    stats = json.loads((a / ".cogfs/stats.json").read_text())
    assert stats
    assert "upload_delay" in (a / ".cogfs/config.yaml").read_text()
    assert (a / ".cogfs/version").read_text().strip()
    assert isinstance((a / ".cogfs/errors").read_text(), str)
