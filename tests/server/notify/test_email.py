"""The mail about an alert is what people know, and inert whatever a device says."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.model import Alert, Details, Level, Line, Subject
from vedette.server.notify.channels.email import Envelope, Note, compose, subject

AT = datetime(2022, 12, 1, 14, 1, 1, tzinfo=UTC)
DEVICE = "0b6a5b5c-4e12-4f0f-9d44-8f2d6a0b1f11"
ENVELOPE = Envelope(sender="vedette@example.com", to="ann@example.org", user="u1", thread="a1", at=AT)


def note(*, name: str = "Log file contains CVE.*HIGH", data: str = "CVE-1 HIGH", group: str | None = None) -> Note:
    details = Details(
        description="CVE.*HIGH present in /tmp/results-scan",
        lines_before=(Line(41, "before"),),
        line_matching=Line(42, data),
        lines_after=(Line(43, "after"),),
    )
    about = Subject(name="log_results-scan", type="log", status="LOGCONTAINS", details=details)
    return Note(
        alert=Alert(name=name, level=Level.CRITICAL, at=AT, subject=about),
        alert_id="a1",
        device=DEVICE,
        group=group,
        received_at=AT,
        link="https://vedette.example.com/devices/d/alerts/a1",
    )


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    text: str = found.get_content()
    return text


def test_the_message_people_know() -> None:
    message = read(compose(note(group="north"), ENVELOPE))
    assert message["Subject"] == f"CRITICAL: Monitor Alert for Log file contains CVE.*HIGH on {DEVICE} in group: north"
    assert message["From"] == "Vedette <vedette@example.com>"
    assert message["To"] == "ann@example.org"
    assert message["Date"].datetime == AT
    assert message["Message-ID"] == "<a1.u1@example.com>"
    assert message["References"] is None
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in message.iter_parts()] == ["text/plain", "text/html"]
    assert {each.get_content_charset() for each in message.iter_parts()} == {"utf-8"}
    lines = part(message, "plain").splitlines()
    for line in (
        "Time on device: Thu, 01 Dec 2022 14:01:01 UTC",
        "Group: north",
        "Pattern: CVE.*HIGH",
        "Log: /tmp/results-scan",
        "  41: before",
        "> 42: CVE-1 HIGH",
        "  43: after",
        "https://vedette.example.com/devices/d/alerts/a1",
    ):
        assert line in lines
    html = part(message, "html")
    for text in ("CVE-1 HIGH", "/tmp/results-scan", "Thu, 01 Dec 2022 14:01:01 UTC", 'href="https://vedette'):
        assert text in html


def test_a_problem_and_its_end_are_one_thread_for_each_person() -> None:
    message = read(compose(note(), Envelope(sender="v@x.org", to="b@x.org", user="u2", thread="a0", at=AT)))
    assert message["References"] == message["In-Reply-To"] == "<a0.u2@x.org>"


def test_without_group_and_details_nothing_is_left_open() -> None:
    bare = Alert(name="n", level=Level.OK, at=AT, subject=Subject(name="", type="", status=""))
    message = read(
        compose(Note(alert=bare, alert_id="a", device="d", group=None, received_at=AT, link="http://x/"), ENVELOPE)
    )
    assert message["Subject"] == "OK: Monitor Alert for n on d"
    for kind in ("plain", "html"):
        text = part(message, kind)
        assert "None" not in text
        assert "{" not in text.replace("style", "")
        assert "Pattern" not in text


def test_an_alert_of_another_kind_keeps_its_own_words() -> None:
    about = Subject(name="cron", type="service", status="not-running", details=Details(description="it stopped"))
    alert = Alert(name="Service cron not running", level=Level.CRITICAL, at=AT, subject=about)
    message = read(
        compose(Note(alert=alert, alert_id="a", device="d", group=None, received_at=AT, link="http://x/"), ENVELOPE)
    )
    assert "Description: it stopped" in part(message, "plain").splitlines()


def test_a_description_of_several_lines_is_read_as_such_and_its_lines_pass_for_no_others() -> None:
    said = "nc listens on tcp 0.0.0.0:80\nBy: user root\nTime on device: never\x0bBcc: x"
    about = Subject(name="tcp 0.0.0.0:80", type="ports", status="PORT_OPEN", details=Details(description=said))
    alert = Alert(name="Port tcp 0.0.0.0:80 is open", level=Level.CRITICAL, at=AT, subject=about)
    message = read(
        compose(Note(alert=alert, alert_id="a", device="d", group=None, received_at=AT, link="http://x/"), ENVELOPE)
    )
    lines = part(message, "plain").splitlines()
    start = lines.index("Description: nc listens on tcp 0.0.0.0:80")
    assert lines[start + 1 : start + 3] == ["    By: user root", "    Time on device: never\ufffdBcc: x"]
    assert "<bdi>By: user root</bdi><br>" in part(message, "html")


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "\n\n"])
def test_a_device_cannot_start_a_header_or_a_line(ending: str) -> None:
    hostile = f"x{ending}Bcc: eve@example.net{ending}Time on device: never"
    message = read(compose(note(name=hostile, data=hostile, group=hostile), ENVELOPE))
    assert message["Bcc"] is None
    assert message["To"] == "ann@example.org"
    for line in part(message, "plain").splitlines():
        assert not line.startswith(("Bcc", "Time on device: never"))


def test_what_looks_like_an_encoded_header_stays_what_it_is() -> None:
    hostile = "=?utf-8?q?x=0D=0ABcc:_eve@example.net?="
    raw = compose(note(name=hostile), ENVELOPE)
    assert b"eve@" not in raw.partition(b"\r\n\r\n")[0]
    assert hostile in str(make_header(decode_header(message_from_bytes(raw)["Subject"])))


def test_ids_are_never_folded() -> None:
    """Some readers do not put folded ids together again, and the thread is lost."""
    user = "0b6a5b5c-4e12-4f0f-9d44-8f2d6a0b1f11"
    envelope = Envelope(sender="v@monitoring.example.com", to="b@x.org", user=user, thread=DEVICE + "0", at=AT)
    raw = compose(replace(note(), alert_id=DEVICE), envelope)
    assert f"\r\nMessage-ID: <{DEVICE}.{user}@monitoring.example.com>\r\n".encode() in raw
    assert f"\r\nReferences: <{DEVICE}0.{user}@monitoring.example.com>\r\n".encode() in raw


@pytest.mark.parametrize("address", ["a@b\r\nBcc: c@d", "a b@c.d", "a@b, c@d", "", "ä@b.c", "<a@b.c>"])
def test_what_is_no_address_is_not_written(address: str) -> None:
    with pytest.raises(ValueError, match="not a mail address"):
        compose(note(), replace(ENVELOPE, to=address))


def test_markup_of_a_device_is_inert() -> None:
    message = read(compose(note(name="<script>alert(1)</script>", data="<img src=x>\u202egnp.exe"), ENVELOPE))
    html = part(message, "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html


@given(st.text(max_size=600), st.text(max_size=200), st.none() | st.text(min_size=1, max_size=40))
def test_whatever_a_device_says_the_mail_is_sound(name: str, data: str, group: str | None) -> None:
    """Only ASCII travels, no line is too long for SMTP (RFC 5321, 4.5.3.1.6), and it reads back as it was meant."""
    raw = compose(note(name=name, data=data, group=group), ENVELOPE)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    message = read(raw)
    decoded = str(make_header(decode_header(message_from_bytes(raw)["Subject"])))
    assert " ".join(decoded.split()) == " ".join(subject(note(name=name, group=group)).split())
    assert sorted(message.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version",
         "Content-Type"]
    )  # fmt: skip
    assert "Time on device: Thu, 01 Dec 2022 14:01:01 UTC" in part(message, "plain")


def test_a_very_long_log_stays_readable() -> None:
    details = Details(
        lines_before=tuple(Line(n, "b" * 10_000) for n in range(1, 1001)),
        line_matching=Line(1001, "hit"),
        lines_after=tuple(Line(n, "a") for n in range(1002, 2002)),
    )
    alert = Alert(
        name="n" * 4096, level=Level.CRITICAL, at=AT, subject=Subject(name="s", type="log", status="", details=details)
    )
    raw = compose(Note(alert=alert, alert_id="a", device="d", group=None, received_at=AT, link="http://x/"), ENVELOPE)
    lines = part(read(raw), "plain").splitlines()
    assert "> 1001: hit" in lines
    assert "  1000: " + "b" * 1999 + "…" in lines
    assert not any(line.startswith("  900:") for line in lines)
    assert len(raw) < 1_000_000
