"""What the tests of close codes share."""

import tempfile

import tokens
from server_case import ServerTest
from wire import wait_close


class CloseTest(ServerTest):
    def start_with_tokens(self, *flags, **options):
        """A server that demands HS256 tokens of its clients."""
        directory = self.enter(tempfile.TemporaryDirectory())
        return self.start(f"--jwt_secret_file={tokens.write_secret(directory)}", *flags, dev=False, **options)

    def assert_closed(self, connection, code, reason=""):
        """The server closes with `code` and a reason that matches; returns the frames before it."""
        found, text, frames = wait_close(connection)
        self.assertEqual(found, code, (text, frames))
        if reason:
            self.assertRegex(text, reason)
        return frames
