#!/usr/bin/python3
"""Between servers: hostile and mismatched peers, lost connections, proxies, and FAULT at the transport."""
import random
import socket
import struct
import threading
import time

import cluster
from resp import as_map

HEADER_BYTES = 12


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(kind, flags, body):
    head = struct.pack("<IBBH", len(body), kind, flags, 0)
    return head + struct.pack("<I", crc32c(head + body)) + body


HELLO, LINK = 1, 1
MAGIC = 0x4E44524D


def connected_peers(node):
    for line in node.call("INFO", "replication").splitlines():
        if line.startswith("connected_peers:"):
            return int(line.split(":")[1])
    raise AssertionError("INFO has no connected_peers")


def wait_connected(c, count=None):
    for node in c:
        expected = len(c.nodes) - 1 if count is None else count
        cluster.wait_until(lambda node=node, expected=expected: connected_peers(node) == expected,
                           "%s sees %d peers" % (node.id, expected))


class Relay(threading.Thread):
    """A user-space forwarder of one address, which can be told to pass nothing on."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", cluster.PORTS.take()))
        self.port = self.listener.getsockname()[1]
        self.target = target
        self.passes = threading.Event()
        self.passes.set()
        self.connections = 0

    def run(self):
        while True:
            try:
                here, _ = self.listener.accept()
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                time.sleep(0.01)
                continue
            self.connections += 1
            threading.Thread(target=self.serve, args=(here, there), daemon=True).start()

    def serve(self, here, there):
        back = threading.Thread(target=self.pump, args=(there, here), daemon=True)
        back.start()
        self.pump(here, there)
        back.join()
        here.close()
        there.close()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.passes.wait()
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class HostileTest(cluster.TestCase):
    def setUp(self):
        self.c = self.cluster(regions=("us-east", "eu"))
        self.node = self.c["us-east-1"]
        wait_connected(self.c)

    def send(self, data):
        """Send bytes to the peer port; true when the server closes that connection and stays up."""
        with socket.create_connection(("127.0.0.1", self.node.peer), timeout=10) as peer:
            try:
                peer.sendall(data)
                while peer.recv(65536):
                    pass
            except ConnectionError:
                pass
        self.assertEqual("PONG", self.node.call("PING"))

    def hello(self, magic=MAGIC, version=3, channel=0, cluster_id=0, number=1, epoch=1, tail=b""):
        return frame(HELLO, LINK, struct.pack("<IBBQBB", magic, version, channel, cluster_id, number, epoch) + tail)

    def test_strangers_are_refused(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n" * 10, b"PING\r\n" * 1000, bytes(HEADER_BYTES), b"\xff" * 64,
                     struct.pack("<IBBH", 0x7FFFFFFF, 1, 1, 0) + bytes(4), frame(9, 0, b"no hello"),
                     frame(HELLO, LINK, b""),
                     struct.pack("<IBBHI", 1 << 20, 1, 1, 0, 0) + bytes(8192), self.hello(magic=1),
                     self.hello(version=9),
                     self.hello(channel=7), self.hello(), self.hello(tail=b"x")):
            self.send(data)
        said = self.node.log_text()
        for reason in ("does not speak this protocol", "another version", "malformed", "lists other nodes",
                       "damaged frame"):
            self.assertIn(reason, said)
        self.assertEqual(1, connected_peers(self.node))

    def test_random_bytes(self):
        draw = random.Random(7)
        for _ in range(200):
            self.send(self.damaged(draw))
        self.assertEqual(1, connected_peers(self.node))

    def damaged(self, draw):
        data = bytearray(self.hello())
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data) + draw.randbytes(5000)

    def test_many_silent_strangers(self):
        silent = [socket.create_connection(("127.0.0.1", self.node.peer)) for _ in range(200)]
        self.c["eu-1"].restart(kill=True)
        wait_connected(self.c)
        for peer in silent:
            peer.close()

    def test_another_cluster_is_told_apart(self):
        other = self.cluster(regions=("us-east", "eu", "apac"), start=False)
        other["eu-1"].peer = self.c["eu-1"].peer
        other.write_config()
        other["us-east-1"].start(wait=False)
        cluster.wait_until(lambda: "peer-refused node=eu-1" in other["us-east-1"].log_text(), "the refusal is logged")
        self.assertIn("lists other nodes", self.c["eu-1"].log_text())
        self.assertEqual(1, connected_peers(self.node))


class ConnectionTest(cluster.TestCase):
    def test_a_killed_peer_comes_back(self):
        c = self.cluster()
        wait_connected(c)
        for kill in (True, False, True):
            c["eu-1"].restart(kill=kill)
            wait_connected(c)
        c["apac-1"].call("SET", "k", "v")
        c.wait_all("v", "GET", "k")

    def test_a_stopped_process_is_noticed_and_forgiven(self):
        c = self.cluster(regions=("us-east", "eu"))
        wait_connected(c)
        c["eu-1"].pause()
        cluster.wait_until(lambda: connected_peers(c["us-east-1"]) == 0, "the silence is noticed", seconds=10)
        c["us-east-1"].call("SET", "k", "v")
        c["eu-1"].resume()
        wait_connected(c)
        c.wait_all("v", "GET", "k")

    def test_a_proxy_between_two_nodes(self):
        c = self.cluster(regions=("us-east", "eu"), start=False)
        relay = Relay(c["us-east-1"].peer)
        relay.start()
        c["eu-1"].peers["us-east-1"] = relay.port
        c.write_config()
        c.start()
        wait_connected(c)
        self.assertGreaterEqual(relay.connections, 1)
        relay.passes.clear()
        for node in c:
            cluster.wait_until(lambda node=node: connected_peers(node) == 0,
                               "%s notices the dead proxy" % node.id, seconds=15)
        c["eu-1"].call("SET", "k", "v")
        relay.passes.set()
        wait_connected(c)
        c.wait_all("v", "GET", "k")

    def test_much_data_at_once(self):
        c = self.cluster(regions=("us-east", "eu"))
        wait_connected(c)
        value = "v" * (1024 * 1024)
        for i in range(40):
            c["us-east-1"].call("SET", "big:%d" % i, value)
        cluster.wait_until(lambda: all(c["eu-1"].call("STRLEN", "big:%d" % i) == len(value) for i in range(40)),
                           "forty values of a MiB arrive", seconds=60)


class FaultTest(cluster.TestCase):
    def setUp(self):
        self.c = self.cluster()
        wait_connected(self.c)
        self.a, self.b, self.d = self.c["us-east-1"], self.c["eu-1"], self.c["apac-1"]

    def arrival_ms(self, source, target, key):
        begin = time.monotonic()
        source.call("SET", key, "x")
        cluster.wait_until(lambda: target.call("GET", key) == "x", "%s arrives" % key, every=0.001)
        return (time.monotonic() - begin) * 1000

    def test_a_cut_stops_and_a_heal_resumes(self):
        self.a.call("FAULT", "CUT", "apac", "us-east")
        self.a.call("FAULT", "CUT", "apac", "eu")
        self.a.call("SET", "k", "v")
        cluster.wait_until(lambda: connected_peers(self.d) == 0, "apac notices")
        self.assertIsNone(self.d.call("GET", "k"))
        self.assertEqual(1, connected_peers(self.a))
        self.a.call("FAULT", "HEAL")
        self.c.wait_all("v", "GET", "k")
        wait_connected(self.c)

    def test_a_short_cut_loses_nothing(self):
        for i in range(5):
            self.d.call("FAULT", "CUT", "apac", "us-east")
            self.a.call("SET", "short:%d" % i, "v")
            time.sleep(0.2)
            self.d.call("FAULT", "HEAL")
            self.c.wait_all("v", "GET", "short:%d" % i)

    def test_a_one_way_cut_ends_the_connection_and_a_third_helps(self):
        self.a.call("FAULT", "CUT", "us-east", "apac", "ONE-WAY")
        cluster.wait_until(lambda: connected_peers(self.d) == 1 and connected_peers(self.a) == 1, "both sides notice")
        self.a.call("SET", "k", "v")
        self.d.call("SET", "l", "w")
        self.c.wait_all("v", "GET", "k")
        self.c.wait_all("w", "GET", "l")
        self.a.call("FAULT", "HEAL")
        wait_connected(self.c)

    def test_latency(self):
        self.a.call("FAULT", "LATENCY", "us-east", "eu", "300")
        self.assertGreaterEqual(min(self.arrival_ms(self.a, self.b, "slow:%d" % i) for i in range(3)), 295)
        self.a.call("FAULT", "HEAL")
        cluster.wait_until(lambda: self.arrival_ms(self.a, self.b, "fast:%f" % time.monotonic()) < 100,
                           "it is fast again")

    def test_long_latency_is_not_taken_for_silence(self):
        self.a.call("FAULT", "LATENCY", "us-east", "eu", "1500")
        time.sleep(5)
        self.assertEqual([2, 2, 2], [connected_peers(node) for node in self.c])

    def test_loss_delays_and_loses_nothing(self):
        self.a.call("FAULT", "LOSS", "us-east", "eu", "20")
        for i in range(100):
            self.a.call("SET", "lossy:%d" % i, "x")
        self.c.wait_all("x", "GET", "lossy:99", seconds=40)
        for i in range(100):
            self.c.wait_all("x", "GET", "lossy:%d" % i)

    def test_pause(self):
        self.a.call("FAULT", "PAUSE", "eu-1")
        with self.b.connect(timeout=1) as connection:
            connection.send("PING")
            with self.assertRaises(OSError):
                connection.read()
        cluster.wait_until(lambda: connected_peers(self.a) == 1, "the others notice")
        self.a.call("SET", "k", "v")
        self.a.call("FAULT", "HEAL")
        cluster.wait_until(lambda: self.b.call("GET", "k") == "v", "it goes on and catches up")
        wait_connected(self.c)

    def test_skew(self):
        self.a.call("FAULT", "SKEW", "eu-1", "-10000")
        cluster.wait_until(lambda: abs(int(self.b.call("TIME")[0]) + 10 - time.time()) < 2,
                           "its clock is ten seconds late")
        self.a.call("FAULT", "HEAL")
        cluster.wait_until(lambda: abs(int(self.b.call("TIME")[0]) - time.time()) < 2, "its clock is right again")

    def test_faults_are_listed_everywhere_and_gone_at_restart(self):
        self.a.call("FAULT", "CUT", "us-east", "eu")
        for node in self.c:
            self.assertEqual({"cut"}, {as_map(fault)["kind"] for fault in node.call("FAULT", "LIST")})
        self.a.call("FAULT", "HEAL")
        for node in self.c:
            self.assertEqual([], node.call("FAULT", "LIST"))

    def test_where_faults_are_not_allowed(self):
        c = self.cluster(regions=("us-east",), faults=False)
        self.assert_error("NOPERM", c["us-east-1"].ask("FAULT", "PAUSE", "us-east-1"))


class LatencyTest(cluster.TestCase):
    def test_the_links_latency_is_emulated_and_can_be_switched_off(self):
        for arguments, least, most in (((), 79, 110), (("--no-wan",), 0, 40)):
            c = self.cluster(regions=("us-east", "eu"), links={("us-east", "eu"): (80, 0)}, arguments=arguments)
            wait_connected(c)
            times = []
            for i in range(20):
                begin = time.monotonic()
                c["us-east-1"].call("SET", "k:%d" % i, "x")
                cluster.wait_until(lambda i=i: c["eu-1"].call("GET", "k:%d" % i) == "x", "it arrives", every=0.0005)
                times.append((time.monotonic() - begin) * 1000)
            times.sort()
            self.assertGreaterEqual(times[0], least)
            self.assertLessEqual(times[len(times) // 2], most, times)


if __name__ == "__main__":
    cluster.main()
