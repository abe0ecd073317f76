"""What one check has raised when it is about many things, each a problem of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vedette.agent.ledger import Ledger, own_key
from vedette.agent.states import State, Verdict
from vedette.model import Details


class Problems:
    """Of one check. All that `tell` is given is made durable together, or not at all."""

    def __init__(self, ledger: Ledger, check: str, type_: str) -> None:
        self._ledger, self._check, self._type = ledger, check, type_
        for key in ledger.own_keys(check):
            ledger.open(key)  # what expired meanwhile is called off, and the clocks of the others go on

    @property
    def blocked(self) -> bool:
        """The disk takes nothing: what is found now could only be held in memory."""
        return self._ledger.blocked

    def raised(self) -> Mapping[str, State]:
        """What is raised, by the name of its subject."""
        return {
            state.subject.name: state
            for state in self._ledger.own_states(self._check)
            if state.raised and state.subject is not None and state.subject.type == self._type
        }

    def note(self) -> str | None:
        """What `tell` was last given to keep."""
        return self._ledger.note(self._check)

    def tell(self, found: Iterable[Verdict], over: Mapping[str, str], note: str | None = None) -> None:
        """Raise what is found (or let it go on), call off what is over, and keep a note for the next time.

        Args:
            found: with subjects of this check's type.
            over: why it is over, by the name of the subject; what is not raised does not matter.
            note: None: as it was.
        """
        raised = self.raised()
        for verdict in found:
            self._ledger.judge(own_key(self._check, verdict.subject), verdict)
        for name, why in over.items():
            state = raised.get(name)
            if state is not None and state.subject is not None:
                subject = replace(state.subject, details=Details(description=why))
                verdict = Verdict(ok=True, name=state.alert_name, subject=subject)
                self._ledger.judge(own_key(self._check, subject), verdict)
        if note is not None:
            self._ledger.keep_note(self._check, note)
        self._ledger.commit()
