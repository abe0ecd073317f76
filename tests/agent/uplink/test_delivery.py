"""What each answer of a server does to the alerts that are owed: none is lost, none is held up by another."""

import json
from collections.abc import Callable

import pytest
from fake_server import ALERT, AUTH, CONFIG, HTML, INVENTORY, Asked, FakeServer, Reply, in_turn, pending
from sandbox_device import Device, names

from vedette.agent.metakeys import CONFIG as CHECKS
from vedette.agent.settings import Settings
from vedette.agent.uplink import child, deliver
from vedette.agent.uplink.backoff import EAGER_ASKS

MANY = [f"alert {number}" for number in range(200)]


def test_everything_arrives_in_order(device: Device, server: FakeServer) -> None:
    """A backlog longer than a batch, oldest first, each once; then the store is empty."""
    device.owe(*MANY)
    assert device.deliver() is None
    assert names(server) == MANY
    assert device.counts().owed == 0
    assert all(len(asked.json) <= deliver.BATCH_RECORDS for asked in server.to(ALERT))
    assert len({asked.connection for asked in server.asked}) == 1


def test_only_a_server_of_ours_hears_our_own_key(device: Device, server: FakeServer) -> None:
    device.owe("first")
    device.deliver()
    assert server.to(ALERT)[0].json[0]["origin"]["sequence"] == 1
    other = FakeServer()
    other.ours = False
    device.belongs_to(other.url)
    device.owe("second")
    device.deliver()
    other.close()
    (alert,) = other.to(ALERT)[0].json
    assert alert == {
        "name": "second",
        "level": "CRITICAL",
        "subject": {
            "name": "log_scan",
            "type": "log",
            "status": "LOGCONTAINS",
            "details": {"line_matching": {"line_number": 1, "data": "x"}},
        },
        "timestamp": "2026-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(status=500),
        Reply(status=503),
        Reply(status=429),
        Reply(status=403),
        Reply(status=404),
        Reply(status=200, body=b"<html>Please log in to the hotel network</html>", headers=HTML),
        Reply(status=400, body=b"<html>nginx</html>", headers=HTML),
        Reply(status=302, headers={"Location": "http://198.51.100.1/elsewhere"}),
        Reply(status=307, headers={"Location": "http://198.51.100.1/elsewhere"}),
        Reply(drop=True),
    ],
    ids=lambda reply: f"{reply.status}{' page' if reply.headers == HTML else ''}{' drop' if reply.drop else ''}",
)
def test_trouble_keeps_everything(device: Device, server: FakeServer, trouble: Reply) -> None:
    """Whatever is no verdict on the alerts costs a wait, and when it is over everything arrives in order."""
    device.owe("a", "b")
    server.on[ALERT] = lambda _asked: trouble
    assert device.deliver() == 1.0  # the first window, drawn at its end
    assert device.deliver() == 2.0
    assert device.counts().owed == 2
    assert device.counts().quarantined == 0
    server.asked.clear()
    del server.on[ALERT]
    assert device.deliver() is None
    assert names(server) == ["a", "b"]
    server.on[ALERT] = lambda _asked: trouble
    device.owe("c")
    assert device.deliver() == 1.0, "success did not end the count of failures"


def test_nobody_there(device: Device, server: FakeServer) -> None:
    device.owe("a")
    server.close()
    try:
        assert device.deliver() == 1.0
        assert device.counts().owed == 1
    finally:
        server._server.socket.close()


def test_growing_waits_end_at_the_setting(device: Device, server: FakeServer) -> None:
    device.owe("a")
    server.on[ALERT] = lambda _asked: Reply(status=500)
    device.settings = Settings(send_alert_max_interval_s=5)
    assert [device.deliver() for _ in range(5)] == [1, 2, 4, 5, 5]
    device.settings = Settings(send_alert_max_interval_s=0, default_alert_store_resend_interval_s=60)
    assert [device.deliver() for _ in range(2)] == [60, 60]


def test_retry_after_is_the_least_wait(device: Device, server: FakeServer) -> None:
    device.owe("a")
    server.on[ALERT] = lambda _asked: Reply(status=429, headers={"Retry-After": "120"})
    assert device.deliver(draw=min) == 120.1
    assert device.deliver(draw=max) == 122.0


def refuses(bad: set[str]) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        wrong = bad & {alert["name"] for alert in asked.json}
        return Reply(status=400, body=b'{"error": "no good", "request_id": "3"}') if wrong else Reply()

    return answer


