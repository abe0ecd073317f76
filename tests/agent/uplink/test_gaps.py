"""What a device has given up, it says; but only to a server of ours."""

from fake_server import ALERT, Asked, FakeServer, Reply
from sandbox_device import Device

from vedette.agent.storebounds import Limits
from vedette.agent.uplink.reports import GAPS_PATH


def lose(device: Device, names: list[str], keep: int) -> None:
    with device.store() as store:
        store.limits = Limits(count=keep)
    for name in names:
        with device.store() as store:
            store.limits = Limits(count=keep)
            with store.commit() as tx:
                tx.add_alert(device.alert(name), device.boot, 1.0)


def told(server: FakeServer) -> list[tuple[int, int]]:
    return [(gap["first"], gap["last"]) for asked in server.to(GAPS_PATH) for gap in asked.json]


def test_what_was_given_up_is_told_once(device: Device, server: FakeServer) -> None:
    lose(device, ["a", "b", "c", "d"], keep=2)
    assert device.deliver() is None
    assert told(server) == [(1, 2)]
    (gap,) = server.to(GAPS_PATH)[0].json
    with device.store() as store:
        assert gap["account"] == str(store.account)
        assert (store.gaps(), store.counts().dropped) == ([], 2)
    assert gap["reason"] == "the store was full"
    device.owe("e")
    device.deliver()
    assert len(server.to(GAPS_PATH)) == 1


def test_a_server_that_is_not_ours_hears_nothing(device: Device, server: FakeServer) -> None:
    server.ours = False
    lose(device, ["a", "b", "c"], keep=2)
    assert device.deliver() is None
    assert len(server.to(ALERT)[0].json) == 2
    assert server.to(GAPS_PATH) == []
    with device.store() as store:
        assert len(store.gaps()) == 1  # for when there is one that understands


def test_a_server_of_ours_that_is_too_old_is_told_later(device: Device, server: FakeServer) -> None:
    lose(device, ["a", "b", "c"], keep=2)
    server.on[GAPS_PATH] = lambda asked: Reply(status=404, body=b'{"error": "no such path"}')
    assert device.deliver() is None
    del server.on[GAPS_PATH]
    device.deliver()
    assert told(server) == [(1, 1), (1, 1)]


def test_trouble_keeps_them(device: Device, server: FakeServer) -> None:
    lose(device, ["a", "b", "c"], keep=2)
    server.on[GAPS_PATH] = lambda asked: Reply(status=503)
    assert device.deliver() is not None
    del server.on[GAPS_PATH]
    assert device.deliver() is None
    assert told(server) == [(1, 1), (1, 1)]


def test_what_the_server_refuses_is_explained(device: Device, server: FakeServer) -> None:
    def refuse(asked: Asked) -> Reply:
        bad = any(each["name"] == "bad" for each in asked.json)
        return Reply(status=400, body=b'{"error": "no"}') if bad else Reply()

    server.on[ALERT] = refuse
    device.owe("good", "bad", "good")
    assert device.deliver() is None
    assert told(server) == [(2, 2)]
    assert "put aside" in server.to(GAPS_PATH)[0].json[0]["reason"]
    assert device.counts().dropped == 0


def test_another_server_learns_that_there_was_one_before(device: Device, server: FakeServer) -> None:
    device.owe("a", "b")
    device.deliver()
    assert told(server) == []
    other = FakeServer()
    device.belongs_to(other.url)
    device.owe("c")
    device.deliver()
    other.close()
    assert told(other) == [(1, 3)]  # those of 1 to 3 that it has not got: all but the third
