"""What a process is asked to play at once: a case with one policy, and all that it decides.

Several thresholds of a policy are played together, since most do not change the episode; and a
policy that is deaf is played once for all radio presets, whose radios hear the same cars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml.evaluation.cases import Case
from ml.evaluation.players import Play, Player, grouped_by_curve


class Task(NamedTuple):
    """Episodes that belong together.

    Attributes:
        players: A policy by rising threshold.
        case: What they play.
        presets: Radio presets, that of the environment first.
    """

    players: tuple[Player, ...]
    case: Case
    presets: tuple[str, ...]


def tasks_by_preset(
    plays: Mapping[str, Sequence[Play]], *, may_share: bool
) -> dict[str, list[Task]]:
    """Return the tasks that make every episode once.

    Args:
        plays: Episodes by radio preset.
        may_share: Whether a case of one id is the same case under every preset, so that deaf
            policies need to play it once.

    Returns:
        By the radio preset of the environment; presets without a task of their own are left out.
    """
    tasks: dict[str, list[Task]] = {}
    first: dict[tuple[str, str], tuple[str, int]] = {}
    for preset, group in plays.items():
        for players, case in grouped_by_curve(group):
            key = (players[0].policy_id, case.case_id)
            if may_share and players[0].is_deaf and key in first:
                where, index = first[key]
                known = tasks[where][index]
                tasks[where][index] = known._replace(presets=(*known.presets, preset))
                continue
            own = tasks.setdefault(preset, [])
            first[key] = (preset, len(own))
            own.append(Task(players, case, (preset,)))
    return tasks
