"""Real processes of `meridian server` for the integration tests.

    class SplitTest(cluster.TestCase):
        def test_it(self):
            c = self.cluster(regions=("us-east", "eu", "apac"))
            c["eu-1"].call("SET", "k", "v")
            cluster.wait_until(lambda: c["apac-1"].call("GET", "k") == "v", "the write arrives")

    if __name__ == "__main__":
        cluster.main()

Every cluster has its own temporary folder and its own ports, below the range that outgoing connections use: a killed
node's port is never taken by another socket, and a node that dials a dead peer never reaches itself. On failure the
last lines of every node's log are printed. Whatever happens, no process and no folder is left behind.
"""
import ctypes
import fcntl
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from resp import Connection, RespError, as_map, encode  # noqa: F401 (offered to the tests)

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
MERIDIAN = os.environ.get("MERIDIAN", os.path.join(ROOT, "build", "bin", "meridian"))
SKIPPED = 77

START_SECONDS = 60
STOP_SECONDS = 30
LOG_TAIL_LINES = 40
PORT_BLOCK = 64


class Failure(AssertionError):
    """Something about the cluster itself is wrong: a node did not start, died, or did not stop."""


def wait_until(claim, what, seconds=20, every=0.02):
    """Wait until claim() is true and return its value; it may raise RespError or OSError meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        last = None
        try:
            value = claim()
            if value:
                return value
        except (RespError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failure("waited %g s: %s%s" % (seconds, what, " (last: %s)" % last if last else ""))
        time.sleep(every)


def answers_ping(port):
    with Connection(port, timeout=10) as connection:
        return connection.call("PING") == "PONG"


def serves(port):
    """Every partition of the default table answers: a new node first asks its peers what it may have missed."""
    with Connection(port, timeout=10) as connection:
        return len(connection.call("MGET", *["probe-%d" % number for number in range(200)])) == 200


class Ports:
    """Hands out free ports of 127.0.0.1. Blocks are claimed by file locks, which live as long as this process, so that
    tests can run side by side."""

    def __init__(self):
        self.locks = []
        self.ports = iter(())

    def _claim_block(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first_outgoing = int(file.read().split()[0])
        low, high = (10240, first_outgoing) if first_outgoing > 12000 else (61000, 65536)
        blocks = list(range(low, high - PORT_BLOCK, PORT_BLOCK))
        random.shuffle(blocks)
        folder = os.path.join(tempfile.gettempdir(), "meridian-test-ports-%d" % os.getuid())
        os.makedirs(folder, exist_ok=True)
        for block in blocks:
            lock = open(os.path.join(folder, str(block)), "w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.locks.append(lock)
            self.ports = iter(range(block, block + PORT_BLOCK))
            return
        raise Failure("no block of free ports is left")

    def take(self):
        while True:
            for port in self.ports:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind(("127.0.0.1", port))
                        return port
                    except OSError:
                        continue
            self._claim_block()


PORTS = Ports()


def die_with_parent():
    """In the child: be killed when the test process dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Node:
    """One `meridian server`: its addresses, its process and its log."""

    def __init__(self, cluster, node_id, region, zone):
        self.cluster = cluster
        self.id = node_id
        self.region = region
        self.zone = zone
        self.resp = PORTS.take()
        self.peer = PORTS.take()
        self.http = PORTS.take()
        self.data = os.path.join(cluster.folder, node_id)
        self.log = os.path.join(cluster.folder, node_id + ".log")
        self.peers = {}
        self.environment = {}
        self.process = None
        self.is_meant_to_run = False
        self.connection = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def yaml(self):
        fields = {"id": self.id, "region": self.region, "zone": self.zone, "resp": "127.0.0.1:%d" % self.resp,
                  "peer": "127.0.0.1:%d" % self.peer, "http": "127.0.0.1:%d" % self.http, "data": self.data}
        text = ", ".join("%s: %s" % pair for pair in fields.items())
        if self.peers:
            text += ", peers: {%s}" % ", ".join("%s: 127.0.0.1:%d" % pair for pair in self.peers.items())
        return "  - {%s}" % text

    def start(self, wait=True):
        if self.is_running:
            raise Failure("%s runs already" % self.id)
        argv = [MERIDIAN, "server", "--config", self.cluster.config, "--node", self.id, *self.cluster.arguments]
        with open(self.log, "ab") as log:
            log.write(b"---- start: %s\n" % " ".join(argv).encode())
            log.flush()
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.cluster.folder,
                                            env={**self.cluster.environment, **self.environment},
                                            preexec_fn=die_with_parent)
        self.is_meant_to_run = True
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=START_SECONDS):
        def answers():
            if not self.is_running:
                raise Failure("%s stopped while starting: exit code %s" % (self.id, self.process.returncode))
            return serves(self.resp)
        wait_until(answers, "%s serves" % self.id, seconds)

    def connect(self, protocol=2, timeout=30):
        return Connection(self.resp, protocol=protocol, timeout=timeout)

    def ask(self, *words):
        """One command over this node's kept connection; an error reply is returned."""
        if self.connection is None:
            self.connection = self.connect()
        try:
            return self.connection.ask(*words)
        except OSError:
            self.disconnect()
            raise

    def call(self, *words):
        """As ask(), but an error reply is raised."""
        reply = self.ask(*words)
        if isinstance(reply, RespError):
            raise reply
        return reply

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def kill(self):
        """kill -9: what is not on disk is gone."""
        self.check_alive()
        self.disconnect()
        self.is_meant_to_run = False
        self.process.kill()
        self.process.wait()

    def check_alive(self):
        if self.is_meant_to_run and not self.is_running:
            raise Failure("%s died by itself: exit code %s" % (self.id, self.process.returncode))

    def wait_exit(self, seconds=START_SECONDS):
        """Wait for a node that is to stop by itself, and return its exit code."""
        self.disconnect()
        self.is_meant_to_run = False
        return self.process.wait(seconds)

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM, and the exit code must be 0."""
        self.check_alive()
        self.begin_stop()
        self.wait_stopped(seconds)

    def begin_stop(self):
        self.disconnect()
        self.is_meant_to_run = False
        self.process.terminate()

    def wait_stopped(self, seconds=STOP_SECONDS):
        """After begin_stop(); a second SIGTERM would meet a process that no longer listens to signals."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not stop within %g s of SIGTERM" % (self.id, seconds)) from None
        if code != 0:
            raise Failure("%s stopped with exit code %d" % (self.id, code))

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self, kill=False):
        if self.is_running:
            (self.kill if kill else self.stop)()
        self.start()

    def wipe(self):
        """Lose the disk. The node must not run."""
        if self.is_running:
            raise Failure("%s runs: stop it before wiping it" % self.id)
        shutil.rmtree(self.data, ignore_errors=True)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


