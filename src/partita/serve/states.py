"""The life of a job: which states it has, and what leads from one to another."""

from __future__ import annotations

from enum import StrEnum

from partita.errors import UsageError

#: A job whose process died so often is not tried again by itself.
MOST_ATTEMPTS = 3


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What happens to a job."""

    START = "start"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"
    #: The server ended in order while the job was running.
    PUT_BACK = "put back"
    #: The server was killed while the job was running; it is noticed at the next start.
    INTERRUPT = "interrupt"


_NEXT = {
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.FINISH): State.DONE,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.PUT_BACK): State.QUEUED,
    (State.RUNNING, Event.INTERRUPT): State.QUEUED,
    (State.FAILED, Event.RETRY): State.QUEUED,
    (State.CANCELLED, Event.RETRY): State.QUEUED,
    # Asked twice, such as by a client that lost the answer: nothing changes.
    (State.CANCELLED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.RETRY): State.QUEUED,
    (State.RUNNING, Event.RETRY): State.RUNNING,
}

_VERBS = {Event.CANCEL: "be cancelled", Event.RETRY: "be tried again"}

#: States that nothing but a request leads out of.
ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


class ImpossibleError(UsageError):
    """What was asked for cannot happen to a job in its state."""


def next_state(state: State, event: Event, attempts: int = 1) -> State:
    """Return the state after an event.

    Parameters
    ----------
    state : State
    event : Event
    attempts : int
        How often the job was started; after `MOST_ATTEMPTS`, an interrupted one has failed.

    Raises
    ------
    ImpossibleError
        The event cannot happen in that state.
    """
    found = _NEXT.get((state, event))
    if found is None:
        raise ImpossibleError(f"the separation is {state}: it cannot {_VERBS.get(event, event)}")
    if event is Event.INTERRUPT and attempts >= MOST_ATTEMPTS:
        return State.FAILED
    return found


def require_ended(state: State) -> None:
    """Check that a job may be deleted.

    Raises
    ------
    ImpossibleError
        It waits or runs.
    """
    if state not in ENDED:
        raise ImpossibleError(f"the separation is {state}: cancel it before it is deleted")
