"""`catalog/*`, `health/*` and the empty lists: what is read, and waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gossip.api.consul import shapes
from gossip.api.consul.context import NODES, SERVICES, Rows, about_node, about_service
from gossip.api.consul.questions import switch
from gossip.api.consul.words import Refusal
from gossip.api.http.values import Later, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gossip.api.consul.context import Context
    from gossip.api.consul.holdings import Instance, Node
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request

__all__ = ["Reading"]

STATES: Final = ("passing", "warning", "critical")


class Reading:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._holdings = context.holdings

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        for path, handler in (
            ("catalog/datacenters", self.datacenters),
            ("catalog/nodes", self.nodes),
            ("catalog/services", self.services),
            ("catalog/service/", self.service),
            ("catalog/node/", self.node),
            ("catalog/node-services/", self.node_services),
            ("catalog/connect/", self.mesh),
            ("catalog/gateway-services/", self.mesh),
            ("health/service/", self.health_service),
            ("health/checks/", self.health_checks),
            ("health/node/", self.health_node),
            ("health/state/", self.health_state),
            ("health/connect/", self.mesh),
            ("health/ingress/", self.mesh),
            ("kv/", self.no_key),
            ("session/list", self.nothing),
            ("session/info/", self.nothing),
            ("session/node/", self.nothing),
            ("query", self.nothing),
        ):
            table.add("GET", path, handler)

    @property
    def _cluster(self) -> str:
        return self._context.agent.cluster

    # ----------------------------------------------------------------------------------------- catalog

    async def datacenters(self, asked: Request) -> Response:
        """One: this cluster."""
        return self._context.kept(asked, [self._cluster])

    async def nodes(self, asked: Request) -> Response | Later:
        """Every node."""
        rows = Rows(
            lambda: [shapes.node_object(node, self._cluster) for node in self._holdings.nodes()],
            shapes.NODE,
            lambda row: str(row["Node"]),
            _meta,
        )
        return self._context.rows(asked, "nodes", (NODES, SERVICES), rows)

    async def services(self, asked: Request) -> Response | Later:
        """Every service's tags, by its name; of a filter or meta data, those of the instances that fit."""
        question = self._context.question(asked)
        if not (question.filter or question.node_meta):
            return self._context.whole(
                question,
                ("services", question.empty),
                (SERVICES,),
                dict if question.empty else self._holdings.tags,
            )
        rows = Rows(self._flat_rows, shapes.CATALOG_INSTANCE, meta_of=lambda row: dict(row["NodeMeta"]))
        return self._context.tagged(asked, "services", (SERVICES, NODES), rows)

    def _flat_rows(self) -> list[dict[str, Any]]:
        return [shapes.catalog_instance(each, self._cluster) for each in self._holdings.all()]

    async def service(self, asked: Request) -> Response | Later:
        """The instances of a service."""
        name, tags = _named(asked, "Missing service name"), _tags(asked)
        rows = Rows(
            lambda: [shapes.catalog_instance(each, self._cluster) for each in self._instances(name, tags)],
            shapes.CATALOG_INSTANCE,
            lambda row: str(row["Node"]),
            lambda row: dict(row["NodeMeta"]),
        )
        return self._context.rows(asked, ("service", name.lower(), tags), self._topics(name), rows)

    def _instances(self, name: str, tags: Iterable[str]) -> list[Instance]:
        wanted = set(tags)
        found = self._holdings.instances(name)
        return [each for each in found if wanted <= {tag.lower() for tag in each.tags}] if wanted else found

    def _topics(self, name: str) -> tuple[str, ...]:
        """Of a service; of one that the agents themselves are, their comings and goings too."""
        return (about_service(name), *((NODES,) if self._holdings.is_self(name) else ()))

    async def node(self, asked: Request) -> Response | Later:
        """A node with its services by id; null if there is none."""
        return self._node(asked, "node", lambda services: {row["ID"]: row for row in services})

    async def node_services(self, asked: Request) -> Response | Later:
        """The same, with a list."""
        return self._node(asked, "node-services", list)

    def _node(self, asked: Request, which: str, shape: Any) -> Response | Later:
        name = _named(asked, "Missing node name")
        context = self._context
        question = context.question(asked)
        test = context.test(question, shapes.SERVICE)

        def make() -> object:
            node = None if question.empty else self._holdings.find(name)
            if node is None:
                return None
            services = [shapes.catalog_service(each) for each in self._holdings.on(node)]
            return {
                "Node": shapes.node_object(node, self._cluster),
                "Services": shape([row for row in services if test(row)]),
            }

        return context.whole(question, (which, name.lower()), self._node_topics(name), make)

    def _node_topics(self, name: str) -> tuple[str, ...]:
        node = self._holdings.find(name)
        # What is no member is held by one, and nobody is told that it is about that.
        return (about_node(name), NODES, *((SERVICES,) if node is None or node.is_foreign else ()))

    async def mesh(self, asked: Request) -> Response | Later:
        """There is no service mesh."""
        _named(asked, "Missing service name")
        return self._context.rows(asked, "mesh", (), Rows(list, shapes.CATALOG_INSTANCE))

    # ------------------------------------------------------------------------------------------ health

    async def health_service(self, asked: Request) -> Response | Later:
        """The instances of a service, each with its node and the checks of both."""
        name, tags = _named(asked, "Missing service name"), _tags(asked)
        passing = switch(asked, "passing")

        def make() -> list[dict[str, Any]]:
            found = []
            for each in self._instances(name, tags):
                checks = self._holdings.checks(each)
                if not passing or all(row["Status"] == "passing" for row in checks):
                    node = shapes.node_object(each.node, self._cluster)
                    found.append({"Node": node, "Service": shapes.catalog_service(each), "Checks": checks})
            return found

        rows = Rows(
            make,
            shapes.HEALTH_INSTANCE,
            lambda row: str(row["Node"]["Node"]),
            lambda row: dict(row["Node"]["Meta"]),
        )
        key = ("health", name.lower(), tags, passing)
        return self._context.rows(asked, key, self._topics(name), rows)

    async def health_checks(self, asked: Request) -> Response | Later:
        """The checks of a service's instances."""
        name = _named(asked, "Missing service name")

        def make() -> list[dict[str, Any]]:
            return [row for each in self._instances(name, ()) for row in self._holdings.service_checks(each)]

        return self._checks(asked, ("checks", name.lower()), self._topics(name), make)

    async def health_node(self, asked: Request) -> Response | Later:
        """The checks of a node and of its services."""
        name = _named(asked, "Missing node name")

        def make() -> list[dict[str, Any]]:
            node = self._holdings.find(name)
            return [] if node is None else self._of_node(node)

        return self._checks(asked, ("health-node", name.lower()), self._node_topics(name), make)

    async def health_state(self, asked: Request) -> Response | Later:
        """All checks of a status."""
        state = _named(asked, "Missing check state")

        def make() -> list[dict[str, Any]]:
            if state != "any" and state not in STATES:
                return []
            rows = [row for node in self._holdings.nodes() for row in self._of_node(node)]
            return [row for row in rows if state in ("any", row["Status"])]

        return self._checks(asked, ("state", state), (NODES, SERVICES), make)

    def _of_node(self, node: Node) -> list[dict[str, Any]]:
        rows = self._holdings.node_checks(node)
        for each in self._holdings.on(node):
            rows += self._holdings.service_checks(each)
        return sorted(rows, key=lambda row: str(row["CheckID"]))

    def _checks(self, asked: Request, key: object, topics: Iterable[str], make: Any) -> Response | Later:
        metas: dict[str, Mapping[str, str]] = {}

        def meta_of(row: dict[str, Any]) -> Mapping[str, str]:
            if not metas:
                metas.update({node.name: node.meta for node in self._holdings.nodes()})
            return metas.get(row["Node"], {})

        def rows() -> list[dict[str, Any]]:
            metas.clear()
            return list(make())

        return self._context.rows(
            asked, key, topics, Rows(rows, shapes.CHECK, lambda row: str(row["Node"]), meta_of)
        )

    # --------------------------------------------------------------------------------- what there is not

    async def nothing(self, asked: Request) -> Response | Later:
        """There are no sessions and no prepared queries."""
        return self._context.rows(asked, "nothing", (), Rows(list, {}))

    async def no_key(self, asked: Request) -> Response | Later:
        """There are no keys: 404, and whoever waits for one waits."""
        context = self._context
        if not asked.params["rest"] and not {"recurse", "keys"} & asked.query.keys():
            raise Refusal(400, "Missing key name")
        question = context.question(asked)
        answer = context.whole(question, "kv", (), list)

        def missing(given: Response) -> Response:
            headers = [field for field in given.headers if "Consistency" not in field[0]]
            return Response(404, b"", "", headers)

        if isinstance(answer, Response):
            return missing(answer)
        work = answer.work

        async def wait() -> Response:
            given = await work()
            assert isinstance(given, Response)  # noqa: S101 - `whole` streams nothing
            return missing(given)

        return Later(wait)


def _named(asked: Request, problem: str) -> str:
    name = asked.params["rest"]
    if not name:
        raise Refusal(400, problem)
    return name


def _tags(asked: Request) -> tuple[str, ...]:
    return tuple(sorted({tag.lower() for tag in asked.query.get("tag", ())}))


def _meta(row: dict[str, Any]) -> Mapping[str, str]:
    return dict(row["Meta"])
