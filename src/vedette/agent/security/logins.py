"""The kind `logins`: root's logins, failed ones, guessing, and who may log in newly.

A failed login alone is no finding: people mistype. So many within a time are, of one source; or of one user where no
single source had so many. A name that nobody here has is never shown: it may be a password, typed a line too early.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from vedette.agent.security import login_accounts, login_changes, login_sources
from vedette.agent.security.login_accounts import People
from vedette.agent.security.login_changes import Told
from vedette.agent.security.login_lines import ACCOUNT, FAILED, LOCAL, LOGIN, PERHAPS, REFUSED, TOOL, Event
from vedette.agent.security.login_windows import Window, Windows
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.errors import Invalid
from vedette.model import durations

MAX_CONNECTIONS: Final = 100
MAX_TOLD: Final = 50
TOOL_S: Final = 10
"""A change of an account within so many seconds of a tool run by sudo was made by whoever ran that."""
Network = IPv4Network | IPv6Network


class Scanner:
    """Looks once at what was said since the last scan, and at the files that say who may log in."""

    def scan(self, context: Context) -> Report:
        memory = context.memory or {}
        settings = context.settings
        people = login_accounts.look(context.root)
        now = context.clock.now()
        said = login_sources.read(
            context.root,
            settings["log"],
            login_sources.load(memory.get("place")),
            now,
            all_there_is=context.by_hand and context.baseline == {} and not memory,
            time_limit_s=max(1.0, context.until - context.clock.elapsed()),
        )
        judge = _Judge(settings, people, memory, now)
        for event in said.events:
            judge.take(event)
        findings = list(judge.findings())
        baseline: Mapping[str, Any] | None = None
        notes = list(said.notes)
        if settings["accounts"]:
            facts = login_accounts.snapshot(people) if context.baseline is None else context.baseline.get("facts", {})
            findings += login_changes.findings(people, facts, judge.told)
            settled, more = login_changes.settled(people, facts)
            notes += more if context.baseline else ()
            baseline = {"facts": settled}
        return Report(
            findings=findings,
            baseline=baseline,
            memory={"place": login_sources.dump(said.place), **judge.memory()},
            notes=notes,
            unseen=[*people.unseen, *said.unseen],
            partial=said.more,
            unless={**people.stamps, **said.stamps} if said.stamps else {},
        )


@dataclass(slots=True)
class _Seen:
    """A login or a refusal that is reported by itself; `times` such."""

    event: Event
    guessed: bool = False  # after too many failures of its source
    times: int = 1


class _Judge:
    """Takes what was said in its order, and says at the end what of it is to be reported."""

    def __init__(self, settings: Mapping[str, Any], people: People, memory: Mapping[str, Any], now: datetime) -> None:
        self._people, self._now = people, now
        self._root: bool = settings["root"]
        self._within_s: int = settings["within"]
        self._expires_s: int = settings["expiration"]
        self._allowed = _Allowed(settings["allow"])
        self._sources = Windows(memory.get("sources"), count=settings["failures"], within_s=self._within_s)
        self._users = Windows(memory.get("users"), count=settings["failures"], within_s=self._within_s)
        self._connections: dict[str, str] = dict(memory.get("connections", {}))
        self._tool: list[Any] = list(memory.get("tool", []))
        self.told = {
            name: Told(at=datetime.fromtimestamp(at, UTC), by=by) for name, (at, by) in memory.get("told", {}).items()
        }
        self._roots = {each.name for each in people.accounts.values() if each.uid == 0} or {"root"}
        self._comments = {each.fingerprint: each.comment for each in people.keys if each.comment}
        self._seen: dict[str, _Seen] = {}
        self._full_sources: dict[str, tuple[Event, Window]] = {}
        self._full_users: dict[str, Window] = {}

    def take(self, event: Event) -> None:
        if event.sort in (ACCOUNT, TOOL):
            self._tell(event)
        elif self._allowed(event.source):
            pass
        elif event.sort == LOGIN:
            self._login(event)
        elif event.sort == REFUSED:
            self._see(f"sudo {event.by}", event)
        else:
            self._fail(event)

    def memory(self) -> dict[str, Any]:
        told = list(self.told.items())[-MAX_TOLD:]
        return {
            "sources": self._sources.dump(),
            "users": self._users.dump(),
            "connections": dict(list(self._connections.items())[-MAX_CONNECTIONS:]),
            "tool": self._tool,
            "told": {name: [each.at.timestamp(), each.by] for name, each in told},
        }

    def findings(self) -> Iterator[Finding]:
        yield from (self._of_login(key, each) for key, each in self._seen.items() if each.guessed)
        yield from (self._of_source(*each) for each in self._full_sources.values())
        yield from (self._of_user(user, window) for user, window in self._full_users.items())
        yield from (self._of_login(key, each) for key, each in self._seen.items() if not each.guessed)

    # --- what was said ---------------------------------------------------------------------------------------------

    def _at(self, event: Event) -> int:
        return int((event.at or self._now).timestamp())

    def _tell(self, event: Event) -> None:
        at = self._at(event)
        if event.sort == TOOL:
            self._tool = [at, event.by]
            return
        by = event.program + (f" on {event.by}" if event.by else "")
        if self._tool and 0 <= at - self._tool[0] <= TOOL_S:
            by = f"{self._tool[1]}, by sudo {event.program}"
        self.told.pop(event.user, None)
        self.told[event.user] = Told(at=datetime.fromtimestamp(at, UTC), by=by)

    def _login(self, event: Event) -> None:
        guessed = event.source != LOCAL and self._sources.is_full(_network(event.source), self._at(event))
        if guessed:
            self._see(f"guessed {event.user} from {event.source}", event, guessed=True)
        elif self._root and event.user in self._roots:
            self._see(f"{event.user} from {event.source}", event)

    def _see(self, key: str, event: Event, *, guessed: bool = False) -> None:
        if key in self._seen:
            self._seen[key].times += event.times
            self._seen[key].event = event
        else:
            self._seen[key] = _Seen(event, guessed, event.times)

    def _fail(self, event: Event) -> None:
        times = event.times
        if connection := event.connection:
            before = self._connections.pop(connection, "")
            if event.sort == PERHAPS and before:
                times = 0
            elif before == PERHAPS:  # that was this one, said in advance
                times -= 1
            self._connections[connection] = FAILED if event.sort == FAILED else before or PERHAPS
        if times <= 0:
            return
        known = event.user in self._people.accounts
        source = self._source(event)
        at = self._at(event)
        window = self._sources.add(source, at, times, event.user if known else "")
        if self._sources.is_full(source):
            self._full_sources[source] = (event, window)
            self._users.forget(event.user, source)
        elif known:
            window = self._users.add(event.user, at, times, source)
            if self._users.is_full(event.user):
                self._full_users[event.user] = window

    def _source(self, event: Event) -> str:
        """Who guesses: a network, or somebody here."""
        if event.source != LOCAL:
            return _network(event.source)
        return f"{LOCAL} user {event.by}" if event.by else LOCAL

    # --- what of it is reported ------------------------------------------------------------------------------------

    def _of_source(self, event: Event, window: Window) -> Finding:
        source = self._source(event)
        whom = _listed(window.names, "users that do not exist" if not window.names else "others", window.others)
        local = source.startswith(LOCAL)
        return Finding(
            key=f"failed from {source}",
            name=f"Failed logins from {source}",
            status="FAILED_LOGINS",
            what=f"{window.total} failed logins within {self._span(window)},"
            f" as {whom} ({event.program} {event.method})",
            where=source,
            since=datetime.fromtimestamp(window.began, UTC),
            by=source,
            do="ask who that was"
            if local
            else "if you do not know that address: block it, and let sshd take keys only (PasswordAuthentication no)",
            expires_s=self._expires_s,
        )

    def _of_user(self, user: str, window: Window) -> Finding:
        return Finding(
            key=f"failed as {user}",
            name=f"Failed logins as {user}",
            status="FAILED_LOGINS",
            what=f"{window.total} failed logins as {user} within {self._span(window)}, from"
            f" {_listed(window.names, 'others', window.others)}",
            where=user,
            since=datetime.fromtimestamp(window.began, UTC),
            by=", ".join(window.names),
            do="somebody guesses from many addresses: let sshd take keys only (PasswordAuthentication no)",
            expires_s=self._expires_s,
        )

    def _span(self, window: Window) -> str:
        return durations.show(max(1, window.last - window.began))

    def _of_login(self, key: str, seen: _Seen) -> Finding:
        event = seen.event
        often = f", {seen.times} times" if seen.times > 1 else ""
        shared: dict[str, Any] = {
            "key": key,
            "where": event.source,
            "since": event.at,
            "expires_s": self._expires_s,
        }
        if event.sort == REFUSED:
            return Finding(
                name=f"sudo refused {event.by}",
                status="SUDO_REFUSED",
                what=f"{event.by} tried to do with sudo what sudo does not allow{often}",
                by=event.by,
                do="ask who that was; 'sudo -l -U USER' shows what somebody may do",
                **shared,
            )
        fingerprint = f", key {event.key}" if event.key else ""
        comment = self._comments.get(event.key, "")
        origin = "at the device" if event.source == LOCAL else f"from {event.source}"
        how = f"{event.user} logged in {origin} ({event.program or 'wtmp'} {event.method}{fingerprint}){often}"
        if seen.guessed:
            return Finding(
                name=f"{event.user} logged in {origin} after failed logins",
                status="LOGIN_AFTER_FAILURES",
                what=f"{how}, after too many failed logins from there: a password may have been guessed",
                by=comment or event.source,
                do=f"if that was not {event.user}: end the session, lock the account ('passwd -l {event.user}'),"
                " and look for what was changed",
                **shared,
            )
        return Finding(
            name=f"{event.user} logged in {origin}",
            status="ROOT_LOGIN",
            what=how,
            by=comment or event.source,
            do="if nobody should have: end the session and change the password or the key",
            **shared,
        )


class _Allowed:
    """Networks, hosts' names, or LOCAL, whose logins are all right."""

    def __init__(self, items: Iterable[str]) -> None:
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for each in items:
            if each == LOCAL:
                self._names.add(each)
                continue
            try:
                self._networks.append(ip_network(each, strict=False))
            except ValueError:
                if each[:1].isdigit() or ":" in each or "/" in each:
                    raise Invalid(f"allow: {each[:80]!r} is no address and no network") from None
                self._names.add(each)

    def __call__(self, source: str) -> bool:
        if source in self._names:
            return True
        address = _address(source)
        return address is not None and any(address in each for each in self._networks)


def _address(source: str) -> Any:
    """None: it is no address. IPv4 written as IPv6 is IPv4."""
    try:
        address = ip_address(source.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(source: str) -> str:
    """Under which failures of a source are counted: who has an IPv6 address has a whole /64 of them."""
    address = _address(source)
    if isinstance(address, IPv6Address) and not address.is_link_local:
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address or source[:80])


def _listed(names: Sequence[str], rest: str, more: bool) -> str:
    """root, alice and others."""
    words = [*names, rest] if more or not names else list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
