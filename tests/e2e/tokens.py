"""Client tokens and their keys, made by libraries that are not ours."""

import base64
import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of the end-to-end tests, longer than 32 bytes"


def claims(sub="alice", *, lives=3600, **more):
    """Claims that expire in `lives` seconds; None never."""
    expiry = {} if lives is None else {"exp": time.time() + lives}
    return {"sub": sub, **expiry, **more}


def hs256(sub="alice", secret=SECRET, **more):
    return jwt.encode(claims(sub, **more), secret, algorithm="HS256")


def make_key(algorithm):
    """A private key for RS256, ES256 or EdDSA."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def jwk(key, algorithm, kid):
    """The public half as a member of a key set."""
    maker = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm, "EdDSA": jwt.algorithms.OKPAlgorithm}
    return {**json.loads(maker[algorithm].to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": algorithm}


def write(path, content):
    """Replaces the file in one step, as a mounted secret is; returns its path."""
    path = Path(path)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    new.rename(path)
    return path


def write_secret(directory, secret=SECRET):
    return write(Path(directory) / "secret", secret)


def part(value):
    """One part of a token in compact form."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
