#!/usr/bin/python3
"""Commands that mean the same here and in Redis answer the same, byte for byte.

The same random commands go to Debian's Redis and to a cluster of one node, where nothing is concurrent, under RESP2 and
under RESP3. Replies are compared with their types; only the order of unordered ones and the last digits of running
clocks are left out. What a mergeable table can't honour (SET NX, RENAME, …) answers -CONTRACT and is not drawn here,
nor is DBSIZE, which in both counts keys that have expired until they are removed.
"""
import os
import random
import shutil
import tempfile
import time

import cluster
from resp import Connection

COMMANDS = int(os.environ.get("MERIDIAN_PARITY_COMMANDS", "6000"))

KEYS = ["k:%d" % i for i in range(6)] + ["plain", "\x00\r\n\udcff"]
FIELDS = ["a", "b", "c", "", "long" * 40, "\r\n\x00"]
MEMBERS = FIELDS + ["1", "2", "3", "007"]
VALUES = ["", "v", "0", "-1", "10", "007", "+5", " 1", "1.5", "abc", "9223372036854775807", "-9223372036854775808",
          "9223372036854775808", "\x00\r\n\udcff\udc80", "x" * 300]
INTEGERS = ["0", "1", "-1", "2", "5", "-7", "100", "9223372036854775807", "-9223372036854775808",
            "-9223372036854775807"]
WRONG_INTEGERS = ["", "abc", "1.5", " 1", "01", "+1", "9223372036854775808", "1 ", "0x10"]
SMALL = ["0", "1", "2", "3", "-1", "-2", "-4", "100", "-100"]
FAR_SECONDS = ["1000", "5000", "100000", "9223372036854775"]
EXPIRES = FAR_SECONDS + ["0", "-1", "-100000", "9223372036854775807", "-9223372036854775808", "abc", ""]
PATTERNS = ["*", "k:*", "k:?", "[a-c]", "[^a]", "*o*", "\\*", "k:[0-3]", "", "plain", "[", "?*"]


class Typed(Connection):
    """Replies with their types: ('$', 'text'), (':', 1), ('*', [...]), …"""

    def _value(self):
        line = self._line()
        kind, rest = chr(line[0]), line[1:].decode("utf-8", "surrogateescape")
        if kind in "*~>%":
            count = int(rest) * (2 if kind == "%" else 1)
            return (kind, None if count < 0 else [self._value() for _ in range(count)])
        if kind in "$=":
            return (kind, None if rest == "-1" else self._text(int(rest)))
        return (kind, int(rest) if kind == ":" else rest)


def pairs(reply):
    """The pairs of a flat array or a map, sorted; of an array of arrays likewise."""
    kind, items = reply
    if items and items[0][0] == "*":
        return kind, sorted(items)
    return kind, sorted(zip(items[::2], items[1::2]))


def unordered(reply):
    kind, items = reply
    return (kind, sorted(items)) if isinstance(items, list) else reply


def scanned(reply):
    """The elements of [cursor, elements]; the cursor must be the end."""
    kind, items = reply
    return (kind, [items[0], unordered(items[1])]) if kind == "*" else reply


def scanned_pairs(reply):
    kind, items = reply
    return (kind, [items[0], pairs(items[1])]) if kind == "*" else reply


def shape(reply):
    """The kind of a random reply, and how much of it there is."""
    kind, items = reply
    if isinstance(items, list):
        return kind, [shape(item) for item in items]
    return reply if kind == "-" or items is None else (kind, "some")


class Clock:
    """A reply that counts time: equal if near."""

    def __init__(self, reply, tolerance):
        self.reply, self.tolerance = reply, tolerance

    def __eq__(self, other):
        (kind, value), (other_kind, other_value) = self.reply, other.reply
        if kind != ":" or other_kind != ":" or value < 0 or other_value < 0:
            return self.reply == other.reply
        return abs(value - other_value) <= self.tolerance

    def __repr__(self):
        return "about %r" % (self.reply,)


def seconds_clock(reply):
    return Clock(reply, 2)


def milliseconds_clock(reply):
    return Clock(reply, 2000)


COMPARED_AS = {
    "HGETALL": pairs, "HKEYS": unordered, "HVALS": unordered, "SMEMBERS": unordered, "KEYS": unordered,
    "SSCAN": scanned, "HSCAN": scanned_pairs, "SRANDMEMBER": shape, "SPOP": shape, "HRANDFIELD": shape,
    "TTL": seconds_clock, "PTTL": milliseconds_clock, "EXPIRETIME": seconds_clock, "PEXPIRETIME": milliseconds_clock,
}


