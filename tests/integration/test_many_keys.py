#!/usr/bin/python3
"""Commands on very many keys: they take their time, but nobody else's; and their replies are Redis'."""
import os
import random
import shutil
import tempfile
import threading
import time

import cluster
from resp import Connection, as_map, encode

MANY = 500000
QUICK_SECONDS = 1.0  # far below what a DEL of MANY keys takes in one go, far above what a busy machine adds
QUICK_SHARE = 3  # where even that takes longer: a third of the whole command; in one go it would be all of it


class Others(threading.Thread):
    """Asks PING and GET over a connection of its own, and notes the slowest answer."""

    def __init__(self, node):
        super().__init__()
        self.connection = node.connect()
        self.ended = threading.Event()
        self.slowest, self.asked = 0.0, 0
        self.start()

    def run(self):
        while not self.ended.is_set():
            begun = time.monotonic()
            self.connection.call("PING")
            self.connection.call("GET", "k:1")
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.asked += 1
            time.sleep(0.001)

    def end(self):
        self.ended.set()
        self.join()
        self.connection.close()


class ManyKeysTest(cluster.TestCase):
    def ask_while_others_ask(self, node, connection, *words):
        request = encode(words)
        others = Others(node)
        begun = time.monotonic()
        try:
            connection.send_bytes(request)
            reply = connection.read()
            return reply, others, time.monotonic() - begun
        finally:
            others.end()

    def check_steps(self, **options):
        c = self.cluster(regions=("us-east", "eu"), **options)
        node = c["us-east-1"]
        keys = ["k:%d" % i for i in range(MANY)]
        ups = {other.id: other.log_text().count("peer-up") for other in c}
        with node.connect(timeout=60) as connection:
            for words, expected in ((["MSET"] + [word for key in keys for word in (key, "v")], "OK"),
                                    (["EXISTS"] + keys, MANY), (["MGET"] + keys, ["v"] * MANY), (["DEL"] + keys, MANY)):
                reply, others, seconds = self.ask_while_others_ask(node, connection, *words)
                self.assertTrue(reply == expected, "%s of %d keys" % (words[0], MANY))
                self.assertGreater(others.asked, 3, words[0])
                self.assertLess(others.slowest, max(QUICK_SECONDS, seconds / QUICK_SHARE), words[0])
        c.wait_all(0, "DBSIZE")
        for other in c:
            self.assertEqual(ups[other.id], other.log_text().count("peer-up"), "the peers stayed connected")
            rows = [as_map(row) for row in other.call("TOPOLOGY", "NODES")]
            self.assertLessEqual({row["state"] for row in rows}, {"self", "up"})

    def test_others_are_served_meanwhile(self):
        self.check_steps()

    def test_others_are_served_meanwhile_by_two_shards(self):
        self.check_steps(arguments=("--shards", 2))

    def test_requests_behind_it_wait_their_turn(self):
        node = self.cluster(regions=("us-east",), arguments=("--shards", 2))["us-east-1"]
        keys = ["k:%d" % i for i in range(20000)]
        with node.connect() as connection:
            replies = connection.pipeline(["MSET"] + [word for key in keys for word in (key, "v")], ["SET", "k:7", "w"],
                                          ["MGET"] + keys[:10], ["DEL"] + keys, ["EXISTS"] + keys, ["PING"])
        self.assertEqual(["OK", "OK", ["v"] * 7 + ["w"] + ["v"] * 2, 20000, 0, "PONG"], replies)


class AsRedisTest(cluster.TestCase):
    """Keys that repeat, and keys of the wrong type among them."""

    def test_replies(self):
        folder = tempfile.mkdtemp(prefix="meridian-test-redis-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        port = cluster.PORTS.take()
        process = cluster.redis_server(folder, port)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        cluster.wait_until(lambda: cluster.answers_ping(port), "Redis answers")
        seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
        prng = random.Random(seed)
        node = self.cluster(regions=("us-east",), arguments=("--shards", 2))["us-east-1"]
        names = ["k%d" % i for i in range(60)]
        with Connection(port) as redis, node.connect() as meridian:
            for turn in range(60):
                for words in self.requests(prng, names):
                    self.assertEqual(redis.ask(*words), meridian.ask(*words), (seed, turn, words))

    def requests(self, prng, names):
        def some(count):
            return prng.choices(names, k=count)

        yield ["SADD", prng.choice(names[:5]), "m"]
        yield ["HSET", prng.choice(names[5:10]), "f", "v"]
        yield ["MSET"] + [word for key in prng.choices(names[10:], k=prng.choice((2, 40, 900)))
                          for word in (key, "%d" % prng.randrange(1000))]
        yield ["MGET"] + some(prng.choice((1, 3, 700)))
        yield [prng.choice(["EXISTS", "TOUCH"])] + some(prng.choice((1, 3, 700)))
        yield [prng.choice(["DEL", "UNLINK"])] + some(prng.choice((1, 3, 20)))
        yield ["MGET"] + names


if __name__ == "__main__":
    cluster.main()
