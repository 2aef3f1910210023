"""A test that starts servers and connects clients; all end with it."""

import contextlib
import unittest

from harness import Herald


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def enter(self, context):
        return self.stack.enter_context(context)

    def start(self, *flags, **options):
        return self.enter(Herald(*flags, **options))
