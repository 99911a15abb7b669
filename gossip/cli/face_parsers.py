"""Options of the local faces: who may use the socket, and how HTTP is guarded; the command `token`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.arguments import Parser, add_command, duration

if TYPE_CHECKING:
    import argparse

__all__ = ["add_faces", "add_token"]


def add_faces(agent: Parser) -> None:
    """The options of `gossip agent`."""
    option = agent.add_argument
    option("--socket", metavar="PATH", help="where local programs reach this agent")
    option("--socket-mode", metavar="MODE", help="permissions of the socket, in octal (default: 0660)")
    option(
        "--socket-group", metavar="GROUP", help="the group that the socket belongs to (default: the agent's)"
    )
    for scope, what in (
        ("read", "ask (default: whoever reaches the socket)"),
        ("write", "register services (default: as --allow-read)"),
        ("admin", "join, leave, evict, reload, give commands as checks (default: as --allow-write)"),
    ):
        option(
            f"--allow-{scope}",
            action="append",
            metavar="WHO",
            help=f"user:NAME, group:NAME or everyone: who may {what}; again for more",
        )
    option("--http", metavar="HOST:PORT", help="serve HTTP there: metrics, lookups, watches (default: off)")
    option(
        "--http-tokens",
        metavar="FILE",
        help="the tokens that HTTP takes, by 'gossip token new'; or a directory",
    )
    option(
        "--http-anonymous",
        choices=("none", "read", "write", "admin"),
        help="what requests without a token may do (default: with tokens none; else on loopback all)",
    )
    option("--http-cert", metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    option("--http-key", metavar="FILE", help="its key (PEM, without passphrase)")
    option("--http-client-ca", metavar="FILE", help="take only clients with a certificate of this authority")
    option("--http-tls-min", choices=("1.2", "1.3"), help="the oldest TLS that is spoken (default: 1.2)")
    option(
        "--http-insecure",
        action="store_true",
        default=None,
        help="allow HTTP beyond loopback without tokens or without TLS",
    )


def add_token(commands: argparse._SubParsersAction[Parser]) -> None:
    """The command `token`."""
    token = add_command(
        commands,
        "token",
        "token:token",
        "make a token for the HTTP face, or hash one",
        example="gossip token new prometheus --scope read --file /etc/gossip/tokens",
        client=False,
    )
    token.add_argument(
        "action",
        choices=("new", "hash"),
        metavar="new|hash",
        help="make one, or take one that is there already",
    )
    token.add_argument("name", metavar="NAME", help="whose it is, for the file and for messages")
    token.add_argument(
        "--scope",
        choices=("read", "write", "admin"),
        required=True,
        help="what it allows; each allows those before",
    )
    token.add_argument(
        "--expires", type=duration, metavar="TIME", help="until when it is taken, from now on, as 720h"
    )
    token.add_argument(
        "--file", metavar="FILE", help="add the line with its hash there, instead of printing it"
    )
