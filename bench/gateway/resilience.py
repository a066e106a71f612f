"""The scenarios of bench/gateway/resilience, which says what they are."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SHORT = "short" in sys.argv[1:]
SECONDS = int(os.environ.get("SECONDS", "10" if SHORT else "60"))
RATE = int(os.environ.get("RATE", "5000"))
CLIENTS = int(os.environ.get("CLIENTS", "32"))
PASSWORD = "bench-only-password-1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def read_message(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    body = await reader.readexactly(length) if length else b""
    return head, body


class Instance:
    """A service in this process: answers 200 or 503, at once or after a while."""

    def __init__(self, status=200):
        self.status, self.delay, self.count = status, 0, 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        try:
            while True:
                await read_message(reader)
                self.count += 1
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # The client has gone, or the measurement is over.
        finally:
            writer.close()


VICTIM = """
import asyncio, sys
async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
    except Exception:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class System:
    """user-service and gateway-service, and the owner's token."""

    async def start(self, **settings):
        self.folder = tempfile.TemporaryDirectory(prefix="maru-bench-")
        self.port, user_port = free_port(), free_port()
        binaries = Path(os.environ["MARU_BINARIES"])
        environment = {
            "PATH": os.environ["PATH"],
            "MARU_DATA": self.folder.name,
            "MARU_LOG": "error",
            "USER_URL": f"http://127.0.0.1:{user_port}",
            "USER__SERVER__PORT": str(user_port),
            "GATEWAY__SERVER__PORT": str(self.port),
            "MARU_OWNER_PASSWORD": PASSWORD,
            **settings,
        }
        # What they log is no part of the table.
        start = lambda name: subprocess.Popen([binaries / name], env=environment, stdout=sys.stderr)
        self.processes = [start("user-service"), start("gateway-service")]
        for _ in range(200):
            try:
                body = {"email": "owner@maru.local", "password": PASSWORD}
                status, answer = await self.ask("POST", "/api/auth/login", body)
                if status == 200:
                    self.token = json.loads(answer)["access_token"]
                    return self
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.1)
        raise SystemExit("the system did not start")

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait()
        self.folder.cleanup()

    async def ask(self, method, path, body=None):
        text = json.dumps(body).encode() if body is not None else b""
        token = getattr(self, "token", None)
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: x\r\n{authorization}"
            f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text
        )
        head, body = await read_message(reader)
        writer.close()
        return int(head.split()[1]), body

    async def register(self, service, port, ttl_ms=3600000):
        body = {"service_name": service, "base_url": f"http://127.0.0.1:{port}", "ttl_ms": ttl_ms}
        status, answer = await self.ask("POST", "/api/discovery/services", body)
        assert status in (200, 201), (status, answer)

    async def is_ejected(self, port):
        _, body = await self.ask("GET", "/api/services/status")
        services = json.loads(body)["services"]
        instances = [one for service in services for one in service["instances"]]
        return any(one["url"].endswith(f":{port}") and one["ejected"] for one in instances)


class Client:
    """A kept connection; it is opened again when it ends."""

    def __init__(self, port):
        self.port, self.reader = port, None

    async def ask(self, method, path, body=b""):
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        try:
            answer, _ = await read_message(self.reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.reader = None
            return 0
        if b"connection: close" in answer.lower():
            self.reader = None
        return int(answer.split()[1])


async def load(port, running, path="/proxy/web/"):
    """Asks until `running` is cleared; gives the statuses."""

    async def one():
        client, statuses = Client(port), Counter()
        while running[0]:
            statuses[await client.ask("GET", path)] += 1
        return statuses

    return sum(await asyncio.gather(*(one() for _ in range(CLIENTS))), Counter())


def check(name, figure, bound, holds):
    print(f"{name:<74} {bound:>9} {figure:>14}{'' if holds else '  MISSED'}", flush=True)
    return holds


async def kill(system):
    instances = [await Instance().start() for _ in range(3)]
    victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE)
    port = int(victim.stdout.readline())
    for each in [port, *(one.port for one in instances)]:
        await system.register("web", each)
    running = [True]
    loading = asyncio.create_task(load(system.port, running))
    await asyncio.sleep(1 if SHORT else 3)
    victim.kill()
    victim.wait()
    started = time.monotonic()
    while not await system.is_ejected(port):
        if time.monotonic() - started > 10:
            break
    ejected_after = time.monotonic() - started
    await asyncio.sleep(5)
    running[0] = False
    statuses = await loading
    total, failures = statuses.total(), statuses.total() - statuses[200]
    share = 100 * failures / total
    return [
        check(f"kill: failed GETs of {total}", f"{share:.4f} %", "0.1 %", share <= 0.1),
        check("kill: ejected after", f"{ejected_after * 1000:.0f} ms", "1 s", ejected_after <= 1),
    ]


