"""Commands by the ten thousand: batches go out as fast as Herald reads, results are read at the same time, every one is kept."""

from harness import DEADLINE
from producer import Producer, common_pb2, push_service_pb2, to

BATCH = 64


def command(seq, payload=b"", content_type="application/json", except_users=(), except_sessions=(), policy=None, **target):
    """A Deliver to `target`, e.g. `command(7, b"{}", topic="news")`."""
    return push_service_pb2.Command(seq=seq, deliver=push_service_pb2.Deliver(
        target=to(except_users=except_users, except_sessions=except_sessions, **target),
        message=common_pb2.Message(payload=payload, content_type=content_type), policy=policy))


def batches(commands, size=BATCH):
    """PushRequests of `size` commands each."""
    request = push_service_pb2.PushRequest()
    for each in commands:
        request.commands.append(each)
        if len(request.commands) == size:
            yield request
            request = push_service_pb2.PushRequest()
    if request.commands:
        yield request


def push_all(herald, commands, timeout=6 * DEADLINE):
    """Sends all in one stream and half-closes; returns the results in the order in which they came."""
    with Producer(herald) as producer:
        results = []
        for response in producer.push.Push(batches(commands), timeout=timeout):
            results.extend(response.results)
        return results
