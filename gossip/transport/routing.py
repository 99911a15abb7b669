"""Which requests are for the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from gossip.transport.call import Call, wish_of

if TYPE_CHECKING:
    from gossip.calling.budget import RetryBudget
    from gossip.client.mirror import Mirror
    from gossip.transport.options import Options

__all__ = ["Routing"]


class Routing:
    """What both transports share."""

    def __init__(self, catalog: Mirror, suffix: str, budget: RetryBudget, options: Options) -> None:
        self.catalog = catalog
        self.budget = budget
        self.options = options
        self._ending = f".{suffix.strip('.').lower()}"

    def call(self, request: httpx.Request) -> Call | None:
        """What to do for this request; None: it is for somebody else.

        Raises:
            httpx.LocalProtocolError: what it asks for cannot be done.
        """
        host = request.url.host
        if not host.endswith(self._ending):
            return None
        if request.url.port is not None:
            raise httpx.LocalProtocolError(
                f"{request.url}: the catalog has the port: leave it out", request=request
            )
        options = self.options
        if given := request.extensions.get("gossip"):
            try:
                options = options.changed(given)
            except (TypeError, ValueError) as problem:
                raise httpx.LocalProtocolError(f"extension 'gossip': {problem}", request=request) from problem
        wish = wish_of(host.removesuffix(self._ending), self.catalog)
        return Call(self.catalog, self.budget, options, wish, request)
