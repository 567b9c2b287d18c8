"""Load for the benchmarks: redis-benchmark for throughput, a paced connection for latency."""

import re
import subprocess
import time

from servers import Connection


def redis_benchmark(port, test, pipeline, operations, value_bytes=100, clients=50, keys=1000000):
    """Run redis-benchmark once: a test of its own by name, or the words of a command. Returns {rps, p50_ms, p99_ms,
    seconds}."""
    argv = ["redis-benchmark", "-p", str(port), "-P", str(pipeline), "-n", str(operations),
            "-c", str(clients), "-d", str(value_bytes), "-r", str(keys), "--csv"]
    argv += ["-t", test] if isinstance(test, str) else test
    name = test if isinstance(test, str) else test[0]
    begin = time.monotonic()
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    seconds = time.monotonic() - begin
    for line in out.splitlines():
        cells = [cell.strip('"') for cell in line.split(",")]
        if cells[0].split()[0].upper() == name.upper():
            return {"rps": float(cells[1]), "p50_ms": float(cells[4]), "p99_ms": float(cells[6]), "seconds": seconds}
    raise RuntimeError("redis-benchmark said nothing of %s: %s" % (test, re.sub(r"\s+", " ", out)[:200]))


def point(server, test, pipeline, seconds):
    """One point of about `seconds`: a short run tells the rate, the long one counts. Adds server CPU per operation."""
    probe = redis_benchmark(server.port, test, pipeline, 20000 * max(1, min(pipeline, 8)))
    operations = max(50000, int(probe["rps"] * seconds))
    cpu = server.cpu_seconds()
    result = redis_benchmark(server.port, test, pipeline, operations)
    result["cpu_us"] = (server.cpu_seconds() - cpu) / operations * 1e6
    result["operations"] = operations
    return result


def paced_latencies(port, words, count, interval):
    """Latencies in ms of `count` single commands, one each `interval` seconds. `words(i)` gives the command."""
    connection = Connection(port)
    latencies = []
    due = time.perf_counter()
    for i in range(count):
        due += interval
        while time.perf_counter() < due:
            time.sleep(max(0.0, min(0.0005, due - time.perf_counter())))
        begin = time.perf_counter()
        answer = connection.command(*words(i))
        latencies.append((time.perf_counter() - begin) * 1e3)
        if isinstance(answer, str) and answer.startswith("-"):
            raise RuntimeError("refused: " + answer)
    connection.close()
    return latencies


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def load_rows(port, rows, value_bytes=100, batch=1000):
    """Write `rows` distinct string rows, pipelined."""
    connection = Connection(port, timeout=60.0)
    value = b"x" * value_bytes
    for begin in range(0, rows, batch):
        parts = []
        for i in range(begin, min(rows, begin + batch)):
            key = b"key:%012d" % i
            parts.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value))
        connection.socket.sendall(b"".join(parts))
        for _ in parts:
            answer = connection.read()
            if answer != "+OK":
                raise RuntimeError("SET answered %r" % answer)
    connection.close()
