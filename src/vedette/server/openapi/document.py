"""The OpenAPI 3.1 document, made of the routing table. What follows from how routes are made is written here, once.

Source of the format: the OpenAPI Specification 3.1.0. Paths for people (pages) and for programs of this machine (the
internal listener) are not in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypedDict

import msgspec
from starlette.routing import BaseRoute, Route

from vedette import __version__
from vedette.server.access.permissions import ANYBODY, OWN_ACCOUNT, Call
from vedette.server.access.permissions_table import PERMISSION_SETS
from vedette.server.http.body import MAX_BODY
from vedette.server.http.routes import COOKIE, SAFE, Endpoint
from vedette.server.ingest.device_path import DevicePath
from vedette.server.openapi.operation import JSON, Answer, By, Operation, Parameter, operation_of

DESCRIBED: Final = ("/api/", "/alive", "/health")
NOT_DESCRIBED: Final = ("/api/internal/", "/api/docs")
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")

TAGS: Final[Mapping[str, str]] = {
    "authentication": "Devices: letting in",
    "inventory": "Inventory and groups",
    "attributes": "Inventory and groups",
    "deployments": "Deployments",
    "deviceconfig": "Configuration of devices",
    "devicemonitor": "Alerts",
    "vedette": "Alerts",
    "devauth": "Devices: letting in",
    "useradm": "Users, roles and settings",
    "tenantadm": "Tenants",
    "auditlogs": "Audit log",
}
"""By the part of a path that names the service."""
OTHER: Final = "The server itself"

SECURITY: Final[Mapping[By, list[dict[str, list[str]]]]] = {
    "user": [{"userToken": []}, {"userCookie": []}],
    "device": [{"deviceToken": []}],
    "password": [{"password": []}],
    "nobody": [],
}
SCHEMES: Final = {
    "userToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "What the login answers, or a personal access token.",
    },
    "userCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The same, as browsers keep it. Changes need `Sec-Fetch-Site` or `Origin` of this server.",
    },
    "deviceToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "What an accepted device is answered to its authentication request.",
    },
    "password": {"type": "http", "scheme": "basic", "description": "E-mail address and password."},
}

REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BadRequest", "What was sent cannot be understood, or is not valid; the text says where."),
    401: ("Unauthorized", "It is not known who calls: no token, or not one that is valid now."),
    403: ("Forbidden", "The roles of the caller do not allow this, or another site's page made a browser send it."),
    404: ("NotFound", "There is no such thing, or it is not the caller's to see."),
    409: ("Conflict", "It collides with what is there already."),
    412: ("PreconditionFailed", "It has been changed since the caller last saw it."),
    413: ("TooLarge", f"More than is taken in one piece; a body has at most {MAX_BODY} bytes."),
    415: ("UnsupportedMediaType", "The body is of a type that is not read here."),
    416: ("RangeNotSatisfiable", "The part that is asked for is none of it."),
    422: ("Unprocessable", "Well-formed, but against a rule of what it should become part of."),
    429: ("TooManyRequests", "Too often; `Retry-After` says when to come again."),
    500: ("InternalError", "A fault of the server; its log has the request id."),
    503: ("Unavailable", "The server cannot take this now; come again after `Retry-After`."),
}
HEADERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "X-MEN-RequestID": ("The id of this request: the one the client chose, or a new one.", {"type": "string"}),
    "WWW-Authenticate": ("Which token is expected.", {"type": "string"}),
    "Retry-After": ("Seconds.", {"type": "string", "pattern": "^[1-9][0-9]*$"}),
    "Link": ("Where the pages `first`, `prev`, `next`, `last` of the list are, one header each.", {"type": "string"}),
    "X-Total-Count": ("How long the whole list is.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Location": ("Where what was made is found.", {"type": "string"}),
    "ETag": ("What `If-Match` must name when this is replaced.", {"type": "string"}),
    "Content-Disposition": ("Under which name to keep it.", {"type": "string"}),
    "X-Vedette": ("The version of this server: it understands the account of alerts.", {"type": "string"}),
}


class Problem(TypedDict):
    """Why something was refused."""

    error: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One method of one path."""

    path: str  # as the routing table has it
    method: str
    operation: Operation | None
    by: By
    needs: Call | None

    @property
    def template(self) -> str:
        return _PARAMETER.sub(r"{\1}", self.path)


def entries(routes: Iterable[BaseRoute], hot_paths: Mapping[str, object]) -> Iterator[Entry]:
    """Everything that programs may call from outside."""
    found: list[tuple[str, object]] = [(each.path, each.app) for each in routes if isinstance(each, Route)]
    for path, app in (*found, *hot_paths.items()):
        if not path.startswith(DESCRIBED) or path.startswith(NOT_DESCRIBED):
            continue
        assert isinstance(app, Endpoint | DevicePath), path
        for method, handler in app.handlers.items():
            operation = operation_of(handler)
            by: By = "nobody"
            if isinstance(app, DevicePath):
                by = "device"
            elif operation is not None and operation.by is not None:
                by = operation.by
            elif app.for_users:
                by = "user"
            yield Entry(path, method, operation, by, app.needs if isinstance(app, Endpoint) else None)


