"""What an agent serves besides the local socket, as far as it is switched on: HTTP, DNS, forwarders.

Each is imported when it is wanted, so that an idle agent stays small; that is done before the node lives,
since it takes a tenth of a second in which it would not answer.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gossip.config import DEV_DNS, DEV_HTTP
from gossip.host import raise_descriptors

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    import trio

    from gossip.api.consul.backend import Backend
    from gossip.api.dns.face import DnsFace
    from gossip.api.http.face import HttpFace
    from gossip.api.http.proxies import Forwarding
    from gossip.api.socket import LocalSocket
    from gossip.config import Config, ProxyDefinition
    from gossip.core.events import Event
    from gossip.core.node import Node
    from gossip.net.driver import Driver
    from gossip.proxying import Proxying

__all__ = ["Serving"]


class Serving:
    """The faces of one agent that settings switch on.

    Sockets are bound at once, so that a port that is taken stops the start; they are closed with `parts`.

    Raises:
        TransportError: an address cannot be had.
        ConfigError: a certificate or its key is faulty.
    """

    def __init__(
        self,
        parts: contextlib.AsyncExitStack,
        config: Config,
        node: Node,
        driver: Driver,
        local: LocalSocket,
        agent: Backend,
    ) -> None:
        self._node = node
        self._driver = driver
        self.dns = self._build_dns(parts, config)
        self.proxying: Proxying | None = None
        if config.proxies:
            self.proxying = self._build_proxying(config.proxies)
            parts.callback(self.proxying.close)
        self.http = self._build_http(parts, config, local, agent)
        self._tasks: trio.Nursery

    def _build_http(
        self, parts: contextlib.AsyncExitStack, config: Config, local: LocalSocket, agent: Backend
    ) -> HttpFace | None:
        if config.http is None:
            return None
        from gossip.api.http.face import HttpFace, listen_or_move

        sock = listen_or_move(config.http, may_move=config.dev and config.http == DEV_HTTP)
        parts.callback(sock.close)
        return HttpFace(
            sock,
            self._node,
            self._driver,
            local,
            agent,
            config,
            config.http_list_self_as,
            self.dns,
            self._forwarders,
        )

    def _build_dns(self, parts: contextlib.AsyncExitStack, config: Config) -> DnsFace | None:
        if config.dns is None:
            return None
        from gossip.api.dns.face import DnsFace, Options, bind_or_move
        from gossip.api.dns.zone import Settings

        sockets = bind_or_move(config.dns, may_move=config.dev and config.dns == DEV_DNS)
        parts.callback(sockets.close)
        zone = Settings(
            config.dns_domains,
            config.cluster,
            int(config.dns_ttl),
            int(config.dns_negative_ttl),
            config.dns_only_passing,
        )
        return DnsFace(
            sockets,
            self._node,
            Options(zone, config.dns_udp_size, config.recursors, config.dns_rate),
            random.SystemRandom(),
            gossip_first=self._driver.gossip_first,
            count=self._node.count,
        )

    def _build_proxying(self, wanted: Sequence[ProxyDefinition]) -> Proxying:
        from gossip.proxying import Proxying

        made = Proxying(self._node, self._driver.gossip_first, raise_descriptors())
        made.bind(wanted)
        return made

    def _forwarders(self) -> Sequence[Forwarding]:
        return () if self.proxying is None else self.proxying.forwarders()

    async def start(self, tasks: trio.Nursery) -> None:
        """Serve, by tasks of that nursery, until it is cancelled."""
        self._tasks = tasks
        if self.http is not None:
            tasks.start_soon(self.http.serve)
        if self.dns is not None:
            tasks.start_soon(self.dns.serve)
        if self.proxying is not None:
            await tasks.start(self.proxying.run)

    def drain(self, tasks: trio.Nursery) -> None:
        """Take nothing new, and end what is under way, by tasks of that nursery."""
        if self.http is not None:
            tasks.start_soon(self.http.drain)
        if self.proxying is not None:
            tasks.start_soon(self.proxying.drain)

    def happened(self, event: Event) -> None:
        """The node tells of something, and has already changed."""
        if self.proxying is not None:
            self.proxying.happened(event)
        if self.http is not None:
            self.http.happened(event)

    def reload(self, config: Config) -> None:
        """Go by who may use the faces now.

        Raises:
            ConfigError: the certificate or its key is faulty; nothing has changed.
        """
        if self.http is not None:
            self.http.reload(config)

    async def reload_proxies(self, wanted: Sequence[ProxyDefinition]) -> list[str]:
        """Have these forwarders, and no others; which cannot be had, and why."""
        if self.proxying is None:
            if not wanted:
                return []
            self.proxying = self._build_proxying(())
            await self._tasks.start(self.proxying.run)
        return self.proxying.reload(wanted)
