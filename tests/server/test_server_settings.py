"""Settings: where they come from, and what is refused."""

import re
from pathlib import Path

import pytest
from postgresql import ON_SQLITE

from vedette.errors import Invalid
from vedette.server.commands import HELP
from vedette.server.notify.channels.email import _ADDRESS
from vedette.server.settings import NAMES, PREFIX, Settings, default_data, load

DOCS = Path(__file__).parents[2] / "docs/settings.md"


def test_the_documentation_names_every_setting() -> None:
    rows = [line.split("|")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(NAMES)
    assert sorted(HELP) == sorted(NAMES)


def test_the_documented_file_is_accepted(tmp_path: Path) -> None:
    example = "\n".join(line[4:] for line in DOCS.read_text().splitlines() if line.startswith("    "))
    file = tmp_path / "vedette.toml"
    file.write_text(example)
    assert load({}, {}, file).base_url == "https://vedette.example.com"


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "vedette.toml"
    file.write_text('listen = "1.1.1.1:1"\nmail_from = "file@example.com"\nlog_level = "error"\n')
    environ = {"VEDETTE_LISTEN": "2.2.2.2:2", "VEDETTE_MAIL_FROM": "env@example.com", "VEDETTE_CONFIG": str(file)}
    settings = load({"listen": "3.3.3.3:3"}, environ | {"HOME": "/"})
    assert settings.address == ("3.3.3.3", 3)
    assert settings.mail_from == "env@example.com"
    assert settings.log_level == "error"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('lisen = "x"', "there is no setting 'lisen'; the nearest is 'listen'"),
        ("listen = 8080", "listen needs a string in quotes"),
        ("listen = ", "Invalid value"),
        ('[server]\nlisten = "x"', "there is no setting 'server'"),
        ("\udcff", "codec can't decode"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "vedette.toml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(Invalid, match=re.escape(text)) as refused:
        load({}, {}, file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        load({}, {}, tmp_path / "none.toml")


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(Invalid, match="VEDETTE_SMPT: there is no setting 'smpt'; the nearest is 'smtp'"):
        load({}, {PREFIX + "SMPT": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "8080"),
        ("listen", "host:"),
        ("listen", "host:99999"),
        ("listen", "host:-1"),
        ("listen", "host:٣"),
        ("smtp", "mail.example.com"),
        ("smtp", "http://mail.example.com"),
        ("smtp", "smtp://"),
        ("smtp", "smtp://user:secret@host:port"),
        ("public_url", "vedette.example.com"),
        ("tls_cert", "cert.pem"),
        ("log_level", "loud"),
        ("mail_from", "nobody"),
        ("mail_from", "a@b.c\r\nBcc: d@e.f"),
        ("mail_from", "Vedette <a@b.c>"),
        ("mail_from", "<a@b.c>"),
        ("mail_from", "ä@b.c"),
        ("mail_from", "a@ö.c"),
        ("mail_from", "a@b.c\n"),
        ("mail_from", "a@b@c"),
        ("mail_from", "a@"),
        ("mail_from", "a.@b.c"),
        ("mail_from", '"a b"@b.c'),
        ("mail_from", "a@[127.0.0.1]"),
        ("mail_from", "a@-b.c"),
        ("mail_from", "a@b..c"),
        ("mail_from", "x" * 65 + "@b.c"),
        ("public_url", "http://"),
        ("public_url", "http://["),
        ("public_url", "https://user:secret@b.c"),
        ("public_url", "https://b.c/?x"),
        ("public_url", "https://b.c/ x"),
        ("public_url", "https://b.c\r\n"),
        ("listen", "host:" + "9" * 5000),
        ("data", ""),
        ("trusted_proxies", "everybody"),
        ("trusted_proxies", "10.0.0.1/8"),
    ],
)
def test_a_value_that_cannot_work_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name) as refused:
        load({name: value}, {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["vedette@localhost", "a@b.c", "first.last+tag@mail-1.example.com", "o'brien=x/y@example.com"]
)
def test_senders_that_can_be(address: str) -> None:
    """Whatever passes here, the message must not refuse later."""
    assert _ADDRESS.fullmatch(Settings(mail_from=address).mail_from)


@pytest.mark.parametrize("url", ["https://b.c", "http://[::1]:8080", "https://b.c:8443/vedette/", "http://a_b"])
def test_public_urls_that_can_be(url: str) -> None:
    assert Settings(public_url=url).base_url == url.rstrip("/")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings(smtp="smtp://user:secret@host:25"))


@pytest.mark.parametrize(
    ("listen", "address", "url"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        ("[::1]:80", ("::1", 80), "http://[::1]:80"),
        (":8080", ("", 8080), "http://:8080"),
    ],
)
def test_addresses(listen: str, address: tuple[str, int], url: str) -> None:
    assert (Settings(listen=listen).address, Settings(listen=listen).base_url) == (address, url)


@ON_SQLITE
def test_where_the_data_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data() == Path("/var/lib/vedette")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data() == tmp_path / "vedette"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # the specification says to ignore it
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_data() == Path("/home/ann/.local/share/vedette")
    assert Settings(data=tmp_path).database_url == f"sqlite:///{tmp_path}/vedette.db"
