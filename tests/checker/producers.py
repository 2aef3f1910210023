"""A producer that keeps each command until it has its result, and sends those again when its stream is gone."""

import asyncio
import json
import random
import time

import grpc

from harness import ROOT  # noqa: F401  (puts the stubs on the path)
from herald_client import to
from herald.v1 import push_service_pb2, push_service_pb2_grpc
from classify import Message, personal_topic
from loss import Place
from receipts import ACKED, WRITTEN, Receipt

Command, Deliver, Policy = push_service_pb2.Command, push_service_pb2.Deliver, push_service_pb2.Policy
LEVELS = {"": 0, WRITTEN: push_service_pb2.REPORT_LEVEL_WRITTEN, ACKED: push_service_pb2.REPORT_LEVEL_ACKED}
RETRY = {code.value[0] for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)}
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
KILLS = ("cancel", "cut", "orphan")
TRIES = 40


class Truth:
    """What has been sent, and what was answered. One for a round."""

    def __init__(self, numbers):
        self._numbers = numbers  # an iterator: unique over all rounds
        self.messages = {}  # n → Message
        self.positions = {}  # token → offset
        self.places = []  # Place of each accepted message in each of its logs
        self.receipts = []
        self.awaited = []  # numbers whose receipts must come
        self.problems = []
        self.repeats = self.streams = 0

    def message(self, producer, seq, topics, key, size):
        n = next(self._numbers)
        self.messages[n] = Message(n, producer, seq, tuple(topics), key, size)
        return self.messages[n]


class Outbox:
    """`producer_id` is unique; `network` lies before the server."""

    def __init__(self, truth, producer_id, network, seed):
        self._truth, self._id, self._network = truth, producer_id, network
        self._random = random.Random(seed)
        self._seq = 0
        self._waiting = {}  # seq → (Message, Command, pause before it)
        self._sent = set()
        self._levels = {}
        self._repeated = set()
        self._by_seq = {}  # seq → number, for what has its result
        self._refused = False  # something is to be sent again

    def add(self, topics=(), users=(), everyone=False, key="", size=20, report="", timeout=1.0, high=False, pause=0.0):
        """Plans one command; returns the number of its message."""
        self._seq += 1
        names = [*topics, *map(personal_topic, users)] or ["$all"] * everyone
        message = self._truth.message(self._id, self._seq, names, key, size)
        target = (to(all=True) if everyone else to(topics={"topics": list(topics)}) if len(topics) > 1 else to(topic=topics[0]) if topics else
                  to(users={"user_ids": list(users)}) if len(users) > 1 else to(user_id=users[0]))
        deliver = Deliver(target=target, policy=Policy(collapse_key=key) if key else None, report=LEVELS[report])
        if report:
            deliver.report_timeout.FromMilliseconds(int(timeout * 1000))
            self._levels[self._seq] = report
        deliver.message.payload = json.dumps({"n": message.n, "pad": "x" * size}).encode()
        self._waiting[self._seq] = (message, Command(seq=self._seq, deliver=deliver), pause)
        return message.n

    async def run(self, kills=()):
        """Until everything has its result. `kills`: how many commands each of the first streams lives for."""
        kills = list(kills)
        for _ in range(len(kills) + TRIES):
            if not self._waiting:
                return
            await self._stream(kills.pop(0) if kills else None)
        raise AssertionError(f"{self._id}: {len(self._waiting)} commands have no result after {TRIES} streams")

    async def _stream(self, kill_after):
        self._truth.streams += 1
        channel = grpc.aio.insecure_channel(self._network.addr, OPTIONS)
        call = push_service_pb2_grpc.PushServiceStub(channel).Push()
        opened = asyncio.Event()
        due = set()  # receipts that this stream owes
        reader = asyncio.create_task(self._read(call, opened, due))
        try:
            await call.write(push_service_pb2.PushRequest(open=push_service_pb2.PushOpen(producer_id=self._id)))
            await asyncio.wait_for(opened.wait(), 5)
            budget = kill_after
            deaf_from = self._random.randint(0, 30) if kill_after else None  # results are lost for the last of them
            commands = list(self._waiting.values())
            while commands and (budget is None or budget > 0):
                size = self._random.randint(1, 8)
                batch, commands = commands[:min(size, budget or size)], commands[min(size, budget or size):]
                if budget is not None:
                    if deaf_from is not None and budget <= deaf_from:
                        self._network.deafen()
                        deaf_from = None
                    budget -= len(batch)
                pause = sum(pause for message, _, pause in batch if message.n not in self._sent)
                for message, _, _ in batch:
                    message.sent = message.sent or time.monotonic()
                    self._sent.add(message.n)
                await call.write(push_service_pb2.PushRequest(commands=[command for _, command, _ in batch]))
                if pause:
                    await asyncio.sleep(pause)
            if kill_after is not None and commands:
                await asyncio.sleep(self._random.choice((0, 0, 0.002, 0.02)))
                self._kill(call)
                await asyncio.wait([reader], timeout=5)
                return
            self._network.flow()
            await call.done_writing()
            if not (await asyncio.wait([reader], timeout=15))[0]:
                self._truth.problems.append(f"{self._id}: a stream without faults has not ended 15 s after its last command; "
                                            f"{len(self._waiting)} results are missing")
            elif call.done() and await call.code() == grpc.StatusCode.OK:
                self._truth.awaited += [n for n in due if n not in self._repeated]
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.TimeoutError, grpc.aio.UsageError):
            pass  # the next stream tries again
        finally:
            call.cancel()
            reader.cancel()
            await asyncio.wait([reader], timeout=5)
            await channel.close()

    def _kill(self, call):
        how = self._random.choice(KILLS)
        if how == "cancel":
            call.cancel()
        elif how == "cut":
            self._network.cut()
        else:  # the server does not know, and may still carry out what it has
            self._network.orphan()

    async def _read(self, call, opened, due):
        try:
            async for response in call:
                if response.HasField("opened"):
                    opened.set()
                for result in response.results:
                    self._take(result, due)
                for receipt in response.receipts:
                    # A repeat's receipt went to the stream that carried the command out.
                    self._truth.receipts.append(Receipt(
                        self._by_seq[receipt.seq], self._levels[receipt.seq], receipt.matched, receipt.written, receipt.acked,
                        dict(receipt.dropped), time.monotonic()))
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            pass

    def _take(self, result, due):
        if result.seq not in self._waiting:
            return
        message = self._waiting[result.seq][0]
        if result.code in RETRY:
            message.retried = True
            self._refused = True
            return
        del self._waiting[result.seq]
        self._by_seq[result.seq] = message.n
        if result.duplicate:
            self._truth.repeats += 1
            self._repeated.add(message.n)
        if result.code != 0:
            self._truth.problems.append("refused: " + f"{message}: {result.code} {result.detail}")
            return
        message.accepted = True
        for position in result.positions:
            message.offsets[position.topic] = position.offset
            self._truth.positions[position.token] = position.offset
            self._truth.places.append(Place(message.n, position.topic, position.epoch, position.offset, position.token, time.monotonic()))
        if result.seq in self._levels:
            due.add(message.n)