class Draw:
    """One seed's stream of commands."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.makers = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def command(self):
        words = self.random.choice(self.makers)()
        if self.random.random() < 0.03 and len(words) > 2:
            return words[:-1] if self.random.random() < 0.5 else words + ["x"]
        return words

    def key(self):
        return self.random.choice(KEYS)

    def some(self, pool, most=4):
        return [self.random.choice(pool) for _ in range(self.random.randint(1, most))]

    def one(self, *pools):
        return self.random.choice(self.random.choice(pools))

    def integer(self):
        return self.one(WRONG_INTEGERS) if self.random.random() < 0.1 else self.one(INTEGERS)

    def word(self, text):
        return self.random.choice([text, text.lower(), text.title()])

    def absolute(self, scale):
        """A time far in the future, or in the past."""
        return str(self.random.choice([4000000000, 5000000000, 1, -1, 0]) * scale)

    def expiry(self):
        kind = self.random.randrange(7)
        if kind == 0:
            return [self.word("KEEPTTL")]
        if kind == 1:
            return [self.word("EXAT"), self.absolute(1)]
        if kind == 2:
            return [self.word("PXAT"), self.absolute(1000)]
        if kind == 3:
            return [self.word("PX"), self.one(["1000000", "0", "-5", "abc", "9223372036854775807"])]
        if kind == 4:
            return [self.word("EX"), self.one(EXPIRES)]
        return []

    # ---- strings ----
    def make_get(self):
        return ["GET", self.key()]

    def make_set(self):
        words = ["SET", self.key(), self.one(VALUES)] + self.expiry()
        if self.random.random() < 0.05:
            words += self.expiry() or ["nonsense"]
        return words

    make_set_again = make_set

    def make_setex(self):
        return [self.one(["SETEX"]), self.key(), self.one(EXPIRES), self.one(VALUES)]

    def make_psetex(self):
        return ["PSETEX", self.key(), self.one(["1000000", "0", "-1", "abc"]), self.one(VALUES)]

    def make_mget(self):
        return ["MGET"] + self.some(KEYS)

    def make_mset(self):
        words = ["MSET"]
        for key in self.random.sample(KEYS, self.random.randint(1, 3)):
            words += [key, self.one(VALUES)]
        return words

    def make_getdel(self):
        return ["GETDEL", self.key()]

    def make_getex(self):
        words = ["GETEX", self.key()]
        options = self.expiry() if self.random.random() < 0.7 else [self.word("PERSIST")]
        return words + options

    def make_append(self):
        return ["APPEND", self.key(), self.one(VALUES)]

    def make_strlen(self):
        return ["STRLEN", self.key()]

    def make_getrange(self):
        return [self.one(["GETRANGE", "SUBSTR"]), self.key(), self.one(SMALL, INTEGERS, WRONG_INTEGERS),
                self.one(SMALL, INTEGERS)]

    def make_setrange(self):
        return ["SETRANGE", self.key(), self.one(["0", "1", "5", "300", "-1", "600000000", "abc"]), self.one(VALUES)]

    # ---- counters ----
    def make_incr(self):
        return [self.one(["INCR", "DECR"]), self.key()]

    def make_incrby(self):
        return [self.one(["INCRBY", "DECRBY"]), self.key(), self.integer()]

    # ---- hashes ----
    def make_hset(self):
        words = [self.one(["HSET", "HSET", "HMSET"]), self.key()]
        for field in self.some(FIELDS):
            words += [field, self.one(VALUES)]
        return words

    make_hset_again = make_hset

    def make_hget(self):
        return [self.one(["HGET", "HEXISTS", "HSTRLEN"]), self.key(), self.one(FIELDS)]

    def make_hmget(self):
        return ["HMGET", self.key()] + self.some(FIELDS)

    def make_hgetall(self):
        return [self.one(["HGETALL", "HKEYS", "HVALS", "HLEN"]), self.key()]

    def make_hdel(self):
        return ["HDEL", self.key()] + self.some(FIELDS)

    def make_hincrby(self):
        return ["HINCRBY", self.key(), self.one(FIELDS), self.integer()]

    def make_hscan(self):
        return ["HSCAN", self.key(), self.one(["0", "0", "0", "abc"])] + self.scan_options()

    def make_hrandfield(self):
        words = ["HRANDFIELD", self.key()]
        if self.random.random() < 0.7:
            words += [self.one(["0", "1", "3", "100", "-3", "-1", "abc"])]
            if self.random.random() < 0.5:
                words += [self.one(["WITHVALUES", "withvalues", "nonsense"])]
        return words

    # ---- sets ----
    def make_sadd(self):
        return ["SADD", self.key()] + self.some(MEMBERS, 6)

    make_sadd_again = make_sadd

    def make_srem(self):
        return ["SREM", self.key()] + self.some(MEMBERS)

    def make_sread(self):
        return [self.one(["SMEMBERS", "SCARD"]), self.key()]

    def make_sismember(self):
        if self.random.random() < 0.5:
            return ["SISMEMBER", self.key(), self.one(MEMBERS)]
        return ["SMISMEMBER", self.key()] + self.some(MEMBERS)

    def make_sscan(self):
        return ["SSCAN", self.key(), self.one(["0", "0", "0", "-"])] + self.scan_options()

    def make_srandom(self):
        words = [self.one(["SRANDMEMBER", "SPOP"]), self.key()]
        if self.random.random() < 0.7:
            words += [self.one(["0", "1", "2", "100", "-3", "-1", "abc"])]
        return words

    # ---- keys ----
    def make_del(self):
        return [self.one(["DEL", "UNLINK"])] + self.some(KEYS, 3)

    def make_exists(self):
        return [self.one(["EXISTS", "TOUCH"])] + self.some(KEYS, 3)

    def make_type(self):
        return ["TYPE", self.key()]

    def make_expire(self):
        words = ["EXPIRE", self.key(), self.one(EXPIRES)]
        if self.random.random() < 0.3:
            words = ["PEXPIRE", self.key(), self.one(["1000000", "50000000", "-1", "0", "abc", "9223372036854775807"])]
        return words + self.conditions()

    def make_expireat(self):
        command, scale = self.random.choice([("EXPIREAT", 1), ("PEXPIREAT", 1000)])
        return [command, self.key(), self.absolute(scale)] + self.conditions()

    def make_ttl(self):
        return [self.one(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST"]), self.key()]

    make_ttl_again = make_ttl

    def make_keys(self):
        return ["KEYS", self.one(PATTERNS)]

    def conditions(self):
        return self.some(["NX", "XX", "GT", "LT", "nx", "nonsense"], 2) if self.random.random() < 0.4 else []

    def scan_options(self):
        words = []
        if self.random.random() < 0.4:
            words += [self.word("MATCH"), self.one(PATTERNS)]
        if self.random.random() < 0.4:
            words += [self.word("COUNT"), self.one(["100", "1000", "0", "-1", "abc"])]
        if self.random.random() < 0.05:
            words += ["nonsense"]
        return words


class ParityTest(cluster.TestCase):
    def start_both(self, protocol):
        folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.addCleanup(shutil.rmtree, folder)
        port = cluster.PORTS.take()
        server = cluster.redis_server(folder, port, "--appendonly", "no")
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        cluster.wait_until(lambda: cluster.answers_ping(port), "Redis answers")
        redis, ours = Typed(port), Typed(self.node().resp)
        for connection in (redis, ours):
            self.addCleanup(connection.close)
            connection.ask("HELLO", protocol)
        return redis, ours

    def node(self):
        return self.cluster(regions=("us-east",))["us-east-1"]

    def compare(self, redis, ours, words, history):
        expected, got = redis.ask(*words), ours.ask(*words)
        view = COMPARED_AS.get(words[0], lambda reply: reply)
        if expected[0] in "*%~$:" and got[0] in "*%~$:":
            same = view(expected) == view(got)
        else:
            same = expected == got
        if not same:
            recent = "\n".join(repr(line) for line in history[-12:])
            self.fail("%r\nRedis:    %r\nMeridian: %r\nbefore it:\n%s" % (words, expected, got, recent))
        history.append(words)
        return expected, got

    def put_back(self, redis, ours, key, expected, got):
        """Both popped as many members at random: give each its own back, so that both sets are equal again."""
        for connection, (kind, popped) in ((redis, expected), (ours, got)):
            members = [text for _, text in popped] if isinstance(popped, list) else [popped]
            if kind != "-" and members and members[0] is not None:
                connection.ask("SADD", key, *members)

    def run_seed(self, seed, protocol):
        redis, ours = self.start_both(protocol)
        draw, history = Draw(seed), []
        for _ in range(COMMANDS):
            words = draw.command()
            expected, got = self.compare(redis, ours, words, history)
            if words[0] == "SPOP":
                self.put_back(redis, ours, words[1], expected, got)
        for key in KEYS:
            for command in ("TYPE", "GET", "HGETALL", "SMEMBERS", "TTL"):
                self.compare(redis, ours, [command, key], history)

    def test_resp2(self):
        self.run_seed(1, 2)

    def test_resp3(self):
        self.run_seed(2, 3)

    def test_expiry_in_time(self):
        redis, ours = self.start_both(2)
        history = []
        for words in (["SET", "s", "v", "PX", "2000"], ["HSET", "h", "f", "v"], ["PEXPIRE", "h", "2000"],
                      ["SADD", "m", "x"], ["PEXPIRE", "m", "2000"], ["SET", "n", "5", "PX", "2000"], ["INCR", "n"],
                      ["SET", "kept", "v", "PX", "2000"], ["PERSIST", "kept"], ["APPEND", "s", "w"]):
            self.compare(redis, ours, words, history)
        time.sleep(2.5)
        for words in (["GET", "s"], ["EXISTS", "s", "h", "m", "n", "kept"], ["HGETALL", "h"], ["SCARD", "m"],
                      ["KEYS", "*"], ["TTL", "s"], ["TYPE", "h"], ["DEL", "m"], ["INCR", "n"], ["TTL", "n"],
                      ["HSET", "h", "g", "w"], ["HGETALL", "h"], ["TTL", "h"], ["APPEND", "s", "x"], ["TTL", "s"],
                      ["GET", "kept"], ["DBSIZE"]):
            self.compare(redis, ours, words, history)

    def test_emptied_keys_are_gone(self):
        redis, ours = self.start_both(2)
        history = []
        for words in (["HSET", "h", "a", "1", "b", "2"], ["EXPIRE", "h", "1000"], ["HDEL", "h", "a", "b", "c"],
                      ["EXISTS", "h"], ["TYPE", "h"], ["TTL", "h"], ["HSET", "h", "a", "1"], ["TTL", "h"],
                      ["SADD", "s", "a", "b"], ["EXPIRE", "s", "1000"], ["SREM", "s", "b", "a"], ["EXISTS", "s"],
                      ["SADD", "s", "a"], ["TTL", "s"], ["EXPIRE", "s", "1000"], ["SPOP", "s"], ["EXISTS", "s"],
                      ["SADD", "s", "a"], ["TTL", "s"], ["SREM", "s", "a"], ["SET", "s", "now a string"],
                      ["GET", "s"], ["DBSIZE"]):
            self.compare(redis, ours, words, history)

    def test_scan_finds_every_key(self):
        redis, ours = self.start_both(2)
        keys = {"scan:%d" % i for i in range(500)}
        for key in sorted(keys):
            ours.ask("SET", key, "v")
        ours.ask("HSET", "scan:row", "f", "v")
        for options, expected in (([], keys | {"scan:row"}), (["COUNT", "100"], keys | {"scan:row"}),
                                  (["TYPE", "string"], keys), (["TYPE", "hash"], {"scan:row"}),
                                  (["MATCH", "scan:1*"], {key for key in keys if key.startswith("scan:1")})):
            cursor, found = "0", set()
            while True:
                _, ((_, cursor), (_, items)) = ours.ask("SCAN", cursor, *options)
                found |= {text for _, text in items}
                if cursor == "0":
                    break
            self.assertEqual(expected, found, options)

    def test_scan_inside_a_large_key(self):
        _, ours = self.start_both(2)
        members = ["m%d" % i for i in range(5000)]
        ours.ask("SADD", "s", *members)
        ours.ask("HSET", "h", *[word for member in members for word in (member, "v" + member)])
        for command, key, step in (("SSCAN", "s", 1), ("HSCAN", "h", 2)):
            cursor, found, calls = "0", [], 0
            while True:
                _, ((_, cursor), (_, items)) = ours.ask(command, key, cursor, "COUNT", "10")
                found += [text for _, text in items][::step]
                calls += 1
                if calls == 10:  # others come and go meanwhile
                    ours.ask("SADD", "s", "late1", "late2")
                    ours.ask("HSET", "h", "late1", "x", "late2", "x")
                if cursor == "0":
                    break
            found = [name for name in found if not name.startswith("late")]
            self.assertEqual(sorted(members), sorted(found), command)
            self.assertGreater(calls, 10)


if __name__ == "__main__":
    cluster.main()
