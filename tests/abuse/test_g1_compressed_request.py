"""G1: half a megabyte of compressed zeros, without a token, inflated to half a gigabyte."""

import tempfile
import unittest
import zlib
from pathlib import Path

import grpc

import producers_file
from harness import DEADLINE
from http2 import Connection, message
from memory import MIB, Growth
from producer import Code, Producer, deliver, push_service_pb2
from server_case import ServerTest

SEND = "/herald.v1.PushService/Send"
TOKEN = "a-token-of-a-producer"
UNIMPLEMENTED, UNAUTHENTICATED = 12, 16


def bomb(megabytes):
    """A gzip file of that many MiB of zeros, a thousandth of it in size."""
    zeros = bytes(32 * MIB)
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(pack.compress(zeros) for _ in range(megabytes // 32)) + pack.flush()


class G1CompressedRequestTest(ServerTest):
    def setUp(self):
        super().setUp()
        path = Path(self.enter(tempfile.TemporaryDirectory())) / "producers"
        billing = producers_file.write(path, producers_file.entry("billing", TOKEN, **producers_file.EVERYTHING))
        self.herald = self.start(billing, threads=1)

    def assert_refused(self, statuses, token=None):
        body = message(self.BOMB, compressed=True)
        with Growth(self.herald) as growth, Connection(self.herald.grpc_addr) as connection:
            stream = connection.call(SEND, token, grpc_encoding="gzip")
            connection.data(stream, body, end=True)
            status = connection.status(stream)
        self.assertLess(growth.bytes, 32 * MIB)
        self.assertIn(status, statuses)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.BOMB = bomb(512)

    def test_g1_a_stranger_cannot_inflate_a_request(self):
        self.assert_refused({UNIMPLEMENTED, UNAUTHENTICATED})

    def test_g1_nor_can_a_producer(self):
        self.assert_refused({UNIMPLEMENTED}, TOKEN)

    def test_g1_a_client_library_learns_that_compression_is_not_served(self):
        with Producer(self.herald, TOKEN) as producer:
            request = push_service_pb2.SendRequest(command=push_service_pb2.Command(deliver=deliver("x" * 4096, topic="a")))
            with self.assertRaises(grpc.RpcError) as refused:
                producer.push.Send(request, metadata=producer.metadata, timeout=DEADLINE, compression=grpc.Compression.Gzip)
            self.assertEqual(refused.exception.code(), Code.UNIMPLEMENTED)
            self.assertEqual(producer.deliver(topic="a").code, 0, "the connection goes on")


if __name__ == "__main__":
    unittest.main()
