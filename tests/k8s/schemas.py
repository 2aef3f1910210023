"""Every object against its schema, with nothing in it that the schema does not know.

Kubernetes' own kinds: the OpenAPI schemas of VERSIONS, in which also an unknown field is a fault (`kubernetes-validate`). The kinds of the
Prometheus operator: the fields of its CRDs that we use, below, from its API reference for monitoring.coreos.com/v1.
"""

import jsonschema
import kubernetes_validate

VERSIONS = ("1.30", "1.37")  # as docs/kubernetes.md says

DURATION = {"type": "string", "pattern": r"^(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", "minLength": 1}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(properties, required=()):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _kind(spec):
    return _closed({"apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"type": "string"},
                    "metadata": _closed({"name": {"type": "string"}, "namespace": {"type": "string"}, "labels": STRINGS}, ["name"]),
                    "spec": spec}, ["spec", "metadata"])


CRDS = {
    "ServiceMonitor": _kind(_closed({
        "selector": _closed({"matchLabels": STRINGS}),
        "endpoints": {"type": "array", "minItems": 1, "items": _closed({
            "port": {"type": "string"}, "path": {"type": "string"}, "interval": DURATION, "scrapeTimeout": DURATION,
            "scheme": {"enum": ["http", "https"]}})},
    }, ["selector", "endpoints"])),
    "PrometheusRule": _kind(_closed({
        "groups": {"type": "array", "minItems": 1, "items": _closed({
            "name": {"type": "string", "minLength": 1}, "interval": DURATION,
            "rules": {"type": "array", "items": _closed({
                "alert": {"type": "string"}, "expr": {"type": "string"}, "for": DURATION, "labels": STRINGS, "annotations": STRINGS},
                ["alert", "expr"])}}, ["name"])},
    }, ["groups"])),
}


def check(thing):
    """AssertionError that names the object and what is wrong with it."""
    name = f"{thing.get('kind')} {thing.get('metadata', {}).get('name')}"
    if str(thing.get("apiVersion", "")).startswith("monitoring.coreos.com/"):
        assert thing["kind"] in CRDS, f"{name}: no schema for it in schemas.py"
        errors = [f"{'.'.join(map(str, error.path))}: {error.message}"
                  for error in jsonschema.Draft202012Validator(CRDS[thing["kind"]]).iter_errors(thing)]
        assert not errors, f"{name}: {errors}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise AssertionError(f"{name}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}") from None
        except kubernetes_validate.SchemaNotFoundError as error:
            raise AssertionError(f"{name}: {error}") from None
