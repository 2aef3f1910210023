"""What the tests of the gRPC services share."""

from harness import Herald
from producer import Code, Producer, PushStream, deliver
from server_case import ServerTest


class ServiceTest(ServerTest):
    """`flags` of the class make one server for all its tests."""

    flags = None

    @classmethod
    def setUpClass(cls):
        if cls.flags is not None:
            cls.herald = Herald(*cls.flags, threads=2)
            cls.addClassCleanup(cls.herald.stop)

    def setUp(self):
        super().setUp()
        if self.flags is not None:
            self.producer = self.enter(Producer(self.herald))

    def start(self, *flags, **options):
        herald = super().start(*flags, **options)
        self.producer = self.enter(Producer(herald))
        return herald

    def client(self, query=""):
        return self.enter(self.herald.json_client(query))

    def assert_refused(self, code, words, **action):
        """Send answers `code`, naming each of `words`; and so does a Push stream, which goes on."""
        found, details = self.producer.send_refusal(**action)
        self.assertEqual(found, code, details)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, details)
        with PushStream(self.producer) as stream:
            stream.send(action, {"deliver": deliver(topic="after")})
            results = stream.results(2)
        self.assertEqual((results[1].code, results[1].detail), (code.value[0], details))
        self.assertEqual(results[2].code, 0)

    def assert_invalid(self, words, **action):
        self.assert_refused(Code.INVALID_ARGUMENT, words, **action)

    def assert_silence(self, *clients):
        """Nothing has been sent to these: a marker is the next that they get."""
        for client in clients:
            self.producer.deliver("marker", session_id=client.session_id)
            self.assertEqual(client.message()["text"], "marker")

    def topics_of(self, client):
        return sorted(self.producer.session(client.session_id).topics)
