"""The browser SDK in a headless Chromium: a page and a worker of another origin import /herald.js through the proxy that cuts."""

import datetime
import http.server
import json
import threading
import time
import unittest

from browser import Page, needs_chromium
from harness import eventually
from producer import PushStream, deliver, push_service_pb2
from herald_client import as_json
from sdk_case import SdkTest

# `options` and `topic` are put in; what arrives is kept in globals. The page shows it too.
SCRIPT = """
import { Herald } from 'SDK';

class Recorder extends WebSocket {
  send(data) {
    sent.push(JSON.parse(data));
    super.send(data);
  }
}
globalThis.sent = [];
globalThis.got = [];
globalThis.states = [];
globalThis.gaps = [];
globalThis.client = new Herald({ WebSocket: Recorder, ...OPTIONS });
client.on('state', (state) => states.push(state.name));
client.on('gap', (gap) => gaps.push(gap));
client.subscribe('log/a', ({ data }) => {
  got.push(data.n);
  show(data.n);
});
"""
PAGE = """<!doctype html><title>SDK</title><ol id="list"></ol><script type="module">
const list = document.getElementById('list');
globalThis.show = (n) => list.append(Object.assign(document.createElement('li'), { textContent: n }));
%s</script>"""
WORKER_PAGE = """<!doctype html><title>SDK in a worker</title><script type="module">
globalThis.got = [];
const worker = new Worker('/worker.js', { type: 'module' });
worker.onmessage = ({ data }) => got.push(data);
worker.onerror = (event) => got.push(event.message);
</script>"""
WORKER = "globalThis.show = (n) => postMessage(n);\n%s"


class Pages:
    """Serves `files`, {path: (type, text)}, from an origin of its own."""

    def __init__(self, files):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, text = files.get(self.path, (None, ""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class SdkPage(Page):
    def __init__(self, url):
        super().__init__("sdk_page.mjs", url)

    def evaluate(self, code):
        return self.ask("evaluate", code)

    def wait(self, code=None):
        return super().wait() if code is None else self.ask("wait", code)


@needs_chromium
class BrowserTest(SdkTest):
    def open(self, *flags, page=PAGE, user=None, **options):
        """Without a `user` no `url` is given: the SDK connects to where it came from, the proxy."""
        self.start_with_rules("--allowed_origins=*", *flags)
        if user:
            options["url"] = f"{self.proxy.url}?user={user}"
        script = SCRIPT.replace("SDK", f"http://{self.proxy.addr}/herald.js").replace(
            "OPTIONS", json.dumps({"backoff": {"baseMs": 50, "capMs": 400}} | options))
        pages = self.enter(Pages({"/": ("text/html", page % script if "%s" in page else page),
                                  "/worker.js": ("text/javascript", WORKER % script)}))
        page = self.enter(SdkPage(pages.url + "/"))
        self.stack.callback(page.close)
        return page

    def test_500_messages_during_a_cut_are_500_on_the_page(self):
        page = self.open()
        page.wait("client.subscriptions.includes('log/a')")
        self.push("log/a", range(10))
        page.wait("got.length === 10")
        self.proxy.cut(refuse=True)
        page.wait("client.state.name === 'waiting'")
        self.push("log/a", range(10, 510))
        self.proxy.allow()
        page.wait("got.length >= 510")
        self.push("log/a", [510])
        page.wait("got.includes(510)")
        shown = page.evaluate("[...document.querySelectorAll('#list li')].map((item) => Number(item.textContent))")
        self.assertEqual(shown, list(range(511)))
        self.assertEqual(page.evaluate("gaps"), [])
        eventually(lambda: page.evaluate("sent.filter(({ ack }) => ack).at(-1)") == {"ack": {"log/a": "511"}}, "the last ack")
        self.assertEqual(page.ask("problems"), [])

    def test_receipts_turn_from_unacked_to_acked(self):
        page = self.open(user="alice")
        page.wait("client.subscriptions.includes('log/a')")
        self.proxy.refuse()
        self.proxy.lose_clients()  # Herald sees nothing of it
        page.wait("client.state.name === 'waiting'")
        stream = self.enter(PushStream(self.producer, push_service_pb2.PushOpen(default_report=push_service_pb2.REPORT_LEVEL_ACKED)))
        minute = datetime.timedelta(seconds=60)
        stream.send(*[{"deliver": deliver(message=as_json({"n": n}), topic="log/a", report_timeout=minute)} for n in range(500)])
        results = [stream.take() for _ in range(500)]
        self.assertEqual({(type(result).__name__, result.code, result.matched) for result in results}, {("CommandResult", 0, 1)})
        self.assertTrue(stream.nothing(0.5), "unacked: no receipt yet")
        self.proxy.allow()
        page.wait("got.length >= 500")
        receipts = {receipt.seq: receipt for receipt in (stream.take() for _ in range(500))}
        self.assertEqual({(one.matched, one.written, one.acked, len(one.dropped), one.final) for one in receipts.values()},
                         {(1, 1, 1, 0, True)})
        self.assertEqual(len(receipts), 500)
        shown = page.evaluate("[...document.querySelectorAll('#list li')].map((item) => Number(item.textContent))")
        self.assertEqual(shown, list(range(500)))
        self.assertEqual(page.evaluate("gaps"), [])

    def test_a_worker_has_all_too(self):
        page = self.open(page=WORKER_PAGE)
        eventually(lambda: self.producer.list_sessions(topic="log/a").total == 1, "the worker's subscription")
        self.proxy.cut(refuse=True)
        eventually(lambda: self.producer.list_sessions().total == 0, "the end of its session")
        self.push("log/a", range(500))
        self.proxy.allow()
        page.wait("got.length >= 500")
        self.assertEqual(page.evaluate("got"), list(range(500)))

    def test_a_network_that_is_back_is_used_at_once(self):
        page = self.open(backoff={"baseMs": 3_600_000, "capMs": 3_600_000})
        page.wait("client.state.name === 'open'")
        self.proxy.cut()
        page.wait("client.state.name === 'waiting'")
        page.evaluate("dispatchEvent(new Event('online'))")
        page.wait("client.state.name === 'open'")

    def test_waking_does_not_undercut_what_the_server_said(self):
        page = self.open()
        page.wait("client.state.name === 'open'")
        self.herald.ctl("kick", "--session", page.evaluate("client.session.id"), "--reconnect", "yes", "--delay", "3s")
        page.wait("client.state.name === 'waiting'")
        start = time.monotonic()
        for _ in range(3):
            page.evaluate("dispatchEvent(new Event('online'))")
        page.wait("client.state.name === 'open'")
        self.assertGreater(time.monotonic() - start, 2)

    def test_a_tab_that_wakes_looks_whether_its_connection_is_alive(self):
        page = self.open(timeoutMs=1000)
        page.wait("client.state.name === 'open'")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait("sent.some(({ ping }) => ping)")
        time.sleep(1.5)
        self.assertEqual(page.evaluate("states"), ["connecting", "open"], "an answer came")
        self.proxy.stall()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait("client.state.name !== 'open'")
        self.proxy.cut()
        self.proxy.flow()
        page.wait("client.state.name === 'open'")

    def test_after_close_nothing_listens_any_more(self):
        page = self.open()
        page.wait("client.state.name === 'open'")
        page.evaluate("client.close()")
        page.evaluate("dispatchEvent(new Event('online'))")
        time.sleep(0.7)
        self.assertEqual(page.evaluate("states"), ["connecting", "open", "closed"])


if __name__ == "__main__":
    unittest.main()