class Cluster:
    """A configuration file and its nodes, `<region>-<number>`.

    regions           names; the first listed are numbered first
    nodes_per_region  a number, or {region: number}; each node in a zone of its own: <region>-a, <region>-b, …
    links             {(region, region): (latency_ms, jitter_ms)}; 5 ms without jitter where not said
    proxies           {(from_node, to_node): port}: the address by which a node reaches that peer
    arguments         further words for `meridian server`
    """

    def __init__(self, regions=("us-east", "eu", "apac"), nodes_per_region=1, links=None, faults=True, proxies=None,
                 arguments=(), environment=None):
        self.folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.config = os.path.join(self.folder, "cluster.yaml")
        self.arguments = [str(word) for word in arguments]
        self.environment = {**os.environ, **(environment or {})}
        self.faults = faults
        self.links = {pair: (5, 0) for pair in itertools.combinations(regions, 2)}
        self.links.update(links or {})
        self.nodes = {}
        for region in regions:
            count = nodes_per_region.get(region, 1) if isinstance(nodes_per_region, dict) else nodes_per_region
            for number in range(1, count + 1):
                node_id = "%s-%d" % (region, number)
                self.nodes[node_id] = Node(self, node_id, region, region + "-" + "abcdefgh"[number - 1])
        for (here, there), port in (proxies or {}).items():
            self.nodes[here].peers[there] = port
        self.write_config()

    def __getitem__(self, node_id):
        return self.nodes[node_id]

    def __iter__(self):
        return iter(self.nodes.values())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)

    def write_config(self):
        lines = ["version: 1", "nodes:"]
        lines += [node.yaml() for node in self]
        if self.links:
            lines += ["links:"]
        for (a, b), (latency, jitter) in self.links.items():
            lines.append("  - {between: [%s, %s], latency_ms: %g, jitter_ms: %g}" % (a, b, latency, jitter))
        lines.append("faults: %s" % ("true" if self.faults else "false"))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        """Start every node, and wait until each serves and all see each other."""
        for node in self:
            node.start(wait=False)
        for node in self:
            node.wait_ready()
        self.wait_connected()
        return self

    def wait_connected(self, seconds=START_SECONDS):
        """Wait until every running node reaches every other running one."""
        running = {node.id for node in self if node.is_running}

        def connected():
            for node in self:
                if node.is_running:
                    seen = [as_map(record) for record in node.call("TOPOLOGY", "NODES")]
                    if any(record["state"] not in ("up", "self") for record in seen if record["node"] in running):
                        return False
            return True
        wait_until(connected, "all nodes see each other", seconds)

    def stop(self):
        """SIGTERM to all that run, then wait for each. A node that died by itself is a failure."""
        for node in self:
            node.check_alive()
        running = [node for node in self if node.is_running]
        for node in running:
            node.begin_stop()
        for node in running:
            node.wait_stopped()

    def all_equal(self, *words):
        """The reply that every running node gives to this command, or None while they differ."""
        replies = [node.ask(*words) for node in self if node.is_running]
        return (replies[0],) if all(reply == replies[0] for reply in replies) else None

    def wait_all(self, expected, *words, seconds=20):
        """Wait until every running node answers `expected` to the command."""
        seen = {}

        def agreed():
            for node in self:
                if node.is_running:
                    seen[node.id] = node.ask(*words)
            return all(reply == expected for reply in seen.values())
        try:
            wait_until(agreed, "", seconds)
        except Failure:
            raise Failure("%s: expected %r everywhere within %g s, got %r" % (
                " ".join(map(str, words)), expected, seconds, seen)) from None

    def print_log_tails(self):
        for node in self:
            if os.path.exists(node.log):
                state = "runs" if node.is_running else "exit code %s" % (node.process and node.process.returncode)
                print("\n---- %s (%s), the last lines of its log" % (node.id, state), file=sys.stderr)
                print("\n".join(node.log_text().splitlines()[-LOG_TAIL_LINES:]), file=sys.stderr)

    def close(self, failed=False):
        """Kill what runs and remove the folder; after a failure, show the logs first."""
        if failed:
            self.print_log_tails()
        for node in self:
            node.disconnect()
            if node.is_running:
                node.process.kill()
                node.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class TestCase(unittest.TestCase):
    def cluster(self, start=True, **options):
        """A started cluster, cleaned up at the end of the test; the nodes that still run then must stop gracefully."""
        if not os.path.exists(MERIDIAN):
            self.fail("%s is not built" % MERIDIAN)
        made = Cluster(**options)
        self.addCleanup(self._close, made)
        return made.start() if start else made

    def _close(self, made):
        failed = not self._outcome.success
        try:
            if not failed:
                made.stop()
        except Failure:
            failed = True
            raise
        finally:
            made.close(failed)

    def assert_error(self, code, reply):
        """The reply is an error whose first word is `code`; returns its text."""
        self.assertIsInstance(reply, RespError, "expected -%s, got %r" % (code, reply))
        self.assertEqual(code, reply.code, str(reply))
        return str(reply)


def redis_server(folder, port, *arguments):
    """Start Debian's Redis 7 without its service: the checker in redis-tools is the same program under another name."""
    return subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", *arguments],
        executable="/usr/bin/redis-check-rdb", stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)


def main():
    """Run the tests of the calling file. Exit code 77, which ctest knows as skipped, if all of them were skipped."""
    program = unittest.main(module="__main__", exit=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) == result.testsRun else 0)
