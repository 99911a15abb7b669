"""How long a packet takes: the distributions, and how people write them."""

from __future__ import annotations

import hashlib
import math
import pickle
from pathlib import Path
from statistics import NormalDist, fmean, pstdev

import pytest

from sim.chance import CERTAIN, derive
from sim.latency import (
    Empirical,
    Latency,
    Lognormal,
    Normal,
    Uniform,
    parse_latency,
    read_delays,
)

EVEN = [(2 * step + 1) << 15 for step in range(1 << 16)]
"""65,536 draws that divide all there are evenly."""
SOME = [0, 1, 63, 64, 127, 128, 1 << 20, (1 << 20) + 12_345, 1 << 30, 1 << 31, 3 << 30, CERTAIN - 1]


@pytest.mark.parametrize(
    ("latency", "delays", "digest"),
    [
        (
            Normal(20_000, 3_000),
            [986, 1501, 3368, 3376, 3738, 3742, 9539, 9548, 17977, 20000, 22023, 39014],
            "9bdfa4f0e7050280",
        ),
        (
            Lognormal(20_000, 0.5),
            [841, 916, 1251, 1252, 1330, 1331, 3498, 3503, 14275, 20000, 28022, 475664],
            "849ed0b8e9d8cac9",
        ),
    ],
)
def test_a_draw_gives_the_same_on_every_machine(latency: Latency, delays: list[int], digest: str) -> None:
    """The numbers were made once; others would change every hash that a run is known by."""
    assert [latency.draw(bits) for bits in SOME] == delays
    rng = derive(7, "latency")
    digester = hashlib.blake2b(digest_size=8)
    for _ in range(20_000):
        digester.update(latency.draw(rng.getrandbits(32)).to_bytes(8, "big"))
    assert digester.hexdigest() == digest


@pytest.mark.parametrize("sigmas", [step / 8 for step in range(-48, 49)])
def test_a_normal_is_true_to_its_tails(sigmas: float) -> None:
    mean, deviation = 600_000_000, 100_000_000
    chance = NormalDist().cdf(-abs(sigmas))
    bits = round(chance * CERTAIN)
    if sigmas > 0:
        bits = CERTAIN - 1 - bits
    expected = NormalDist().inv_cdf((min(bits, CERTAIN - 1 - bits) + 0.5) / CERTAIN)
    drawn = (Normal(mean, deviation).draw(bits) - mean) / deviation
    assert drawn == pytest.approx(math.copysign(expected, sigmas) if sigmas else 0, abs=0.0001)


def test_moments_of_a_normal() -> None:
    delays = [Normal(20_000, 3_000).draw(bits) for bits in EVEN]
    assert fmean(delays) == pytest.approx(20_000, abs=1)
    assert pstdev(delays) == pytest.approx(3_000, rel=0.001)


