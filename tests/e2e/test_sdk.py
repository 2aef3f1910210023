"""The browser SDK under Node, against the real binary behind a proxy that cuts and stalls: resume, gaps, calls, acks."""

import unittest

from harness import eventually
from producer import Watch
from sdk_case import Peer, SdkTest


def numbers(*bounds):
    return [{"n": number} for number in range(*bounds)]


class ResumeTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()

    def test_after_a_cut_all_that_was_missed_comes_in_order_and_once(self):
        client = self.open_client(topics=["log/a", "log/b"])
        self.push("log/a", range(10))
        client.wait("message", lambda message: message["data"] == {"n": 9})
        self.proxy.cut(refuse=True)
        client.wait_state("waiting")
        self.push("log/a", range(10, 510))
        self.push("log/b", range(3))
        self.proxy.allow()
        client.wait_state("open", 2)
        self.push("log/a", range(510, 520))
        client.wait("message", lambda message: message["data"] == {"n": 519})
        self.assertEqual(client.payloads("log/a"), numbers(520))
        self.assertEqual(client.payloads("log/b"), numbers(3))
        self.assertEqual(client.all("gap"), [])

    def test_cuts_amid_what_is_sent_again_lose_nothing(self):
        client = self.open_client(topics=["log/a"])
        for start in range(0, 600, 60):
            self.push("log/a", range(start, start + 60))
            self.proxy.cut()  # wherever it is now
        client.wait("message", lambda message: message["data"] == {"n": 599})
        self.assertGreater(client.states().count("open"), 2)
        self.assertEqual(client.payloads("log/a"), numbers(600))
        self.assertEqual(client.all("gap"), [])

    def test_personal_and_broadcast_messages_are_resumed_too(self):
        client = self.open_client(url=self.proxy.url + "?user=alice")
        self.proxy.cut(refuse=True)
        client.wait_state("waiting")
        self.producer.deliver("to all", all=True)
        self.producer.deliver("to alice", user_id="alice")
        self.proxy.allow()
        client.wait("message", count=2)
        self.assertEqual([client.payloads("$all"), client.payloads("$user/alice")], [["to all"], ["to alice"]])

    def test_what_the_history_does_not_hold_any_more_is_a_gap(self):
        client = self.open_client(topics=["short/a"])
        self.push("short/a", range(2))
        client.wait("message", count=2)
        self.proxy.cut(refuse=True)
        client.wait_state("waiting")
        self.push("short/a", range(2, 30))
        self.proxy.allow()
        self.assertEqual(client.wait("gap"), {"topic": "short/a", "reason": "expired"})
        self.push("short/a", range(30, 33))
        client.wait("message", lambda message: message["data"] == {"n": 32})
        self.assertEqual(client.payloads(), numbers(2) + numbers(30, 33))

    def test_a_server_that_has_forgotten_is_a_gap_and_its_offsets_begin_anew(self):
        client = self.open_client(topics=["log/a"])
        self.push("log/a", range(20))
        client.wait("message", count=20)
        flags = [f"--config={self.directory / 'herald.yaml'}", f"--client_addr={self.herald.client_addr}"]
        self.herald.kill()
        client.wait_state("waiting")
        self.herald = self.start(*flags)
        self.assertEqual(client.wait("gap", lambda gap: gap["topic"] == "log/a"), {"topic": "log/a", "reason": "epoch"})
        self.push("log/a", range(100, 103))
        client.wait("message", lambda message: message["data"] == {"n": 102})
        self.assertEqual(client.payloads("log/a"), numbers(20) + numbers(100, 103))
        self.assertEqual(client.all("message")[-1]["offset"], "3")

    def test_a_drain_tells_when_to_come_back(self):
        client = self.open_client(topics=["log/a"])
        flags = [f"--config={self.directory / 'herald.yaml'}", f"--client_addr={self.herald.client_addr}"]
        self.assertEqual(self.herald.stop(), 0)
        waiting = client.wait_state("waiting")
        self.assertEqual(waiting["code"], 1012)
        self.start(*flags)
        client.wait_state("open", 2)

    def test_with_the_websocket_of_another_package(self):
        client = self.open_client(topics=["log/a"], ws=True)
        self.push("log/a", range(3))
        client.wait("message", count=3)
        self.proxy.cut(refuse=True)
        client.wait_state("waiting", 2)
        self.push("log/a", range(3, 6))
        self.proxy.allow()
        client.wait("message", count=6)
        self.assertEqual(client.payloads(), numbers(6))

    def test_what_it_published_itself_does_not_come_back(self):
        client = self.open_client(topics=["log/a"])
        client.do("publish", "log/a", {"mine": 1})
        client.wait("publish")
        self.proxy.cut()
        client.wait_state("open", 2)
        self.push("log/a", range(1))
        client.wait("message")
        self.assertEqual(client.payloads(), numbers(1))

    def test_another_page_goes_on_from_a_position_that_was_kept(self):
        first = self.open_client(topics=["log/a"])
        self.push("log/a", range(3))
        position = first.wait("message", lambda message: message["data"] == {"n": 1})["position"]
        second = self.open_client()
        second.do("subscribe", "log/a", position)
        second.wait("message")
        self.assertEqual(second.payloads(), numbers(2, 3))
        third = self.open_client()
        third.do("subscribe", "short/b", position)  # of another log
        self.assertEqual(third.wait("gap")["topic"], "short/b")

    def test_subscriptions_end_where_they_are_left(self):
        client = self.open_client(topics=["log/a", "log/b"])
        client.do("unsubscribe", "log/a")
        self.assertEqual(client.wait("unsubscribe log/a"), {"ok": None})
        self.proxy.cut()
        client.wait_state("open", 2)
        self.push("log/a", range(1))
        self.push("log/b", range(1))
        client.wait("message")
        self.assertEqual([message["topic"] for message in client.all("message")], ["log/b"])
        client.do("session")
        self.assertNotIn("log/a", client.wait("subscriptions"))


