"""The service under load, with requests scored together and one by one; and its memory over time.

Both services run at the same time and take turns, each turn with the same connections. CPU time is
that of the service's process only.
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
import time
from dataclasses import dataclass, field
from pathlib import Path

import seqzoo

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Service:
    """A service that runs, and what it did."""

    name: str
    process: subprocess.Popen[str]
    port: int
    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    errors: int = 0

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


async def ask(service: Service, bodies: list[bytes], until: float) -> None:
    """One connection: a request after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    chance = random.Random(id(writer))
    while time.perf_counter() < until:
        body = chance.choice(bodies)
        head = (
            "POST /v1/recommend HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        service.times.append(time.perf_counter() - started)
        service.errors += b" 200 " not in answer[:15]
    writer.close()


async def load(service: Service, bodies: list[bytes], connections: int, seconds: float) -> None:
    """All connections for some seconds."""
    before, started, done = service.seconds(), time.perf_counter(), len(service.times)
    until = started + seconds
    await asyncio.gather(*(ask(service, bodies, until) for _ in range(connections)))
    answered = len(service.times) - done
    service.rates.append(answered / (time.perf_counter() - started))
    service.processor.append((service.seconds() - before) / answered)


def main() -> None:
    """Compare, then watch the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mamba4rec-ml1m")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--length", type=int, default=50, help="items of a history")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0, help="of load, to watch the memory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    items = seqzoo.load(options.model).vocabulary.items
    chance = random.Random(0)
    bodies = [
        json.dumps({"history": chance.sample(items, options.length), "k": 10}).encode()
        for _ in range(500)
    ]
    services = [
        start("together", options.model),
        start("one by one", options.model, "--batch", "1"),
    ]
    memory = []
    try:
        for turn in range(options.turns + 1):
            for service in services:
                if turn == 1:
                    for taken in (service.rates, service.processor, service.times):
                        taken.clear()
                asyncio.run(load(service, bodies, options.connections, options.seconds))
        results = {
            service.name: {
                "requests a second": statistics.median(service.rates),
                "p50 ms": 1000 * statistics.median(service.times),
                "p99 ms": 1000 * statistics.quantiles(service.times, n=100)[98],
                "processor ms a request": 1000 * statistics.median(service.processor),
                "requests": len(service.times),
                "errors": service.errors,
            }
            for service in services
        }
        until = time.perf_counter() + 60 * options.minutes
        while time.perf_counter() < until:
            asyncio.run(load(services[0], bodies, options.connections, 10))
            services[0].times.clear()
            memory.append(services[0].memory())
    finally:
        for service in services:
            service.process.send_signal(signal.SIGTERM)
            service.process.wait()
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
