"""A producers_file for one test: names, tokens and rights."""

import hashlib
import os
from pathlib import Path

import yaml

VERBS = ["deliver", "join", "disconnect", "labels", "query", "watch", "handle", "operate"]
EVERYTHING = {"may": VERBS, "topics": ["**"], "users": ["**"], "all": True, "selectors": True}


def token_of(name):
    """The bearer token of the producer `name` in a file that `write` made."""
    return f"token-of-{name}-0123456789"


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def entry(name, token=None, **rights):
    """One entry; `rights` such as `may=["deliver"], topics=["a/**"]`; a key that is None is left out."""
    made = {"name": name, "token_sha256": [sha256(token or token_of(name))], **rights}
    return {key: value for key, value in made.items() if value is not None}


def write(path, *entries):
    """Puts the file in its place at once, readable by its owner only; returns its flag for Herald."""
    path = Path(path)
    written = path.with_name(path.name + ".new")
    written.write_text(yaml.safe_dump({"producers": list(entries)}))
    os.chmod(written, 0o600)
    written.rename(path)
    return f"--producers_file={path}"
