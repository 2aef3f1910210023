"""Runs what a pod of the manifests would run: the real binary, with the pod's arguments, environment, configuration and secrets."""

import subprocess
from pathlib import Path

import yaml

from harness import ENVIRONMENT, Herald, binary

POD_NAME = "herald-6d4cf56db6-x7k2p"


class HeraldPod:
    """`pod` laid out in `directory`: what it mounts, and its configuration with the paths that it has there."""

    def __init__(self, pod, directory):
        self.root = pod.mount(directory)
        self.env = pod.env(POD_NAME)
        self.args = [self._path(argument) for argument in pod.args()]
        (argument,) = [argument for argument in pod.args() if argument.startswith("--config=")]
        file = self.root / argument.removeprefix("--config=").lstrip("/")
        self.config = yaml.safe_load(file.read_text())
        file.write_text(self._path(file.read_text()))

    def _path(self, text):
        return text.replace("/etc/herald", f"{self.root}/etc/herald")

    def settings(self):
        """What the binary makes of it, by --print_config."""
        done = subprocess.run([str(binary()), *self.args, "--print_config"], capture_output=True, text=True,
                              env=ENVIRONMENT | self.env, timeout=30)
        assert done.returncode == 0, done.stderr
        return yaml.safe_load(done.stdout)

    def start(self, *flags):
        """The server, on free ports of loopback; all else is as in the pod."""
        return Herald(*self.args, *flags, dev=False, env=self.env)


def port_of(address):
    return int(address.rpartition(":")[2])


def config_files(config):
    """The settings that name a file, and the file."""
    return {key: Path(value) for key, value in config.items() if key.endswith("_file")}
