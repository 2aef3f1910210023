"""Honest sessions and an honest producer beside an attack, in one process of their own.

Each session counts what it got; a number that is missing must have been told: by a `gap`, by
`recovered: false`, or by a receipt. The producer stamps each message; its age at the client is the
latency.
"""

import asyncio
import json
import time

import websockets

import tokens

TOPIC = "siege/feed"


class Session:
    """Keeps one client connected; resumes after a close."""

    def __init__(self, url, user):
        self.url, self.user = url, user
        self.position = None
        self.next_number = None  # expected of the feed
        self.ages, self.told, self.closes = [], [], []
        self.untold = 0
        self.connects = 0

    async def run(self):
        while True:
            try:
                await self._connection()
            except asyncio.CancelledError:
                raise
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError, KeyError) as error:
                self.closes.append(f"{type(error).__name__}: {error}"[:100])
            await asyncio.sleep(0.2)

    async def _connection(self):
        connect = {"token": tokens.hs256(self.user, allow=["siege/**"])}
        resume = {"topic": TOPIC, **({"position": self.position} if self.position else {})}
        connect["resume"] = [resume]
        async with websockets.connect(self.url, subprotocols=["herald.v1.json"], compression=None, proxy=None,
                                      open_timeout=20, max_size=None) as socket:
            await socket.send(json.dumps({"id": 1, "connect": connect}))
            async for text in socket:
                self._on_frame(json.loads(text))

    def _on_frame(self, frame):
        if "hello" in frame:
            self.connects += 1
            for topic in frame["hello"]["topics"]:
                if topic["topic"] == TOPIC and self.position and not topic.get("recovered"):
                    self._tell(topic.get("reason", "not recovered"))
        elif "gap" in frame:
            self._tell("gap")
        elif frame.get("message", {}).get("topic") == TOPIC:
            message = frame["message"]
            number, sent = message["data"]["n"], message["data"]["sent"]
            self.ages.append((sent, time.time() - sent))
            if self.next_number is not None and number > self.next_number:
                self.untold += number - self.next_number
            self.next_number = number + 1
            self.position = message["position"]

    def _tell(self, why):
        self.told.append(why)
        self.next_number = None


async def produce(grpc_addr, rate, metadata, results):
    """Sends `rate` messages a second by unary calls until cancelled; counts their outcome."""
    import grpc.aio

    from producer import push_service_pb2, push_service_pb2_grpc
    from push import command

    number = 0
    due = time.monotonic()
    async with grpc.aio.insecure_channel(grpc_addr, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = push_service_pb2_grpc.PushServiceStub(channel)
        while True:
            body = json.dumps({"n": number, "sent": time.time()}).encode()
            while True:  # the same number again until it is taken: a producer that retries
                try:
                    answer = await stub.Send(push_service_pb2.SendRequest(
                        command=command(1, body, topic=TOPIC)), timeout=5, metadata=metadata)
                    code = answer.result.code
                except grpc.aio.AioRpcError as error:
                    code = error.code().value[0]
                results[code] = results.get(code, 0) + 1
                if code == 0:
                    break
                await asyncio.sleep(0.05)
            number += 1
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0, due - time.monotonic()))


def run(pipe, url, grpc_addr, sessions, rate, metadata):
    """Child process: answers ("report", since) with what happened since then; ends with "stop"."""
    asyncio.run(_run(pipe, url, grpc_addr, sessions, rate, metadata))


async def _run(pipe, url, grpc_addr, count, rate, metadata):
    sessions = [Session(url, f"honest{i}") for i in range(count)]
    results = {}
    tasks = [asyncio.create_task(session.run()) for session in sessions]
    while not all(session.connects for session in sessions):
        await asyncio.sleep(0.05)
    tasks.append(asyncio.create_task(produce(grpc_addr, rate, metadata, results)))
    loop = asyncio.get_running_loop()
    pipe.send("ready")
    while True:
        word, since = await loop.run_in_executor(None, pipe.recv)
        if word == "stop":
            break
        ages = sorted(age for session in sessions for sent, age in session.ages if sent >= since)
        pipe.send({
            "messages": len(ages),
            "p50_ms": 1000 * ages[len(ages) // 2] if ages else None,
            "p99_ms": 1000 * ages[len(ages) * 99 // 100] if ages else None,
            "untold": sum(session.untold for session in sessions),
            "told": sum(len(session.told) for session in sessions),
            "reconnects": sum(session.connects - 1 for session in sessions),
            "closes": sorted({close for session in sessions for close in session.closes}),
            "behind": sum(session.next_number is None for session in sessions),
            "results": dict(results),
        })
        for session in sessions:
            session.ages.clear()
    for task in tasks:
        task.cancel()
