"""G19: what is bounded for all producers together has a share for each, so that none pushes out what belongs to others."""

import os
import signal
import stat
import subprocess
import tempfile
import threading
import time
import unittest
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import producers_file
from harness import DEADLINE, ENVIRONMENT, JsonClient, binary, eventually
from nats_server import NatsServer
from producer import Code, Producer, PushStream, Watch, deliver, push_service_pb2, session_service_pb2, to
from producers_file import EVERYTHING, entry, token_of
from server_case import ServerTest
from tokens import hs256, write_secret

OPEN_TOPICS = "topic_rules:\n  - {pattern: '**', client_subscribe: anyone, client_publish: anyone, history_size: 50, history_ttl: 10m}\n"
FULL = Code.RESOURCE_EXHAUSTED.value[0]


class SharesCase(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def start_with(self, *entries, flags=()):
        """`greedy` and `calm` may do everything, unless entries say otherwise."""
        config = self.directory / "herald.yaml"
        config.write_text(OPEN_TOPICS)
        entries = entries or (entry("greedy", **EVERYTHING), entry("calm", **EVERYTHING))
        self.herald = self.start(f"--config={config}", producers_file.write(self.directory / "producers.yaml", *entries),
                                 f"--jwt_secret_file={write_secret(self.directory)}", *flags)
        return [self.producer(one["name"]) for one in entries]

    def producer(self, name):
        return self.enter(Producer(self.herald, token_of(name)))


class SharesTest(SharesCase):
    def ban(self, producer, *users, seconds=600):
        request = push_service_pb2.Disconnect(target=to(users=list(users)))
        request.ban_for.FromTimedelta(timedelta(seconds=seconds))
        with PushStream(producer) as stream:
            stream.send({"disconnect": request})
            return stream.results(1)[1]

    def test_g19_bans_of_one_producer_leave_half_to_the_others(self):
        greedy, calm = self.start_with()
        victim = self.enter(JsonClient(self.herald.client_url, {"token": hs256("victim")}))
        for number in range(5):
            result = self.ban(greedy, *(f"u{number}-{user}" for user in range(10_000)))
            self.assertEqual(result.code, 0, result.detail)
        result = self.ban(greedy, "victim")
        self.assertEqual((result.code, result.matched), (FULL, 1), result.detail)
        self.assertIn("greedy", result.detail)
        victim.socket.close()
        self.assertEqual(self.ban(calm, "mallory").code, 0)
        self.assertEqual(self.herald.metric("herald_bans"), 50_001)
        lines = [line for line in self.herald.logs("audit") if "ban" in line["action"]]
        self.assertEqual({line["producer"] for line in lines}, {"greedy", "calm"})
        self.assertEqual([line["user"] for line in lines if line["producer"] == "calm"], ["mallory"])

    def test_g19_keys_and_producer_ids_of_one_producer_push_out_its_own(self):
        greedy, calm = self.start_with(flags=("--max_idempotency_keys=1000",))
        self.assertEqual(calm.deliver("x", topic="calm", idempotency_key="mine").code, 0)
        for number in range(40):
            with PushStream(greedy, push_service_pb2.PushOpen(producer_id=f"p{number}")) as stream:
                stream.send(*({"deliver": deliver("x", topic="t")} for _ in range(60)))
                stream.results(60)
        self.assertGreater(self.herald.metric("herald_idempotency_evicted_total"), 1000)
        again = calm.deliver("x", topic="calm", idempotency_key="mine")
        self.assertTrue(again.duplicate, again)

    def test_g19_refused_commands_are_not_remembered(self):
        _, calm = self.start_with(entry("greedy", may=["deliver"], topics=["none"]), entry("calm", **EVERYTHING))
        greedy = self.producer("greedy")
        with PushStream(greedy, push_service_pb2.PushOpen(producer_id="p")) as stream:
            stream.send(*({"deliver": deliver("x", topic="other")} for _ in range(2000)))
            self.assertEqual({result.code for result in stream.results(2000).values()}, {Code.PERMISSION_DENIED.value[0]})
        self.assertEqual(self.herald.metric("herald_idempotency_keys"), 0)
        with PushStream(greedy, push_service_pb2.PushOpen(producer_id="p")) as stream:
            stream.send({"deliver": deliver("x", topic="none")})
            self.assertEqual(stream.results(1)[1].code, 0, "tried again")

    def test_g19_small_topics_of_one_producer_push_out_its_own(self):
        greedy, calm = self.start_with(flags=("--max_history_bytes_total=4MiB",))
        for _ in range(3):
            calm.deliver("q" * 4000, topic="quiet")
        with PushStream(greedy) as stream:
            for batch in range(10):
                stream.send(*({"deliver": deliver("x" * 1000, topic=f"small/{batch}/{number}")} for number in range(600)))
                stream.results(600)
        self.assertGreater(self.herald.metric("herald_history_evicted_total"), 0)
        history = calm.call(calm.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic="quiet"))
        self.assertEqual(len(history.entries), 3)

    def test_g19_a_list_of_topics_costs_its_publications(self):
        greedy, _ = self.start_with(entry("greedy", commands_per_second=100, **EVERYTHING), entry("calm", **EVERYTHING))
        topics = [f"t/{number}" for number in range(1000)]
        self.assertEqual(greedy.deliver("x", topics=topics).code, 0, "a debt is left")
        code, details = greedy.send_refusal(deliver=deliver("x", topic="one"))
        self.assertEqual(code, Code.RESOURCE_EXHAUSTED)
        self.assertIn("commands_per_second of 100", details)

    def test_g19_watch_groups_of_one_producer_leave_half_to_the_others(self):
        greedy, calm = self.start_with()
        for number in range(512):
            with Watch(greedy, group=f"g{number}") as watch:
                self.assertIsNotNone(watch.opened)
        with Watch(greedy, group="more") as watch:
            code, details = watch.end()
            self.assertEqual(code, Code.RESOURCE_EXHAUSTED, details)
        with Watch(calm, group="mine") as watch:
            self.assertIsNotNone(watch.opened)

    def test_g19_refusals_of_one_producer_do_not_hide_those_of_others(self):
        greedy, calm = self.start_with(entry("greedy", may=["deliver"], topics=["a"]), entry("calm", may=["deliver"], topics=["b"]))
        with PushStream(greedy) as stream:
            stream.send(*({"deliver": deliver("x", topic="c")} for _ in range(200)))
            stream.results(200)
            calm.send_refusal(deliver=deliver("x", topic="c"))
        told = {line["producer"] for line in self.herald.logs("a producer is refused")}
        self.assertEqual(told, {"greedy", "calm"})

    def test_g19_reflection_is_for_producers(self):
        self.start_with(flags=("--enable_reflection",))

        def ask(metadata):
            with grpc.insecure_channel(self.herald.grpc_addr, [("grpc.enable_http_proxy", 0)]) as channel:
                stub = reflection_pb2_grpc.ServerReflectionStub(channel)
                request = reflection_pb2.ServerReflectionRequest(list_services="")
                answer = next(stub.ServerReflectionInfo(iter([request]), metadata=metadata, timeout=DEADLINE))
                return len(answer.list_services_response.service)

        for metadata in (None, [("authorization", "Bearer of-nobody-at-all")]):
            with self.assertRaises(grpc.RpcError) as error:
                ask(metadata)
            self.assertEqual(error.exception.code(), Code.CANCELLED)
        self.assertGreater(ask([("authorization", f"Bearer {token_of('calm')}")]), 4)

    def test_g19_a_producer_that_reads_nothing_does_not_prolong_a_drain(self):
        greedy, _ = self.start_with(flags=("--drain_seconds=1",))
        topics = [f"t/{number}" for number in range(2000)]
        request = push_service_pb2.PushRequest(commands=[push_service_pb2.Command(seq=1, deliver=deliver("x", topics=topics))])
        go_on = threading.Event()

        def requests():  # the positions of 100 answers are more than any window
            yield from [request] * 100
            go_on.wait(3 * DEADLINE)

        call = greedy.push.Push(requests(), metadata=greedy.metadata)  # and never read
        try:
            eventually(lambda: self.herald.metric("herald_commands_total") >= 50, "the commands are taken")
            begun = time.monotonic()
            self.herald.signal(signal.SIGTERM)
            self.herald.wait(DEADLINE)
            self.assertLess(time.monotonic() - begun, 10)
        finally:
            go_on.set()
            call.cancel()