@pytest.mark.parametrize("bad", [{"alert 0"}, {"alert 77"}, {"alert 63", "alert 64", "alert 199"}, set(MANY)])
def test_a_bad_record_is_put_aside_alone(device: Device, server: FakeServer, bad: set[str]) -> None:
    device.owe(*MANY)
    taken: list[str] = []
    refuse = refuses(bad)

    def answer(asked: Asked) -> Reply:
        reply = refuse(asked)
        if reply.status == 204:
            taken.extend(alert["name"] for alert in asked.json)
        return reply

    server.on[ALERT] = answer
    assert device.deliver() is None
    assert taken == [name for name in MANY if name not in bad]
    assert device.counts().quarantined == len(bad)
    assert device.counts().owed == 0


def test_trouble_while_a_batch_is_split(device: Device, server: FakeServer) -> None:
    """What was delivered of it is not sent again, the rest is kept."""
    device.owe("a", "b", "c", "d")
    server.on[ALERT] = in_turn(Reply(status=400), Reply(), Reply(status=500))
    assert device.deliver() == 1.0
    assert device.counts().owed == 2
    server.asked.clear()
    del server.on[ALERT]
    device.deliver()
    assert names(server) == ["c", "d"]


@pytest.mark.parametrize("headers", [{}, HTML], ids=["from the API", "from a proxy"])
def test_smaller_batches_for_a_server_that_takes_less(
    device: Device, server: FakeServer, headers: dict[str, str]
) -> None:
    device.owe(*MANY[:100], text="y" * 1000)
    device.owe("too large", text="z" * 20_000)
    device.owe("last")

    def answer(asked: Asked) -> Reply:
        return Reply(status=413, headers=headers) if len(asked.body) > 10_000 else Reply()

    server.on[ALERT] = answer
    assert device.deliver() is None
    assert device.counts().owed == 0
    assert device.counts().quarantined == 1
    taken = [alert["name"] for asked in server.to(ALERT) if len(asked.body) <= 10_000 for alert in asked.json]
    assert taken == [*MANY[:100], "last"]


def test_requests_stay_within_bounds(device: Device, server: FakeServer) -> None:
    device.owe(*MANY[:10], text="y" * 100_000)
    device.deliver()
    assert names(server) == MANY[:10]
    assert max(len(asked.body) for asked in server.to(ALERT)) <= deliver.BATCH_BYTES + 1000


def test_a_refused_token_is_renewed_at_once(device: Device, server: FakeServer) -> None:
    device.owe("a")
    device.deliver()
    server.valid_token = "head.body2.signature"
    device.owe("b")
    assert device.deliver() is None
    assert server.tokens == 2
    assert device.counts().owed == 0


def test_a_token_that_is_never_good_enough_means_waiting(device: Device, server: FakeServer) -> None:
    """One new authentication, then back-off: no hot loop between the two endpoints."""
    device.owe("a")
    device.deliver()
    server.valid_token = "nothing that is ever given"
    server.asked.clear()
    device.owe("b")
    assert device.deliver() == 1.0
    assert [asked.path for asked in server.asked] == [ALERT, AUTH, ALERT]
    assert device.deliver() == 2.0
    assert [asked.path for asked in server.asked[3:]] == [AUTH, ALERT]
    assert device.counts().owed == 1


