"""Who may call over gRPC: bearer tokens, TLS, mTLS; and health and reflection, against the real binary."""

import signal
import tempfile
import unittest
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certificates import Authority
import producers_file
from harness import DEADLINE, Herald
from producer import Code, Producer, PushStream, Watch, admin_service_pb2, deliver, push_service_pb2, session_service_pb2, text, to
from service_case import ServiceTest


class CredentialsTest(ServiceTest):
    TOKEN = "a-token-of-a-producer"

    def producers_flag(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        return producers_file.write(Path(directory) / "producers.yaml",
                                    producers_file.entry("billing", self.TOKEN, **producers_file.EVERYTHING),
                                    producers_file.entry("other", "another-token-of-16", **producers_file.EVERYTHING))

    def assert_unauthenticated(self, producer):
        pb = session_service_pb2
        target = to(all=True)
        for method, request in (
                (producer.push.Send, push_service_pb2.SendRequest()),
                (producer.push.Broadcast, push_service_pb2.BroadcastRequest(message=text("x"))),
                (producer.sessions.ListSessions, pb.ListSessionsRequest()),
                (producer.sessions.GetSession, pb.GetSessionRequest(session_id="x")),
                (producer.sessions.Join, pb.JoinRequest(target=target, topics=["a"])),
                (producer.sessions.Leave, pb.LeaveRequest(target=target, topics=["a"])),
                (producer.sessions.SetLabels, pb.SetLabelsRequest(target=target, set={"a": "b"})),
                (producer.sessions.Disconnect, pb.DisconnectRequest(target=target)),
                (producer.sessions.GetPresence, pb.GetPresenceRequest(topic="a")),
                (producer.sessions.GetHistory, pb.GetHistoryRequest(topic="a")),
                (producer.admin.GetInfo, admin_service_pb2.GetInfoRequest())):
            self.assertEqual(producer.refusal(method, request)[0], Code.UNAUTHENTICATED, method)
        with PushStream(producer) as stream:
            stream.send({"deliver": deliver("unwanted", all=True)})
            self.assertEqual(stream.end()[0], Code.UNAUTHENTICATED)
        with Watch(producer) as watch:
            self.assertEqual(watch.end()[0], Code.UNAUTHENTICATED)

    def test_bearer_tokens(self):
        herald = self.start(self.producers_flag(), threads=1)
        client = self.enter(herald.json_client())
        self.assert_unauthenticated(self.producer)
        for token in ("wrong-token-of-a-producer", self.TOKEN + "x", self.TOKEN[:-1], "billing", " "):
            with Producer(herald, token) as producer:
                code, details = producer.send_refusal(deliver=deliver("unwanted", all=True))
                self.assertEqual(code, Code.UNAUTHENTICATED)
                self.assertNotIn(token.strip() or "?", details)
        with Producer(herald) as producer:
            producer.metadata = [("authorization", f"Basic {self.TOKEN}")]
            self.assertEqual(producer.send_refusal(deliver=deliver("unwanted", all=True))[0], Code.UNAUTHENTICATED)
        for token in (self.TOKEN, "another-token-of-16"):
            with Producer(herald, token) as producer:
                self.assertEqual(producer.deliver("wanted", all=True).matched, 1)
                with PushStream(producer) as stream, Watch(producer):
                    stream.send({"deliver": deliver("wanted", all=True)})
                    self.assertEqual(stream.results(1)[1].matched, 1)
            self.assertEqual([client.message()["text"] for _ in range(2)], ["wanted", "wanted"])
        self.assertNotIn(self.TOKEN, herald.output)

    def test_tls(self):
        authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = authority.issue("server")
        herald = self.start(f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}", threads=1)
        with Producer(herald, credentials=grpc.ssl_channel_credentials(authority.pem())) as producer:
            self.assertEqual(producer.deliver(topic="a").code, 0)
        with Producer(herald) as plain:
            self.assertEqual(plain.send_refusal(deliver=deliver(topic="a"))[0], Code.UNAVAILABLE)
        stranger = Authority(self.enter(tempfile.TemporaryDirectory()))
        with Producer(herald, credentials=grpc.ssl_channel_credentials(stranger.pem())) as producer:
            self.assertEqual(producer.send_refusal(deliver=deliver(topic="a"))[0], Code.UNAVAILABLE, "the client does not trust it")

    def test_mtls_refuses_a_client_without_a_certificate(self):
        authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        stranger = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = authority.issue("server")
        herald = self.start(f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}",
                            f"--grpc_tls_client_ca_file={authority.cert}", threads=1)

        def credentials(*pair):
            return grpc.ssl_channel_credentials(authority.pem(), *(Path(path).read_bytes() for path in reversed(pair)))

        client = self.enter(herald.json_client())
        for name, bad in {"none": credentials(), "of another authority": credentials(*stranger.issue("client"))}.items():
            with self.subTest(name), Producer(herald, credentials=bad) as producer:
                self.assertEqual(producer.send_refusal(deliver=deliver("unwanted", all=True))[0], Code.UNAVAILABLE)
        with Producer(herald, credentials=credentials(*authority.issue("client"))) as producer:
            self.assertEqual(producer.deliver("wanted", all=True).matched, 1)
        self.assertEqual(client.message()["text"], "wanted")

    def test_a_certificate_that_names_no_producer_needs_a_token(self):
        authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = authority.issue("server")
        herald = self.start(f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}",
                            f"--grpc_tls_client_ca_file={authority.cert}", self.producers_flag(), threads=1)
        client_cert, client_key = authority.issue("client")
        credentials = grpc.ssl_channel_credentials(authority.pem(), Path(client_key).read_bytes(), Path(client_cert).read_bytes())
        with Producer(herald, credentials=credentials) as producer:
            self.assertEqual(producer.send_refusal(deliver=deliver(topic="a"))[0], Code.UNAUTHENTICATED)
        with Producer(herald, self.TOKEN, credentials) as producer:
            self.assertEqual(producer.deliver(topic="a").code, 0)


