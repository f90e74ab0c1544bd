"""The service under load, with requests scored together and one by one; and its memory over time.

Both services run at the same time and take turns, each turn with the same connections. CPU time is
that of the service's process only. With ``--wrk`` the program wrk (Debian: ``apt-get install wrk``)
asks, which takes less CPU time than the connections of this process.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import seqzoo

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SCRIPT = """
local bodies = {}
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
function request() return wrk.format(nil, nil, nil, bodies[math.random(#bodies)]) end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p99": %f}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


@dataclass
class Turn:
    """What a service did in one turn.

    Attributes:
        requests: answers.
        rate: answers a second.
        p50: median time of an answer, in seconds.
        p99: the time that 99 of 100 answers took at most, in seconds.
        errors: failed connections, and answers without the status 200.
        processor: CPU seconds of the service for each answer.
    """

    requests: int
    rate: float
    p50: float
    p99: float
    errors: int
    processor: float = 0.0


@dataclass
class Service:
    """A service that runs, and what it did."""

    name: str
    process: subprocess.Popen[str]
    port: int
    turns: list[Turn] = field(default_factory=list)

    def seconds(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Bytes in memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE


def start(name: str, model: str, *words: str) -> Service:
    """Start a service on a free port."""
    command = [sys.executable, "-m", "seqzoo", "serve", model, "--port", "0", "--json", "--quiet"]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the service did not start")
        text += line
    return Service(name, process, int(json.loads(text)["address"].rpartition(":")[2]))


class Connections:
    """Connections of this process, each with a request after another."""

    def __init__(self, bodies: list[bytes], connections: int) -> None:
        self._bodies, self._connections = bodies, connections

    def load(self, port: int, seconds: float) -> Turn:
        """Ask for some seconds."""
        return asyncio.run(self._load(port, seconds))

    async def _load(self, port: int, seconds: float) -> Turn:
        started, times = time.perf_counter(), list[float]()
        asking = (self._ask(port, started + seconds, times) for _ in range(self._connections))
        errors = sum(await asyncio.gather(*asking))
        rate = len(times) / (time.perf_counter() - started)
        p99 = statistics.quantiles(times, n=100)[98]
        return Turn(len(times), rate, statistics.median(times), p99, errors)

    async def _ask(self, port: int, until: float, times: list[float]) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        chance, errors = random.Random(id(writer)), 0
        while time.perf_counter() < until:
            body = chance.choice(self._bodies)
            head = (
                "POST /v1/recommend HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - started)
            errors += b" 200 " not in answer[:15]
        writer.close()
        return errors


class Wrk:
    """The program wrk, which takes less of the processor."""

    def __init__(self, bodies: list[bytes], connections: int, folder: Path) -> None:
        self._connections, self._script = connections, folder / "requests.lua"
        (folder / "bodies").write_bytes(b"\n".join(bodies))
        self._script.write_text(SCRIPT.replace("BODIES", str(folder / "bodies")))

    def load(self, port: int, seconds: float) -> Turn:
        """Ask for some seconds."""
        words = ["wrk", "-t1", f"-c{self._connections}", f"-d{seconds:.0f}s", "--timeout", "30s"]
        words += ["-s", str(self._script), f"http://127.0.0.1:{port}/v1/recommend"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rate = found["requests"] / found["seconds"]
        return Turn(found["requests"], rate, found["p50"], found["p99"], found["errors"])


def load(service: Service, client: Connections | Wrk, seconds: float) -> Turn:
    """Load a service for some seconds."""
    before = service.seconds()
    turn = client.load(service.port, seconds)
    turn.processor = (service.seconds() - before) / turn.requests
    return turn


def summary(turns: list[Turn]) -> dict[str, float]:
    """The median of the turns, and the sums of requests and of errors."""
    return {
        "requests a second": statistics.median(turn.rate for turn in turns),
        "p50 ms": 1000 * statistics.median(turn.p50 for turn in turns),
        "p99 ms": 1000 * statistics.median(turn.p99 for turn in turns),
        "processor ms a request": 1000 * statistics.median(turn.processor for turn in turns),
        "requests": sum(turn.requests for turn in turns),
        "errors": sum(turn.errors for turn in turns),
    }


def main() -> None:
    """Compare, then watch the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mamba4rec-ml1m")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--length", type=int, default=50, help="items of a history")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0, help="of load, to watch the memory")
    parser.add_argument("--wrk", action="store_true", help="load with the program wrk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    items = seqzoo.load(options.model).vocabulary.items
    chance = random.Random(0)
    bodies = [
        json.dumps({"history": chance.sample(items, options.length), "k": 10}).encode()
        for _ in range(500)
    ]
    memory = []
    services: list[Service] = []
    with tempfile.TemporaryDirectory() as folder:
        client = (
            Wrk(bodies, options.connections, Path(folder))
            if options.wrk
            else Connections(bodies, options.connections)
        )
        try:
            services.append(start("together", options.model))
            services.append(start("one by one", options.model, "--batch", "1"))
            for turn in range(options.turns + 1):
                for service in services:
                    found = load(service, client, options.seconds)
                    if turn:  # the first one warms up
                        service.turns.append(found)
            until = time.perf_counter() + 60 * options.minutes
            while time.perf_counter() < until:
                load(services[0], client, 10)
                memory.append(services[0].memory())
        finally:
            for service in services:
                service.process.send_signal(signal.SIGTERM)
                service.process.wait()
    results = {service.name: summary(service.turns) for service in services}
    together, alone = (results[service.name]["requests a second"] for service in services)
    if options.json:
        print(json.dumps({"results": results, "ratio": together / alone, "memory": memory}))
        return
    print(
        f"{options.model}, {options.connections} connections, histories of {options.length} items"
    )
    for name, values in results.items():
        print(f"  {name:11}", ", ".join(f"{what} {value:.6g}" for what, value in values.items()))
    print(f"  requests a second, together / one by one: {together / alone:.2f}")
    if memory:
        shown = [f"{each / 2**20:.0f}" for each in memory[:: max(1, len(memory) // 12)]]
        print(f"  MiB in memory over {options.minutes:g} min of load: {' '.join(shown)}")


if __name__ == "__main__":
    main()
