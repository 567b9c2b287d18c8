#!/usr/bin/python3
"""Measured claims of Meridian, side by side with Debian's redis-server in one run. See bench/README.md.

    bench/bench.py [--seconds S] [--only NAME[,NAME]] [--json FILE] [--list]
"""

import argparse
import functools
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ordered  # noqa: E402
from load import load_rows, paced_latencies, percentile, point  # noqa: E402
from servers import LATENCY_MS, Connection, Workplace  # noqa: E402

ROWS = 1000000
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def say(text=""):
    print(text, flush=True)


def verdict(good):
    word = "reached" if good else "MISSED"
    return ("\033[32m%s\033[0m" if good else "\033[31m%s\033[0m") % word if COLOUR else word


def throughput_rows(seconds, shards):
    """SET and GET at three pipelines, Redis and Meridian in turn so that the machine's drift hits both."""
    results = []
    with Workplace() as place:
        redis, meridian = place.redis("always"), place.meridian(regions=("us-east",), shards=shards)[0]
        say("  %-5s %9s | %10s %10s %7s %8s | %8s %8s | %6s %6s"
            % ("", "pipeline", "redis/s", "meridian/s", "ratio", "goal", "p99 ms", "p99 ms", "cpu us", "cpu us"))
        for test, goal in (("set", 1.0), ("get", 0.9)):
            for pipeline in (1, 16, 64):
                a = point(redis, test, pipeline, seconds)
                b = point(meridian, test, pipeline, seconds)
                ratio = b["rps"] / a["rps"]
                say("  %-5s %9d | %10.0f %10.0f %7.2f %8s | %8.2f %8.2f | %6.2f %6.2f"
                    % (test.upper(), pipeline, a["rps"], b["rps"], ratio, ">= %.1f" % goal, a["p99_ms"], b["p99_ms"],
                       a["cpu_us"], b["cpu_us"]) + "  " + verdict(ratio >= goal))
                results.append({"test": test, "pipeline": pipeline, "redis": a, "meridian": b, "ratio": ratio,
                                "goal": goal})
    return results


def bench_throughput(seconds):
    say("One node, fsync before the acknowledgement, 100-byte values, 50 connections; Redis 7.0 appendfsync always")
    return throughput_rows(seconds, 1)


def bench_shards(seconds):
    say("The same with two shards in the process")
    return throughput_rows(max(3.0, seconds / 3), 2)


def bench_replay(seconds):
    say("Restart after kill -9, following %.0f s of pipelined SET" % seconds)
    with Workplace() as place:
        server = place.meridian(regions=("us-east",))[0]
        load = point(server, "set", 64, seconds)
        server.kill()
        server.start()
        took = server.wait_ready(120)
    say("  %d operations, then ready again in %.2f s (goal <= 10 s)  %s"
        % (load["operations"], took, verdict(took <= 10)))
    return {"operations": load["operations"], "seconds": took}


def bench_wan(seconds):
    say("Local write while the WAN is ten times slower; p99, three regions, paced single writes")
    count = max(400, int(seconds * 100))
    with Workplace() as place:
        plain, slow = place.meridian(latency_factor=0)[0], place.meridian(latency_factor=10)[0]
        samples = {"no-wan": [], "wan x10": []}
        for turn in range(4):  # in turns: the machine drifts
            for name, server in (("no-wan", plain), ("wan x10", slow)):
                samples[name] += paced_latencies(server.port, lambda i: ("SET", "key:%d" % (i % 1000), b"x" * 100),
                                                 count // 4, 0.005)
    p99 = {name: percentile(values, 0.99) for name, values in samples.items()}
    ratio = p99["wan x10"] / p99["no-wan"]
    say("  p99 %.2f ms without WAN, %.2f ms with ten times the WAN: ratio %.2f (goal <= 1.10)  %s"
        % (p99["no-wan"], p99["wan x10"], ratio, verdict(ratio <= 1.10)))
    return {"p99_ms": p99, "ratio": ratio, "samples": count}


def bench_visibility(seconds):
    say("From sending a write in one region until another region shows it, less the one-way latency; p99, unloaded")
    results = []
    with Workplace() as place:
        servers = dict(zip(("us-east", "eu", "apac"), place.meridian()))
        for (a, b), latency in LATENCY_MS.items():
            writer, reader = Connection(servers[a].port), Connection(servers[b].port)
            extra = []
            for i in range(max(100, int(seconds * 5))):
                value = b"%d" % i
                begin = time.perf_counter()
                writer.command("SET", "seen:1", value)
                time.sleep(max(0.0, latency / 1e3 - 0.005))  # don't load the machine while nothing can be there yet
                while reader.command("GET", "seen:1") != value:
                    if time.perf_counter() - begin > 10:
                        raise RuntimeError("never visible")
                extra.append((time.perf_counter() - begin) * 1e3 - latency)
                time.sleep(0.01)
            p50, p99 = percentile(extra, 0.5), percentile(extra, 0.99)
            say("  %-16s %3d ms + %5.2f (p50) + %5.2f (p99)  goal <= 5  %s"
                % (a + " -> " + b, latency, p50, p99, verdict(p99 <= 5)))
            results.append({"from": a, "to": b, "latency_ms": latency, "extra_p50_ms": p50, "extra_p99_ms": p99})
    return results


def bench_memory(_seconds):
    say("Resident memory with %d string rows of 100 bytes, RocksDB and write-back included" % ROWS)
    with Workplace() as place:
        redis, meridian = place.redis("everysec"), place.meridian(regions=("us-east",))[0]
        sizes = {}
        for server in (redis, meridian):
            before = server.resident_bytes()
            load_rows(server.port, ROWS)
            peak = 0
            for _ in range(30):  # a write-back runs in this time
                time.sleep(3)
                peak = max(peak, server.resident_bytes())
                if server is redis:
                    break
            sizes[server.name] = {"empty": before, "peak": peak, "settled": server.resident_bytes()}
    ratio = sizes["us-east-1"]["peak"] / sizes["redis"]["peak"]
    say("  redis %.0f MB, meridian %.0f MB at its peak, %.0f MB settled: ratio %.2f (goal <= 2)  %s"
        % (sizes["redis"]["peak"] / 1e6, sizes["us-east-1"]["peak"] / 1e6, sizes["us-east-1"]["settled"] / 1e6, ratio,
           verdict(ratio <= 2)))
    return {"bytes": sizes, "ratio": ratio}


BENCHES = {"throughput": bench_throughput, "shards": bench_shards, "replay": bench_replay, "wan": bench_wan,
           "visibility": bench_visibility, "memory": bench_memory}
for _name, _bench in (("etcd", ordered.bench_etcd), ("commit", ordered.bench_commit), ("window", ordered.bench_window),
                      ("failover", ordered.bench_failover), ("idle", ordered.bench_idle),
                      ("beside", ordered.bench_beside)):
    BENCHES[_name] = functools.partial(_bench, say, verdict)


def main():
    parser = argparse.ArgumentParser(description="Meridian's measured claims, side by side with Redis.")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a point (default 30)")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--list", action="store_true", help="list the names")
    options = parser.parse_args()
    if options.list:
        say("\n".join(BENCHES))
        return 0
    names = options.only.split(",") if options.only else list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error("no such benchmark: %s (known: %s)" % (", ".join(unknown), ", ".join(BENCHES)))
    figures = {}
    for name in names:
        figures[name] = BENCHES[name](options.seconds)
        say()
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(figures, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
