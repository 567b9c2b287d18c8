"""Measured claims of ordered tables: beside etcd, over an emulated WAN, through failures, and beside other tables."""

import random
import threading
import time

from etcd import Etcd
from load import percentile, redis_benchmark
from servers import Connection, Workplace

VALUE = b"x" * 100
KEYS = 10000
IDLE_GROUPS = 500
IDLE_AFTER_SECONDS = 80.0  # what creating a table wrote is brought to rest a minute later: that is no idleness


def create(server, table, words, seconds=30.0):
    """Create a table and wait until every group of it takes writes."""
    connection = Connection(server.port)
    answer = connection.command("TABLE", "CREATE", table, "ENGINE", "ordered", *words.split())
    if answer != "+OK":
        raise RuntimeError("TABLE CREATE %s: %s" % (table, answer))
    deadline = time.monotonic() + seconds
    for i in range(200):  # far more keys than groups: every group is met
        while connection.command("SET", "%s:ready-%d" % (table, i), "x") != "+OK":
            if time.monotonic() > deadline:
                raise RuntimeError("%s takes no writes" % table)
            time.sleep(0.05)
    connection.close()


def cpu_of(servers):
    return sum(server.cpu_seconds() for server in servers)


def point(servers, port, words, clients, seconds):
    """redis-benchmark without pipelining against one node, about `seconds` long."""
    probe = redis_benchmark(port, words, 1, max(1000, 40 * clients), clients=clients, keys=KEYS)
    operations = max(2000, int(probe["rps"] * seconds))
    cpu = cpu_of(servers)
    result = redis_benchmark(port, words, 1, operations, clients=clients, keys=KEYS)
    result["cpu_us"] = (cpu_of(servers) - cpu) / operations * 1e6
    return result


def bench_etcd(say, verdict, seconds):
    say("Three nodes on loopback, fsync, 100-byte values, no pipelining; etcd 3.4 (one group) through its Go client,")
    say("all members; a table of one group like etcd, and one of 16 groups as tables have unless said")
    say("  %-5s %8s %6s %-9s | %8s %10s %6s %8s | %7s %7s | %7s %7s"
        % ("", "clients", "groups", "node", "etcd/s", "meridian/s", "ratio", "goal", "p50 ms", "p50 ms", "cpu us",
           "cpu us"))
    results = []
    with Etcd() as etcd, Workplace() as place:
        servers = place.meridian(latency_factor=0)
        for groups in (1, 16):
            create(servers[0], "o%d" % groups, "PARTITIONS %d DURABILITY majority" % groups)
        for op, clients, goal in (("put", 1, None), ("put", 64, 5.0), ("put", 256, 5.0), ("get", 64, 8.0)):
            a = etcd.point(op, clients, seconds)
            for groups, server in [(g, n) for g in (1, 16) for n in (servers if op == "get" else servers[:1])]:
                key = "o%d:__rand_int__" % groups
                b = point(servers, server.port, ["SET", key, VALUE] if op == "put" else ["GET", key], clients, seconds)
                ratio = b["rps"] / a["rps"]
                good = b["p50_ms"] <= 0.5 * a["p50_ms"] if goal is None else ratio >= goal
                wanted = "p50<=.5" if goal is None else ">= %.0f" % goal
                say("  %-5s %8d %6d %-9s | %8.0f %10.0f %6.2f %8s | %7.2f %7.2f | %7.1f %7.1f  %s"
                    % (op, clients, groups, server.name, a["rps"], b["rps"], ratio, wanted, a["p50_ms"], b["p50_ms"],
                       a["cpu_us"], b["cpu_us"], verdict(good)))
                results.append({"op": op, "clients": clients, "groups": groups, "node": server.name, "etcd": a,
                                "meridian": b, "ratio": ratio})
    return results


def latencies(port, table, count, pause=0.0):
    connection, taken = Connection(port), []
    for i in range(count):
        begin = time.perf_counter()
        answer = connection.command("SET", "%s:%d" % (table, i % 100), VALUE)
        taken.append((time.perf_counter() - begin) * 1e3)
        if answer != "+OK":
            raise RuntimeError("SET answered %r" % answer)
        time.sleep(pause)
    connection.close()
    return taken


