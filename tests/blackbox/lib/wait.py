# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions, and calls that must answer in time."""

import ctypes
import multiprocessing
import os
import signal
import time

# Sanitizer builds are several times slower; deadlines of the tests stretch, those of cogfs do not.
SLOW = {"asan": 3, "tsan": 6}.get(os.environ.get("COGFS_TEST_BUILD", ""), 1)


def eventually(condition, within=10, what="the condition", every=0.02):
    """Returns condition()'s first true value; an exception in it counts as "not yet"."""
    deadline = time.monotonic() + within * SLOW
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = None
        except (AssertionError, OSError, KeyError, IndexError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within * SLOW} s ({last!r})")
        time.sleep(every)


def never(condition, during=1.0, what="the condition", every=0.02):
    """Looks all along that something does not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert not condition(), f"{what} came true"
        time.sleep(every)


class Outcome:
    """What a bounded call came to: value, or the errno of its OSError; and how long it took."""

    def __init__(self, value, errno, seconds):
        self.value, self.errno, self.seconds = value, errno, seconds

    def __repr__(self):
        what = os.strerror(self.errno) if self.errno else repr(self.value)[:60]
        return f"<{what} after {self.seconds:.3f} s>"


def _child(pipe, function, args):
    start = time.monotonic()
    try:
        answer = (function(*args), None, None)
    except OSError as error:
        answer = (None, error.errno, None)
    except BaseException as error:  # told to the parent, which raises it as a failure
        answer = (None, None, repr(error))
    pipe.send((*answer, time.monotonic() - start))
    pipe.close()


def bounded(function, *args, within):
    """
    Runs function in a child process, so that a hanging mount cannot hang the tests. Fails where no
    answer comes within that many seconds.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, function, args), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(within * SLOW):
            raise AssertionError(f"{function.__name__}{args} did not answer within {within * SLOW} s")
        value, errno, failure, seconds = ours.recv()
    finally:
        ours.close()
        if child.is_alive():
            child.join(0.5)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            child.join(5)
    assert failure is None, failure
    return Outcome(value, errno, seconds)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def adopt_orphans():
    """What our children leave behind becomes our child, so that it can be found."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Process:
    def __init__(self, text):
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        self.name, self.state, self.parent = fields["Name"], fields["State"][0], int(fields["PPid"])


def processes():
    """
    {pid: Process} of all there are, from /proc/PID/status alone: who reads stat, cmdline or environ of a process
    that waits in execve for a server that hangs, hangs as well.
    """
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/status", errors="replace") as file:
                    table[int(entry)] = Process(file.read())
            except OSError:
                pass
    return table


def descendants(table, roots):
    """The processes of roots that live, with their children and theirs."""
    found = {pid for pid in roots if pid in table}
    more = True
    while more:
        more = {pid for pid, entry in table.items() if entry.parent in found} - found
        found |= more
    return found


def stuck_processes():
    """Processes of ours that wait for a FUSE server and cannot be killed: [(pid, name, where)]."""
    stuck = []
    table = processes()
    for pid in descendants(table, {os.getpid()}):
        if table[pid].state != "D":
            continue
        try:
            with open(f"/proc/{pid}/wchan") as file:
                where = file.read()
        except OSError:
            continue
        if "fuse" in where or "request_wait" in where:
            stuck.append((pid, table[pid].name, where))
    return stuck
