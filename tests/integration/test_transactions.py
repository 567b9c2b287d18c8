#!/usr/bin/python3
"""Commands over several groups of ordered tables, and money, on real processes: all or nothing, the total is constant,
whatever crashes."""
import random
import re
import threading
import time

import cluster
from resp import RespError

ACCOUNTS = 12
BALANCE = 1000
CREATE = ("TABLE", "CREATE", "bank", "ENGINE", "ordered", "DURABILITY", "majority+regions:2", "INVARIANT", "min:0",
          "PARTITIONS", 4)


def account(number):
    return "bank:%d" % number


class Teller(threading.Thread):
    """Transfers between random accounts until it is stopped."""

    def __init__(self, node, name, seed):
        super().__init__()
        self.node, self.name, self.random = node, name, random.Random(seed)
        self.done = self.refused = self.unknown = 0
        self.errors = []
        self.stopping = False

    def transfer(self, connection):
        source, target = self.random.sample(range(ACCOUNTS), 2)
        amount = self.random.randint(1, BALANCE)
        if self.random.random() < 0.5:
            return connection.ask("TRANSFER", account(source), account(target), amount)
        for words in (("MULTI",), ("DECRBY", account(source), amount), ("INCRBY", account(target), amount)):
            reply = connection.ask(*words)
            if isinstance(reply, RespError):
                return reply
        return connection.ask("EXEC")

    def run(self):
        while not self.stopping:
            try:
                with self.node.connect(timeout=20) as connection:
                    self.work(connection)
            except OSError:
                time.sleep(0.2)

    def work(self, connection):
        while not self.stopping:
            try:
                reply = self.transfer(connection)
            except OSError:
                self.unknown += 1
                raise
            if not isinstance(reply, RespError):
                self.done += 1
                continue
            self.refused += 1
            if reply.code == "UNKNOWN":
                self.unknown += 1
            elif reply.code not in ("INVARIANT", "UNAVAILABLE"):
                self.errors.append(str(reply))
                return