async def refuses(system):
    instances = [await Instance().start() for _ in range(4)]
    bad = await Instance(status=503).start()
    for one in [bad, *instances]:
        await system.register("web", one.port)
    running = [True]
    loading = asyncio.create_task(load(system.port, running))
    await asyncio.sleep(3 if SHORT else 10)
    running[0] = False
    await loading
    total = bad.count + sum(one.count for one in instances)
    share = 100 * bad.count / total
    return [check(f"refuses: share of {total}", f"{share:.3f} %", "5 %", share < 5)]


async def outage(system):
    instances = [await Instance(status=503).start() for _ in range(3)]
    for one in instances:
        await system.register("web", one.port)
    running = [True]
    loading = asyncio.create_task(load(system.port, running))
    await asyncio.sleep(3 if SHORT else 10)
    running[0] = False
    total = (await loading).total()
    ratio = sum(one.count for one in instances) / total
    return [check(f"outage: attempts per request of {total}", f"{ratio:.3f}", "1.2", ratio <= 1.2)]


async def probes(system):
    instance = await Instance(status=503).start()
    await system.register("web", instance.port)
    for _ in range(30):
        await system.ask("GET", "/proxy/web/")
    # Open; the callers come when it lets its first probes through, which take a while.
    instance.status, instance.delay = 200, 1.0
    await asyncio.sleep(1.2)
    instance.count = 0
    clients = [Client(system.port) for _ in range(1000)]
    await asyncio.gather(*(client.ask("GET", "/proxy/web/") for client in clients))
    return [check("probes: of 1,000 callers at once", instance.count, "3", instance.count == 3)]


async def lease(system):
    instance = await Instance().start()
    ttl, times = 2.0, []
    for number in range(2 if SHORT else 5):
        name = f"lease-{number}"
        await system.register(name, instance.port, int(ttl * 1000))
        started = time.monotonic()
        while (await system.ask("GET", f"/proxy/{name}/"))[0] == 200:
            if time.monotonic() - started > 30:
                break
            await asyncio.sleep(0.01)
        times.append(time.monotonic() - started)
    slowest = max(times)
    return [check("lease: a silent instance of 2 s is gone", f"{slowest:.2f} s", "3 s", slowest <= ttl + 1)]


def driver(*arguments):
    program = Path(os.environ["MARU_BINARIES"]) / "gateway-bench"
    return subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


async def swaps(system):
    serving, moves = driver("-", "serve"), await Instance().start()
    await system.register("stays", int(serving.stdout.readline()))
    loading = driver("-", "load", system.port, "/proxy/stays/", RATE, SECONDS)
    slowest, wrong, started, count = 0.0, 0, time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        # A thousand changes a minute: registered and removed in turn.
        await asyncio.sleep(max(0, started + count * 0.06 - time.monotonic()))
        begun = time.monotonic()
        if count % 2 == 0:
            await system.register("moves", moves.port)
            wanted = 200
        else:
            await system.ask("DELETE", "/api/discovery/services/moves")
            wanted = 404
        answered = time.monotonic()
        while (await system.ask("GET", "/proxy/moves/"))[0] != wanted:
            if time.monotonic() - answered > 1:
                wrong += 1
                break
        slowest = max(slowest, time.monotonic() - begun)
        count += 1
    asked, failed = map(int, loading.communicate()[0].split())
    serving.kill()
    serving.wait()
    rate = asked / SECONDS
    return [
        check(f"swaps: failed of {asked}, {count} swaps", failed, "0", failed == 0),
        check("swaps: requests/s meanwhile", f"{rate:.0f}", f"{RATE}", rate >= RATE * 0.98),
        check("swaps: slowest to take effect", f"{slowest * 1000:.0f} ms", "100 ms", slowest <= 0.1),
        check("swaps: without effect", wrong, "0", wrong == 0),
    ]


SCENARIOS = {
    "kill": kill,
    "refuses": refuses,
    "outage": outage,
    "probes": probes,
    "lease": lease,
    "swaps": swaps,
}
SETTINGS = {
    # Without a breaker, so that only the budget bounds the retries.
    "outage": {"GATEWAY__RESILIENCE__BREAKER_MIN_CALLS": "1000000000"},
    "probes": {"GATEWAY__RESILIENCE__BREAKER_OPEN_MS": "1000"},
}


async def main():
    results = []
    names = [name for name in sys.argv[1:] if name != "short"]
    for name in names or SCENARIOS:
        if name not in SCENARIOS:
            raise SystemExit(f"there is no scenario {name}: {', '.join(SCENARIOS)}")
        system = await System().start(**SETTINGS.get(name, {}))
        try:
            results += await SCENARIOS[name](system)
        finally:
            system.stop()
    return all(results)


sys.exit(0 if asyncio.run(main()) else 1)
