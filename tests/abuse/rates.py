"""What the tests of rates share: floods on raw connections, and what they cost the server."""

import contextlib
import os
import socket
from pathlib import Path

from wire import RawClient


def cpu_seconds(herald):
    """CPU time that the server has used so far, by all of its threads."""
    fields = Path(f"/proc/{herald.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def raw_session(herald, query="", subprotocol="herald.v1.json"):
    """A RawClient past its upgrade and, where it needs one, its `hello`. None if the upgrade is refused."""
    client = RawClient(herald.client_addr)
    if client.upgrade("/ws" + query, subprotocol).status != 101:
        client.socket.close()
        return None
    if subprotocol:
        client.send_frame(1, '{"connect":{}}')
        client.wait_frame(1)
    return client


def flood(client, chunk, max_bytes):
    """Sends `chunk` again and again, until the server does not take it for a second, has closed, or `max_bytes` are out.

    Returns how many bytes the server's side took."""
    sent = 0
    client.socket.settimeout(1)
    with contextlib.suppress(socket.timeout, ConnectionError, BrokenPipeError):
        while sent < max_bytes:
            sent += client.socket.send(chunk)
    return sent
