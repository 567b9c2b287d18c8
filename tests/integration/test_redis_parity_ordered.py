#!/usr/bin/python3
"""On an ordered table every command of Redis that we have answers as Redis does, byte for byte.

As test_redis_parity.py, on a table of one partition, so that all keys are in one group and every command of several
keys runs. Besides what is said there, these are left out: ranges by name where scores differ (Redis leaves them open),
the sign of zero, and EXPIRE GT/LT with times that run from two clocks.
"""
import os

import cluster
import test_redis_parity as parity
from test_redis_parity import COMPARED_AS, MEMBERS, VALUES, INTEGERS, FIELDS

COMMANDS = int(os.environ.get("MERIDIAN_PARITY_COMMANDS", "4000"))

KEYS = ["k:%d" % i for i in range(6)] + ["k:\x00\r\n\udcff"]
NAMES_KEY = "k:names"  # a sorted set whose scores are all equal
SCORES = ["0", "1", "-1", "2", "3", "1.5", "-2.25", "1e3", "inf", "-inf", "0.1", "3.3", "1e-10",
          "12345678901234567890", "+inf"]
WRONG_SCORES = ["", "abc", "nan", " 1", "1 "]
BOUNDS = ["-inf", "+inf", "0", "(1", "2", "(2", "1.5", "(-1", "3", "abc", "(", "1000"]
NAME_BOUNDS = ["-", "+", "[a", "(a", "[b", "(b", "[c", "[", "(", "[1", "[007", "a"]
INDEXES = ["0", "1", "-1", "2", "-2", "5", "-100", "100", "abc"]
COUNTS = ["0", "1", "2", "100", "-1", "abc"]

VIEWS = dict(COMPARED_AS, SINTER=parity.unordered, SUNION=parity.unordered, SDIFF=parity.unordered,
             ZRANDMEMBER=parity.shape, ZSCAN=parity.scanned_pairs)


