"""Start and end of the real binary: what it refuses with one clear line, where settings come from, what it leaves in its log."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

import producers_file
import tokens
from certificates import Authority
from harness import DEADLINE, ROOT, Herald, JsonClient, ENVIRONMENT, binary
from producer import Producer, PushStream, common_pb2, deliver
from wire import RawClient, open_client, wait_close

FREE_PORTS = ("--client_addr=127.0.0.1:0", "--grpc_addr=127.0.0.1:0", "--admin_addr=127.0.0.1:0")


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def enter(self, context):
        return self.stack.enter_context(context)

    def write(self, name, content):
        return tokens.write(self.directory / name, content)

    def run_herald(self, *flags, env=None):
        return subprocess.run([binary(), *map(str, flags)], env=ENVIRONMENT | (env or {}), capture_output=True, text=True,
                              timeout=DEADLINE, stdin=subprocess.DEVNULL)

    def assert_refused(self, words, *flags, env=None):
        """Ends by itself, not with 0, and says why on one line of stderr that holds all `words`."""
        done = self.run_herald(*FREE_PORTS, *flags, env=env)
        self.assertGreater(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("herald: ") and done.stderr.endswith("\n"), done.stderr)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, done.stderr)
        return done.stderr


class RefusalTest(ConfigTest):
    def test_grpc_beyond_loopback_without_authentication(self):
        for addr in ("0.0.0.0:0", ":0", "[::]:0"):
            self.assert_refused(["beyond loopback", "grpc_tls_client_ca_file", "producers_file", "--insecure_grpc"],
                                "--allow_anonymous", f"--grpc_addr={addr}")
        self.assert_refused("beyond loopback", "--dev", "--grpc_addr=0.0.0.0:0")

    def test_grpc_beyond_loopback_with_tls_alone(self):
        cert, key = Authority(self.directory).issue("server")
        self.assert_refused("beyond loopback", "--allow_anonymous", "--grpc_addr=0.0.0.0:0", f"--grpc_tls_cert_file={cert}",
                            f"--grpc_tls_key_file={key}")

    def test_grpc_beyond_loopback_by_each_way_out(self):
        authority = Authority(self.directory)
        cert, key = authority.issue("server")
        producers = producers_file.write(Path(self.directory) / "producers", producers_file.entry("billing", may=["deliver"]))
        for flags in (["--insecure_grpc"], [producers],
                      [f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}", f"--grpc_tls_client_ca_file={authority.cert}"]):
            with self.subTest(flags), Herald("--allow_anonymous", "--grpc_addr=0.0.0.0:0", *flags, dev=False) as herald:
                self.assertTrue(herald.grpc_addr.startswith("0.0.0.0:"))

    def test_no_client_keys(self):
        self.assert_refused(["jwt_secret_file", "jwks_file", "--allow_anonymous", "--dev"])

    def test_flags(self):
        for words, flag in ((["max_sesions", "max_sessions"], "--max_sesions=1"), ("max_sessions", "--max_sessions=many"),
                            ("max_sessions", "--max_sessions=-1"), ("max_sessions", "--max_sessions="), ("ping_interval", "--ping_interval=25"),
                            ("max_message_bytes", "--max_message_bytes=64KB"), ("client_addr", "--client_addr=nowhere:1"),
                            ("grpc_addr", "--grpc_addr=127.0.0.1:99999"), ("log_level", "--log_level=loud"), ("broker", "--broker=kafka"),
                            ("nats", "--broker=nats"), ("node_name", "--node_name=a_b"), ("stray", "stray"), ("dev", "--dev=maybe"),
                            ("token_cookie", "--token_cookie=a b"), ("threads", "--threads=1000000")):
            with self.subTest(flag):
                self.assert_refused(words, "--allow_anonymous", flag)

    def test_environment(self):
        self.assert_refused("HERALD_MAX_SESIONS", "--allow_anonymous", env={"HERALD_MAX_SESIONS": "1"})
        self.assert_refused("HERALD_PING_INTERVAL", "--allow_anonymous", env={"HERALD_PING_INTERVAL": "soon"})
        # What Kubernetes sets for a service called `herald` is passed over.
        kubernetes = {"HERALD_SERVICE_HOST": "10.0.0.1", "HERALD_SERVICE_PORT": "8080", "HERALD_PORT": "tcp://10.0.0.1:8080",
                      "HERALD_PORT_8080_TCP": "tcp://10.0.0.1:8080", "HERALD_PORT_8080_TCP_ADDR": "10.0.0.1"}
        with Herald(env=kubernetes):
            pass

    def test_yaml(self):
        for words, text in (([":2", "max_sesions", "did you mean max_sessions?"], "dev: true\nmax_sesions: 3\n"),
                            ([":1", "ping_interval"], "ping_interval: soon\n"), ("twice", "dev: true\ndev: false\n"),
                            (":2", "dev: true\n  max_sessions: 1\n"), ("map", "- a\n"), ("dev", "dev: [true]\n"), ("dev", "dev:\n"),
                            ("topic_rules", "topic_rules: 3\n"), ("pattern", "topic_rules:\n  - {history_size: 3}\n"),
                            ("pattern", "topic_rules:\n  - {pattern: 'a*'}\n"), ("histroy", "topic_rules:\n  - {pattern: a, histroy: 3}\n"),
                            ("overflow", "topic_rules:\n  - {pattern: a, overflow: explode}\n"), ("herald.yaml", "{")):
            with self.subTest(text):
                path = self.write("herald.yaml", text)
                self.assert_refused([*([words] if isinstance(words, str) else words), "herald.yaml"], "--allow_anonymous", f"--config={path}")

    def test_missing_files(self):
        missing = self.directory / "missing"
        cert, key = Authority(self.directory).issue("server")
        for flags in ([f"--config={missing}"], [f"--jwt_secret_file={missing}"], [f"--jwks_file={missing}"],
                      [f"--jwt_public_key_file={missing}", "--jwt_algorithm=RS256"], [f"--producers_file={missing}"],
                      [f"--grpc_tls_cert_file={missing}", f"--grpc_tls_key_file={key}"],
                      [f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={missing}"],
                      [f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}", f"--grpc_tls_client_ca_file={missing}"]):
            with self.subTest(flags):
                self.assert_refused(str(missing), *flags, *([] if "jw" in flags[0] else ["--allow_anonymous"]))

    def test_bad_key_files(self):
        bad = self.write("bad", "short")
        for flags in ([f"--jwt_secret_file={bad}"], [f"--jwks_file={bad}"], [f"--jwt_public_key_file={bad}", "--jwt_algorithm=RS256"],
                      [f"--producers_file={bad}", "--allow_anonymous"]):
            with self.subTest(flags):
                self.assert_refused(str(bad), *flags)
        public = self.write("public.pem", tokens.public_pem(tokens.make_key("RS256")))
        self.assert_refused(str(public), f"--jwt_secret_file={public}")  # a public key as a secret
        self.assert_refused("jwt_public_key_file", f"--jwt_public_key_file={public}", "--jwt_algorithm=HS256")
        self.assert_refused("jwt_algorithm", f"--jwt_public_key_file={public}")
        self.assert_refused(str(public), f"--jwt_public_key_file={public}", "--jwt_algorithm=ES256")

    def test_bad_tls_files(self):
        cert, _ = Authority(self.directory).issue("server")
        strangers = self.directory / "stranger"
        strangers.mkdir()
        _, other_key = Authority(strangers).issue("other")
        bad = self.write("bad", "nonsense")
        for flags in ([f"--grpc_tls_cert_file={bad}", f"--grpc_tls_key_file={bad}"],
                      [f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={other_key}"]):
            with self.subTest(flags):
                self.assert_refused("TLS", "--allow_anonymous", *flags)

    def test_settings_that_do_not_fit_together(self):
        secret = tokens.write_secret(self.directory)
        for words, flags in ((["grpc_tls_cert_file", "grpc_tls_key_file"], ["--allow_anonymous", "--grpc_tls_cert_file=x"]),
                             (["allowed_origins", "token_cookie"], [f"--jwt_secret_file={secret}", "--allowed_origins=*", "--token_cookie=a"]),
                             (["jwt_secret_file", "jwks_file"], [f"--jwt_secret_file={secret}", f"--jwks_file={secret}"]),
                             (["max_message_bytes", "max_outbound_bytes_per_session"], ["--allow_anonymous", "--max_message_bytes=2MiB"]),
                             (["client_addr", "admin_addr"], ["--allow_anonymous", "--client_addr=127.0.0.1:9", "--admin_addr=127.0.0.1:9"])):
            with self.subTest(flags):
                self.assert_refused(words, *flags)

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            addr = f"127.0.0.1:{taken.getsockname()[1]}"
            for name in ("client_addr", "grpc_addr", "admin_addr"):
                with self.subTest(name):
                    self.assert_refused(["listen", addr], "--allow_anonymous", f"--{name}={addr}")

    def test_a_port_of_another_herald_is_not_shared(self):
        other = self.enter(Herald())
        for name in ("client_addr", "grpc_addr", "admin_addr"):
            with self.subTest(name):
                self.assert_refused(["listen", getattr(other, name)], "--allow_anonymous", f"--{name}={getattr(other, name)}")

    def test_an_address_that_is_not_ours(self):
        for name in ("client_addr", "admin_addr", "grpc_addr"):
            with self.subTest(name):
                self.assert_refused("192.0.2.1", "--allow_anonymous", "--insecure_grpc", f"--{name}=192.0.2.1:1")


class PrintTest(ConfigTest):
    def print_config(self, *flags, env=None):
        done = self.run_herald(*flags, "--print_config", env=env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def origin(self, printed, name):
        line = next(line for line in printed.splitlines() if line.startswith(f"{name}:"))
        return line.split("#", 1)[1].strip()

    def test_flags_before_environment_before_yaml_before_defaults(self):
        path = self.write("herald.yaml", "max_sessions: 1\nmax_topics_per_session: 1\nping_interval: 1s\n")
        env = {"HERALD_CONFIG": str(path), "HERALD_MAX_SESSIONS": "2", "HERALD_MAX_TOPICS_PER_SESSION": "2"}
        printed = self.print_config("--max_sessions=3", env=env)
        values = yaml.safe_load(printed)
        self.assertEqual([values[name] for name in ("max_sessions", "max_topics_per_session", "ping_interval", "pong_timeout")],
                         [3, 2, "1s", "10s"])
        self.assertEqual(self.origin(printed, "max_sessions"), "from flag")
        self.assertEqual(self.origin(printed, "max_topics_per_session"), "from environment")
        self.assertIn("herald.yaml:3", self.origin(printed, "ping_interval"))
        self.assertEqual(self.origin(printed, "pong_timeout"), "from default")

    def test_what_is_printed_can_be_read_again(self):
        path = self.write("herald.yaml", "topic_rules:\n  - {pattern: 'a/**', history_size: 3, client_publish: anyone}\n")
        printed = self.print_config("--dev", "--max_message_bytes=1KiB", f"--config={path}")
        again = self.print_config(f"--config={self.write('again.yaml', printed)}")
        self.assertEqual(yaml.safe_load(again), yaml.safe_load(printed))

    def test_docs_and_settings_name_the_same(self):
        text = (ROOT / "docs" / "configuration.md").read_text()
        documented = set(re.findall(r"^\| `([a-z0-9_]+)` \|", text.split("## Topic rules")[0], re.MULTILINE))
        self.assertEqual(documented, yaml.safe_load(self.print_config()).keys() - {"topic_rules"})

    def test_flags_really_count(self):
        path = self.write("herald.yaml", "max_topics_per_session: 1\nmax_sessions: 1\n")
        with Herald(f"--config={path}", "--max_topics_per_session=3", env={"HERALD_MAX_MESSAGE_BYTES": "99"}) as herald:
            with herald.json_client() as client:
                self.assertEqual((client.hello["limits"]["max_topics"], client.hello["limits"]["max_message_bytes"]), (3, "99"))
                with RawClient(herald.client_addr) as second:
                    self.assertEqual(second.upgrade().status, 503, "the file's max_sessions")

    def test_help_and_version(self):
        for flag in ("--help", "--version"):
            done = self.run_herald(flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith("herald "))


class LogTest(ConfigTest):
    def test_sigterm_ends_with_0_and_a_summary(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Herald() as herald:
                clients = [self.enter(herald.json_client()) for _ in range(3)]
                with Producer(herald) as producer:
                    producer.deliver("x", all=True)
                herald.signal(number)
                for client in clients:
                    self.assertEqual(wait_close(client.socket)[0], 1012)
                self.assertEqual(herald.wait(), 0)
                summary = herald.logs()[-1]
                self.assertEqual(summary["msg"], "ended")
                self.assertEqual({name: summary[name] for name in ("sessions_closed", "sessions_left", "sessions_total", "commands",
                                                                   "deliveries", "dropped")},
                                 {"sessions_closed": 3, "sessions_left": 0, "sessions_total": 3, "commands": 1, "deliveries": 3, "dropped": 0})

    def test_sigterm_without_anybody(self):
        with Herald("--drain_seconds=30") as herald:
            herald.signal(signal.SIGTERM)
            self.assertEqual(herald.wait(DEADLINE), 0)

    def test_every_line_is_one_json_object(self):
        with Herald("--allow_anonymous", dev=False) as herald:
            with herald.json_client():
                pass
            herald.stop()
        for line in herald.lines:
            record = json.loads(line)
            self.assertLessEqual({"time", "level", "msg"}, record.keys())
            self.assertRegex(record["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        messages = [record["msg"] for record in herald.logs()]
        self.assertEqual((messages[0], messages[-1]), ("listening", "ended"))

    def test_no_token_and_no_payload(self):
        secret = tokens.write_secret(self.directory)
        producers = producers_file.write(Path(self.directory) / "producers", producers_file.entry(
            "billing", "a-token-of-a-producer", **producers_file.EVERYTHING))
        good, bad = tokens.hs256("alice"), tokens.hs256("alice", secret="another secret, and this one is long enough too")
        with Herald(f"--jwt_secret_file={secret}", producers, "--allow_query_token", "--log_level=debug",
                    "--token_cookie=session", dev=False) as herald:
            client = self.enter(JsonClient(herald.client_url, {"token": good}))
            client.request(message={"text": "payload-from-the-client"})
            client.request(publish={"topic": "x", "text": "payload-refused"})
            client.request(refresh={"token": tokens.hs256("alice")})
            with Producer(herald, "a-token-of-a-producer") as producer:
                producer.deliver("payload-to-the-client", user_id="alice")
                producer.send_refusal(deliver=deliver("payload-refused", topic="$x"))
                with PushStream(producer) as stream:
                    broken = common_pb2.Message(payload=b"payload-refused", content_type="application/json")
                    stream.send({"deliver": deliver(message=broken, topic="x")})
                    stream.results(1)
            client.message()
            with Producer(herald, "wrong-token-of-a-producer") as producer:
                producer.send_refusal(deliver=deliver("payload-refused", topic="x"))
            for headers, query in (({"Authorization": f"Bearer {bad}"}, ""), ({"Cookie": f"session={bad}"}, ""), ({}, f"?token={bad}"),
                                   ({"Authorization": f"Bearer {good}"}, "")):
                with RawClient(herald.client_addr) as raw:
                    raw.upgrade("/ws" + query, "herald.v1.json", **headers)
            for frame in (json.dumps({"connect": {"token": bad}}), "payload-malformed"):
                with open_client(herald) as connection:
                    connection.send(frame)
                    wait_close(connection)
            herald.stop()
        self.assertGreater(len(herald.lines), 2)
        for word in (good, bad, good.split(".")[2], bad.split(".")[2], tokens.SECRET, "token-of-a-producer", "payload-"):
            self.assertNotIn(word, herald.output)

    def test_dev_prints_a_banner(self):
        with Herald() as herald:
            herald.stop()
        self.assertRegex(herald.lines[0], "^herald --dev: ")


if __name__ == "__main__":
    unittest.main()
