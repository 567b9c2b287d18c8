#!/usr/bin/python3
"""README.md is true: its console blocks run word for word, in a fresh copy of the tree, and show what it says.

A line that begins with `$ ` is a command, with `# ` a command for root (left out where we are not root). The lines
after it are its output: `…` stands for any text in a line, and a line `…` alone for any lines; empty lines at the end
(redis-cli prints one after an error) don't count. Between commands a moment passes, as it does for a person.

`make up` uses the default ports, so that this runs in a network namespace of its own, where they are always free.
Where none may be made it runs only if they happen to be free.
"""
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import cluster

DEFAULT_PORTS = [base + number for base in (7100, 7200, 7300) for number in (1, 2, 3)]
MOMENT_SECONDS = 1
COMMAND_SECONDS = 900

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_CHILD_SUBREAPER = 36
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def steps_of(readme):
    """[(is_root, command, [output line, …]), …] of all console blocks."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith(("$ ", "# ")):
                steps.append((line[0] == "#", line[2:], []))
            else:
                steps[-1][2].append(line)
    return steps


def pattern_of(lines):
    """The regular expression of the output that these lines describe."""
    out = ""
    for line in lines:
        if line == "…":
            out += r"(?:.*\n)*?"
        else:
            out += ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
    return re.compile(out)


def raise_loopback():
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def enter_own_network():
    """Move this process into an empty network, where only loopback is. False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    raise_loopback()
    return True


def busy_ports():
    busy = []
    for port in DEFAULT_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                busy.append(port)
    return busy


def kill_descendants():
    """Daemons of the copy come to us when their parents end: nothing of them survives the test."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = [int(pid) for pid in file.read().split()]
        if not children:
            return
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        if not enter_own_network() and busy_ports():
            self.skipTest("README NOT TESTED: no network of our own, and these ports are in use: %s" % busy_ports())
        self.folder = tempfile.mkdtemp(prefix="meridian-readme-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(kill_descendants)
        self.copy_tree()

    def copy_tree(self):
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                               cwd=cluster.ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            source, target = os.path.join(cluster.ROOT, name), os.path.join(self.folder, name)
            if os.path.isfile(source):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copy2(source, target)

    def run_command(self, command):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("MAKE", "MFLAGS", "MERIDIAN", "CMAKE", "BUILD"))}
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SECONDS)
        return done.returncode, done.stdout

    def test_every_command_does_what_the_readme_says(self):
        with open(os.path.join(cluster.ROOT, "README.md"), encoding="utf-8") as file:
            steps = steps_of(file.read())
        self.assertEqual("apt-get install -y git make", steps[0][1])
        self.assertEqual("make up", steps[1][1])
        for is_root, command, lines in steps:
            if is_root and os.geteuid() != 0:
                continue
            code, output = self.run_command(command)
            print("$ %s\n%s" % (command, output), flush=True)
            self.assertEqual(0, code, "%s\n%s" % (command, output))
            if lines:
                self.assertTrue(pattern_of(lines).fullmatch(output.rstrip() + "\n"), "%s\n%s" % (command, output))
            time.sleep(MOMENT_SECONDS)


if __name__ == "__main__":
    cluster.main()
