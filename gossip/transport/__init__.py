"""httpx over the catalog: `http://web.gossip/path` goes to an instance of `web` that is well.

    import gossip, gossip.transport, httpx

    with gossip.connect() as g, g.replica() as catalog:
        catalog.ready()
        with httpx.Client(transport=gossip.transport.Transport(catalog)) as web:
            web.get("http://web.gossip/status")

Other hosts are called as they are. It needs httpx, which `pip install 'gossip-agent[httpx]'` brings;
nothing else in this package imports it.
"""

from __future__ import annotations

try:
    import httpx as _httpx  # noqa: F401 - here, so that there is one clear error
except ImportError as _problem:
    raise ImportError("gossip.transport needs httpx: pip install 'gossip-agent[httpx]'") from _problem

from gossip.transport.aio import AsyncTransport
from gossip.transport.blocking import Transport
from gossip.transport.call import NoInstanceError, Tried
from gossip.transport.options import Options

__all__ = ["AsyncTransport", "NoInstanceError", "Options", "Transport", "Tried"]
