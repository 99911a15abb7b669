"""The same request, and the same URL, at another place: nothing is parsed or copied again.

To parse a URL takes httpx longer than all the rest of a call takes us, and what sends a request reads none
of it; to make a request anew with its headers takes a fifth of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Elsewhere", "Moved"]


class Moved(httpx.Request):
    """`request` to another host and port. The headers are the original's, `Host` too."""

    def __init__(self, request: httpx.Request, host: str, port: int, extensions: Mapping[str, Any]) -> None:
        # The other constructor would copy the headers, and parse the URL.
        self.method = request.method
        self.url = Elsewhere(request.url, host, port)
        self.headers = request.headers
        self.stream = request.stream
        self.extensions = dict(extensions)


class Elsewhere(httpx.URL):
    """`url`, with another host and port in what transports read of it.

    Everything else that a URL can tell is worked out by httpx when somebody asks.
    """

    def __init__(self, url: httpx.URL, host: str, port: int) -> None:
        super().__init__(url)
        self._original = url
        self._host = host
        self._port = port

    @property
    def host(self) -> str:
        return self._host

    @property
    def raw_host(self) -> bytes:
        return self._host.encode("ascii" if self._host.isascii() else "idna")

    @property
    def port(self) -> int | None:
        return self._port

    @property
    def netloc(self) -> bytes:
        return self._whole().netloc

    def _whole(self) -> httpx.URL:
        return self._original.copy_with(host=self._host, port=self._port)

    def copy_with(self, **changes: object) -> httpx.URL:
        return self._whole().copy_with(**changes)

    def __str__(self) -> str:
        return str(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())

    def __eq__(self, other: object) -> bool:
        return self._whole() == other

    def __hash__(self) -> int:
        return hash(self._whole())
