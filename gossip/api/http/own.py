"""The routes of our own: what `gossip` tells over the local socket, to be read by GET.

Paths begin with `/gossip/v1`; answers have the shapes of the local socket's. Nothing can be changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

from gossip.api import views
from gossip.api.http.values import BadRequestError, Request, Response, Streamed, json
from gossip.config.access import Scope
from gossip.core.types import Phase

if TYPE_CHECKING:
    from gossip.api.http.routes import Routes
    from gossip.api.http.sse import EventStreams
    from gossip.api.lookups import Lookups
    from gossip.api.methods import Backend

__all__ = ["Own"]

UNHEALTHY: Final = ("isolated", "duplicate_identity")
"""Flags with which what this agent says should not be relied upon."""
QUESTION: Final = ("tag", "any", "no_suspect", "near")

_encode = msgspec.json.Encoder().encode


class Own:
    """The handlers.

    Args:
        lookups: of this face: it keeps answers encoded, and counts them.
    """

    def __init__(self, agent: Backend, lookups: Lookups, streams: EventStreams) -> None:
        self._agent = agent
        self._lookups = lookups
        self._streams = streams

    def add_to(self, routes: Routes) -> None:
        """Put them into the table."""
        # Load balancers bring no token, and learn nothing but whether to send anybody here.
        routes.add("GET", "/gossip/v1/healthy", self.healthy, scope=Scope.NONE)
        routes.add("GET", "/gossip/v1/info", self.info)
        routes.add("GET", "/gossip/v1/members", self.members)
        routes.add("GET", "/gossip/v1/services", self.services)
        routes.add("GET", "/gossip/v1/services/{name}", self.lookup)
        routes.add("GET", "/gossip/v1/watch/services", self.watch_services)
        routes.add("GET", "/gossip/v1/watch/services/{name}", self.watch_service)
        routes.add("GET", "/gossip/v1/watch/members", self.watch_members)
        routes.add("GET", "/gossip/v1/watch/events", self.watch_events)

    async def healthy(self, asked: Request) -> Response:
        """200 while this agent can be relied upon; else 503, with the reasons."""
        asked.only()
        node = self._agent.node
        reasons = [flag for flag in node.flags if flag in UNHEALTHY]
        phase = node.members.me.record.phase
        if phase != Phase.RUNNING:
            reasons.append(Phase(phase).name.lower())
        return json({"healthy": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def info(self, asked: Request) -> Response:
        """`agent.info`."""
        asked.only()
        return json(self._agent.info())

    async def members(self, asked: Request) -> Response:
        """`members.list`."""
        asked.only()
        return json(self._agent.members())

    async def services(self, asked: Request) -> Response:
        """`services.list`."""
        asked.only()
        return json(views.services(self._agent.node))

    async def lookup(self, asked: Request) -> Response:
        """`services.lookup`."""
        answer = self._lookups.answer(Raw(_encode(_question(asked))))
        return Response(200, answer + b"\n")

    async def watch_service(self, asked: Request) -> Response | Streamed:
        """`services.watch` of one service."""
        question = _question(asked)
        return self._streams.answer(
            asked, "instances", lambda watches, sink: watches.services(sink, 1, question)
        )

    async def watch_services(self, asked: Request) -> Response | Streamed:
        """`services.watch` of the list."""
        asked.only()
        return self._streams.answer(asked, "services", lambda watches, sink: watches.services(sink, 1, None))

    async def watch_members(self, asked: Request) -> Response | Streamed:
        """`members.watch`."""
        asked.only()
        return self._streams.answer(asked, "members", lambda watches, sink: watches.members(sink, 1))

    async def watch_events(self, asked: Request) -> Response | Streamed:
        """`events.watch`."""
        asked.only("name")
        name = asked.text("name") or None
        return self._streams.answer(asked, "event", lambda watches, sink: watches.events(sink, 1, name))


def _question(asked: Request) -> views.Lookup:
    asked.only(*QUESTION)
    question = {
        "service": asked.params["name"],
        "tags": asked.query.get("tag", ()),
        "any": asked.switch("any"),
        "no_suspect": asked.switch("no_suspect"),
        "near": asked.switch("near"),
    }
    try:
        return msgspec.convert(question, views.Lookup)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"{error}: a name has 64 characters at most, a tag 255") from error
