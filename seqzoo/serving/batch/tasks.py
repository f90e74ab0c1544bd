"""A block of users as a task, and what scores tasks."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from seqzoo.serving.batch.score import Answered
from seqzoo.serving.batch.users import Block

__all__ = ["Engine", "Task"]


@dataclass(frozen=True)
class Task:
    """A block of users to be scored.

    Attributes:
        number: the number of the block.
        block: the users.
        lists: candidates and exclusions, of these users where they differ by user.
    """

    number: int
    block: Block
    lists: dict[str, Any]


class Engine(Protocol):
    """Scores tasks."""

    def run(self, tasks: Iterator[Task]) -> Generator[tuple[Task, Answered], None, None]:
        """Each task with its answer, as soon as it is there.

        Tasks are taken one after another, just far enough ahead to keep all workers busy.
        """
