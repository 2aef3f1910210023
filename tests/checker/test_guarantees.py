"""docs/guarantees.md names tests: they must be there."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class GuaranteesTest(unittest.TestCase):
    def test_the_tests_it_names_exist(self):
        named = re.findall(r"`(tests/[\w./]+): ([^`]+)`", (ROOT / "docs" / "guarantees.md").read_text())
        self.assertGreater(len(named), 20)
        for file, name in named:
            self.assertIn(name, (ROOT / file).read_text(), file)


if __name__ == "__main__":
    unittest.main()
