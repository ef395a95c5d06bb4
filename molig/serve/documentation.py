"""The page that says what the routes take and send, made of their OpenAPI description; works offline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from molig.files import html_templates

Schema = Mapping[str, Any]


class Field(NamedTuple):
    """A field of a body."""

    name: str
    kind: str
    about: str
    needed: bool


class Route(NamedTuple):
    """A route, in words."""

    method: str
    path: str
    summary: str
    takes: list[Field]
    sends: str
    fields: list[Field]
    errors: list[tuple[str, str]]


def routes_page(api: Mapping[str, Any]) -> str:
    """Make the page.

    Parameters
    ----------
    api : mapping
        A description by OpenAPI 3.

    Returns
    -------
    str
        HTML without a script.
    """
    groups = defaultdict[str, list[Route]](list)
    schemas = api.get("components", {}).get("schemas", {})
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            route = _route(method, path, operation, schemas)
            groups[operation.get("tags", ["other"])[0]].append(route)
    parts = {name: _fields(schema, schemas) for name, schema in schemas.items() if name.endswith("Answer")}
    shown = {field.kind for group in groups.values() for route in group for field in route.fields}
    nested = {name: fields for name, fields in parts.items() if any(name in kind for kind in shown)}
    template = html_templates("molig.serve").get_template("api.html.j2")
    page: str = template.render(info=api["info"], groups=groups, nested=nested)
    return page


def _route(method: str, path: str, operation: Schema, schemas: Schema) -> Route:
    takes = [Field(one["name"], "in the path", "", True) for one in operation.get("parameters", [])]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        takes += _fields(_resolved(content["schema"], schemas), schemas)
        if kind == "multipart/form-data":
            takes = [field._replace(about=field.about or "form field") for field in takes]
    good, errors = "", []
    fields: list[Field] = []
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            for kind, content in response.get("content", {}).items():
                schema = content.get("schema", {})
                good = f"{status}, {_kind(schema) if kind == 'application/json' else kind}"
                fields = _fields(_resolved(schema.get("items", schema), schemas), schemas)
        else:
            errors.append((status, response.get("description", "")))
    return Route(method.upper(), path, operation.get("summary", ""), takes, good, fields, errors)


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _fields(schema: Schema, schemas: Schema) -> list[Field]:
    needed = schema.get("required", [])
    return [
        Field(name, _kind(one), one.get("description", ""), name in needed)
        for name, one in schema.get("properties", {}).items()
    ]


def _kind(schema: Schema) -> str:
    """The type of a value in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    of = schema.get("additionalProperties")
    return f"object of {_kind(of)}" if kind == "object" and isinstance(of, dict) else str(kind)
