"""What is new among accounts, groups and keys, against a baseline; in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vedette.agent.security.login_accounts import ACCOUNTS, GROUP, KEYS, ROOT, SHADOW, Account, Key, People, snapshot
from vedette.agent.security.scanner import Finding

Facts = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who changed an account, as the log says."""

    at: datetime
    by: str


def findings(people: People, before: Facts, told: Mapping[str, Told]) -> Iterator[Finding]:
    """What is there and is not in the baseline; without one, all that there is."""
    known = {part: before.get(part, {}) for part in (ACCOUNTS, SHADOW, GROUP, KEYS)}
    now = snapshot(people)
    for account in people.accounts.values():
        if account.name == ROOT and account.uid == 0 and not before:
            continue
        since: datetime | None = None
        by = ""
        if account.name in told:
            since, by = told[account.name].at, told[account.name].by
        elif before:  # else it may be older than the last change of the file
            since = people.written.get(ACCOUNTS)
        was, fact = known[ACCOUNTS].get(account.name), now[ACCOUNTS][account.name]
        if was is None and _matters(account):
            yield _new_account(account, since, by, is_new=bool(before))
        elif was is not None and was != fact and _matters(account):
            yield _changed_account(account, was, since, by)
    for name in now[SHADOW].keys() - known[SHADOW].keys():
        yield Finding(
            key=f"{SHADOW} {name}",
            name=f"Account {name} needs no password",
            status="NO_PASSWORD",
            what=f"the account {name} needs no password to log in",
            where=SHADOW,
            since=people.written.get(SHADOW) if before else None,
            do=f"give it one with 'passwd {name}', or lock it with 'passwd -l {name}'",
        )
    for member in sorted(now[GROUP].keys() - known[GROUP].keys()):
        group, _, name = member.partition(" ")
        yield Finding(
            key=f"{GROUP} {member}",
            name=f"{name} is in the group {group}",
            status="POWERFUL_GROUP",
            what=f"{name} is a member of the group {group}, which gives rights of root or access to what is root's",
            where=GROUP,
            since=told[name].at if name in told else people.written.get(GROUP) if before else None,
            by=told[name].by if name in told else "",
            do=f"if nobody should have done this: 'gpasswd -d {name} {group}'",
        )
    for key in people.keys:
        fact = f"{key.path} {key.fingerprint}"
        if known[KEYS].get(fact) != key.options:
            yield _key(key, fact, fact in known[KEYS], people.written.get(key.path))


def settled(people: People, before: Facts) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The baseline from now on, without what is gone; and what was added to it silently: accounts nobody logs in with.

    What cannot be read stays as it was.
    """
    now = snapshot(people)
    notes: list[str] = []
    out: dict[str, dict[str, str]] = {}
    for part, facts in now.items():
        was = before.get(part, {})
        readable = part == KEYS or part in people.written
        out[part] = {name: said for name, said in was.items() if name in facts or not readable or _unseen(people, name)}
    for account in people.accounts.values():
        fact = now[ACCOUNTS][account.name]
        if out[ACCOUNTS].get(account.name) != fact and not _matters(account):
            notes.append(f"the account {account.name} ({account.uid}, {account.shell}) is new or was changed")
            out[ACCOUNTS][account.name] = fact
    return out, notes


def _unseen(people: People, key: str) -> bool:
    return any(key.startswith(each.rpartition(": ")[0]) for each in people.unseen)


def _matters(account: Account) -> bool:
    return account.logs_in or (account.uid == 0)


def _new_account(account: Account, since: datetime | None, by: str, *, is_new: bool) -> Finding:
    root = account.uid == 0
    how = "is new" if is_new else "may log in"
    return Finding(
        key=f"{ACCOUNTS} {account.name}",
        name=f"New account {account.name}",
        status="NEW_ROOT_ACCOUNT" if root else "NEW_ACCOUNT",
        what=f"the account {account.name} {how}: user id {account.uid}{', which is root' if root else ''},"
        f" home {account.home}, shell {account.shell}",
        where=ACCOUNTS,
        since=since,
        by=by,
        do=f"if nobody should have made it: 'userdel {account.name}', and look for what it was used for",
        fingerprint=f"{account.uid}:{account.shell}",
    )


def _changed_account(account: Account, was: str, since: datetime | None, by: str) -> Finding:
    uid, _, shell = was.partition(":")
    changes = []
    if uid != str(account.uid):
        changes.append(f"user id {account.uid}{', which is root' if not account.uid else ''}; it was {uid}")
    if shell != account.shell:
        changes.append(f"shell {account.shell}; it was {shell}")
    return Finding(
        key=f"{ACCOUNTS} {account.name}",
        name=f"Account {account.name} was changed",
        status="NEW_ROOT_ACCOUNT" if account.uid == 0 and uid != "0" else "CHANGED_ACCOUNT",
        what=f"the account {account.name} has " + ", and ".join(changes),
        where=ACCOUNTS,
        since=since,
        by=by,
        do=f"if nobody should have done this: 'usermod -u {uid} -s {shell} {account.name}'",
        fingerprint=f"{account.uid}:{account.shell}",
    )


def _key(key: Key, fact: str, known: bool, since: datetime | None) -> Finding:
    comment = f" ({key.comment})" if key.comment else ""
    told: dict[str, Any] = {
        "key": fact,
        "where": key.path,
        "since": since,
        "fingerprint": key.options,
    }
    if known:
        return Finding(
            name=f"Restrictions of a key of {key.user} were changed",
            status="CHANGED_KEY",
            what=f"what the {key.sort} key {key.fingerprint}{comment} of {key.user} may do is restricted otherwise",
            do=f"look at the options before the key in {key.path}",
            **told,
        )
    return Finding(
        name=f"New key for {key.user}",
        status="NEW_KEY",
        what=f"who has the {key.sort} key {key.fingerprint}{comment} may log in as {key.user}",
        do=f"if nobody should have added it: remove its line from {key.path}",
        **told,
    )
