"""Many tasks on several processes: same results, bounded work ahead, failures with names, no worker left."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sim.errors import ScenarioError, TaskError
from sim.farm.naming import name_of, names_of
from sim.farm.pool import cores, spread
from tests.sim.farm import work
from tests.support import run_python

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_gives_its_result_once(jobs: int) -> None:
    assert sorted(spread(work.square, range(20), jobs=jobs)) == [(n, n * n) for n in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_to_do(jobs: int) -> None:
    assert list(spread(work.square, [], jobs=jobs)) == []


def test_one_job_is_this_process_and_two_are_others() -> None:
    assert list(spread(work.place, [0], jobs=1)) == [(0, os.getpid())]
    assert os.getpid() not in {pid for _, pid in spread(work.place, range(4), jobs=2)}


def test_by_default_all_cores_work() -> None:
    assert cores() == len(os.sched_getaffinity(0))
    assert sorted(spread(work.square, range(3))) == [(0, 0), (1, 1), (2, 4)]


def test_tasks_are_taken_as_workers_come_free() -> None:
    """An endless stream of tasks is neither read ahead without bound, nor computed after the close."""
    taken = itertools.count()
    jobs = 2
    with closing(spread(work.square, taken, jobs=jobs)) as results:
        seen = [next(results) for _ in range(10)]
    assert len({index for index, _ in seen}) == 10
    assert next(taken) <= 10 + 2 * jobs


def test_workers_hear_no_interrupt() -> None:
    assert {heard for _, heard in spread(work.hears_interrupts, range(4), jobs=2)} == {False}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_cannot_be_done_is_told_with_the_task(jobs: int) -> None:
    with pytest.raises(TaskError, match=r"^blue: no room for blue$"):
        list(spread(work.refuse, [work.Named("blue")], jobs=jobs))


def test_what_cannot_travel_is_told_with_the_task() -> None:
    """Neither a result nor a task that does not pickle leaves a worker waiting."""
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match=r"pickle|local object"):
        list(spread(work.return_a_lambda, [0, 1, 2], jobs=2))
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match=r"pickle|local object"):
        list(spread(work.place, [1, lambda: 2, 3], jobs=2))


def test_the_traceback_of_a_worker_is_the_cause() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(spread(work.stumble, [3], jobs=2))
    assert "in stumble" in str(caught.value.__cause__)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_in_a_task_comes_as_it_is_with_the_task(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(spread(work.stumble, [3], jobs=jobs))
    assert caught.value.__notes__ == ["in the task 3"]


def test_a_bug_whose_exception_cannot_travel_is_told_all_the_same() -> None:
    with pytest.raises(RuntimeError, match="UnspeakableError: said") as caught:
        list(spread(work.stammer, [work.Named("red")], jobs=2))
    assert caught.value.__notes__ == ["in the task red"]


def test_a_worker_that_dies_is_told_in_words() -> None:
    with pytest.raises(TaskError, match=r"a worker process died.*memory.*under way were .*green"):
        list(spread(work.die, [work.Named("green")], jobs=2))


def test_impossible_numbers_of_jobs() -> None:
    with pytest.raises(ScenarioError, match="--jobs 0"):
        spread(work.square, [1], jobs=0)
    with pytest.raises(ScenarioError, match="exclude each other"):
        spread(work.square, [1], jobs=2, scheduler="tcp://127.0.0.1:8786")


def test_messages_name_few_tasks_and_shortly() -> None:
    assert name_of(work.Named("k")) == "k"
    assert name_of("x" * 500).endswith("xxx...")
    assert names_of(range(6)) == "0, 1, 2, 3 and 2 more"


def _start(loop: str) -> subprocess.Popen[str]:
    """A process in a session of its own that goes through `loop` until it is interrupted, and says so."""
    code = f"""if True:
        from sim.farm import spread
        from tests.sim.farm import work
        if __name__ == "__main__":
            try:
                {loop}
            except KeyboardInterrupt:
                print("ended", flush=True)
    """
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _start_hanging() -> subprocess.Popen[str]:
    """A process whose two workers hang in their tasks, each having said its key."""
    process = _start('list(spread(work.announce_and_hang, [work.Named(k) for k in "abcdef"], jobs=2))')
    assert process.stdout is not None
    assert {process.stdout.readline() for _ in range(2)} == {"a\n", "b\n"}
    return process


def test_an_interrupt_of_the_whole_group_ends_workers_without_a_word() -> None:
    """What a terminal does at Ctrl-C. The pipes reach their end when the last worker has gone."""
    process = _start_hanging()
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("ended\n", "")
    assert process.returncode == 0


def test_an_interrupt_of_the_parent_alone_ends_workers_in_their_tasks() -> None:
    """What a supervisor does."""
    process = _start_hanging()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("ended\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("after", [1, 30, 300])
def test_an_interrupt_amid_many_short_tasks_ends_without_a_word(after: int) -> None:
    """Tasks and results are on their way then; no thread may stumble over a pipe that has gone."""
    show = f'print("going" if number == {after} else "", end="", flush=True)'
    process = _start(f"for number, _ in enumerate(spread(work.square, range(10**9), jobs=2)): {show}")
    assert process.stdout is not None
    assert process.stdout.read(5) == "going"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("ended\n", "")
    assert process.returncode == 0


def test_an_iterator_that_is_left_open_holds_nobody_up() -> None:
    code = """if True:
        from sim.farm import spread
        from tests.sim.farm import work
        if __name__ == "__main__":
            results = spread(work.wait_for_ever_unless_first, range(9), jobs=2)
            print(next(results))
            raise SystemExit
    """
    done = run_python("-c", code)
    assert (done.stdout, done.stderr, done.returncode) == ("(0, None)\n", "", 0)


def test_workers_end_with_a_parent_that_is_killed() -> None:
    process = _start_hanging()
    process.kill()
    out, _ = process.communicate(timeout=60)
    assert out == ""
