import json
import time

import pytest

from dream_keras.common.errors import UserError
from dream_keras.search.chief import Answer, Chief, Outcome, Task
from dream_keras.search.journal import Journal
from dream_keras.search.plan import load_plan

GOOD = Outcome([{"val_pearson": 0.5, "seconds": 1.0}])


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal.jsonl")


def lost(chief, number):
    """Let a trial's lease pass."""
    chief._heartbeats[number] -= chief.plan.settings.lease + 1


def test_a_task_holds_all_a_worker_needs(plan, journal):
    task = Chief(plan, journal).ask("a")
    assert task == Task(
        number=1,
        config=plan.experiment(next(plan.space.orders())).plain(),
        seeds=[0],
        objective="val_pearson",
        lease=60.0,
    )


def test_every_order_is_handed_out_once(plan, journal):
    chief = Chief(plan, journal)
    assert chief.limit == 9
    for number in range(1, 10):
        assert not chief.over
        assert chief.ask(f"w{number % 2}").number == number
        chief.tell(number, GOOD)
    assert chief.over
    assert chief.ask("w0") is chief.ask("w1") is Answer.STOP
    assert chief.stopped == {"w0", "w1"}
    assert [trial.answers for trial in chief.snapshot()] == list(plan.space.orders())


def test_a_restarted_worker_gets_its_trial_back(plan, journal):
    chief = Chief(plan, journal)
    first = chief.ask("a")
    chief.ask("b")
    assert chief.ask("a") == first


def test_a_lost_trial_goes_to_the_next_worker(plan, journal):
    chief = Chief(plan, journal)
    task = chief.ask("a")
    lost(chief, 1)
    chief.heartbeat(1)
    assert chief.ask("b").number == 2
    chief.tell(2, GOOD)
    lost(chief, 1)
    again = chief.ask("b")
    assert again == task
    assert chief.trials[1].worker == "b"
    # The first worker comes back: its result is as good; the other's is dropped.
    chief.tell(1, GOOD)
    chief.tell(1, Outcome([], "too late"))
    assert chief.trials[1].status == "completed"
    assert [e["event"] for e in journal.events()].count("end") == 2


def test_idle_workers_wait_while_a_trial_is_running(space_file, journal):
    chief = Chief(load_plan(space_file(), (), {"search.max_trials": 1}), journal)
    chief.ask("a")
    assert chief.ask("b") is Answer.WAIT
    assert not chief.over
    lost(chief, 1)
    assert chief.ask("b").number == 1
    chief.tell(1, GOOD)
    assert chief.ask("b") is Answer.STOP


def test_no_trial_is_started_behind_the_budget(space_file, journal):
    chief = Chief(load_plan(space_file(), (), {"search.budget_minutes": 0.01}), journal)
    assert chief.ask("a").number == 1
    chief._deadline = time.monotonic()
    assert chief.ask("b") is Answer.WAIT
    chief.tell(1, GOOD)
    assert chief.ask("a") is Answer.STOP
    assert chief.over


@pytest.mark.parametrize("tuner", ["grid", "random", "hyperband", "bayesian"])
def test_a_chief_goes_on_where_the_journal_ends(space_file, tmp_path, tuner):
    if tuner == "bayesian":
        pytest.importorskip("sklearn")
    given = {"search.tuner": tuner, "search.max_trials": 8, "search.terms.epochs": 4}
    plan = load_plan(space_file(), (), given)

    def finish(chief, journal, stop=99):
        while isinstance(task := chief.ask("a"), Task) and task.number < stop:
            score = 0.1 * len(str(chief.trials[task.number].answers))
            outcome = Outcome([{"val_pearson": score}]) if task.number % 3 else Outcome([], "no")
            chief.tell(task.number, outcome)
        return chief.snapshot()

    whole = Journal(tmp_path / "whole")
    unbroken = finish(Chief(plan, whole), whole)
    broken = Journal(tmp_path / "broken")
    finish(Chief(plan, broken), broken, stop=5)
    chief = Chief(plan, broken)
    assert len(chief.trials) == 5
    assert [trial.number for trial in chief.running] == [5]
    assert chief.ask("a").number == 5
    resumed = finish(chief, broken)
    assert [t.status for t in resumed] == [t.status for t in unbroken]
    if tuner != "bayesian":  # its random starting points are drawn anew
        assert [t.answers for t in resumed] == [t.answers for t in unbroken]


def test_a_line_that_was_cut_short_is_dropped(plan, journal):
    chief = Chief(plan, journal)
    chief.ask("a")
    chief.tell(1, GOOD)
    whole = journal.path.read_bytes()
    with journal.path.open("ab") as file:
        file.write(b'{"event": "start", "number": 2, "ans')
    chief = Chief(plan, journal)
    assert journal.path.read_bytes() == whole
    assert chief.ask("a").number == 2
    assert len(list(journal.events())) == 3


def test_a_damaged_journal_is_named(plan, journal):
    journal.path.write_text("what?\n")
    with pytest.raises(UserError, match=r"journal.jsonl:1: damaged"):
        Chief(plan, journal)


def test_an_order_that_is_none_has_failed_and_the_next_comes(space_file, journal):
    """What no check before the first trial can see: options that do not go together."""
    plan = load_plan(space_file())
    real = type(plan).experiment

    class Picky(type(plan)):
        def experiment(self, answers):
            if answers == next(self.space.orders()):
                raise UserError("does not go together")
            return real(self, answers)

    plan = Picky(**{name: getattr(plan, name) for name in plan.__dataclass_fields__})
    chief = Chief(plan, journal)
    assert chief.ask("a").number == 2
    assert chief.trials[1].status == "failed"
    assert chief.trials[1].reason == "does not go together"


def test_scores_keep_their_digits(plan, journal):
    chief = Chief(plan, journal)
    chief.ask("a")
    chief.tell(1, Outcome([{"val_pearson": 0.1 + 0.2}]))
    assert json.loads(journal.path.read_text().splitlines()[-1])["repeats"] == [
        {"val_pearson": 0.30000000000000004}
    ]
    assert Chief(plan, journal).trials[1].mean("val_pearson") == 0.1 + 0.2
