#!/usr/bin/python3
"""Programs written for Redis work unchanged on ordered tables: redis-benchmark, redis-py, node-redis and ioredis, with
what only one order of writes can give: lists, sorted sets, MULTI with WATCH, a connection's order.

Each client also runs against Debian's Redis first, so that a failure here is ours and not the test's.
"""
import os
import unittest

import cluster
import test_clients
from test_clients import CLIENTS

BENCHMARK = ["set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "spop", "zadd", "zpopmin", "mset"]


class Servers(test_clients.Servers):
    """Redis itself, then a node of three regions whose table `default` is ordered."""

    def cluster(self, start=True, **options):
        made = super().cluster(start=False, **options)
        with open(made.config, "a", encoding="utf-8") as file:
            # One group, as who moves a plain Redis here would say: what MSET and MULTI touch is an entry of one log.
            file.write("default: {engine: ordered, partitions: 1}\n")
        return made.start()


class CommandLineTest(Servers):
    def test_redis_benchmark(self):
        for server, port, _ in self.servers():
            with self.subTest(server):
                out = self.run_program(["redis-benchmark", "-p", str(port), "-n", "2000", "-P", "16", "-r", "1000",
                                        "-q", "--csv", "-t", ",".join(BENCHMARK)])
                self.assertEqual(len(BENCHMARK) + 1, len(out.strip().splitlines()), out)
                self.assertNotIn("rror", out)


class PythonTest(Servers):
    def use(self, client):
        self.assertEqual(3, client.rpush("l", "a", "b", "c"))
        self.assertEqual("a", client.lmove("l", "l", "LEFT", "RIGHT"))
        self.assertEqual(["b", "c", "a"], client.lrange("l", 0, -1))
        self.assertEqual(2, client.zadd("z", {"one": 1, "two": 2.5}))
        self.assertEqual([("one", 1.0), ("two", 2.5)], client.zrange("z", 0, -1, withscores=True))
        self.assertEqual([("one", 1.0)], client.zpopmin("z"))
        self.assertEqual(2, client.hset("h", mapping={"a": 1, "b": 2}))
        self.assertEqual(5, client.hincrby("h", "a", 4))
        self.assertTrue(client.set("s", "v", ex=100, nx=True))
        self.assertIsNone(client.set("s", "w", nx=True))
        self.assertEqual("v", client.getdel("s"))
        pipe = client.pipeline(transaction=False)
        for _ in range(200):
            pipe.incr("n")
        self.assertEqual(list(range(1, 201)), pipe.execute())

    def use_transactions(self, redis, client):
        with client.pipeline() as pipe:
            pipe.watch("n")
            number = int(pipe.get("n"))
            pipe.multi()
            pipe.set("n", number + 1)
            pipe.rpush("l", "d")
            self.assertEqual([True, 4], pipe.execute())
            pipe.watch("n")
            client.set("n", "7")
            pipe.multi()
            pipe.incr("n")
            with self.assertRaises(redis.WatchError):
                pipe.execute()
        self.assertEqual("7", client.get("n"))
        self.assertEqual([8], client.transaction(lambda pipe: (pipe.multi(), pipe.incr("n")), "n"))

    def refuse(self, redis, client, server):
        with self.assertRaisesRegex(redis.ResponseError, "WRONGTYPE"):
            client.lpush("n", "x")
        if server == "meridian":
            with self.assertRaisesRegex(redis.ResponseError, "unknown command 'EVAL'"):
                client.eval("return 1", 0)

    def test_redis_py(self):
        import redis
        for server, port, _ in self.servers():
            with self.subTest(server):
                client = redis.Redis(port=port, decode_responses=True)
                self.use(client)
                self.use_transactions(redis, client)
                self.refuse(redis, client, server)
                client.close()


@unittest.skipUnless(os.path.isdir(os.path.join(CLIENTS, "node_modules", "ioredis")),
                     "tests/clients/node_modules is missing: tools/setup could not install it")
class NodeTest(Servers):
    def run_script(self, name):
        for server, port, _ in self.servers():
            with self.subTest(server):
                out = self.run_program(["node", name, str(port), "client", server], cwd=CLIENTS)
                self.assertTrue(out.endswith(": ok\n"), out)

    def test_node_redis(self):
        self.run_script("ordered_node_redis.mjs")

    def test_ioredis(self):
        self.run_script("ordered_ioredis.mjs")


if __name__ == "__main__":
    cluster.main()