def message(offset, n=None, **more):
    return {"message": {"topic": "a", "offset": str(offset), "position": f"p{offset}", "id": "x", "data": offset if n is None else n, **more}}


class FramesTest(SdkTest):
    """What the real server does not send, or not yet."""

    def setUp(self):
        super().setUp()
        self.herald = self.start()

    def test_repeats_are_dropped_within_a_connection_and_across(self):
        big = 2 ** 53
        with Peer(codes=[1001], frames=[[message(1), message(2), message(2), message(big)],
                                        [message(2), message(big), message(big + 1), message(big + 1), message(big + 2)]]) as peer:
            client = self.client(url=peer.url)
            client.wait("message", count=5)
        self.assertEqual([message["offset"] for message in client.all("message")], ["1", "2", str(big), str(big + 1), str(big + 2)])
        self.assertEqual(peer.connects[1]["resume"], [{"topic": "a", "position": f"p{big}"}])
        self.assertEqual(peer.connects[1]["previous_session_id"], "x")

    def test_a_gap_frame_is_told_and_gone_on_from(self):
        with Peer(codes=[1001], frames=[[message(50), {"gap": {"topic": "a", "reason": "rollback", "position": "g"}}],
                                        [message(3), message(4)]]) as peer:
            client = self.client(url=peer.url)
            client.wait("message", count=3)
        self.assertEqual(client.all("gap"), [{"topic": "a", "reason": "rollback"}])
        self.assertEqual(peer.connects[1]["resume"], [{"topic": "a", "position": "g"}])

    def test_presence_news_and_messages_of_all_kinds(self):
        who = {"topic": "a", "session_id": "s", "user_id": "bob"}
        with Peer(frames=[[{"join": who}, {"news of a later version": {}}, {"leave": who}, message(1, text="t", data=None),
                           {"message": {"id": "x", "data": {"to": "this session"}}}, {"message": {"id": "y", "bytes": "AP8="}}]]) as peer:
            client = self.client(url=peer.url)
            client.wait("message", count=3)
        self.assertEqual([client.all("join"), client.all("leave")], [[{"topic": "a", "sessionId": "s", "userId": "bob"}]] * 2)
        self.assertEqual(client.payloads("")[0], {"to": "this session"})
        self.assertEqual(client.payloads("")[1], {"bytes": [0, 255]})

    def test_a_frame_that_is_not_json_ends_the_connection(self):
        with Peer(frames=[["{"]]) as peer:
            client = self.client(url=peer.url)
            self.assertEqual(client.wait_state("waiting")["reason"], "a frame that is not JSON")
            client.wait_state("open", 2)


