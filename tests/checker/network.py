"""A TCP proxy on the event loop, one for each client and producer: cuts, stalls, slows, half-closes and orphans connections."""

import asyncio
import contextlib
import socket
import struct

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class _End(asyncio.Protocol):
    """One side of a connection."""

    def __init__(self):
        self.transport = self.peer = None
        self.held = False  # by a fault
        self.full = False  # the peer takes no more
        self.lost = self.ended = False  # ended: nothing may be written any more

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        if self.peer and not self.peer.lost and not self.peer.ended:
            self.peer.transport.write(data)

    def eof_received(self):
        if self.peer:
            self.peer.write_eof()
        return True

    def write_eof(self):
        if self.lost or self.ended or self.transport.is_closing():
            return
        self.ended = True
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def pause_writing(self):
        self.peer.full = True
        self.peer.update()

    def resume_writing(self):
        self.peer.full = False
        self.peer.update()

    def connection_lost(self, error):
        self.lost = True
        if self.peer and not self.peer.lost and self.peer.peer is self:
            self.peer.reset() if error else self.peer.transport.close()

    def update(self):
        if self.lost or self.transport.is_closing():
            return
        with contextlib.suppress(RuntimeError):
            self.transport.pause_reading() if self.held or self.full else self.transport.resume_reading()

    def hold(self, on):
        self.held = on
        self.update()

    def reset(self):
        if self.lost:
            return
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


class Network:
    """What lies between one client and the servers. `pick()` gives the address for each connection. `receive_buffer`: bytes of
    SO_RCVBUF on the server's side, so that less than usual fits into the kernel when the client does not read."""

    def __init__(self, pick, receive_buffer=0):
        self._pick, self._receive_buffer = pick, receive_buffer
        self._pairs = []  # (the client's end, the server's end)
        self._orphans = []
        self._server = None
        self._stalled = False
        self.addr = ""

    async def open(self):
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.addr = "127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]
        return self

    def close(self):
        self._server.close()
        self.cut()
        self.drop_orphans()

    def _accept(self):
        end = _End()
        asyncio.get_running_loop().create_task(self._connect(end))
        return end

    async def _connect(self, client):
        await asyncio.sleep(0)
        client.hold(True)
        host, port = self._pick().rsplit(":", 1)
        loop, end = asyncio.get_running_loop(), socket.socket()
        end.setblocking(False)
        if self._receive_buffer:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        try:
            await loop.sock_connect(end, (host, int(port)))
        except OSError:
            end.close()
            return client.reset()
        _, server = await loop.create_connection(_End, sock=end)
        if client.lost:
            return server.reset()
        client.peer, server.peer = server, client
        self._pairs = [pair for pair in self._pairs if not (pair[0].lost and pair[1].lost)] + [(client, server)]
        for end in (client, server):
            end.hold(self._stalled)

    # Faults

    def cut(self):
        """Resets both sides."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                end.reset()

    def orphan(self):
        """The client loses its connection, and the server does not learn it."""
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            client.peer = server.peer = None
            server.hold(True)
            client.reset()
            self._orphans.append(server)

    def drop_orphans(self):
        orphans, self._orphans = self._orphans, []
        for server in orphans:
            server.reset()

    def half_close(self, side):
        """0: the client hears no more of the server; 1: the server none of the client."""
        for pair in self._pairs:
            pair[side].write_eof()

    def deafen(self):
        """The server is heard no more; it still hears."""
        for _, server in self._pairs:
            server.hold(True)

    def stall(self):
        """Nothing passes, and nobody is told."""
        self._stalled = True
        self._hold(True)

    def flow(self):
        self._stalled = False
        self._hold(False)

    async def crawl(self, seconds):
        """A slow reader: a little passes now and then."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            self.stall()
            await asyncio.sleep(0.03)
            self.flow()
            await asyncio.sleep(0)
        self.flow()

    def _hold(self, on):
        for pair in self._pairs:
            for end in pair:
                end.hold(on)