def bench_commit(say, verdict, seconds):
    say("Commit over the WAN: p50 of a write at the node nearest to the leader; goal 1.1 x the round trip that the rule"
        " needs, + one fsync")
    nearest = {"us-east": 80, "eu": 80, "apac": 160}  # round trip in ms to the nearest other region
    results = []
    with Workplace() as place:
        servers = place.meridian()
        for table, rule in (("m", "majority"), ("r", "majority+regions:2")):
            create(servers[0], table, "PARTITIONS 1 DURABILITY %s" % rule)
            p50 = {s.name: percentile(latencies(s.port, table, max(20, int(seconds))), 0.5) for s in servers}
            leader = min(p50, key=p50.get)
            limit = 1.1 * nearest[leader.rsplit("-", 1)[0]] + 5  # 5 ms: an fsync and the loops of a busy machine
            say("  %-20s led by %-10s p50 %6.1f ms, limit %6.1f ms  %s; seen from the others: %s"
                % (rule, leader, p50[leader], limit, verdict(p50[leader] <= limit),
                   ", ".join("%s %.0f ms" % (n, v) for n, v in p50.items() if n != leader)))
            results.append({"rule": rule, "leader": leader, "p50_ms": p50, "limit_ms": limit})
    return results


def bench_window(say, verdict, seconds):
    say("One group, round trips of 100 ms and more: does the window keep the pipe full? Goal 20 000 writes/s")
    with Workplace() as place:
        servers = place.meridian(latency_factor=1.25)
        create(servers[0], "w", "PARTITIONS 1 DURABILITY majority")
        p50 = {s.port: percentile(latencies(s.port, "w", 10), 0.5) for s in servers}
        port = min(p50, key=p50.get)
        words = ["SET", "w:__rand_int__", VALUE]
        result = redis_benchmark(port, words, 64, int(20000 * seconds), clients=200, keys=KEYS)
    say("  200 connections, pipeline 64: %.0f writes/s, p50 %.0f ms, p99 %.0f ms  %s"
        % (result["rps"], result["p50_ms"], result["p99_ms"], verdict(result["rps"] >= 20000)))
    return result


class Writer:
    """One write after the other through a node, the next one where an answer is no success; knows its longest gaps.

    It is patient: how long an answer takes is the server's to decide, and a time-out of ours would hide that."""

    def __init__(self, ports, table):
        self.ports, self.table = ports, table
        self.done, self.failed = [], []
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def write(self, connection):
        answer = connection.command("SET", self.table + ":k", VALUE)
        if answer == "+OK":
            self.done.append(time.monotonic())
        else:
            self.failed.append(answer.split()[0])
        return answer == "+OK"

    def run(self):
        turn = 0
        while self.running:
            try:
                connection = Connection(self.ports[turn % len(self.ports)], timeout=10.0)
                while self.running and self.write(connection):
                    pass
                connection.close()
            except OSError:
                self.failed.append("closed")
            turn += 1
            time.sleep(0.01)

    def gaps(self, moment):
        """The longest time between two successes before the moment, and the longest one that reaches beyond it."""
        pairs = list(zip(self.done, self.done[1:]))
        if not self.done or self.done[-1] <= moment:
            return 0.0, float("inf")
        return (max([b - a for a, b in pairs if b <= moment], default=0.0),
                max([b - a for a, b in pairs if b > moment]))

    def stop(self):
        self.running = False
        self.thread.join(5)


def failover_round(servers, action):
    """One failure of the leader's node: calm gap, gap, what was no success. After it the cluster is whole again."""
    p50 = {s.port: percentile(latencies(s.port, "f", 3), 0.5) for s in servers}
    leader = min(servers, key=lambda s: p50[s.port])
    others = [s.port for s in servers if s is not leader]
    random.shuffle(others)
    writer = Writer(others, "f")
    time.sleep(2.0)
    moment = time.monotonic()
    action(leader)
    time.sleep(6.0)
    writer.stop()
    leader.start()
    leader.wait_ready()
    time.sleep(1.0)
    return writer.gaps(moment) + (writer.failed,)


