"""The command `proxy`: the only one beside `agent` that loads trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.config import ProxyDefinition, check_name
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["proxy"]


def proxy(options: Namespace) -> int:
    """Forwards connections to instances of a service until it is told to stop."""
    for also in ("near", "subset"):
        if options.sticky and getattr(options, also):
            raise ConfigError(f"--sticky decides by itself: leave --{also} out")
    try:
        name = check_name(options.name)
    except ConfigError as problem:
        raise ConfigError(f"NAME: {problem}") from None
    definition = ProxyDefinition(
        listen=options.listen,
        service=name,
        tags=tuple(options.tag),
        near=options.near,
        zone=not options.no_zone,
        subset=options.subset,
        sticky=options.sticky,
        send_proxy=options.send_proxy or "",
        connect_timeout=options.connect_timeout,
        attempts=options.attempts,
        drain=options.drain,
        max_connections=options.max_connections,
    )
    from gossip.proxy.program import run

    return run(definition, options.socket, options.metrics, as_json=options.json)