class DeadConnectionTest(SdkTest):
    def test_silence_is_noticed(self):
        self.start_with_rules("--ping_interval=1s")
        client = self.open_client(options={"timeoutMs": 1000}, topics=["log/a"])
        self.proxy.stall()
        self.assertEqual(client.wait_state("waiting")["reason"], "no answer to a ping")
        self.push("log/a", range(5))
        self.proxy.cut()
        self.proxy.flow()
        client.wait("message", count=5)
        self.assertEqual(client.payloads(), numbers(5))

    def test_an_answer_that_does_not_come_is_not_waited_for(self):
        self.start_with_rules()
        self.proxy.stall()
        client = self.client(options={"timeoutMs": 500})
        self.assertEqual(client.wait_state("waiting")["reason"], "no answer in time")
        self.proxy.cut()
        self.proxy.flow()
        client.wait_state("open")

    def test_a_quiet_connection_stays(self):
        self.start_with_rules("--ping_interval=1s")
        client = self.open_client(options={"timeoutMs": 500})
        client.wait("sent", lambda frame: "ping" in frame, count=3)
        self.assertEqual(client.states(), ["connecting", "open"])


class CallTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()

    def test_publish_reaches_the_others(self):
        client = self.open_client()
        other = self.open_client(topics=["log/a"])
        for payload in ({"n": 1}, "text", None, 17):
            client.do("publish", "log/a", payload, {"event": "said"})
        other.wait("message", count=4)
        self.assertEqual(other.payloads(), [{"n": 1}, "text", None, 17])
        self.assertEqual({message["event"] for message in other.all("message")}, {"said"})
        client.do("session")
        self.assertEqual(other.all("message")[0]["sender"], client.wait("session")["id"])
        self.assertTrue(all(reply["ok"] for reply in client.all("publish")), "the message's id")

    def test_send_reaches_who_watches(self):
        client = self.open_client()
        watch = self.enter(Watch(self.producer, kinds=["client_message"]))
        client.do("send", "order", {"n": 1}, {"topic": "log/a"})
        self.assertEqual(client.wait("send"), {"ok": None})
        event = watch.event("client_message")
        self.assertEqual((event.topic, event.client_message.event, event.client_message.payload), ("log/a", "order", b'{"n":1}'))

    def test_a_refusal_says_why(self):
        client = self.open_client()
        client.do("subscribe", "closed/a")
        self.assertEqual(client.wait("subscribe closed/a")["code"], "PERMISSION_DENIED")
        client.do("subscribe", "$user/bob")
        self.assertEqual(client.wait("subscribe $user/bob")["code"], "INVALID_ARGUMENT")
        client.do("publish", "closed/a", "x")
        self.assertEqual(client.wait("publish")["code"], "PERMISSION_DENIED")
        client.do("session")
        self.assertEqual(client.wait("subscriptions"), ["$all"])
        self.proxy.cut()
        client.wait_state("open", 2)
        self.assertNotIn("closed/a", str(client.all("sent")[-1]))

    def test_calls_wait_for_a_connection_and_are_sent_once(self):
        other = self.open_client(url=self.herald.client_url, topics=["log/a"])
        self.proxy.cut(refuse=True)
        client = self.client(options={"maxQueued": 2}, topics=["log/b"])
        client.wait_state("waiting")
        for n in range(3):
            client.do("publish", "log/a", {"n": n})
        self.assertEqual(client.wait("publish")["code"], "RESOURCE_EXHAUSTED")
        self.proxy.allow()
        client.wait("publish", count=3)
        client.wait("subscribe log/b", lambda answer: "ok" in answer)
        other.wait("message", count=2)
        self.assertEqual(other.payloads(), numbers(2))

    def test_a_call_whose_reply_was_lost_is_not_repeated(self):
        other = self.open_client(url=self.herald.client_url, topics=["log/a"])
        client = self.open_client()
        self.proxy.stall()
        client.do("publish", "log/a", "perhaps")
        client.wait("sent", lambda frame: "publish" in frame)
        self.proxy.cut()
        self.proxy.flow()
        self.assertEqual(client.wait("publish")["code"], "UNKNOWN")
        client.wait_state("open", 2)
        client.do("publish", "log/a", "surely")
        other.wait("message", lambda message: message["data"] == "surely")
        self.assertLessEqual(other.payloads().count("perhaps"), 1)
        self.assertEqual(len([frame for frame in client.all("sent") if frame.get("publish", {}).get("text") == "perhaps"]), 1)

    def test_many_calls_keep_to_the_rate_of_the_server(self):
        herald = self.start("--inbound_messages_per_second=20")
        client = self.open_client(url=herald.client_url, options={"maxQueued": 1000})
        for n in range(80):
            client.do("publish", "any", {"n": n})
        client.wait("publish", lambda answer: "ok" in answer, count=80)
        self.assertEqual(client.states(), ["connecting", "open"])

    def test_a_client_may_be_closed_before_it_is_open(self):
        self.proxy.cut(refuse=True)
        client = self.client(topics=["log/a"])
        client.do("subscribeBlindly", "log/b")
        client.do("close")
        client.wait_state("closed")
        self.assertEqual(client.wait("subscribe log/a")["code"], "CANCELLED")
        client.do("session")
        client.wait("subscriptions")  # Node would have ended for a rejection that nobody looks at

    def test_a_closed_client_stays_closed_until_told(self):
        client = self.open_client(topics=["log/a"])
        client.do("close")
        self.assertEqual(client.wait_state("closed")["code"], 1000)
        eventually(lambda: self.producer.list_sessions().total == 0, "the session's end")
        client.do("publish", "log/a", "x")
        self.assertEqual(client.wait("publish")["code"], "UNAVAILABLE")
        client.do("connect")
        client.wait_state("open", 2)
        self.push("log/a", range(1))
        client.wait("message")


class AckTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()

    def acks(self, client):
        return [frame["ack"] for frame in client.all("sent") if "ack" in frame]

    def wait_ack(self, client, **offsets):
        return client.wait("sent", lambda frame: frame.get("ack") == {"log/" + topic: offset for topic, offset in offsets.items()})

    def test_what_was_handled_is_acknowledged_in_few_frames(self):
        client = self.open_client(topics=["log/a"])
        self.push("log/a", range(400))
        self.wait_ack(client, a="400")
        acks = [int(ack["log/a"]) for ack in self.acks(client)]
        self.assertLess(len(acks), 40)
        self.assertEqual(acks, sorted(set(acks)))
        self.assertTrue(all("id" not in frame for frame in client.all("sent") if "ack" in frame), "no reply is wanted")
        self.assertEqual(client.states(), ["connecting", "open"])

    def test_a_handler_that_throws_has_not_handled(self):
        client = self.open_client(topics=["log/a"], fail=["3"])
        self.push("log/a", range(5))
        self.assertEqual(client.wait("error"), "cannot stand 3")
        client.wait("message", count=5)
        self.wait_ack(client, a="2")
        client.do("session")
        client.wait("session")
        self.assertEqual(self.acks(client)[-1], {"log/a": "2"})
        client.do("ack", "3")
        self.wait_ack(client, a="5")

    def test_a_promise_is_waited_for(self):
        client = self.open_client(topics=["log/a"], hold=True)
        self.push("log/a", range(3))
        client.wait("message", count=3)
        client.do("finish", "2")
        client.do("finish", "1")
        self.wait_ack(client, a="2")
        self.assertEqual(self.acks(client), [{"log/a": "2"}])
        client.do("finish", "3")
        self.wait_ack(client, a="3")

    def test_by_hand(self):
        client = self.open_client(topics=["log/a"], options={"ack": "manual"})
        self.push("log/a", range(4))
        client.wait("message", count=4)
        self.assertEqual(self.acks(client), [])
        client.do("ack", "3")
        self.wait_ack(client, a="3")

    def test_the_next_session_is_told_what_was_handled(self):
        client = self.open_client(topics=["log/a"])
        self.push("log/a", range(3))
        self.wait_ack(client, a="3")
        self.proxy.cut()
        client.wait_state("open", 2)
        client.wait("sent", lambda frame: frame.get("ack") == {"log/a": "3"}, count=2)


if __name__ == "__main__":
    unittest.main()
