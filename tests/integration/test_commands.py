#!/usr/bin/python3
"""What the key commands do that Redis can't be asked about: siblings, contracts, several replicas, limits.

Where they mean the same as in Redis, test_redis_parity.py compares them byte for byte.
"""
import time

import cluster
from resp import RespError

MEBIBYTE = 1024 * 1024
KEY_BYTES_MAX = 64 * 1024
VALUE_BYTES_MAX = 32 * MEBIBYTE

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class OneNode(cluster.TestCase):
    def setUp(self):
        self.node = self.cluster(regions=("us-east",))["us-east-1"]
        self.call, self.ask = self.node.call, self.node.ask

    def test_what_needs_one_place_answers_contract(self):
        self.call("SET", "k", "v")
        self.call("SADD", "s", "m")
        for words in (["SET", "k", "w", "NX"], ["SET", "k", "w", "XX"], ["SET", "k", "w", "GET"], ["SETNX", "k", "w"],
                      ["GETSET", "k", "w"], ["MSETNX", "k", "w", "l", "x"], ["HSETNX", "h", "f", "v"],
                      ["INCRBYFLOAT", "n", "1.5"], ["HINCRBYFLOAT", "h", "f", "1.5"], ["RENAME", "k", "l"],
                      ["RENAMENX", "k", "l"], ["COPY", "k", "l"], ["SMOVE", "s", "t", "m"], ["SUNION", "s", "t"],
                      ["SINTER", "s", "t"], ["SDIFF", "s", "t"], ["SUNIONSTORE", "u", "s"], ["SINTERSTORE", "u", "s"],
                      ["SDIFFSTORE", "u", "s"]):
            with self.subTest(words[0]):
                text = self.assert_error("CONTRACT", self.ask(*words))
                self.assertGreater(len(text), 40, "it says what to use instead")
        self.assertEqual(["k", "s"], sorted(self.call("KEYS", "*")))
        self.assertEqual("v", self.call("GET", "k"))

    def test_a_table_with_a_type_takes_no_other(self):
        for table_type in ("string", "counter", "set", "row"):
            self.call("TABLE", "CREATE", "t" + table_type, "TYPE", table_type)
        writes = {"string": ["SET", "{}", "v"], "counter": ["INCR", "{}"], "set": ["SADD", "{}", "m"],
                  "row": ["HSET", "{}", "f", "v"]}
        fits = {("string", "string"), ("counter", "counter"), ("set", "set"), ("row", "row"), ("string", "counter")}
        for table_type in writes:
            for write_type, words in writes.items():
                words = [word.format("t%s:%s" % (table_type, write_type)) for word in words]
                with self.subTest("%s in a table of TYPE %s" % (words[0], table_type)):
                    reply = self.ask(*words)
                    if (table_type, write_type) in fits:
                        self.assertNotIsInstance(reply, RespError, reply)
                    else:
                        self.assertIn("t" + table_type, self.assert_error("WRONGTYPE", reply))
        self.assertEqual("OK", self.call("SET", "tcounter:n", "41"))
        self.assertEqual(42, self.call("INCR", "tcounter:n"))
        self.assertIsNone(self.call("GET", "tset:string"))

    def test_keys_have_a_bound(self):
        longest = "k" * KEY_BYTES_MAX
        self.assertEqual("OK", self.call("SET", longest, "v"))
        self.assertEqual("v", self.call("GET", longest))
        for words in (["SET", "{}", "v"], ["INCR", "{}"], ["HSET", "{}", "f", "v"], ["SADD", "{}", "m"]):
            words = [word.format(longest + "k") for word in words]
            self.assertIn("65536", self.assert_error("ERR", self.ask(*words)))
        self.assertIsNone(self.call("GET", longest + "k"))
        self.assertIn("65536", self.assert_error("ERR", self.ask("HSET", "h", longest + "f", "v")))
        self.assertEqual(1, self.call("DBSIZE"))

    def test_large_values(self):
        value = "x" * VALUE_BYTES_MAX
        self.assertEqual("OK", self.call("SET", "large", value))
        self.assertEqual(VALUE_BYTES_MAX, self.call("STRLEN", "large"))
        self.assertEqual(value, self.call("GET", "large"))
        for words in (["APPEND", "large", "y"], ["SETRANGE", "large", VALUE_BYTES_MAX, "y"],
                      ["SETRANGE", "other", 9223372036854775807, "y"]):
            self.assertIn("maximum allowed size", self.assert_error("ERR", self.ask(*words)))
        self.assertEqual("xxx", self.call("GETRANGE", "large", -3, -1))

    def test_bytes_are_kept(self):
        every = bytes(range(256))
        text = every.decode("utf-8", "surrogateescape")
        self.call("SET", every, every)
        self.call("HSET", b"h" + every, every, every)
        self.call("SADD", b"s" + every, every, b"")
        self.assertEqual(text, self.call("GET", every))
        self.assertEqual([text, text], self.call("HGETALL", b"h" + every))
        self.assertEqual(["", text], self.call("SMEMBERS", b"s" + every))
        self.assertEqual(3, len(self.call("KEYS", "*")))
        self.node.restart(kill=True)
        self.assertEqual(text, self.call("GET", every))

    def test_order_within_a_connection(self):
        with self.node.connect() as c:
            commands = [["SET", "k", "0"]]
            for i in range(500):
                commands += [["INCR", "k"], ["MGET", "k", "other:%d" % i], ["GET", "k"]]
            replies = c.pipeline(*commands)
        for i in range(500):
            self.assertEqual([i + 1, [str(i + 1), None], str(i + 1)], replies[1 + 3 * i:4 + 3 * i])

    def test_resp3_shapes(self):
        with self.node.connect(protocol=3) as c:
            c.call("HSET", "h", "a", "1", "b", "2")
            c.call("SADD", "s", "x", "y")
            self.assertEqual({"a": "1", "b": "2"}, c.call("HGETALL", "h"))
            self.assertEqual({"x", "y"}, c.call("SMEMBERS", "s"))
            self.assertEqual(set(), c.call("SMEMBERS", "none"))
            self.assertEqual({}, c.call("HGETALL", "none"))
            self.assertIsNone(c.call("GET", "none"))
            self.assertEqual(["a", "b"], sorted(name for name, _ in c.call("HRANDFIELD", "h", 2, "WITHVALUES")))

    def test_random_picks_reach_everything(self):
        members = {"m%d" % i for i in range(20)}
        self.call("SADD", "s", *members)
        self.call("HSET", "h", *[word for member in members for word in (member, "v")])
        self.assertEqual(members, {self.call("SRANDMEMBER", "s") for _ in range(600)})
        self.assertEqual(members, set(self.call("HRANDFIELD", "h", -600)))
        self.assertEqual(20, len(set(self.call("SRANDMEMBER", "s", 20))))
        self.assertEqual(13, len(set(self.call("SRANDMEMBER", "s", 13))))
        self.assertEqual(7, len(set(self.call("HRANDFIELD", "h", 7))))
        popped = self.call("SPOP", "s", 15)
        left = self.call("SMEMBERS", "s")
        self.assertEqual((15, 5), (len(popped), len(left)))
        self.assertEqual(members, set(popped) | set(left))
        for i in range(30):
            self.call("SET", "key:%d" % i, "v")
        drawn = set()
        for _ in range(20000):  # tables with few keys are as likely as those with many, so no key is hopeless
            drawn.add(self.call("RANDOMKEY"))
            if len(drawn) == 32:
                break
        self.assertEqual(32, len(drawn))

    def test_counters_at_the_edge(self):
        high, low = 2**63 - 1, -2**63
        for _ in range(4):  # each round adds 2^63 to what the entry has gone up, and as much to what it has gone down
            self.assertEqual(high, self.call("INCRBY", "n", high))
            self.assert_error("ERR", self.ask("INCR", "n"))
            self.assertEqual(0, self.call("DECRBY", "n", high))
            self.assertEqual(high, self.call("HINCRBY", "h", "n", high))
            self.assertEqual(0, self.call("HINCRBY", "h", "n", -high))
        self.assertEqual(low, self.call("INCRBY", "n", low))
        self.assert_error("ERR", self.ask("DECR", "n"))
        self.assertEqual(str(low), self.call("GET", "n"))

    def test_keyspace_over_tables(self):
        self.call("TABLE", "CREATE", "one")
        self.call("TABLE", "CREATE", "two", "PARTITIONS", 64)
        keys = {"%s:%d" % (table, i) for table in ("one", "two", "undeclared") for i in range(300)}
        for key in keys:
            self.call("SET", key, "v")
        self.assertEqual(keys, set(self.call("KEYS", "*")))
        self.assertEqual(900, self.call("DBSIZE"))
        self.assertEqual(300, len(self.call("KEYS", "two:*")))
        cursor, found = "0", []
        while True:
            cursor, items = self.call("SCAN", cursor, "COUNT", 50)
            self.assertLess(int(cursor), 2**53, "clients may keep it in a double")
            found += items
            self.call("SET", "two:1", "again")
            if cursor == "0":
                break
        self.assertEqual(sorted(keys), sorted(found))
        for key in keys:
            self.call("DEL", key)
        self.assertEqual(0, self.call("DBSIZE"))
        self.assertEqual([], self.call("KEYS", "*"))
        self.assertIsNone(self.call("RANDOMKEY"))


