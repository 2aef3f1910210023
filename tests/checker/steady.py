"""A producer under steady load that lives through anything: it keeps what has no result and sends it again, in order, at any replica."""

import asyncio
import contextlib
import time

import grpc

from herald.v1 import push_service_pb2, push_service_pb2_grpc
from producers import OPTIONS, Outbox

OPEN_SECONDS = 3  # for the server's first answer on a stream
SILENT_SECONDS = 4  # without any answer while one is due: then another replica is tried
TICK_SECONDS = 0.02
RETRY_SECONDS = 0.2
MAX_WAITING = 400  # commands without result; then nothing new is sent


class SteadyOutbox(Outbox):
    """`plan()` adds one command; `run_steadily` calls it so often a second until `stop()`."""

    def __init__(self, truth, producer_id, network, seed, plan, rate, stay):
        super().__init__(truth, producer_id, network, seed)
        self._plan, self._rate = plan, rate
        self._stay = stay  # seconds on one stream, about; then it moves
        self._stopping = False
        self._heard = 0.0  # when the last result came
        self._again = set()  # numbers of messages that were sent more than once
        self.moves = 0  # streams that ended before everything had its result

    @property
    def waiting(self):
        """Commands without a result."""
        return len(self._waiting)

    def stop(self):
        self._stopping = True

    async def run_steadily(self):
        """Until `stop()`, and then until everything has its result."""
        planning = asyncio.create_task(self._plan_steadily())
        try:
            while not (self._stopping and not self._waiting):
                answered = await self._steady_stream()
                self.moves += 1
                if not answered:
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            planning.cancel()

    async def _plan_steadily(self):
        due = time.monotonic()
        while not self._stopping:
            due = max(due + self._random.uniform(0, 2 / self._rate), time.monotonic() - 0.5)
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if len(self._waiting) < MAX_WAITING:
                self._plan(self)

    async def _steady_stream(self):
        """One stream; False if it came to nothing."""
        self._truth.streams += 1
        self._refused = False
        channel = grpc.aio.insecure_channel(self._network.addr, OPTIONS)
        call = push_service_pb2_grpc.PushServiceStub(channel).Push()
        opened, due = asyncio.Event(), set()
        reader = asyncio.create_task(self._read(call, opened, due))
        ends = time.monotonic() + self._random.uniform(0.5, 1.5) * self._stay
        try:
            await asyncio.wait_for(call.write(push_service_pb2.PushRequest(open=push_service_pb2.PushOpen(producer_id=self._id))), OPEN_SECONDS)
            await asyncio.wait_for(opened.wait(), OPEN_SECONDS)
            last, self._heard = 0, time.monotonic()
            while not reader.done() and not self._refused:
                if self._stopping and not self._waiting:
                    await self._finish(call, reader, due)
                    return True
                if time.monotonic() > ends and not self._stopping:
                    return True  # what has no result yet is sent again elsewhere
                if not self._waiting:
                    self._heard = time.monotonic()
                if time.monotonic() - self._heard > SILENT_SECONDS:
                    return False
                batch = [(message, command) for seq, (message, command, _) in self._waiting.items() if seq > last]
                for message, _ in batch:
                    if message.sent:
                        self._again.add(message.n)
                    message.sent = message.sent or time.monotonic()
                if batch:
                    last = batch[-1][1].seq
                    await asyncio.wait_for(call.write(push_service_pb2.PushRequest(commands=[command for _, command in batch])), SILENT_SECONDS)
                await asyncio.sleep(TICK_SECONDS)
            if self._refused:
                await asyncio.wait([reader], timeout=RETRY_SECONDS)  # others may still be answered
            return False
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.TimeoutError, grpc.aio.UsageError):
            return False
        finally:
            call.cancel()
            reader.cancel()
            await asyncio.wait([reader], timeout=5)
            with contextlib.suppress(Exception):
                await channel.close()

    def _take(self, result, due):
        self._heard = time.monotonic()
        if result.code == 0 and not result.duplicate and result.seq in self._waiting:
            # Carried out, and not at the first attempt: that was lost between its replica and the NATS that died.
            message = self._waiting[result.seq][0]
            message.retried |= message.n in self._again
        super()._take(result, due)

    async def _finish(self, call, reader, due):
        """The end in good order: receipts that are due come before it."""
        await call.done_writing()
        if not (await asyncio.wait([reader], timeout=15))[0]:
            came = {receipt.n for receipt in self._truth.receipts}
            self._truth.problems.append(f"{self._id}: a stream has not ended 15 s after its last command; receipts that have not come: "
                                        f"{sorted(due - came)}, of them repeats: {sorted((due - came) & self._repeated)}")
        elif call.done() and await call.code() == grpc.StatusCode.OK:
            self._truth.awaited += [n for n in due if n not in self._repeated]
