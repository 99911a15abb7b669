"""Commands of whoever holds the authority's private key: ca, invite, and the ban of `evict --ban`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gossip.cli.output import plain, say, say_json, say_pairs
from gossip.cli.parser import AUTHORITY_KEY
from gossip.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.channel import Channel
    from gossip.client.framing import Message

__all__ = ["ban", "ca", "invite"]

ID_CHARS = 32
LIFETIME = 86_400.0
"""Seconds that an invitation may be used where nothing is said."""


def ca(options: Namespace) -> int:
    """Makes an authority's key pair."""
    from gossip.ca import init

    path = Path(options.key)
    public = init(path)
    if options.json:
        say_json({"key": str(path), "authority": public})
        return 0
    say_pairs(
        [
            ("private key", f"{path} (keep it off the agents, and a copy of it safe)"),
            ("public key", f"{path}.pub"),
            ("authority", public),
        ]
    )
    say("set authority to this at every agent, and invite each: gossip invite")
    return 0


def invite(options: Namespace) -> int:
    """Prints an invitation."""
    from gossip.ca import invite as make

    if options.id and options.expires is not None:
        options.parser.error("an invitation for an --id is without end: leave --expires out")
    lifetime = None if options.id else LIFETIME if options.expires is None else options.expires
    token = make(Path(options.key), options.cluster, options.name, options.id, lifetime)
    if options.json:
        expires = None if options.id else token.expires
        say_json({"token": str(token), "name": options.name, "id": options.id, "expires": expires})
    else:
        say(str(token))
    return 0


def ban(options: Namespace, channel: Channel) -> int:
    """Signs a ban and gives it to the agent, which tells all."""
    from gossip.ca import public_key, sign_ban

    info = channel.call("agent.info")
    path = Path(options.key or AUTHORITY_KEY)
    if not info["authority"]:
        raise RefusedError(
            "a ban is signed by the cluster's authority, and this cluster has none: see 'gossip ca init',"
            " and give every agent its public key"
        )
    if public_key(path) != info["authority"]:
        raise RefusedError(f"{path} is the key of another authority than that of this agent's cluster")
    node, name = _subject(options.member, channel, info)
    raw = sign_ban(path, info["cluster"], node, name, options.reason)
    channel.call("agent.ban", {"record": raw.hex()})
    say(f"banned {plain(name or node)}: no agent listens to it any more, and it keeps what it knows")
    if info["sealing"].startswith("clear"):
        say("it can still read all that the agents say, which is in clear: see 'gossip keygen'")
        return 0
    say("it can still read what is sealed with the keys it has, until they are changed")
    if options.rotate or _says_yes("change the cluster's keys now? [y/N] "):
        key = channel.call("keys.rotate")["name"]
        say(f"changing to key {plain(key)}, which it is not given: 'gossip keys list' shows how far that is")
    else:
        say("change them with 'gossip keys rotate'")
    return 0


def _says_yes(question: str) -> bool:
    """Whether who sits at a terminal says so; nobody else is asked."""
    import sys

    return sys.stdin.isatty() and sys.stdout.isatty() and input(question).strip().lower() in ("y", "yes")


def _subject(member: str, channel: Channel, info: Message) -> tuple[str, str]:
    """Id and name of whom the ban is about: one that is known, or any id."""
    members = channel.call("members.list")["members"]
    found = [each for each in members if each["name"] == member]
    if not found:
        found = [each for each in members if member and each["id"].startswith(member.lower())]
    if len(found) > 1:
        ids = ", ".join(each["id"] for each in found)
        raise NotFoundError(f"{len(found)} members are called so: give the id of one ({ids})")
    if found:
        if found[0]["id"] == info["id"]:
            raise RefusedError("this is the agent that was asked: ban it through another one")
        return found[0]["id"], found[0]["name"]
    if len(member) == ID_CHARS and all(char in "0123456789abcdefABCDEF" for char in member):
        return member.lower(), ""
    raise NotFoundError(f"no member is called {member!r}: see 'gossip members', or give the whole id")
