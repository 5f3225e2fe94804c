"""Which episodes a process plays together."""

from __future__ import annotations

import pytest

from ml.evaluation.cases import Case
from ml.evaluation.players import PROTOCOL_BASELINES, Play, Player, scripted_player
from ml.evaluation.protocol_run import EvaluationPlan, _pools
from ml.evaluation.robustness_plan import RobustnessPlan
from ml.evaluation.tasks import Task, tasks_by_preset


def case(name):
    return Case(name, "H", "s", {"episode_index": 0}, {}, 10)


def plays_of(*names, cases=("a", "b")):
    players = [scripted_player(name) for name in names]
    return [Play(player, case(name)) for name in cases for player in players]


def told(tasks):
    return {
        preset: [(task.players[0].policy_id, task.case.case_id, task.presets) for task in group]
        for preset, group in tasks.items()
    }


def test_deaf_policies_play_a_case_once_and_the_others_under_each_preset():
    plays = {
        "nominal": plays_of("driver", "eebl"),
        "roof": plays_of("driver", "eebl"),
        "radio_off": plays_of("driver", cases=("b",)),
    }

    tasks = tasks_by_preset(plays, may_share=True)

    assert told(tasks) == {
        "nominal": [
            ("driver", "a", ("nominal", "roof")),
            ("eebl", "a", ("nominal",)),
            ("driver", "b", ("nominal", "roof", "radio_off")),
            ("eebl", "b", ("nominal",)),
        ],
        "roof": [("eebl", "a", ("roof",)), ("eebl", "b", ("roof",))],
    }


def test_what_was_played_before_is_not_played_again():
    plays = {"nominal": plays_of("driver", cases=("b",)), "roof": plays_of("driver")}

    assert told(tasks_by_preset(plays, may_share=True)) == {
        "nominal": [("driver", "b", ("nominal", "roof"))],
        "roof": [("driver", "a", ("roof",))],
    }


def test_where_cases_of_one_id_differ_nothing_is_shared():
    plays = {"loss-0.1": plays_of("driver"), "peers-3": plays_of("driver")}

    tasks = tasks_by_preset(plays, may_share=False)

    assert {task.presets for group in tasks.values() for task in group} == {
        ("loss-0.1",), ("peers-3",),
    }  # fmt: skip
    assert EvaluationPlan.may_share.fget(None) is True
    assert RobustnessPlan.may_share.fget(None) is False


@pytest.mark.parametrize("name", [*PROTOCOL_BASELINES, "eebl@3.0"])
def test_rules_that_listen_are_not_deaf(name):
    assert scripted_player(name).is_deaf == (name not in {"eebl", "rss", "eebl@3.0"})


def test_a_trained_policy_is_not_deaf():
    assert not Player("driver", object(), "0").is_deaf


def test_pools_end_after_so_many_episodes_and_leave_no_task_out(monkeypatch):
    monkeypatch.setattr("ml.evaluation.protocol_run._EPISODES_OF_A_POOL", 3)
    two = (scripted_player("eebl@3.0"), scripted_player("eebl"))
    one = (scripted_player("driver"),)
    tasks = {
        "nominal": [
            Task(players, case(str(n)), ("nominal",))
            for n, players in enumerate([two, two, one, one])
        ],
        "roof": [Task(one, case("a"), ("roof",))],
    }

    pools = [(preset, [task.case.case_id for task in group]) for preset, group in _pools(tasks)]

    assert pools == [("nominal", ["0", "1"]), ("nominal", ["2", "3"]), ("roof", ["a"])]