class StandardServicesTest(ServiceTest):
    flags = ()

    def test_health(self):
        health = health_pb2_grpc.HealthStub(self.producer.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        answer = health.Check(health_pb2.HealthCheckRequest(service="herald.v1.PushService"), timeout=DEADLINE)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        with self.assertRaises(grpc.RpcError) as error:
            health.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=DEADLINE)
        self.assertEqual(error.exception.code(), Code.NOT_FOUND)

    def test_health_of_one_service_and_of_none(self):
        herald = self.start(threads=1)
        health = health_pb2_grpc.HealthStub(self.producer.channel)
        push, none = (health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)
                      for name in ("herald.v1.PushService", "nothing"))
        self.assertEqual(next(push).status, health_pb2.HealthCheckResponse.SERVING)
        self.assertEqual(next(none).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        for _ in range(20):  # who goes leaves nothing behind that a change would be written to
            gone = health.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
            self.assertEqual(next(gone).status, health_pb2.HealthCheckResponse.SERVING)
            gone.cancel()
        herald.signal(signal.SIGTERM)
        self.assertEqual(next(push).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        push.cancel()
        none.cancel()
        self.assertEqual(herald.wait(), 0)

    def test_health_says_so_when_draining(self):
        herald = self.start(threads=1)
        watch = health_pb2_grpc.HealthStub(self.producer.channel).Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        herald.signal(signal.SIGTERM)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        watch.cancel()

    def ask_reflection(self, producer, **request):
        stub = reflection_pb2_grpc.ServerReflectionStub(producer.channel)
        return next(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=DEADLINE))

    def test_reflection(self):
        services = {service.name for service in self.ask_reflection(self.producer, list_services="").list_services_response.service}
        self.assertLessEqual({f"herald.v1.{name}Service" for name in ("Push", "Session", "Event", "Admin")} | {"grpc.health.v1.Health"}, services)
        answer = self.ask_reflection(self.producer, file_containing_symbol="herald.v1.PushService").file_descriptor_response
        files = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in answer.file_descriptor_proto]
        self.assertIn("herald/v1/push_service.proto", [file.name for file in files])

    def test_reflection_is_off_by_default(self):
        with Herald("--allow_anonymous", dev=False) as herald, Producer(herald) as producer:
            with self.assertRaises(grpc.RpcError) as error:
                self.ask_reflection(producer, list_services="")
            self.assertEqual(error.exception.code(), Code.UNIMPLEMENTED)

    def test_unknown_method(self):
        call = self.producer.channel.unary_unary("/herald.v1.PushService/Nothing")
        with self.assertRaises(grpc.RpcError) as error:
            call(b"", timeout=DEADLINE)
        self.assertEqual(error.exception.code(), Code.UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main()
