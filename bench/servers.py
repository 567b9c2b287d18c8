"""Starts and stops the servers that a benchmark compares, each in a temporary folder on free loopback ports."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MERIDIAN = os.environ.get("MERIDIAN", os.path.join(ROOT, "build", "bin", "meridian"))
REDIS_BINARY = "/usr/bin/redis-check-rdb"  # Debian's redis-tools: the server binary under another name
REGIONS = ("us-east", "eu", "apac")
LATENCY_MS = {("us-east", "eu"): 40, ("us-east", "apac"): 100, ("eu", "apac"): 80}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = []
    for _ in range(count):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        sockets.append(s)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Connection:
    """A minimal RESP2 connection: one command, one reply."""

    def __init__(self, port, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))

    def read(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed by the server")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return line[:-2].decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.file.read(length + 2)[:-2]
        if kind == b"*":
            return None if int(rest) < 0 else [self.read() for _ in range(int(rest))]
        raise ValueError("not RESP2: %r" % line)

    def command(self, *words):
        self.send(*words)
        return self.read()


class Server:
    """One server process with its port, folder and accounting."""

    def __init__(self, name, argv, port, folder, executable=None):
        self.name, self.argv, self.port = name, argv, port
        self.folder, self.executable = folder, executable
        self.process = None
        self.start()

    def start(self):
        with open(os.path.join(self.folder, self.name + ".log"), "ab") as log:
            self.process = subprocess.Popen(self.argv, executable=self.executable, cwd=self.folder, stdout=log,
                                            stderr=log)

    def wait_ready(self, seconds=30.0):
        """Wait until PING answers; returns the seconds it took."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            if self.process.poll() is not None:
                raise RuntimeError("%s ended with %s, see %s" % (self.name, self.process.returncode, self.folder))
            try:
                connection = Connection(self.port, timeout=1.0)
                answer = connection.command("PING")
                connection.close()
                if answer == "+PONG":
                    return time.monotonic() - begin
            except (OSError, ConnectionError):
                pass
            time.sleep(0.01)
        raise RuntimeError("%s does not answer within %.0f s" % (self.name, seconds))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as stat:
            fields = stat.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def resident_bytes(self):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Workplace:
    """A temporary folder and the servers in it; leaves nothing behind."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="meridian-bench-")
        self.servers = []
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def redis(self, fsync="always"):
        port = free_ports(1)[0]
        folder = tempfile.mkdtemp(prefix="redis-", dir=self.folder)
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        argv += ["--appendonly", "no"] if fsync == "no" else ["--appendonly", "yes", "--appendfsync", fsync]
        server = Server("redis", argv, port, folder, executable=REDIS_BINARY)
        self.servers.append(server)
        server.wait_ready()
        return server

    def meridian(self, regions=REGIONS, latency_factor=1.0, shards=1, jitter_ms=0):
        """A cluster with one node a region; latency_factor 0 turns WAN emulation off."""
        folder = tempfile.mkdtemp(prefix="meridian-", dir=self.folder)
        ports = free_ports(3 * len(regions))
        lines = ["version: 1", "faults: true", "nodes:"]
        for i, region in enumerate(regions):
            resp, peer, http = ports[3 * i : 3 * i + 3]
            lines.append("  - {id: %s-1, region: %s, zone: %s-a, resp: 127.0.0.1:%d, peer: 127.0.0.1:%d,\n"
                         "     http: 127.0.0.1:%d, data: ./%s-1}"
                         % (region, region, region, resp, peer, http, region))
        links = [(a, b) for a, b in LATENCY_MS if a in regions and b in regions]
        if links:
            lines.append("links:")
            for a, b in links:
                lines.append("  - {between: [%s, %s], latency_ms: %d, jitter_ms: %d}"
                             % (a, b, LATENCY_MS[(a, b)] * max(latency_factor, 0), jitter_ms))
        config = os.path.join(folder, "cluster.yaml")
        with open(config, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        servers = []
        for i, region in enumerate(regions):
            argv = [MERIDIAN, "server", "--config", config, "--node", region + "-1", "--shards", str(shards)]
            if latency_factor == 0:
                argv.append("--no-wan")
            servers.append(Server(region + "-1", argv, ports[3 * i], folder))
        self.servers += servers
        for server in servers:
            server.wait_ready()
        for server in servers:
            self.wait_serving(server, servers)
        return servers

    @staticmethod
    def wait_serving(server, servers, seconds=30.0):
        """New replicas hear from each other before they serve: wait until this one's write is shown by all."""
        deadline = time.monotonic() + seconds
        connection = Connection(server.port)
        while connection.command("SET", "ready:1", server.name) != "+OK":
            if time.monotonic() > deadline:
                raise RuntimeError("%s does not serve within %.0f s" % (server.name, seconds))
            time.sleep(0.05)
        connection.close()
        for other in servers:
            connection = Connection(other.port)
            while connection.command("GET", "ready:1") != server.name.encode():
                if time.monotonic() > deadline:
                    raise RuntimeError("%s is not seen by %s" % (server.name, other.name))
                time.sleep(0.05)
            connection.close()
