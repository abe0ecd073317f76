"""Decisions about deliveries, and what an SMTP URL means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import DeliveryFailed, Invalid
from vedette.server.notify import decisions
from vedette.server.notify.channels.smtp import SmtpServer
from vedette.server.notify.decisions import ChannelDown, Policy, backoff

POLICY = Policy()


@given(st.floats(0.001, 100), st.floats(1, 10_000), st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_is_never_nothing_and_never_beyond_its_limit(
    first: float, most: float, failures: int, share: float
) -> None:
    assert 0.05 * first <= backoff(first, most, failures, share) <= max(most, 0.05 * first)


def test_retries_spread_over_the_whole_wait_even_at_its_limit() -> None:
    """Without jitter at the cap, everything that waits would come back at once."""
    assert backoff(1, 60, 100, 0.1) == 6
    assert backoff(1, 60, 100, 0.9) == 54
    assert [backoff(1, 60, n, 1) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("email_enabled", "configured", "visible", "state"),
    [
        (True, True, True, "due"),
        (False, True, True, "withheld"),
        (True, False, True, "withheld"),
        (True, True, False, "withheld"),
    ],
)
def test_everything_that_was_not_sent_has_a_reason(
    email_enabled: bool, configured: bool, visible: bool, state: str
) -> None:
    got, reason = decisions.at_first(email_enabled=email_enabled, configured=configured, visible=visible)
    assert got == state
    assert reason


@pytest.mark.parametrize(
    ("error", "state", "attempts", "waits"),
    [
        (DeliveryFailed("550 no", permanent=True), "failed", 1, False),
        (DeliveryFailed("451 later", permanent=False), "due", 1, True),
        (ChannelDown("gone"), "due", 1, True),
        (KeyError("a bug"), "failed", 1, False),
    ],
)
def test_what_follows_a_failure(error: Exception, state: str, attempts: int, waits: bool) -> None:
    outcome = decisions.failed(error, 3, POLICY, 0.5)
    assert (outcome.state, outcome.attempts, outcome.wait_s > 0) == (state, attempts, waits)


def test_a_reason_is_one_short_line() -> None:
    outcome = decisions.failed(DeliveryFailed("550 a\r\nb" + "x" * 9999, permanent=True), 0, POLICY, 0.5)
    assert len(outcome.reason) == decisions.MAX_REASON
    assert "\n" not in outcome.reason


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "start_tls", "checked"),
    [
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, False, False, None),
        ("smtp://[::1]", "::1", 25, False, False, None),
        ("smtp://u:p@localhost", "localhost", 25, False, False, None),
        ("smtp://mail.example.com", "mail.example.com", 25, False, None, False),
        ("smtp://u:p@mail.example.com:587", "mail.example.com", 587, False, True, True),
        ("smtps://u:p@mail.example.com", "mail.example.com", 465, True, False, True),
    ],
)
def test_a_password_never_travels_in_the_clear(
    url: str, host: str, port: int, tls: bool, start_tls: bool | None, checked: bool | None
) -> None:
    """TLS is demanded and the certificate checked, where a password leaves the machine."""
    server = SmtpServer.of(url)
    client = server.client()
    assert (client.hostname, client.port, client.use_tls) == (host, port, tls)
    assert client._start_tls_on_connect is start_tls
    assert (client.tls_context and client.tls_context.check_hostname) == checked


def test_a_password_is_decoded_and_never_shown() -> None:
    server = SmtpServer.of("smtp://ann%40x.org:s%2Fcret@127.0.0.1:25")
    assert (server.user, server.password) == ("ann@x.org", "s/cret")
    assert "cret" not in repr(server)


@pytest.mark.parametrize("url", ["http://x", "smtp://x:y", "smtp://u:secret@x:port", "x"])
def test_what_is_no_mail_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        SmtpServer.of(url)
    assert "secret" not in str(caught.value)
