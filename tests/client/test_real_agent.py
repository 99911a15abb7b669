"""Clients and a real agent that is killed and started again."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

import gossip
from tests.agent.processes import PATIENCE, Process, until

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def process() -> Generator[Process, None, None]:
    # Not pytest's tmp_path: a unix socket's path has room for 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="gossip-test-"))
    try:
        with Process(folder) as agent:
            yield agent
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_async_clients_outlive_their_agent(process: Process, backend: str) -> None:
    """A held registration comes back, a watch resumes, a replica keeps answering and catches up."""

    async def main() -> None:
        async with gossip.aconnect(process.socket) as g, g.replica() as catalog, g.replica("kept") as few:
            await catalog.ready()
            changes = catalog.changed("held")
            await g.register("kept", 1)
            await g.register("held", 2, while_connected=True)
            assert [each.port for each in await anext(changes)] == [2]
            views = g.watch("held")
            assert len(await anext(views)) == 1
            process.kill()
            while catalog.connected or few.connected:  # noqa: ASYNC110 - it tells of changes only
                await anyio.sleep(0.01)
            assert [each.port for each in catalog.lookup("held")] == [2]
            assert 0 <= catalog.staleness < PATIENCE
            process.start()
            assert (await g.info())["pid"] == process.child.pid
            view = await anext(views)
            assert view.resync
            while not len(view):  # until it is registered again
                view = await anext(views)
            await catalog.ready()
            while not catalog.lookup("held"):
                await anext(changes)
            assert [each.port for each in catalog.lookup("kept")] == [1]
            await few.ready()
            assert few.lookup("kept") == catalog.lookup("kept")
            await views.aclose()

    async def bounded() -> None:
        with anyio.fail_after(2 * PATIENCE):
            await main()

    anyio.run(bounded, backend=backend)
    # The connection is gone, and the registration with it.
    with gossip.connect(process.socket) as g:
        until("the held service is gone", lambda: not g.lookup("held"))


def test_a_blocking_client_outlives_its_agent(process: Process) -> None:
    with gossip.connect(process.socket) as g, g.replica() as catalog:
        catalog.ready()
        changes = catalog.changed("held")
        g.register("held", 2, while_connected=True)
        assert [each.port for each in next(changes)] == [2]
        process.kill()
        until("the replica notices", lambda: not catalog.connected)
        assert len(catalog.lookup("held")) == 1
        process.start()
        # Nobody calls: the registration comes back by itself, and the replica with it.
        until("the replica is in step", lambda: catalog.connected and catalog.lookup("held"))
        assert g.info()["pid"] == process.child.pid
        assert len(g.lookup("held")) == 1


def test_what_a_watcher_is_told_is_what_a_replica_holds(process: Process) -> None:
    """Many changes at once, against the answers of the agent itself."""
    with gossip.connect(process.socket) as g, g.replica() as catalog:
        catalog.ready()
        for number in range(200):
            g.register(f"s{number % 20}", 1_000 + number, id=f"i{number % 60}", tags=[f"t{number % 3}"])
        g.deregister("i7")
        names = [each.name for each in g.services()]
        wanted = {name: tuple(found) for name, found in g.lookup_many(names).items()}
        deadline = time.monotonic() + PATIENCE
        while {name: catalog.lookup(name) for name in names} != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert catalog.services() == g.services()
        assert catalog.lookup("s1", tags=["t0"]) == tuple(g.lookup("s1", tags=["t0"]))


def test_health_as_a_program_tells_it(process: Process) -> None:
    with gossip.connect(process.socket) as g, g.replica("web") as catalog:
        catalog.ready()
        changes = catalog.changed("web")
        g.register("web", 80, check=gossip.TTLCheck("1h", id="beat", name="beat"))
        assert catalog.lookup("web") == ()
        (check,) = g.checks()
        assert (check.id, check.kind, check.service_id, check.status) == ("beat", "ttl", "web", "critical")
        g.passing("web")
        (found,) = next(changes)
        assert (found.status, found.checks) == ("passing", {"beat": "passing"})
        g.warning("beat", "slow")
        until("the replica has the warning", lambda: catalog.lookup("web")[0].status == "warning")
        g.maintenance(True, "web", "upgrade")
        until("it is hidden", lambda: not catalog.lookup("web"))
        (found,) = g.lookup("web", any=True)
        assert (found.status, found.note) == ("maintenance", "upgrade")
        g.maintenance(False, "web")
        until("it is back", lambda: catalog.lookup("web"))
        assert g.reload() == gossip.ReloadResult(0, 0, 0, 0)
        with pytest.raises(gossip.ConfigError, match="ttl"):
            g.register("web", 80, check=gossip.TTLCheck("soon"))
