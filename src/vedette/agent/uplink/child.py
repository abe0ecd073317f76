"""One life of the child: deliver, linger for more, and say how long to wait when the server cannot take it."""

import os
import select
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.agent import bus, log, menderconf
from vedette.agent.menderconf import MenderConf
from vedette.agent.metakeys import CONFIG_SENT
from vedette.agent.paths import Paths
from vedette.agent.store import Store, boot_id
from vedette.agent.uplink import auth, deliver, reports, transport
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.auth import Token
from vedette.agent.uplink.backoff import EAGER_ASKS, SHORTEST_S, Draw, NotAccepted, TryLater, delay_s, pending_s
from vedette.agent.uplink.terms import Terms
from vedette.clock import Clock
from vedette.errors import NotFound, VedetteError

if TYPE_CHECKING:
    from vedette.agent.uplink.deployments import Deployments
    from vedette.agent.uplink.mender_client import MenderClient

LINGER_S = 10.0  # a burst of alerts costs one start
LIFE_S = 600.0  # then a new child reads the configuration anew
BROKEN_S = (30.0, 60.0)  # between looks whether a person has mended the configuration
AWAIT_CLIENT_S = 300.0  # a Mender client that is installed and not on the bus is starting, or being renewed
LOOK_FOR_CLIENT_S = (5.0, 15.0)
REPORT_TRIES = 5  # in a row that may hold up alerts by their back-off; further ones wait for the next occasion

# Keys of the store's meta table.
FAILURES, ACCEPTED, ASKED = "uplink.failures", "uplink.accepted", "uplink.asked"
COMPLAINT = "uplink.complaint"
CLIENT_AWAITED = "uplink.client_awaited"  # boot and moment since when
BELONGING, SAID, REPORT_FAILURES = "uplink.belonging", "uplink.said", "report.failures"


def feed_is_wanted(state: Path) -> bool:
    """Has a check said what it wants of the feed (agent/feedfile.py)?"""
    return (state / "feed" / "wanted").exists()