def test_a_pending_device_asks_until_it_is_accepted(device: Device, server: FakeServer) -> None:
    """It asks with nothing to send too, more often than once a minute, and the count of failures stays out of it."""
    server.on[AUTH] = pending
    for draw, wait in ((min, 2.0), (max, 5.0)) * (EAGER_ASKS // 2) + ((min, 10.0), (max, 40.0)) * 2:
        assert device.deliver(draw) == wait
    assert device.meta(child.ACCEPTED) != "1"
    device.owe("raised before")
    assert device.deliver() == 40.0
    del server.on[AUTH]
    assert device.deliver() is None
    assert device.meta(child.ACCEPTED) == "1"
    assert names(server) == ["raised before"]


def test_a_device_that_is_thrown_out_asks_again(device: Device, server: FakeServer) -> None:
    device.deliver()
    server.valid_token, server.on[AUTH] = "none", pending
    device.owe("a")
    assert device.deliver() == 40.0
    assert device.meta(child.ACCEPTED) == "0"
    assert device.counts().owed == 1


def test_reports_come_after_the_alerts_and_only_when_new(device: Device, server: FakeServer) -> None:
    device.owe("a")
    checks = '[{"name": "scan.sh", "status": "enabled", "type": "log"}]'
    device.set_meta(CHECKS, checks)
    device.deliver()
    assert [asked.path for asked in server.asked] == [AUTH, ALERT, CONFIG, INVENTORY]
    config, inventory = server.asked[2:]
    assert (config.method, config.json[0]["name"]) == ("POST", "scan.sh")
    assert (inventory.method, inventory.json[0]["name"]) == ("PATCH", "hostname")
    assert device.meta("report.config.sent") == checks
    server.asked.clear()
    device.deliver()
    assert not server.asked
    device.set_meta(CHECKS, "[]")
    device.deliver()
    assert [asked.path for asked in server.asked] == [CONFIG]


@pytest.mark.parametrize("ours", [True, False])
def test_what_a_check_watches_is_told_as_the_server_understands_it(
    device: Device, server: FakeServer, ours: bool
) -> None:
    """The API knows settings of three kinds; those of the others are for servers of ours."""
    server.ours = ours
    log = {"name": "a.sh", "status": "enabled", "type": "log", "log": {"pattern": "ä", "path": "/a"}}
    disk = {"name": "b.sh", "status": "enabled", "type": "diskusage"}
    more = {"diskusage": {"path": "/", "threshold_percent": 90}}
    device.set_meta(CHECKS, json.dumps([log, disk | more]))
    device.deliver()
    assert server.to(CONFIG)[0].json == [log, disk | more if ours else disk]


def test_a_set_of_checks_that_would_be_too_long_is_told_without_that(device: Device, server: FakeServer) -> None:
    check = {"name": "a.sh", "status": "enabled", "type": "own", "own": {"words": "ä" * 300_000}}
    device.set_meta(CHECKS, json.dumps([check], ensure_ascii=False))
    device.deliver()
    assert server.to(CONFIG)[0].json == [{"name": "a.sh", "status": "enabled", "type": "own"}]


def test_the_set_of_checks_is_told_again_after_its_interval(device: Device, server: FakeServer) -> None:
    device.set_meta(CHECKS, "[]")
    device.deliver()
    device.clock.advance(599)
    device.deliver()
    assert len(server.to(CONFIG)) == 1
    device.clock.advance(1)
    device.deliver()
    assert len(server.to(CONFIG)) == 2
    device.clock.advance(-86400)  # somebody set the clock back
    device.deliver()
    assert len(server.to(CONFIG)) == 3


def test_a_server_without_reports_still_gets_alerts(device: Device, server: FakeServer) -> None:
    device.set_meta(CHECKS, "[]")
    server.on[CONFIG] = server.on[INVENTORY] = lambda _asked: Reply(status=404)
    device.owe("a")
    assert device.deliver() is None
    server.asked.clear()
    assert device.deliver() is None
    assert not server.asked


def test_broken_reports_hold_alerts_up_for_a_while_only(device: Device, server: FakeServer) -> None:
    device.set_meta(CHECKS, "[]")
    server.on[CONFIG] = lambda _asked: Reply(status=500)
    waits = [device.deliver() for _ in range(7)]
    assert waits == [1, 2, 4, 8, 16, None, None]
    del server.on[CONFIG]
    assert device.deliver() is None
    assert device.meta("report.config.sent") == "[]"


def test_another_server_is_told_everything(device: Device, server: FakeServer) -> None:
    device.set_meta(CHECKS, "[]")
    device.deliver()
    other = FakeServer()
    device.belongs_to(other.url)
    device.deliver()
    other.close()
    assert [asked.path for asked in other.asked] == [AUTH, CONFIG, INVENTORY]


def test_without_a_server_everything_is_kept_and_said_once(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    device.owe("a")
    assert device.deliver() == 60.0
    assert device.deliver() == 60.0
    assert device.counts().owed == 1
    assert capfd.readouterr().err.count("mender.conf does not exist") == 1


def test_an_alert_url_of_another_host_does_not_get_the_token(device: Device, server: FakeServer) -> None:
    device.settings = Settings(alert_url="https://198.51.100.1/alerts")
    device.owe("a")
    assert device.deliver() is None
    assert names(server) == ["a"]
    device.settings = Settings(alert_url=server.url + "/my/alerts")
    device.owe("b")
    assert device.deliver() is None
    assert [asked.json[0]["name"] for asked in server.to("/my/alerts")] == ["b"]


def test_secrets_stay_out_of_the_log(device: Device, server: FakeServer, capfd: pytest.CaptureFixture[str]) -> None:
    device.belongs_to(server.url, TenantToken="SECRET-TENANT")
    device.owe("a")
    server.on[ALERT] = lambda _asked: Reply(status=500)
    device.deliver()
    log = capfd.readouterr().err
    assert "500" in log
    assert "SECRET-TENANT" not in log
    assert "body1" not in log
    token = device.paths.state_dir / "token"
    assert "body1" in token.read_text()
    assert token.stat().st_mode & 0o777 == 0o600