def test_moments_of_a_lognormal() -> None:
    """Mean and deviation in closed form; the deviation hangs on a few draws far out."""
    median, sigma = 20_000, 0.5
    delays = [Lognormal(median, sigma).draw(bits) for bits in EVEN]
    mean = median * math.exp(sigma**2 / 2)
    assert fmean(delays) == pytest.approx(mean, rel=0.001)
    assert pstdev(delays) == pytest.approx(mean * math.sqrt(math.exp(sigma**2) - 1), rel=0.01)
    assert sorted(delays)[len(delays) // 2] == pytest.approx(median, abs=5)


def test_a_narrow_distribution_is_its_middle() -> None:
    for latency in (Normal(700, 0), Lognormal(700, 0.0), Empirical([700])):
        assert {latency.draw(bits) for bits in EVEN[::64]} == {700}


def test_no_delay_is_negative() -> None:
    delays = [Normal(1_000, 1_000).draw(bits) for bits in EVEN]
    assert min(delays) == 0
    assert delays.count(0) / len(delays) == pytest.approx(NormalDist().cdf(-1), abs=0.001)
    assert max(delays) > 5_000


@pytest.mark.parametrize(
    "latency", [Normal(20_000, 3_000), Lognormal(20_000, 1.5), Uniform(5, 50_000), Empirical([3, 1, 2, 2])]
)
def test_a_draw_rises_with_its_bits(latency: Latency) -> None:
    """What makes it an inverse distribution function."""
    near_zero = [*range(1_000), *EVEN]
    bits = sorted({*near_zero, *(CERTAIN - 1 - bit for bit in near_zero)})
    delays = [latency.draw(bit) for bit in bits]
    assert delays == sorted(delays)


def test_what_was_measured_is_drawn_as_often_as_it_was_seen() -> None:
    latency = Empirical([9, 1, 5, 5])
    delays = [latency.draw(bits) for bits in EVEN]
    assert [delays.count(delay) for delay in (1, 5, 9)] == [1 << 14, 1 << 15, 1 << 14]


def test_distributions_travel_to_other_processes_without_their_tables() -> None:
    latency = Lognormal(20_000, 0.5)
    latency.draw(5)
    data = pickle.dumps(latency)
    assert len(data) < 200
    copy = pickle.loads(data)  # noqa: S301 - our own
    assert copy == latency
    assert copy.draw(5) == latency.draw(5)


def test_latencies_are_read_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "my delays.txt").write_text("# one way\n0.5ms\n\n 1.25 \n2s\n0.0014ms\n", encoding="utf-8")
    assert parse_latency("normal 20ms 3ms") == Normal(20_000, 3_000)
    assert parse_latency("  lognormal  20ms   0.5 ") == Lognormal(20_000, 0.5)
    assert parse_latency("1ms..5ms") == Uniform(1_000, 5_000)
    assert parse_latency("file my delays.txt", tmp_path) == Empirical((1, 500, 1_250, 2_000_000))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is no duration"),
        ("normal", "write 5ms, 1ms..5ms, normal 20ms 3ms"),
        ("normal 20ms", "is no latency"),
        ("normal 20ms 3ms 1ms", "is no latency"),
        ("normal 20ms wide", "'wide' is no duration"),
        ("lognormal 20ms half", "'half' is no sigma"),
        ("lognormal 20ms -1", "from 0 to 5, not -1"),
        ("lognormal 20ms nan", "from 0 to 5, not nan"),
        ("lognormal 20ms 6", "from 0 to 5, not 6"),
        ("normal 2h 1ms", "from 0 to an hour"),
        ("2h", "from 0 to an hour"),
        ("1ms..2h", "from 0 to an hour"),
        ("file", "is no latency"),
        ("file nowhere.txt", r"nowhere.txt cannot be read: No such file"),
        ("gauss 1ms 2ms", "is no duration"),
    ],
)
def test_what_is_no_latency_is_told_in_words(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_latency(text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"1\nfast\n", r"delays.txt, line 2: 'fast' is no duration"),
        (b"-1\n", r"delays.txt, line 1"),
        (b"# nothing\n", r"delays.txt: from 1 to 1,000,000 delays make a distribution, not 0"),
        (b"2h\n", r"delays.txt: a delay is from 0 to an hour"),
        (b"\xff\xfe", r"delays.txt is no text"),
    ],
)
def test_a_bad_file_of_delays_is_told_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "delays.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read_delays(path)


def test_too_many_delays_are_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.latency.SAMPLES_MAX", 3)
    path = tmp_path / "delays.txt"
    path.write_text("1\n2\n3\n", encoding="utf-8")
    assert len(read_delays(path).samples_us) == 3
    path.write_text("1\n2\n3\n4\n", encoding="utf-8")
    with pytest.raises(ValueError, match="more than 3"):
        read_delays(path)


def test_what_has_no_end_is_no_file_of_delays() -> None:
    with pytest.raises(ValueError, match="/dev/zero has more than 32 MiB, which are no delays"):
        read_delays(Path("/dev/zero"))


def test_distributions_that_cannot_be() -> None:
    for make in (
        lambda: Normal(-1, 0),
        lambda: Normal(1, -1),
        lambda: Lognormal(-1, 0.5),
        lambda: Empirical([]),
        lambda: Empirical([-1]),
    ):
        with pytest.raises(ValueError):
            make()
