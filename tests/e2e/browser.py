"""A headless Chromium on one page, through the programs in node/."""

import json
import os
import shutil
import subprocess
import unittest

from harness import DEADLINE, ROOT, Process

needs_chromium = unittest.skipUnless(shutil.which(os.environ.get("CHROMIUM", "/usr/bin/chromium")),
                                     "no Chromium: scripts/install-deps browser")


class Page(Process):
    """`program` is a file of node/ that drives `url`."""

    def __init__(self, program, url):
        super().__init__(["node", ROOT / "tests/e2e/node" / program, url], stdin=subprocess.PIPE,
                         env={"HERALD_NODE_MODULES": str(ROOT / "build/node/node_modules")})
        self._answers = 0
        self._take()

    def ask(self, what, *arguments):
        self.write_line(json.dumps([what, *arguments]))
        return self._take()

    def close(self):
        """Ends the browser too."""
        self._popen.stdin.close()
        Process.wait(self)

    def _take(self):
        self._answers += 1
        self.wait_line("", 3 * DEADLINE, self._answers)
        answer = json.loads(self.lines[self._answers - 1])
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(answer["error"])
        return answer
