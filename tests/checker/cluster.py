"""Several herald replicas over several nats-servers, with a bad network between any two of them.

Each replica reaches each NATS node through a proxy of its own, and learns of no other way. One replica without NATS (`nats=0`) is there to
try the rest of the checker.
"""

import contextlib
import re
import signal
import time

from fault_proxy import FaultProxy, NatsFilter
from harness import Herald
from nats_server import NatsCluster

READY_SECONDS = 30
NUMBER = re.compile(rb'\{"n": (\d+),')  # in what producers write
PREFIX = "herald"


class Cluster:
    """Use as a context manager."""

    def __init__(self, flags=(), replicas=3, nats=3, binary=None):
        self._flags, self._size, self._nats_size, self._binary = flags, replicas, nats, binary
        self.nats = None
        self.links = {}  # (replica's name, NATS node's name) → FaultProxy
        self.filter = NatsFilter()  # of all links
        self.replicas = []
        self.problems = []  # that no fault explains

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            if self._nats_size:
                self.nats = stack.enter_context(NatsCluster(self._nats_size, binary=self._binary))
            for index in range(self._size):
                name = f"r{index + 1}"
                for node in self.nats.nodes if self.nats else ():
                    self.links[name, node.name] = stack.enter_context(FaultProxy(node.addr, nats=self.filter))
                replica = Replica(name, [*self._flags, *self._broker_flags(name)])
                stack.callback(replica.kill)
                self.replicas.append(replica)
            for replica in self.replicas:
                replica.start()
            for replica in self.replicas:
                replica.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _broker_flags(self, name):
        if not self.nats:
            return [f"--node_name={name}"]
        urls = ",".join(link.url for (replica, _), link in self.links.items() if replica == name)
        return [f"--node_name={name}", "--broker=nats", f"--nats_url={urls}", f"--nats_replicas={self._nats_size}"]

    @property
    def up(self):
        """Replicas whose process is there, as a load balancer that looks now and then would think."""
        return [replica for replica in self.replicas if replica.running]

    def links_of(self, replica):
        return [link for (name, _), link in self.links.items() if name == replica.name]

    def heal(self):
        for link in self.links.values():
            link.heal()

    def streams(self):
        """Names of the streams that hold topics with history."""
        return sorted(self.nats.streams())

    def stored(self):
        """(number, offset) of every message that the store holds."""
        found = set()
        for stream in self.streams():
            for sequence, _, _, data in self.nats.leader(stream).stored(stream):
                if match := NUMBER.search(data):
                    found.add((int(match[1]), sequence))
        return found

    def check(self):
        """What must hold after any fault; returns what does not."""
        found = [f"{replica.name} has ended with {replica.returncode}: {replica.output[-1500:]}"
                 for replica in self.replicas if not replica.running]
        for node in self.nats.nodes if self.nats else ():
            if not node.running or "panic" in node.output:
                found.append(f"NATS {node.name} has ended: {node.output[-1500:]}")
        return found


class Replica:
    """One herald that can end and start again; its addresses change then."""

    def __init__(self, name, flags):
        self.name, self._flags = name, flags
        self._herald = None
        self.paused = False
        self.starts = 0

    @property
    def running(self):
        return self._herald is not None and self._herald.returncode is None and self._herald.grpc_addr is not None

    @property
    def returncode(self):
        return self._herald.returncode

    @property
    def output(self):
        return self._herald.output

    @property
    def client_addr(self):
        return self._herald.client_addr

    @property
    def grpc_addr(self):
        return self._herald.grpc_addr

    @property
    def herald(self):
        return self._herald

    def start(self):
        self.starts += 1
        self._herald = Herald(*self._flags, wait=False)

    def wait_ready(self):
        self._herald.wait_listening(READY_SECONDS)
        self._herald.wait_ready(READY_SECONDS)

    def kill(self):
        """kill -9."""
        if self._herald is not None and self._herald.returncode is None:
            self._herald.kill()
            self._herald.stop()
        self.paused = False

    def terminate(self, timeout):
        """SIGTERM; the exit code, once it has drained. AssertionError if that takes longer."""
        self._herald.signal(signal.SIGTERM)
        code = self._herald.wait(timeout)
        self._herald.stop()
        return code

    def pause(self):
        self._herald.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self._herald.signal(signal.SIGCONT)
        self.paused = False