class Draw(parity.Draw):
    """One seed's stream of commands, over more of them."""

    make_keys = None

    def __init__(self, seed):
        super().__init__(seed)
        self.makers = [maker for maker in self.makers if maker]

    def command(self):
        """With a word too few or too many at times; not where that makes another word a key, of another table."""
        words = self.random.choice(self.makers)()
        counts_keys = words[0] in ("LMPOP", "ZMPOP") or words[0].endswith("CARD") or words[0].startswith(
            ("ZUNION", "ZINTER", "ZDIFF"))
        takes_keys = words[0] in ("MGET", "MSET", "MSETNX", "DEL", "UNLINK", "EXISTS", "TOUCH", "RENAME", "RENAMENX",
                                  "RPOPLPUSH") or words[0].startswith(("SINTER", "SUNION", "SDIFF"))
        if self.random.random() < 0.03 and len(words) > 2 and not counts_keys:
            return words + ["x"] if self.random.random() < 0.5 and not takes_keys else words[:-1]
        return words

    def key(self):
        return self.random.choice(KEYS)

    def some(self, pool, most=4):
        return super().some(KEYS if pool is parity.KEYS else pool, most)

    def some_keys(self, most=3):
        return self.some(KEYS, most)

    def distinct_pairs(self, command):
        words = [command]
        for key in self.random.sample(KEYS, self.random.randint(1, 3)):
            words += [key, self.one(VALUES)]
        return words

    def score(self):
        return self.one(WRONG_SCORES) if self.random.random() < 0.05 else self.one(SCORES)

    def sometimes(self, words, chance=0.4):
        return words if self.random.random() < chance else []

    # ---- strings ----
    def make_mset(self):
        return self.distinct_pairs(self.one(["MSET", "MSETNX"]))

    def make_setnx(self):
        return [self.one(["SETNX", "GETSET"]), self.key(), self.one(VALUES)]

    def make_set_options(self):
        conditions = self.some(["NX", "XX", "GET", "nx", "KEEPTTL"], 2)
        return ["SET", self.key(), self.one(VALUES)] + conditions + self.expiry()

    def make_float(self):
        if self.random.random() < 0.5:
            return ["INCRBYFLOAT", self.key(), self.one(SCORES, VALUES, INTEGERS)]
        return ["HINCRBYFLOAT", self.key(), self.one(FIELDS), self.one(SCORES, VALUES, INTEGERS)]

    def make_hsetnx(self):
        return ["HSETNX", self.key(), self.one(FIELDS), self.one(VALUES)]

    # ---- sets ----
    def make_set_algebra(self):
        if self.random.random() < 0.5:
            return [self.one(["SINTER", "SUNION", "SDIFF"])] + self.some_keys()
        return [self.one(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), self.key()] + self.some_keys()

    def make_card(self):
        keys = self.some_keys()
        return ([self.one(["SINTERCARD", "ZINTERCARD"]), str(len(keys))] + keys +
                self.sometimes(["LIMIT", self.one(["0", "1", "2", "-1", "x"])]))

    def make_smove(self):
        return ["SMOVE", self.key(), self.key(), self.one(MEMBERS)]

    # ---- lists ----
    def make_push(self):
        return [self.one(["LPUSH", "RPUSH", "LPUSHX", "RPUSHX"]), self.key()] + self.some(MEMBERS, 5)

    make_push_again = make_push_once_more = make_push

    def make_pop(self):
        return ([self.one(["LPOP", "RPOP", "ZPOPMIN", "ZPOPMAX"]), self.key()] +
                self.sometimes([self.one(COUNTS)]))

    def make_list_read(self):
        return self.random.choice([["LLEN", self.key()], ["LINDEX", self.key(), self.one(INDEXES)],
                                   ["LRANGE", self.key(), self.one(INDEXES), self.one(INDEXES)]])

    make_list_read_again = make_list_read

    def make_list_change(self):
        return self.random.choice([
            ["LSET", self.key(), self.one(INDEXES), self.one(MEMBERS)],
            ["LINSERT", self.key(), self.one(["BEFORE", "AFTER", "after", "x"]), self.one(MEMBERS), self.one(MEMBERS)],
            ["LREM", self.key(), self.one(["0", "1", "-1", "2", "-2", "abc"]), self.one(MEMBERS)],
            ["LTRIM", self.key(), self.one(["0", "1", "-3", "abc"]), self.one(["-1", "-2", "5", "100"])]])

    def make_lpos(self):
        return (["LPOS", self.key(), self.one(MEMBERS)] +
                self.sometimes(["RANK", self.one(["1", "-1", "2", "0", "-2", "x"])]) +
                self.sometimes(["COUNT", self.one(["0", "1", "2", "-1", "x"])]) +
                self.sometimes(["MAXLEN", self.one(["0", "1", "3", "-1", "x"])]))

    def make_lmove(self):
        if self.random.random() < 0.4:
            return ["RPOPLPUSH", self.key(), self.key()]
        return ["LMOVE", self.key(), self.key(), self.one(["LEFT", "RIGHT", "x"]), self.one(["LEFT", "right"])]

    def make_mpop(self):
        command, ends = self.random.choice([("LMPOP", ["LEFT", "RIGHT"]), ("ZMPOP", ["MIN", "MAX"])])
        keys = self.some_keys()
        return ([command, str(len(keys))] + keys + [self.one(ends, ["x"] if self.random.random() < 0.1 else ends)] +
                self.sometimes(["COUNT", self.one(["1", "2", "100", "0", "-1", "x"])]))

    # ---- sorted sets ----
    def make_zadd(self):
        words = ["ZADD", self.key()] + self.sometimes(self.some(["NX", "XX", "GT", "LT", "CH", "INCR", "ch"], 2))
        for _ in range(self.random.randint(1, 4)):
            words += [self.score(), self.one(MEMBERS)]
        return words

    make_zadd_again = make_zadd_once_more = make_zadd

    def make_names(self):
        return ["ZADD", NAMES_KEY, "0", self.one(MEMBERS), "0", self.one(MEMBERS)]

    def make_zrem(self):
        return ["ZREM", self.one([NAMES_KEY], KEYS)] + self.some(MEMBERS)

    def make_zread(self):
        return self.random.choice([
            ["ZCARD", self.key()], ["ZSCORE", self.key(), self.one(MEMBERS)], ["ZMSCORE", self.key()] +
            self.some(MEMBERS), [self.one(["ZRANK", "ZREVRANK"]), self.key(), self.one(MEMBERS)],
            ["ZCOUNT", self.key(), self.one(BOUNDS), self.one(BOUNDS)],
            ["ZLEXCOUNT", NAMES_KEY, self.one(NAME_BOUNDS), self.one(NAME_BOUNDS)]])

    make_zread_again = make_zread

    def make_zincrby(self):
        return ["ZINCRBY", self.key(), self.score(), self.one(MEMBERS)]

    def limit(self):
        return self.sometimes(["LIMIT", self.one(["0", "1", "2", "-1", "x"]), self.one(["0", "1", "2", "-1", "x"])])

    def range(self):
        """(key, bounds, word)"""
        return self.random.choice([(self.key(), [self.one(INDEXES), self.one(INDEXES)], []),
                                   (self.key(), [self.one(BOUNDS), self.one(BOUNDS)], ["BYSCORE"]),
                                   (NAMES_KEY, [self.one(NAME_BOUNDS), self.one(NAME_BOUNDS)], ["BYLEX"])])

    def make_zrange(self):
        key, bounds, by = self.range()
        words = [key] + bounds + by + self.sometimes(["REV"]) + self.limit()
        if self.random.random() < 0.3:
            return ["ZRANGESTORE", self.key()] + words
        return ["ZRANGE"] + words + self.sometimes(["WITHSCORES"])

    make_zrange_again = make_zrange

    def make_zrange_elder(self):
        key, bounds, by = self.range()
        name = {"": ["ZREVRANGE"], "BYSCORE": ["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"],
                "BYLEX": ["ZRANGEBYLEX", "ZREVRANGEBYLEX"]}["".join(by)]
        return [self.one(name), key] + bounds + self.sometimes(["WITHSCORES"]) + self.limit()

    def make_zremrange(self):
        key, bounds, by = self.range()
        name = {"": "ZREMRANGEBYRANK", "BYSCORE": "ZREMRANGEBYSCORE", "BYLEX": "ZREMRANGEBYLEX"}["".join(by)]
        return [name, key] + bounds

    def make_zrandmember(self):
        return (["ZRANDMEMBER", self.key()] +
                self.sometimes([self.one(["0", "1", "3", "100", "-3", "-1", "abc"])] +
                               self.sometimes([self.one(["WITHSCORES", "nonsense"])]), 0.7))

    def make_zscan(self):
        return ["ZSCAN", self.key(), self.one(["0", "0", "abc"])] + self.scan_options() + ["COUNT", "1000"]

    def make_zset_algebra(self):
        command = self.one(["ZUNION", "ZINTER", "ZDIFF", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"])
        keys = self.some_keys()
        words = [command] + ([self.key()] if command.endswith("STORE") else []) + [str(len(keys))] + keys
        words += self.sometimes(["WEIGHTS"] + [self.score() for _ in keys])
        words += self.sometimes(["AGGREGATE", self.one(["SUM", "MIN", "MAX", "x"])])
        return words + self.sometimes(["WITHSCORES"])

    make_zset_algebra_again = make_zset_algebra

    # ---- keys ----
    def make_rename(self):
        return [self.one(["RENAME", "RENAMENX"]), self.key(), self.key()]

    def make_copy(self):
        return ["COPY", self.key(), self.key()] + self.sometimes(["REPLACE"])

    def make_expire(self):
        words = ["EXPIRE", self.key(), self.one(parity.EXPIRES)]
        if self.random.random() < 0.3:
            words = ["PEXPIRE", self.key(), self.one(["1000000", "50000000", "-1", "0", "abc", "9223372036854775807"])]
        return words + self.sometimes([self.one(["NX", "XX", "nx", "nonsense"])])


class OrderedParityTest(cluster.TestCase):
    start_both = parity.ParityTest.start_both
    put_back = parity.ParityTest.put_back

    def node(self):
        node = self.cluster(regions=("us-east",))["us-east-1"]
        self.assertEqual("OK", node.call("TABLE", "CREATE", "k", "ENGINE", "ordered", "PARTITIONS", 1))
        cluster.wait_until(lambda: node.ask("DEL", "k:probe") == 0, "the group has a leader")
        return node

    def compare(self, redis, ours, words, history):
        expected, got = redis.ask(*words), ours.ask(*words)
        view = VIEWS.get(words[0], lambda reply: reply)
        values = expected[0] in "*%~$:" and got[0] in "*%~$:"
        if view(expected) != view(got) if values else expected != got:
            recent = "\n".join(repr(line) for line in history[-12:])
            self.fail("%r\nRedis:    %r\nMeridian: %r\nbefore it:\n%s" % (words, expected, got, recent))
        history.append(words)
        return expected, got

    def run_seed(self, seed, protocol):
        redis, ours = self.start_both(protocol)
        draw, history = Draw(seed), []
        for _ in range(COMMANDS):
            words = draw.command()
            expected, got = self.compare(redis, ours, words, history)
            if words[0] == "SPOP":
                self.put_back(redis, ours, words[1], expected, got)
        for key in KEYS + [NAMES_KEY]:
            for command in (["TYPE"], ["GET"], ["HGETALL"], ["SMEMBERS"], ["TTL"], ["LLEN"], ["ZCARD"]):
                self.compare(redis, ours, command + [key], history)

    def test_resp2(self):
        self.run_seed(11, 2)

    def test_resp3(self):
        self.run_seed(12, 3)


if __name__ == "__main__":
    cluster.main()
