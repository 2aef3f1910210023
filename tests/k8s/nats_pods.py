"""The NATS cluster of the production overlay as processes on loopback: its own nats.conf and environment, other ports and folders."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from harness import ENVIRONMENT, ROOT, Process, eventually

PORTS = {"client": "port", "routes": "port", "monitor": "http_port"}


def nats_server():
    """(path, version): $NATS_SERVER, those of scripts/install-deps nats, or one in PATH; the newest that is there."""
    candidates = [os.environ.get("NATS_SERVER"), ROOT / "build/nats-2.12/nats-server", shutil.which("nats-server"),
                  ROOT / "build/nats/usr/sbin/nats-server"]
    for path in candidates:
        if path and Path(path).exists():
            said = subprocess.run([str(path), "--version"], capture_output=True, text=True).stdout
            return str(path), tuple(int(part) for part in re.search(r"v(\d+)\.(\d+)", said).groups())
    raise AssertionError("there is no nats-server: scripts/install-deps nats installs it")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class NatsPods:
    """`pod` three times over. `ports[i]` is {"client": …, "routes": …, "monitor": …} of node i."""

    def __init__(self, pod, directory, replicas):
        self.pod, self.directory, self.replicas = pod, Path(directory), replicas
        self.path, self.version = nats_server()
        numbers = iter(free_ports(3 * replicas))
        self.ports = [{name: next(numbers) for name in PORTS} for _ in range(replicas)]
        self.servers = []

    def __enter__(self):
        for node in range(self.replicas):
            self.servers.append(Process([self.path, *self._lay_out(node)], env=self._env(node)))
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()

    def _env(self, node):
        def here(value):
            host = re.search(r"@nats-(\d+)\.[\w.-]+:\d+$", value)
            return value.replace(host[0], f"@127.0.0.1:{self.ports[int(host[1])]['routes']}") if host else value
        return {name: here(value) for name, value in self.pod.env(f"nats-{node}").items()}

    def _lay_out(self, node):
        root = self.pod.mount(self.directory / f"nats-{node}")
        file = root / "etc/nats/nats.conf"
        text = file.read_text()
        for name, key in PORTS.items():
            text, count = re.subn(rf"\b{key}: {self.pod.port(name)}\b", f"{key}: {self.ports[node][name]}", text)
            assert count == 1, f"nats.conf: {count} times {key}: {self.pod.port(name)}"
        for path in ("/data", "/run/nats"):
            assert text.count(f'"{path}') == 1, f"nats.conf: not once {path}"
            text = text.replace(f'"{path}', f'"{root}{path}')
        if self.version < (2, 10):
            text = re.sub(r"sync_interval: .*", "", text)
        file.write_text("host: 127.0.0.1\n" + text.replace("cluster {", "cluster {\n  host: 127.0.0.1"))
        return [argument.replace("/etc/nats", f"{root}/etc/nats") for argument in self.pod.args()]

    def probe(self, node, path):
        """Its HTTP status, 0 if nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.ports[node]['monitor']}{path}", timeout=5) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def wait_healthy(self):
        """The startup probe's path answers 200 everywhere: all nodes have caught up with a leader."""
        path = self.pod.probes()["startupProbe"]["path"]

        def healthy():
            for server in self.servers:
                assert server.returncode is None, server.output
            return all(self.probe(node, path) == 200 for node in range(self.replicas))
        eventually(healthy, "every NATS node healthy", timeout=60)

    def urls(self):
        return ",".join(f"nats://127.0.0.1:{ports['client']}" for ports in self.ports)

    def ask(self, user, password, subject, node=0):
        """The answer to a request without payload, from JSON; the error text if the user may not connect."""
        with socket.create_connection(("127.0.0.1", self.ports[node]["client"]), timeout=10) as connection:
            stream = connection.makefile("rwb")
            assert stream.readline().startswith(b"INFO ")
            stream.write(b"CONNECT %s\r\nSUB _INBOX.test 1\r\nPUB %s _INBOX.test 0\r\n\r\nPING\r\n" % (
                json.dumps({"user": user, "pass": password, "verbose": False}).encode(), subject.encode()))
            stream.flush()
            while line := stream.readline():
                if line.startswith(b"-ERR"):
                    return line.decode().strip()
                if line.startswith(b"MSG "):
                    return json.loads(stream.read(int(line.split()[-1])))
        raise AssertionError("the connection ended without an answer")