class TransactionsTest(cluster.TestCase):
    def bank(self, **options):
        made = self.cluster(**options)
        first = next(iter(made))
        self.assertEqual("OK", first.call(*CREATE))
        for node in made:
            for number in range(ACCOUNTS):
                cluster.wait_until(lambda: node.ask("SET", account(number), BALANCE) == "OK", "%s leads" % node.id)
        return made

    def total(self, node):
        """Of all accounts, once nothing is locked any more."""
        def read():
            balances = [node.ask("GET", account(number)) for number in range(ACCOUNTS)]
            if any(isinstance(balance, RespError) for balance in balances):
                return None
            self.assertTrue(all(int(balance) >= 0 for balance in balances), balances)
            return [int(balance) for balance in balances]
        found = []
        cluster.wait_until(lambda: found.append(read()) or found[-1] is not None, "nothing is locked", seconds=60)
        return sum(found[-1])

    def test_commands_over_groups(self):
        us, eu, apac = self.bank()
        self.assertEqual("OK", us.call("MSET", *[word for n in range(ACCOUNTS) for word in (account(n), n)]))
        self.assertEqual([str(n) for n in range(ACCOUNTS)], eu.call("MGET", *[account(n) for n in range(ACCOUNTS)]))
        names = ["bank:new-%d" % n for n in range(8)]
        self.assertEqual(0, eu.call("MSETNX", *[word for name in names + [account(3)] for word in (name, 1)]))
        self.assertEqual(0, apac.call("EXISTS", *names))
        self.assertEqual(1, eu.call("MSETNX", *[word for name in names for word in (name, 1)]))
        self.assertEqual(8, apac.call("DEL", *names))
        for n in range(8):
            self.assertEqual(1, us.call("SADD", "bank:set-%d" % n, "x"))
        for n in range(7):
            self.assertEqual(1, eu.call("SMOVE", "bank:set-%d" % n, "bank:set-%d" % (n + 1), "x"))
            self.assertEqual(0, eu.call("SMOVE", "bank:set-%d" % n, "bank:set-%d" % (n + 1), "x"))
        self.assertEqual(["x"], apac.call("SMEMBERS", "bank:set-7"))

    def test_transfers(self):
        us, eu, apac = self.bank()
        for n in range(1, ACCOUNTS):
            self.assertEqual("OK", us.call("TRANSFER", account(0), account(n), 10))
            self.assertEqual(str(BALANCE - 10 * n), apac.call("GET", account(0)))
            self.assertEqual(str(BALANCE + 10), eu.call("GET", account(n)))
            self.assert_error("INVARIANT", eu.ask("TRANSFER", account(n), account(0), BALANCE + 11))
            self.assert_error("ERR", eu.ask("TRANSFER", account(n), account(0), -1))
        self.assertEqual(ACCOUNTS * BALANCE, self.total(eu))

    def test_multi_over_groups(self):
        us, eu, _ = self.bank()
        with us.connect() as connection:
            connection.call("MULTI")
            for n in range(6):
                self.assertEqual("QUEUED", connection.call("INCRBY", account(n), n))
            connection.call("GET", account(1))
            self.assertEqual([BALANCE + n for n in range(6)] + [str(BALANCE + 1)], connection.call("EXEC"))
            connection.call("MULTI")
            for n in range(6):
                connection.call("DECRBY", account(n), BALANCE + 3)
            self.assert_error("INVARIANT", connection.ask("EXEC"))
            self.assertEqual(str(BALANCE), eu.call("GET", account(0)))
            connection.call("WATCH", account(1))
            eu.call("INCR", account(1))
            connection.call("MULTI")
            connection.call("INCR", account(2))
            connection.call("INCR", account(3))
            connection.call("INCR", account(4))
            self.assertIsNone(connection.call("EXEC"))
        self.assertEqual(str(BALANCE + 2), eu.call("GET", account(2)))

    def test_holds(self):
        us, eu, apac = self.bank()
        hold = us.call("HOLD", account(0), 400, 60000)
        self.assertEqual(str(BALANCE - 400), eu.call("GET", account(0)))
        self.assert_error("INVARIANT", eu.ask("HOLD", account(0), BALANCE, 60000))
        self.assertEqual(300, apac.call("SETTLE", hold, 300))
        self.assertEqual(str(BALANCE - 300), eu.call("GET", account(0)))
        self.assert_error("ERR", eu.ask("SETTLE", hold))
        hold = eu.call("HOLD", account(1), 400, 60000)
        self.assertEqual(400, us.call("VOID", hold))
        hold = eu.call("HOLD", account(1), 400, 300)
        cluster.wait_until(lambda: us.call("GET", account(1)) == str(BALANCE), "the hold expires")
        self.assert_error("ERR", eu.ask("VOID", hold))
        self.assert_error("ERR", eu.ask("VOID", "nonsense"))
        first = us.call("IDEMPOTENT", "once", "HOLD", account(2), 5, 60000)
        self.assertEqual(first, eu.call("IDEMPOTENT", "once", "HOLD", account(2), 5, 60000))
        self.assertEqual(str(BALANCE - 5), eu.call("GET", account(2)))

    def test_an_unknown_outcome_is_found_by_its_id(self):
        """Two of three nodes stop in the middle of transfers: what nobody could know then is known later, and true."""
        us, eu, apac = self.bank()
        unknown = []

        def transfer(number):
            with us.connect(timeout=30) as connection:
                reply, count = None, 0
                while not isinstance(reply, RespError):
                    count += 1
                    mark = "bank:mark-%d-%d" % (number, count)
                    reply = [connection.ask(*words) for words in (
                        ("MULTI",), ("DECRBY", account(number), 1), ("INCRBY", account(number + 1), 1),
                        ("SET", mark, 1), ("EXEC",))][-1]
                if reply.code == "UNKNOWN" and "transaction x-" in str(reply):
                    unknown.append((mark, re.search(r"(x-[0-9a-f.-]+)", str(reply)).group(1)))

        threads = [threading.Thread(target=transfer, args=(number,)) for number in range(0, ACCOUNTS - 1)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        for node in (eu, apac):
            node.pause()
        for thread in threads:
            thread.join()
        for node in (eu, apac):
            node.resume()
        print("%d of unknown outcome" % len(unknown))
        for mark, name in unknown:
            def outcome():
                reply = us.ask("OUTCOME", name, "KEY", mark)
                return not isinstance(reply, RespError) and cluster.as_map(reply)["state"] != "unknown" and reply
            state = cluster.as_map(cluster.wait_until(outcome, "%s has ended" % name, seconds=40))["state"]
            cluster.wait_until(lambda: us.ask("EXISTS", mark) == {"done": 1, "cancelled": 0}[state], name + " " + state)
        self.assertEqual(ACCOUNTS * BALANCE, self.total(eu))

    def test_total_is_constant_while_nodes_are_killed(self):
        made = self.bank()
        nodes = list(made)
        tellers = [Teller(nodes[i % 3], "t%d" % i, i) for i in range(6)]
        for teller in tellers:
            teller.start()
        for round_number in range(4):
            time.sleep(2)
            victim = nodes[round_number % 3]
            victim.kill()
            time.sleep(1.5)
            victim.start()
        time.sleep(3)
        for teller in tellers:
            teller.stopping = True
        for teller in tellers:
            teller.join(60)
            self.assertEqual([], teller.errors)
        done = sum(teller.done for teller in tellers)
        self.assertGreater(done, 50)
        for node in nodes:
            self.assertEqual(ACCOUNTS * BALANCE, self.total(node))
        print("%d transfers, %d refused, %d unknown" % (done, sum(t.refused for t in tellers),
                                                        sum(t.unknown for t in tellers)))


if __name__ == "__main__":
    cluster.main()
