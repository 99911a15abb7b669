"""Whose words could not be read: kept by reason and host, and bounded."""

from __future__ import annotations

import socket

import trio

from gossip.net.strangers import HOSTS_MAX, Stranger, Strangers
from tests.net.recorder import Peer, gossip, new_sealer, running


def test_a_host_is_one_stranger_for_a_reason_however_often_it_comes() -> None:
    strangers = Strangers()
    for port in (1, 2, 3):
        strangers.note("cluster", ("10.0.0.9", port), float(port))
    strangers.note("malformed", ("10.0.0.9", 4), 4.0, stream=True)
    assert strangers.since(0.0) == [
        Stranger("malformed", ("10.0.0.9", 4), is_stream=True, times=1, at=4.0),
        Stranger("cluster", ("10.0.0.9", 3), is_stream=False, times=3, at=3.0),
    ]
    assert [each.reason for each in strangers.since(3.0)] == ["malformed"]
    assert strangers.since(4.0) == []


def test_the_oldest_of_too_many_is_forgotten() -> None:
    strangers = Strangers()
    for number in range(HOSTS_MAX + 5):
        strangers.note("cluster", (f"10.0.0.{number}", 1), float(number))
        strangers.note("cluster", ("10.0.0.0", 1), float(number))
    found = [each.address[0] for each in strangers.since(-1.0)]
    assert len(found) == HOSTS_MAX
    assert "10.0.0.0" in found
    assert f"10.0.0.{HOSTS_MAX + 4}" in found
    assert "10.0.0.1" not in found


async def test_the_driver_keeps_who_sent_what_is_of_another_cluster() -> None:
    async with running() as agent, Peer(cluster="other") as peer:
        peer.send(gossip(), agent.address)
        await agent.node.counted("cluster")
        (stranger,) = agent.driver.strangers.since(0.0)
        assert (stranger.reason, stranger.address, stranger.is_stream) == ("cluster", peer.address, False)


async def test_and_who_said_it_on_a_stream_in_either_direction() -> None:
    async with running() as agent:
        agent.node.accept = lambda _source: 1
        stream = await trio.open_tcp_stream(*agent.address)
        async with stream:
            await stream.send_all(new_sealer("other").stream().seal(b"\x90"))
            await agent.node.counted("cluster")
        (stranger,) = agent.driver.strangers.since(0.0)
        assert (stranger.reason, stranger.address[0], stranger.is_stream) == ("cluster", "127.0.0.1", True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            agent.driver._streams.dial(2, address, 5.0)
            sock, _ = await trio.to_thread.run_sync(listener.accept)
            with sock:
                sock.sendall(b"GET / HTTP/1.1\r\n")
                await agent.node.counted("oversized")
        assert agent.driver.strangers.since(0.0)[0].address == address