def document(table: Iterable[Entry]) -> dict[str, Any]:
    """The OpenAPI document of `table`; what says nothing of itself is left out."""
    ordered = sorted((each for each in table if each.operation), key=lambda each: (each.template, each.method))
    schemas = _Schemas(ordered)
    paths: dict[str, dict[str, Any]] = {}
    for each in ordered:
        paths.setdefault(each.template, {})[each.method.lower()] = _operation(each, schemas)
    tags = {tag_of(each.path) for each in ordered}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vedette",
            "version": __version__,
            "description": (
                "The API of a Vedette server, for programs of people (`/api/management/`) and for devices"
                " (`/api/devices/`). Bodies are JSON in UTF-8, times are RFC 3339 in UTC. Unknown keys of a request"
                " are ignored; answers may get further keys."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys((*TAGS.values(), OTHER)) if name in tags],
        "paths": paths,
        "components": {
            "securitySchemes": SCHEMES,
            "headers": {
                name: {"description": description, "schema": schema} for name, (description, schema) in HEADERS.items()
            },
            "responses": {_name(status): _refusal(status) for status in REFUSALS},
            "schemas": schemas.components,
        },
    }


def tag_of(path: str) -> str:
    """The part of the API that a path belongs to."""
    return next((TAGS[part] for part in path.split("/") if part in TAGS), OTHER)


def refusals(entry: Entry) -> set[int]:
    """What is answered when something is wrong, as far as it follows from the kind of the route."""
    operation = entry.operation
    assert operation is not None
    found = {500, 503, *operation.errors}
    if entry.by != "nobody":
        found |= {401, 429}
    if entry.by == "user":
        found.add(403)
    if "{" in entry.path:
        found.add(404)
    if operation.parameters:
        found.add(400)
    if entry.method not in SAFE:
        found |= {400, 413, 415}
        if entry.by == "user" and OWN_ACCOUNT.match(entry.path):
            found.add(422)
    return found


def permission_sets(entry: Entry) -> list[str]:
    """The permission sets that allow this call, everything else being right; empty: everybody who has logged in may."""
    if entry.by != "user" or entry.needs == ANYBODY:
        return []
    method, path = entry.needs or (entry.method, entry.template)
    return [each.name for each in PERMISSION_SETS.values() if each.allows(method, path)]


class _Schemas:
    """JSON Schemas of all types that are spoken of; those with a name are in `components`."""

    def __init__(self, table: Sequence[Entry]) -> None:
        kinds: list[Any] = [Problem]
        for each in table:
            assert each.operation is not None
            kinds += [parameter.kind for parameter in each.operation.parameters]
            kinds += [kind for answer in each.operation.answers.values() for kind in (answer.kind, answer.json)]
            kinds.append(each.operation.body)
        # Two equal types are the same; a list, since not every type can be hashed.
        made, self.components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
        self._by_id = {id(kind): schema for kind, schema in zip(kinds, made, strict=True)}
        self._kinds = kinds  # ids are theirs as long as they live

    def of(self, kind: Any) -> dict[str, Any]:
        return self._by_id[id(kind)]


def _operation(entry: Entry, schemas: _Schemas) -> dict[str, Any]:
    operation = entry.operation
    assert operation is not None
    sets = permission_sets(entry)
    out: dict[str, Any] = {
        "operationId": _operation_id(entry),
        "summary": operation.summary,
        "tags": [tag_of(entry.path)],
        "security": SECURITY[entry.by],
    }
    if sets:
        out["description"] = f"Allowed by the permission sets {', '.join(sets)}."
        out["x-permission-sets"] = sets
    said = {each.name for each in operation.parameters if each.place == "path"}
    parameters = [_path_parameter(entry, name) for name in _PARAMETER.findall(entry.path) if name not in said]
    parameters += [_parameter(each, schemas) for each in operation.parameters]
    if parameters:
        out["parameters"] = parameters
    if operation.body is not None:
        out["requestBody"] = {
            "required": operation.body_required,
            "content": {JSON: {"schema": schemas.of(operation.body)}},
        }
    responses = {status: _answer(status, answer, schemas) for status, answer in operation.answers.items()}
    for status in refusals(entry) - set(responses):
        responses[status] = {"$ref": f"#/components/responses/{_name(status)}"}
    out["responses"] = {str(status): responses[status] for status in sorted(responses)}
    return out


def _operation_id(entry: Entry) -> str:
    """Made of method and path, so it stays as long as they do."""
    words = re.findall(r"\w+", entry.template.removeprefix("/api/"))
    return "_".join((entry.method.lower(), *words)).replace("0_1_0", "v0")


def _path_parameter(entry: Entry, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"Which of `{_before(entry.template, name)}`.",
        "schema": {"type": "string", "minLength": 1},
    }


def _before(template: str, name: str) -> str:
    """The part of a path that says of what a parameter is the id or name."""
    before = template.partition("/{" + name + "}")[0].split("/")
    return next(part for part in reversed(before) if not part.startswith("{"))


def _parameter(given: Parameter, schemas: _Schemas) -> dict[str, Any]:
    return {
        "name": given.name,
        "in": given.place,
        "required": given.required or given.place == "path",
        "description": given.description,
        "schema": schemas.of(given.kind),
    }


def _answer(status: int, answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    out: dict[str, Any] = {
        "description": answer.description or HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-MEN-RequestID", *answer.headers)},
    }
    if answer.kind is not None:
        out["content"] = {answer.media: {"schema": schemas.of(answer.kind)}}
    if answer.json is not None:
        out["content"][JSON] = {"schema": schemas.of(answer.json)}
    return out


def _refusal(status: int) -> dict[str, Any]:
    extra = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": REFUSALS[status][1],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-MEN-RequestID", *extra)},
        "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
    }


def _name(status: int) -> str:
    """Not that of `HTTPStatus`: it differs between versions of Python."""
    return REFUSALS[status][0]
