"""The npm package of the browser SDK: what is in it, its size, its types."""

import gzip
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TSC = ROOT / "build/node/node_modules/typescript/bin/tsc"
SERVED = Path(os.environ.get("HERALD_SDK", ROOT / "build/dev/ws/herald.js"))  # what the build has embedded
MAX_BYTES = 8192  # gzipped


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.package = Path(directory.name) / "package"
        done = subprocess.run([ROOT / "scripts/pack-sdk", cls.package], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"scripts/pack-sdk failed:\n{done.stdout}{done.stderr}")

    def test_it_holds_what_it_should_and_no_more(self):
        done = subprocess.run(["npm", "pack", "--dry-run", "--json"], cwd=self.package, capture_output=True, text=True, check=True)
        packed = json.loads(done.stdout)
        entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
        self.assertEqual(sorted(file["path"] for file in entry["files"]),
                         ["LICENSE", "README.md", "dist/herald.d.ts", "dist/herald.js", "package.json"])
        description = json.loads((self.package / "package.json").read_text())
        self.assertNotIn("dependencies", description)
        version = re.search(r"project\(herald VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
        self.assertEqual(description["version"], version)

    def test_the_file_that_is_served_is_the_one_in_the_package_and_small(self):
        content = SERVED.read_bytes()
        self.assertEqual(content, (self.package / "dist/herald.js").read_bytes())
        self.assertLess(len(gzip.compress(content, 9)), MAX_BYTES)

    def test_an_application_compiles_against_its_types(self):
        (self.package / "usage.ts").write_text((ROOT / "tests/web/usage.ts").read_text())
        done = subprocess.run(["node", TSC, "--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler",
                               "--lib", "es2022,dom", "usage.ts"], cwd=self.package, capture_output=True, text=True)
        (self.package / "usage.ts").unlink()
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_it_works_where_there_is_no_browser(self):
        """No `window` or `document` is taken for granted: it can be imported, and says what it lacks."""
        program = "import('./dist/herald.js').then(({Herald}) => { try { new Herald() } catch (e) { console.log(e.code, e.message) } })"
        done = subprocess.run(["node", "-e", program], cwd=self.package, capture_output=True, text=True)
        self.assertRegex(done.stdout, "INVALID_ARGUMENT.*url")


if __name__ == "__main__":
    unittest.main()