class Bell:
    """The pipe from the daemon: a byte = there is something new, end of file = finish."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._rung = False
        self._finished = False

    def finished(self) -> bool:
        """The daemon wants us to end."""
        self._listen(0)
        return self._finished

    def waits(self) -> bool:
        """Somebody wants something of us: there is something new, or we should end."""
        self._listen(0)
        return self._rung or self._finished

    def rings(self, within_s: float) -> bool:
        """Wait for something new; False when nothing came in time or we should end."""
        if not self._rung and not self._finished:
            self._listen(within_s)
        rung, self._rung = self._rung, False
        return rung and not self._finished

    def _listen(self, within_s: float) -> None:
        while not self._finished and self._poll.poll(within_s * 1000):
            within_s = 0
            if os.read(self._fd, 4096):
                self._rung = True
            else:
                self._finished = True


class Child:
    """What the store owes, brought to the server that mender.conf names."""

    def __init__(
        self,
        store: Store,
        paths: Paths,
        terms: Terms,
        clock: Clock,
        bell: Bell,
        draw: Draw,
        on_apply: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._paths, self._terms = store, paths, terms
        self._clock, self._bell, self._draw = clock, bell, draw
        self._on_apply = on_apply  # there is a configuration to be applied
        self._deployments: Deployments | None = None
        self.ask_in_s: float | None = None  # after `run`: when the server is to be asked for deployments again

    def run(self) -> float | None:
        """Deliver until there is nothing left to do (None), or until we must wait: so many seconds."""
        client = _mender_client()
        if self._awaits(client):
            self._complain(
                "a Mender client is installed but is not on the system bus: it is waited for, at most"
                f" {AWAIT_CLIENT_S:g} s, so that the server does not see this device twice"
            )
            return self._draw(*LOOK_FOR_CLIENT_S)
        try:
            conf = self._configuration(client)
            tls, warnings = transport.tls_context(conf)
            path = deliver.alert_path(self._terms.alert_url, conf.server_url, warnings.append)
            self._say_once(warnings)
            self._start_over_elsewhere(conf)
            line = transport.Transport(conf, tls, self._clock)
            try:
                self._serve(line, conf, path, client)
            finally:
                line.close()
        except NotAccepted as trouble:
            self._complain(f"{trouble}; it asks again, accept it there")
            return trouble.retry_after_s + pending_s(self._count(ASKED), self._draw)
        except TryLater as trouble:
            self._complain(f"{trouble}; what is not delivered is kept")
            failures = self._count(FAILURES)
            return delay_s(
                failures,
                cap_s=self._terms.send_alert_max_interval_s,
                steady_s=self._terms.default_alert_store_resend_interval_s,
                retry_after_s=trouble.retry_after_s,
                draw=self._draw,
            )
        except VedetteError as trouble:
            self._complain(str(trouble))
            return self._draw(*BROKEN_S)
        finally:
            if client is not None:
                client.close()
        return None

    def _awaits(self, client: "MenderClient | None") -> bool:
        """Is a Mender client to be expected? With an identity of our own this device would be there twice."""
        if client is not None:
            self._set(CLIENT_AWAITED, "")
            return False
        if self._paths.key.exists() or not any(each.exists() for each in self._paths.mender_client):
            return False
        boot, now = boot_id(), self._clock.elapsed()
        since_boot, _, since_s = (self._store.meta(CLIENT_AWAITED) or "").partition(" ")
        if since_boot == boot:
            return now - float(since_s) < AWAIT_CLIENT_S
        self._set(CLIENT_AWAITED, f"{boot} {now}")
        return True

    def _configuration(self, client: "MenderClient | None") -> MenderConf:
        """What mender.conf says, but a running Mender client knows better where its token is good."""
        if client is not None and client.load() is None:
            self._authenticate("the Mender client's server", client.fetch)
        url = client.server_url if client is not None else ""
        try:
            conf = menderconf.read(self._paths.mender_conf)
        except NotFound:
            if not url:
                raise
            return MenderConf(server_url=url)
        return replace(conf, server_url=url) if url else conf

    def _serve(self, line: transport.Transport, conf: MenderConf, path: str, client: "MenderClient | None") -> None:
        def authenticate() -> Token:
            if client is None:
                return self._authenticate(conf.server_url, lambda: auth.authenticate(line, conf, self._paths))
            token = self._authenticate(conf.server_url, client.fetch)
            if client.server_url not in ("", conf.server_url):
                raise TryLater(f"the Mender client has gone over to {client.server_url}")
            return token

        tokens = client or auth.TokenFile(self._paths.state_dir / "token", conf, self._paths.key)
        api = Api(line, tokens, authenticate)
        alerts = deliver.Alerts(self._store, api, path, log.warn)
        report = reports.Reports(self._store, api, self._clock, self._terms.confpush_interval, log.warn)
        end = self._clock.elapsed() + LIFE_S
        takes = conf if client is None and self._terms.config_deployments != "off" else None
        spoke = False
        while True:
            spoke |= self._pass(api, alerts, report, takes)
            if not spoke or self._clock.elapsed() > end:
                return
            if self.ask_in_s is None or self.ask_in_s > LINGER_S:
                if not self._bell.rings(LINGER_S) and not self._fetch(api):
                    return
            elif not self._bell.rings(max(self.ask_in_s, SHORTEST_S)) and self._bell.finished():
                return

    def _pass(self, api: Api, alerts: deliver.Alerts, report: reports.Reports, takes: MenderConf | None) -> bool:
        """All that is due now, alerts first. True when the server was spoken to. `takes`: it may have deployments."""
        spoke = False
        if self._store.meta(ACCEPTED) != "1":
            api.token()
            self._set(ACCEPTED, "1")
            spoke = True
        spoke |= alerts.deliver(self._bell.finished)
        if not self._bell.finished():
            spoke |= self._report(report.send)
        if takes is not None and not self._bell.finished():
            spoke |= self._configure(api, takes, beside=spoke)
        spoke |= self._fetch(api)
        if spoke:
            self._set(FAILURES, "0")
            if self._store.meta(COMPLAINT):
                log.info("the server takes alerts and reports again")
                self._set(COMPLAINT, "")
        return spoke

    def _configure(self, api: Api, conf: MenderConf, *, beside: bool) -> bool:
        """What is due of deployments of a configuration. `beside`: the server is being spoken to anyway."""
        from vedette.agent.configure import deployment  # what an alert need not wait for
        from vedette.agent.uplink import deployments

        if not deployment.are_ours(self._terms.config_deployments, self._paths):
            return False
        if self._deployments is None:
            self._deployments = deployments.Deployments(
                self._store, api, conf, self._paths, self._terms, self._clock, self._draw, self._on_apply
            )
        tasks = self._deployments
        spoke = self._report(lambda: tasks.step(beside=beside), tasks.put_off)
        self.ask_in_s = tasks.ask_in_s()
        return spoke

    def _fetch(self, api: Api) -> bool:
        """The feed of known vulnerabilities, where one is wanted; broken off when there is something to say."""
        if self._bell.waits() or not feed_is_wanted(self._paths.state_dir):
            return False
        from vedette.agent.uplink.feed import Feed  # most devices want none

        feed = Feed(self._paths.state_dir, self._store, api, self._clock, boot_id(), log.warn)
        return self._report(lambda: feed.fetch(self._bell.waits))

    def _report(self, send: Callable[[], bool], leave: Callable[[], None] = lambda: None) -> bool:
        try:
            spoke = send()
        except TryLater as trouble:
            general = isinstance(trouble, NotAccepted) or not trouble.answered or trouble.retry_after_s > 0
            if general or self._count(REPORT_FAILURES) <= REPORT_TRIES:
                raise
            log.warn(f"{trouble}; left for the next occasion")
            leave()
            return True
        if spoke:
            self._set(REPORT_FAILURES, "0")
        return spoke

    def _authenticate(self, server: str, get: Callable[[], Token]) -> Token:
        try:
            token = get()
        except NotAccepted:
            if self._store.meta(ACCEPTED) == "1":
                self._set(ASKED, str(EAGER_ASKS))  # nobody sits by a device that was thrown out
            self._set(ACCEPTED, "0")  # so that the daemon keeps asking, also with nothing to send
            raise
        self._set(ACCEPTED, "1")
        self._set(ASKED, "0")
        log.info(f"{server} has accepted this device")
        return token

    def _start_over_elsewhere(self, conf: MenderConf) -> None:
        """Another server or tenant knows nothing of us yet, and has not failed yet."""
        if self._store.meta(BELONGING) != conf.belonging:
            for key in (ACCEPTED, ASKED, FAILURES, REPORT_FAILURES):
                self._set(key, "0")
            from vedette.agent.uplink import deployments

            told = (CONFIG_SENT, reports.CONFIG_SENT_AT, reports.INVENTORY_SENT, reports.GAPS_SENT)
            for key in (*told, *deployments.KEYS):
                self._set(key, "")
            self._set(BELONGING, conf.belonging)

    def _say_once(self, warnings: list[str]) -> None:
        """Warn of what a person has chosen: not again with every child, but again when it changes."""
        text = "\n".join(warnings)
        if (self._store.meta(SAID) or "") != text:
            for warning in warnings:
                log.warn(warning)
            self._set(SAID, text)

    def _complain(self, sentence: str) -> None:
        """Log a trouble when it begins or changes; its repetitions are for those who debug."""
        write: Callable[[str], None] = log.debug if self._store.meta(COMPLAINT) == sentence else log.warn
        write(sentence)
        self._set(COMPLAINT, sentence)

    def _count(self, key: str) -> int:
        """One more in a row; the new number."""
        text = self._store.meta(key) or "0"
        number = (int(text) if text.isdigit() else 0) + 1
        self._set(key, str(number))
        return number

    def _set(self, key: str, value: str) -> None:
        if (self._store.meta(key) or "") != value:  # a write costs a flush to the disk
            self._store.set_meta(key, value)


def _mender_client() -> "MenderClient | None":
    """The Mender client that runs on this device, None when there is none."""
    if not bus.may_be_there():
        return None
    from vedette.agent.uplink import mender_client  # brings the bus

    return mender_client.find()