class NatsTest(SharesCase):
    def test_g19_a_full_store_of_nats_is_told(self):
        store = f'jetstream {{ store_dir: "{self.directory}/store", max_memory_store: 1MB, max_file_store: 4MB }}'
        nats = NatsServer(self.directory / "nats", jetstream=False, more=store).start()
        self.addCleanup(nats.stop)
        greedy, _ = self.start_with(flags=("--broker=nats", f"--nats_url={nats.url}"))
        codes = set()
        for number in range(200):
            with PushStream(greedy) as stream:
                stream.send({"deliver": deliver("x" * 60_000, topic=f"t/{number}")})
                codes.add(stream.results(1)[1].code)
            if codes != {0}:
                break
        self.assertEqual(codes, {0, FULL})
        self.assertGreater(self.herald.metric("herald_nats_full_total"), 0)
        eventually(lambda: self.herald.logs("NATS is full: messages to topics with history are refused"), "one line says so")


class FilesTest(unittest.TestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_g19_a_fifo_as_producers_file_is_refused_at_the_start(self):
        path = self.directory / "producers"
        os.mkfifo(path)
        done = subprocess.run([binary(), "--dev", f"--producers_file={path}"], capture_output=True, text=True, env=ENVIRONMENT,
                              timeout=DEADLINE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("is not a regular file", done.stdout + done.stderr)

    def test_g19_producer_add_keeps_the_mode_and_the_owner(self):
        path = self.directory / "producers.yaml"
        add = [str(binary("heraldctl")), "producer", "add"]

        def run(name):
            subprocess.run([*add, name, "--may=deliver", "--topics=a", f"--file={path}"], check=True, capture_output=True,
                           env=ENVIRONMENT, timeout=DEADLINE)
            return path.stat()

        self.assertEqual(stat.S_IMODE(run("first").st_mode), 0o600)
        path.chmod(0o640)
        if os.getuid() == 0:
            os.chown(path, 65534, 65534)
        before, after = path.stat(), run("second")
        self.assertEqual((after.st_mode, after.st_uid, after.st_gid), (before.st_mode, before.st_uid, before.st_gid))


if __name__ == "__main__":
    unittest.main()
