"""Programs that find what to scrape by themselves: Prometheus, of two ages, and vmagent; asked by HTTP."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.agent.processes import PATIENCE, until
from tests.support import clean_environment, requires_peer, requires_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

__all__ = ["Scraper", "newer_prometheus", "older_prometheus", "vmagent"]


class Scraper:
    """One of them, with a configuration in Prometheus's format; ended with the block."""

    def __init__(self, folder: Path, command: Sequence[str], config: object) -> None:
        folder.mkdir(exist_ok=True)
        # What is JSON is YAML too.
        (folder / "config.yml").write_text(json.dumps(config))
        self._folder = folder
        self._command = list(command)
        self._log = folder / "log"
        self._address = ""

    def _listening(self) -> str:
        """Where it listens, as the system knows: not all of them tell which port they got."""
        assert self._child.poll() is None, self._log.read_text()
        held = set()
        for descriptor in Path(f"/proc/{self._child.pid}/fd").iterdir():
            try:
                held.add(str(descriptor.readlink()))
            except FileNotFoundError:
                continue
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in held:
                return f"127.0.0.1:{int(fields[1].partition(':')[2], 16)}"
        return ""

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of its API; nothing while it is starting."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return {}
            raise AssertionError(f"{url}: {error.read().decode()}") from error

    def ask(self, query: str) -> list[Any]:
        """What a query in PromQL finds."""
        found: list[Any] = self.get("query", query=query).get("result", [])
        return found

    def targets(self) -> dict[str, dict[str, str]]:
        """The labels with which each target was discovered, by its address."""
        return {
            each["discoveredLabels"]["__address__"]: each["discoveredLabels"]
            for each in self.get("targets", state="active").get("activeTargets") or ()
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._address = until("it listens", self._listening)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._child.kill()
        self._child.wait()


def _prometheus(program: str, folder: Path, config: object) -> Scraper:
    command = [
        program,
        "--config.file=config.yml",
        "--storage.tsdb.path=tsdb",
        "--web.listen-address=127.0.0.1:0",
    ]
    return Scraper(folder, command, config)


def newer_prometheus(folder: Path, config: object) -> Scraper:
    """The system's: Debian's 2.42 and later know no consul_sd."""
    return _prometheus(requires_program("prometheus"), folder, config)


def older_prometheus(folder: Path, config: object) -> Scraper:
    """2.24.1, which knows no http_sd."""
    return _prometheus(requires_peer("prometheus", "prometheus"), folder, config)


def vmagent(folder: Path, config: object) -> Scraper:
    """With nowhere to write to: it finds its targets all the same."""
    command = [
        requires_peer("vmagent", "vmagent"),
        "-promscrape.config=config.yml",
        # refresh_interval is a flag of its own here.
        "-promscrape.config.strictParse=false",
        "-httpListenAddr=127.0.0.1:0",
        "-remoteWrite.url=http://127.0.0.1:9/",
        "-remoteWrite.tmpDataPath=written",
        "-promscrape.consulSDCheckInterval=1s",
        "-promscrape.httpSDCheckInterval=1s",
        "-memory.allowedBytes=64MB",
    ]
    return Scraper(folder, command, config)