class ThreeRegions(cluster.TestCase):
    def setUp(self):
        self.regions = self.cluster()
        self.us, self.eu, self.apac = (self.regions[node] for node in ("us-east-1", "eu-1", "apac-1"))
        self.us.call("TABLE", "CREATE", "sib", "CONFLICT", "siblings")

    def cut(self):
        for here, there in (("us-east", "eu"), ("us-east", "apac"), ("eu", "apac")):
            self.us.call("FAULT", "CUT", here, there)

    def heal(self):
        self.us.call("FAULT", "HEAL")

    def wait_for_siblings(self, key):
        for node in self.regions:
            cluster.wait_until(lambda: len(cluster.as_map(node.call("SIBLINGS", key))["siblings"]) == 2, "both arrive")

    def conflict_on(self, key, command=("SET",), ours=("a",), theirs=("b",)):
        """Write both sides of a cut, heal, and wait until both are in conflict."""
        self.cut()
        self.us.call(command[0], key, *command[1:], *ours)
        self.eu.call(command[0], key, *command[1:], *theirs)
        self.heal()
        self.wait_for_siblings(key)

    def test_siblings_refuse_plain_commands(self):
        self.conflict_on("sib:1")
        for words in (["GET", "sib:1"], ["SET", "sib:1", "c"], ["SET", "sib:1", "c", "KEEPTTL"],
                      ["APPEND", "sib:1", "c"], ["STRLEN", "sib:1"], ["GETDEL", "sib:1"], ["GETEX", "sib:1"],
                      ["GETRANGE", "sib:1", 0, 1], ["SETRANGE", "sib:1", 0, "c"], ["INCR", "sib:1"],
                      ["DEL", "sib:1"], ["UNLINK", "sib:1"],
                      ["EXPIRE", "sib:1", 100], ["MSET", "sib:1", "c"], ["SETEX", "sib:1", 100, "c"]):
            with self.subTest(" ".join(map(str, words))):
                self.assertIn("RESOLVE", self.assert_error("CONFLICT", self.us.ask(*words)))
        self.assertEqual(1, self.us.call("EXISTS", "sib:1"))
        self.assertEqual("string", self.us.call("TYPE", "sib:1"))
        self.assertEqual(-1, self.us.call("TTL", "sib:1"))
        context = cluster.as_map(self.us.call("SIBLINGS", "sib:1"))["context"]
        self.assertEqual("OK", self.us.call("RESOLVE", "sib:1", context, "c"))
        self.regions.wait_all("c", "GET", "sib:1")

    def test_columns_are_independent(self):
        self.us.call("HSET", "sib:row", "quiet", "1")
        self.regions.wait_all("1", "HGET", "sib:row", "quiet")
        self.conflict_on("sib:row", ("HSET", "hot"), ("a",), ("b",))
        for words in (["HGET", "sib:row", "hot"], ["HSET", "sib:row", "hot", "c"], ["HDEL", "sib:row", "hot"],
                      ["HINCRBY", "sib:row", "hot", 1], ["HGETALL", "sib:row"], ["HMGET", "sib:row", "quiet", "hot"],
                      ["HSET", "sib:row", "quiet", "2", "hot", "c"], ["DEL", "sib:row"]):
            with self.subTest(" ".join(map(str, words))):
                self.assert_error("CONFLICT", self.us.ask(*words))
        self.assertEqual("1", self.us.call("HGET", "sib:row", "quiet"))
        self.assertEqual(0, self.us.call("HSET", "sib:row", "quiet", "2"))
        self.regions.wait_all("2", "HGET", "sib:row", "quiet")
        context = cluster.as_map(self.us.call("SIBLINGS", "sib:row"))["context"]
        self.us.call("RESOLVE", "sib:row", context, "hot", "c")
        self.regions.wait_all(["hot", "c", "quiet", "2"], "HGETALL", "sib:row")

    def test_last_writer_wins_in_the_default_table(self):
        self.cut()
        self.us.call("SET", "lww", "first")
        time.sleep(0.05)
        self.eu.call("SET", "lww", "second")
        self.heal()
        self.regions.wait_all("second", "GET", "lww")

    def test_increments_add_up(self):
        self.us.call("SET", "n", 100)
        self.us.call("HSET", "h", "n", 100)
        self.regions.wait_all("100", "HGET", "h", "n")
        self.regions.wait_all("100", "GET", "n")
        self.cut()
        for node, step in ((self.us, 7), (self.eu, -3), (self.apac, 40)):
            self.assertEqual(100 + step, node.call("INCRBY", "n", step))
            self.assertEqual(100 + step, node.call("HINCRBY", "h", "n", step))
        self.heal()
        self.regions.wait_all("144", "GET", "n")
        self.regions.wait_all("144", "HGET", "h", "n")

    def test_a_reset_takes_only_what_it_saw(self):
        self.us.call("INCRBY", "n", 10)
        self.us.call("INCRBY", "d", 10)
        self.regions.wait_all(["10", "10"], "MGET", "n", "d")
        self.cut()
        self.us.call("SET", "n", 0)
        self.us.call("DEL", "d")
        self.eu.call("INCRBY", "n", 1)
        self.eu.call("INCRBY", "d", 1)
        self.heal()
        self.regions.wait_all(["1", "1"], "MGET", "n", "d")

    def test_adds_win(self):
        self.us.call("SADD", "s", "both", "gone")
        self.regions.wait_all(2, "SCARD", "s")
        self.cut()
        self.assertEqual(2, self.us.call("SREM", "s", "both", "gone"))
        self.assertEqual(0, self.eu.call("SADD", "s", "both"), "it is there already")
        self.eu.call("SADD", "s", "new")
        self.heal()
        self.regions.wait_all(["both", "new"], "SMEMBERS", "s")

    def test_expiry_reaches_every_region(self):
        self.us.call("SET", "s", "v", "PX", 4000)
        self.us.call("HSET", "h", "f", "v")
        self.us.call("PEXPIRE", "h", 4000)
        cluster.wait_until(lambda: self.apac.call("PTTL", "h") > 0 and self.eu.call("PTTL", "s") > 0, "they arrive")
        for node in self.regions:
            cluster.wait_until(lambda: node.call("EXISTS", "s", "h") == 0, "they expire", 10)
        self.eu.call("HSET", "h", "g", "w")
        self.regions.wait_all(["g", "w"], "HGETALL", "h")
        self.regions.wait_all(-1, "TTL", "h")

    def test_types_written_at_the_same_time(self):
        self.cut()
        self.us.call("SET", "mixed", "text")
        self.eu.call("SADD", "mixed", "member")
        self.heal()
        self.wait_for_siblings("mixed")
        for words in (["GET", "mixed"], ["SMEMBERS", "mixed"], ["SET", "mixed", "x"], ["SADD", "mixed", "x"],
                      ["DEL", "mixed"]):
            self.assert_error("CONFLICT", self.apac.ask(*words))
        self.assertIsInstance(self.apac.ask("HSET", "mixed", "f", "v"), RespError)


