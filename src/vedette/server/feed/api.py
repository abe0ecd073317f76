"""The feed of known vulnerabilities: for devices, which fetch it, and for people, who see how old it is. Ours."""

import hashlib
from typing import Final, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.db import DeviceScope
from vedette.server.devices import sessions
from vedette.server.feed import service
from vedette.server.http import json_response, public_route, services, user_route
from vedette.server.http.routes import bearer
from vedette.server.openapi.operation import Answer, Parameter, Time, operation
from vedette.wire.outgoing import timestamp

DEVICES: Final = "/api/devices/v1/vedette/feed"
MANAGEMENT: Final = "/api/management/v1/vedette/feed"
OCTETS: Final = "application/octet-stream"


class FeedHeadAnswer(TypedDict):
    """What a stream is now; the hash of its index, and so on: docs/security.md."""

    format: int
    stream: str
    imported: Time
    newest: str
    advisories: int
    buckets: int
    index: str


class FeedSourceAnswer(TypedDict):
    """What was imported."""

    name: str
    kind: str
    imported: Time
    advisories: int


class FeedStreamAnswer(TypedDict):
    """A stream, and what it is made of."""

    stream: str
    imported: Time
    newest: str
    advisories: int
    blocks: int
    size: int
    sources: list[FeedSourceAnswer]


@operation(
    "Ask what the feed of known vulnerabilities is now",
    headers=(Parameter("If-None-Match", "The ETag of what the device has.", str, "header"),),
    answers={200: Answer(FeedHeadAnswer, headers=("ETag",)), 304: None},
    errors=(404,),
    by="device",
)
async def get_head(request: Request) -> Response:
    await _device(request)
    text = await service.head(services(request), request.path_params["stream"])
    headers = {"ETag": f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type="application/json")


@operation(
    "Fetch blocks of the feed of known vulnerabilities",
    query=(Parameter("hash", "Of each block, in the order they are to come.", list[str], required=True),),
    answers=Answer(bytes, OCTETS),
    errors=(400, 404),
    by="device",
)
async def get_blocks(request: Request) -> Response:
    await _device(request)
    hashes = request.query_params.getlist("hash")
    content = await service.blocks(services(request), request.path_params["stream"], hashes)
    return Response(content, media_type=OCTETS)


@operation("Show the feeds of known vulnerabilities", answers=list[FeedStreamAnswer])
async def get_feeds(request: Request, caller: Caller) -> Response:
    use = services(request)
    sources = await service.sources(use)
    found: list[FeedStreamAnswer] = [
        {
            "stream": each.head.stream,
            "imported": each.head.imported,
            "newest": each.head.newest,
            "advisories": each.head.advisories,
            "blocks": each.blocks,
            "size": each.size,
            "sources": [
                {
                    "name": source.name,
                    "kind": source.kind,
                    "imported": timestamp(source.imported_at),
                    "advisories": source.advisories,
                }
                for source in sources
                if source.stream == each.head.stream
            ],
        }
        for each in await service.streams(use)
    ]
    return json_response(found)


async def _device(request: Request) -> DeviceScope:
    return await sessions.device(services(request), bearer(request.headers.get("authorization")))


ROUTES: Final = [
    public_route(f"{DEVICES}/{{stream}}", {"GET": get_head}),
    public_route(f"{DEVICES}/{{stream}}/blocks", {"GET": get_blocks}),
    user_route(MANAGEMENT, {"GET": get_feeds}),
]
