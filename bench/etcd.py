"""Debian's etcd 3.4 as the peer of ordered tables: three members with fsync on loopback, loaded by its Go client.

The binary is taken out of Debian's package into build/bench-etcd without installing it: the package would start a
daemon. The load program (etcd_load/) is compiled there against Debian's Go libraries.
"""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

from servers import ROOT, Server, free_ports

PLACE = os.path.join(ROOT, "build", "bench-etcd")
LOAD_PACKAGES = ("golang-go", "golang-etcd-server-dev")
MEMBERS = 3


def run(argv, **options):
    result = subprocess.run(argv, capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError("%s: %s" % (" ".join(argv), (result.stderr or result.stdout).strip()[-500:]))
    return result.stdout


def extracted_binary():
    binary = os.path.join(PLACE, "usr", "bin", "etcd")
    if not os.path.exists(binary):
        os.makedirs(PLACE, exist_ok=True)
        run(["apt-get", "-q", "download", "etcd-server"], cwd=PLACE)
        run(["dpkg-deb", "-x", glob.glob(os.path.join(PLACE, "etcd-server_*.deb"))[0], PLACE])
    return binary


def load_program():
    program = os.path.join(PLACE, "etcd_load")
    source = os.path.join(ROOT, "bench", "etcd_load")
    if not shutil.which("go"):
        raise RuntimeError("the load on etcd needs Debian's packages %s" % " and ".join(LOAD_PACKAGES))
    environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode",
                       GOCACHE=os.path.join(PLACE, "cache"))
    run(["go", "build", "-o", program, "."], cwd=source, env=environment)
    return program


class Etcd:
    """Three members. Use as a context; `point` measures one load."""

    def __enter__(self):
        binary, self.program = extracted_binary(), load_program()
        self.folder = tempfile.mkdtemp(prefix="meridian-bench-etcd-")
        clients, peers = free_ports(2 * MEMBERS)[:MEMBERS], free_ports(2 * MEMBERS)[MEMBERS:]
        url = "http://127.0.0.1:%d"
        cluster = ",".join("m%d=%s" % (i, url % peers[i]) for i in range(MEMBERS))
        self.members = []
        for i in range(MEMBERS):
            argv = [binary, "--name", "m%d" % i, "--data-dir", os.path.join(self.folder, "m%d" % i),
                    "--listen-client-urls", url % clients[i], "--advertise-client-urls", url % clients[i],
                    "--listen-peer-urls", url % peers[i], "--initial-advertise-peer-urls", url % peers[i],
                    "--initial-cluster", cluster, "--initial-cluster-token", "bench"]
            self.members.append(Server("m%d" % i, argv, clients[i], self.folder))
        self.endpoints = ",".join("127.0.0.1:%d" % port for port in clients)
        self.await_leader()
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.stop()
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def await_leader(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.load("put", 1, 0.2)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def load(self, op, callers, seconds):
        out = run([self.program, "-endpoints", self.endpoints, "-op", op, "-callers", str(callers), "-seconds",
                   str(seconds)])
        return json.loads(out)

    def point(self, op, callers, seconds):
        cpu = sum(member.cpu_seconds() for member in self.members)
        result = self.load(op, callers, seconds)
        result["cpu_us"] = (sum(member.cpu_seconds() for member in self.members) - cpu) / result["operations"] * 1e6
        return result
