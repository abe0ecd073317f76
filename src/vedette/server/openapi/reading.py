"""The OpenAPI document as a page can show it: what stands where, and types as a line of text. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

Document = Mapping[str, Any]

CALLERS = {
    "userToken": "a user, with a token or the cookie of a browser",
    "deviceToken": "a device, with its token",
    "password": "a user, with e-mail address and password (HTTP Basic)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A parameter, or a key of an object."""

    name: str
    where: str  # query, path, header; empty: a key
    kind: Markup
    required: bool
    text: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One status that may be answered."""

    status: str
    text: Markup
    kind: Markup
    refusal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    caller: str
    permission_sets: Sequence[str]
    parameters: Sequence[Row]
    body: Markup
    replies: Sequence[Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A type of message."""

    name: str
    text: Markup
    rows: Sequence[Row]


def operations(document: Document) -> dict[str, list[Operation]]:
    """By tag, in the order of the document's tags."""
    found: dict[str, list[Operation]] = {each["name"]: [] for each in document["tags"]}
    for path, methods in document["paths"].items():
        for method, given in methods.items():
            found[given["tags"][0]].append(_operation(document, path, method, given))
    return found


def shapes(document: Document) -> Iterator[Shape]:
    """The types of messages, by name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        rows = [
            Row(
                name=key,
                where="",
                kind=kind_of(each),
                required=key in required,
                text=marked(each.get("description", "")),
            )
            for key, each in schema.get("properties", {}).items()
        ]
        text = schema.get("description", "")
        if "enum" in schema:
            text = f"{text} One of: {', '.join(map(str, schema['enum']))}."
        yield Shape(name=name, text=marked(text), rows=rows)


def kind_of(schema: Mapping[str, Any]) -> Markup:
    """A type in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{}">{}</a>').format(shape_anchor(name), name)
    if "anyOf" in schema:
        return Markup(" or ").join(kind_of(each) for each in schema["anyOf"])
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(each) for each in schema["enum"])
    match schema.get("type"):
        case None:
            return Markup("anything")
        case "array":
            return Markup("list of {}").format(kind_of(schema.get("items", {}))) + _bounds(schema)
        case "object":
            values = schema.get("additionalProperties", {})
            return Markup("object") if not values else Markup("object of {}").format(kind_of(values))
        case "string":
            word = {"date-time": "time", "uuid": "UUID"}.get(schema.get("format", ""), "text")
            return Markup("{}").format(word) + _bounds(schema)
        case "integer" if schema.get("format") == "unix-time":
            return Markup("unix time in seconds")
        case kind:
            return Markup("{}").format(kind) + _bounds(schema)


def marked(text: str) -> Markup:
    """Text in which `code` stands between backticks."""
    pieces = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(each) if n % 2 else each for n, each in enumerate(pieces))


def shape_anchor(name: str) -> str:
    return f"type-{name}"


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
        "maxLength": "at most {} characters",
        "maxItems": "at most {}",
    }
    said = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return f", {' '.join(said)}" if said else ""


def _operation(document: Document, path: str, method: str, given: Mapping[str, Any]) -> Operation:
    parameters = [
        Row(
            name=each["name"],
            where=each["in"],
            kind=kind_of(each["schema"]),
            required=each["required"],
            text=marked(each["description"]),
        )
        for each in given.get("parameters", ())
    ]
    security = given["security"]
    return Operation(
        anchor=given["operationId"],
        method=method.upper(),
        path=path,
        summary=given["summary"],
        caller=CALLERS[next(iter(security[0]))] if security else "anybody",
        permission_sets=given.get("x-permission-sets", ()),
        parameters=parameters,
        body=_content(given.get("requestBody", {})),
        replies=[_reply(document, status, each) for status, each in given["responses"].items()],
    )


def _reply(document: Document, status: str, given: Mapping[str, Any]) -> Reply:
    refusal = "$ref" in given
    if refusal:
        given = document["components"]["responses"][given["$ref"].rpartition("/")[2]]
    return Reply(status=status, text=marked(given["description"]), kind=_content(given), refusal=refusal)


def _content(given: Mapping[str, Any]) -> Markup:
    """What a body holds; empty: there is none."""
    for media, content in given.get("content", {}).items():
        return kind_of(content["schema"]) if media == "application/json" else Markup("{}").format(media)
    return Markup()
