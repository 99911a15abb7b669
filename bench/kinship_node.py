"""A kinship node of the bench: run by the Python that has kinship, speaks lines of JSON on its pipes.

Arguments: NAME HOST:PORT [SEED...]. Standard input takes ["join", SEED], ["leave"], ["change", TOKEN] and
["event", TOKEN]; standard output tells ["ready"], ["sees", NAME, STATUS], ["heard", TOKEN], ["done", TOKEN].
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import kinship  # type: ignore[import-not-found, unused-ignore]

STATUS = {"MemberJoined": "alive", "MemberRecovered": "alive", "MemberSuspect": "suspect"}
STATUS |= {"MemberDead": "dead", "MemberLeft": "left"}


def tell(*words: str) -> None:
    """One line to the harness, at once."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def follow(cluster: Any, events: Any) -> None:
    """Tell who is there, then every event."""
    for member in cluster.members():
        tell("sees", member.name, member.state.name.lower())
    async for event in events:
        kind = type(event).__name__
        if kind in STATUS:
            tell("sees", event.member.name, STATUS[kind])
        elif kind == "MemberUpdated":
            tell("heard", event.member.meta.get("bench", ""))
        elif kind == "UserMessage":
            tell("heard", event.data.decode())


async def obey(cluster: Any, verb: str, token: str) -> None:
    """Do what a line of the harness says."""
    if verb == "join":
        await cluster.join([token])
    elif verb == "leave":
        await cluster.leave()
    elif verb == "change":
        await cluster.set_meta({"bench": token})
        # A node gets no event about itself: it has its own change as soon as the call is back.
        tell("heard", token)
    elif verb == "event":
        await cluster.broadcast(token.encode())
        tell("heard", token)
    tell("done", token or verb)


async def main(name: str, bind: str, seeds: list[str]) -> None:
    """Run the node until standard input ends."""
    cluster = kinship.Cluster(kinship.Config.lan(name=name, bind=bind, insecure_plaintext=True))
    await cluster.start()
    tasks = [asyncio.create_task(follow(cluster, cluster.events()))]
    tell("ready")
    tasks.extend(asyncio.create_task(obey(cluster, "join", seed)) for seed in seeds)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        verb, *rest = json.loads(line)
        tasks.append(asyncio.create_task(obey(cluster, verb, rest[0] if rest else "")))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