def bench_failover(say, verdict, seconds):
    say("The leader is killed, or stopped in order, at WAN defaults; the longest gap that a client elsewhere sees")
    rounds = max(5, min(20, int(seconds)))
    results = {}
    for name, action, goal in (("kill", lambda s: s.kill(), 3.0), ("stop", lambda s: s.stop(), 0.4)):
        with Workplace() as place:
            servers = place.meridian()
            create(servers[0], "f", "PARTITIONS 1 DURABILITY majority")
            taken = [failover_round(servers, action) for _ in range(rounds)]
        gaps = [gap for _, gap, _ in taken]
        beyond = [max(0.0, gap - calm) for calm, gap, _ in taken]
        failed = sum((f for _, _, f in taken), [])
        judged = gaps if name == "kill" else beyond
        say("  %-5s %d times: gap p50 %.2f s, worst %.2f s; beyond a write p50 %.2f s, worst %.2f s "
            "(goal: %s <= %.1f s)  %s; not done: %s"
            % (name, rounds, percentile(gaps, 0.5), max(gaps), percentile(beyond, 0.5), max(beyond),
               "gap" if name == "kill" else "beyond a write", goal, verdict(max(judged) <= goal),
               ", ".join("%d x %s" % (failed.count(f), f) for f in sorted(set(failed))) or "none"))
        results[name] = {"gaps": gaps, "beyond": beyond, "not_done": failed}
    return results


def syncs_of(server):
    connection = Connection(server.port)
    info = connection.command("INFO").decode()
    connection.close()
    for line in info.splitlines():
        if line.startswith("log_last_lsn:") or line.startswith("log_records:"):
            return int(line.split(":")[1])
    return None


def bench_idle(say, verdict, seconds):
    say("%d idle groups a node: CPU of a core, and what is written meanwhile" % IDLE_GROUPS)
    with Workplace() as place:
        servers = place.meridian()
        create(servers[0], "i", "PARTITIONS %d DURABILITY majority" % IDLE_GROUPS)
        time.sleep(IDLE_AFTER_SECONDS)
        cpu, logs = cpu_of(servers), [syncs_of(s) for s in servers]
        begin = time.monotonic()
        time.sleep(max(10.0, seconds))
        took = time.monotonic() - begin
        share = (cpu_of(servers) - cpu) / took / len(servers) * 100
        written = [syncs_of(s) for s in servers]
    say("  %.2f %% of a core a node (goal < 1)  %s; log records written meanwhile: %s"
        % (share, verdict(share < 1.0), "none" if written == logs else "%s -> %s" % (logs, written)))
    return {"percent": share, "log": [logs, written]}


def bench_beside(say, verdict, seconds):
    say("A strict table whose other regions are cut off, beside an eventual one on the same node")
    rounds = {"calm": [], "cut": []}
    with Workplace() as place:
        servers = place.meridian()
        create(servers[0], "strict", "PARTITIONS 4 DURABILITY all")
        words = ["SET", "eventual:__rand_int__", VALUE]
        stop = threading.Event()

        def strict_load():
            while not stop.is_set():
                try:
                    connection = Connection(servers[0].port, timeout=8.0)
                    while not stop.is_set():
                        connection.command("SET", "strict:%d" % random.randrange(100), VALUE)
                    connection.close()
                except OSError:
                    pass

        threads = [threading.Thread(target=strict_load, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        control = Connection(servers[0].port)
        for _ in range(3):  # in turns: the machine drifts
            for name in ("calm", "cut"):
                if name == "cut":
                    control.command("FAULT", "CUT", "us-east", "eu")
                    control.command("FAULT", "CUT", "us-east", "apac")
                    time.sleep(2)
                rounds[name].append(redis_benchmark(servers[0].port, words, 1, int(5000 * seconds), keys=KEYS))
                control.command("FAULT", "HEAL")
                time.sleep(2)
        stop.set()
    rps = {name: percentile([r["rps"] for r in taken], 0.5) for name, taken in rounds.items()}
    p99 = {name: percentile([r["p99_ms"] for r in taken], 0.5) for name, taken in rounds.items()}
    ratio = rps["cut"] / rps["calm"]
    say("  eventual SET: %.0f/s (p99 %.2f ms) while the strict table commits, %.0f/s (p99 %.2f ms) while it can't: "
        "ratio %.2f (goal >= 0.95)  %s"
        % (rps["calm"], p99["calm"], rps["cut"], p99["cut"], ratio, verdict(ratio >= 0.95)))
    return {"rps": rps, "p99_ms": p99, "ratio": ratio}
