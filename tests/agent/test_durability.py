"""What was acknowledged is there again, whenever and however the agent ends."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

from tests.agent.processes import Ask, Process

KILLS = 10


def registered(ask: Ask) -> dict[str, int]:
    answer = ask.call("services.lookup", service="web")
    return {each["id"]: each["port"] for each in answer["instances"]}


class Load:
    """Registers, changes and deregisters until the agent is gone, and keeps book of the answers."""

    def __init__(self, process: Process, rng: random.Random, sure: dict[str, int | None]) -> None:
        self._rng = rng
        self.sure = sure
        """Port by id as acknowledged; None: acknowledged to be gone."""
        self.unsure: dict[str, set[int | None]] = {}
        """What was asked for and not answered: it may have come to pass."""
        self.answers = 0
        self._ask = process.ask()
        self._asked: dict[int, tuple[str, int | None]] = {}

    def run(self) -> None:
        try:
            while True:
                while len(self._asked) < 8:
                    self._change()
                answer = self._ask.line()
                if answer is None:
                    return
                self._settle(answer)
        except ConnectionError:
            pass
        finally:
            self._ask.close()

    def _change(self) -> None:
        # One change of an id at a time: answers of a pipeline may come in any order.
        busy = {key for key, _ in self._asked.values()}
        key = self._rng.choice([f"k{n}" for n in range(40) if f"k{n}" not in busy])
        port = None if self.sure.get(key) and self._rng.random() < 0.3 else self._rng.randrange(1, 60_000)
        self.unsure.setdefault(key, set()).add(port)
        if port is None:
            number = self._ask.send("services.deregister", id=key)
        else:
            number = self._ask.send("services.register", id=key, name="web", port=port)
        self._asked[number] = (key, port)

    def _settle(self, answer: dict[str, Any]) -> None:
        assert "result" in answer, answer
        key, port = self._asked.pop(answer["id"])
        self.sure[key] = port
        self.unsure.pop(key)
        self.answers += 1


def test_registrations_survive_sigkill_at_any_moment(tmp_path: Path, rng: random.Random) -> None:
    process = Process(tmp_path)
    sure: dict[str, int | None] = {}
    identities, incarnations, answers = set(), [], 0
    for _ in range(KILLS):
        with process:
            load = Load(process, rng, sure)
            thread = threading.Thread(target=load.run)
            thread.start()
            time.sleep(rng.uniform(0.0, 0.25))
            process.kill()
            thread.join(30)
            assert not thread.is_alive()
        answers += load.answers
        with process, process.ask() as ask:
            info = ask.call("agent.info")
            identities.add(info["id"])
            incarnations.append(info["incarnation"])
            there = registered(ask)
            for key in {*sure, *load.unsure, *there}:
                allowed = {sure.get(key), *load.unsure.get(key, ())}
                assert there.get(key) in allowed, f"{key}: {there.get(key)}, not one of {allowed}"
            sure = dict(there)
            process.kill()
    assert answers > KILLS
    assert len(identities) == 1
    assert incarnations == sorted(set(incarnations))


def test_a_torn_log_costs_only_what_was_never_acknowledged(tmp_path: Path, rng: random.Random) -> None:
    process = Process(tmp_path)
    with process, process.ask() as ask:
        for n in range(5):
            ask.call("services.register", id=f"w{n}", name="web", port=n + 1)
        process.kill()
    log = tmp_path / "data" / "records"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[-200:][: rng.randrange(1, 200)])
    with process, process.ask() as ask:
        assert registered(ask) == {f"w{n}": n + 1 for n in range(5)}
        assert [event for event in process.events() if event["event"] == "data_dir"]
        ask.call("services.register", id="later", name="web", port=99)
        process.kill()
    with process, process.ask() as ask:
        assert registered(ask)["later"] == 99


def test_a_damaged_log_is_told_and_what_can_be_read_is_kept(tmp_path: Path) -> None:
    process = Process(tmp_path)
    with process, process.ask() as ask:
        for n in range(5):
            ask.call("services.register", id=f"w{n}", name="web", port=n + 1)
        identity = ask.call("agent.info")["id"]
        process.kill()
    log = tmp_path / "data" / "records"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)
    for _ in range(2):
        # The second time from what the first has signed anew, above its floor.
        with process, process.ask() as ask:
            there = registered(ask)
            assert len(there) == 4
            assert there.items() <= {f"w{n}": n + 1 for n in range(5)}.items()
            assert ask.call("agent.info")["id"] == identity
            process.kill()
    assert any("damaged" in event.get("detail", "") for event in process.events())


def test_a_service_of_a_connection_does_not_outlive_the_agent(tmp_path: Path) -> None:
    process = Process(tmp_path)
    with process, process.ask() as ask:
        ask.call("services.register", id="held", name="web", port=1, while_connected=True)
        ask.call("services.register", id="kept", name="web", port=2)
        process.kill()
    for _ in range(2):
        with process, process.ask() as ask:
            assert registered(ask) == {"kept": 2}
            process.kill()