class SeveralNodes(cluster.TestCase):
    """Two nodes in each of two regions: most keys are somewhere else than the connection."""

    def setUp(self):
        self.nodes = self.cluster(regions=("us-east", "eu"), nodes_per_region=2)
        self.node = self.nodes["us-east-2"]
        probes = ["probe:%d" % i for i in range(200)]
        for node in self.nodes:
            cluster.wait_until(lambda: node.call("EXISTS", *probes) == 0, "every partition can be reached")

    def test_commands_on_many_keys(self):
        keys = ["k:%d" % i for i in range(200)]
        self.assertEqual("OK", self.node.call("MSET", *[word for key in keys for word in (key, "v" + key)]))
        self.assertEqual(["v" + key for key in keys] + [None], self.node.call("MGET", *keys, "none"))
        self.assertEqual(400, self.node.call("EXISTS", *keys, *keys, "none"))
        self.nodes.wait_all(200, "DBSIZE")
        for node in self.nodes:
            self.assertEqual(sorted(keys), sorted(node.call("KEYS", "k:*")))
            found, cursor = [], "0"
            while True:
                cursor, items = node.call("SCAN", cursor, "COUNT", 7)
                found += items
                if cursor == "0":
                    break
            self.assertEqual(sorted(keys), sorted(found))
            self.assertIn(node.call("RANDOMKEY"), keys)
        self.assertEqual(150, self.node.call("DEL", *keys[:150], "none"))
        self.nodes.wait_all(50, "DBSIZE")

    def test_a_wrong_type_among_many_keys(self):
        self.node.call("SADD", "set", "m")
        self.node.call("SET", "string", "v")
        self.assertEqual(["v", None], self.node.call("MGET", "string", "set"))
        self.assert_error("ERR", self.node.ask("MSET", "a", "1", "b"))
        self.assertEqual(0, self.node.call("EXISTS", "a", "b"))

    def test_replies_are_the_same_from_everywhere(self):
        self.node.call("HSET", "row", "f", "v", "g", "w")
        self.node.call("SADD", "set", "x", "y")
        self.node.call("SET", "n", "41")
        for node in self.nodes:
            if node.region == "us-east":
                self.assertEqual(["f", "v", "g", "w"], node.call("HGETALL", "row"))
                self.assertEqual(["x", "y"], node.call("SMEMBERS", "set"))
                self.assertEqual(WRONG_TYPE, str(node.ask("GET", "row")))
                self.assertEqual("value is not an integer or out of range",
                                 str(node.ask("INCRBY", "n", "x")).split(" ", 1)[1])
                with node.connect(protocol=3) as c:
                    self.assertEqual({"f": "v", "g": "w"}, c.call("HGETALL", "row"))
                    self.assertEqual({"x", "y"}, c.call("SMEMBERS", "set"))


if __name__ == "__main__":
    cluster.main()
