"""A server from start to stop: wired straight, undone in reverse."""

import asyncio
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from vedette.errors import Invalid, Unavailable, VedetteError
from vedette.server import systemd
from vedette.server.access import tenants
from vedette.server.app import make_app, make_internal_app, make_protocol, tasks
from vedette.server.http.protocol import Patient
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

FILES: Final = 65_536  # open at once, where we may: each connection is one
OWN_FILES: Final = 128  # not for connections: the database, the mail server, what Python opens
GRACE_S: Final = 5  # open connections (live pages above all) get this long at the end

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        Invalid: a setting that cannot work.
        Unavailable: the data directory, the address or the database cannot be had.
    """
    check_tls(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(data_directory(settings.data))
        listener = stack.enter_context(listen(settings.address))
        internal = None
        if settings.internal_address is not None:
            internal = stack.enter_context(listen(settings.internal_address, "--internal-listen"))
        services = await stack.enter_async_context(open_services(settings))
        await _first_start(services)
        _spare_the_collector()
        Patient.most = allow_connections()
        await stack.enter_async_context(_beside([*tasks(services), _watchdog()]))
        server = _Server(_configuration(settings, services))
        if internal is not None:
            await stack.enter_async_context(_internal(services, internal))

        def stop() -> None:
            server.stop()
            services.live.end()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
            stack.callback(loop.remove_signal_handler, number)
        host, port = listener.getsockname()[:2]
        scheme = "https" if settings.tls_cert else "http"
        where = "the database of the settings" if settings.database else settings.data
        log.info("listening on %s://%s:%d, data in %s", scheme, f"[{host}]" if ":" in host else host, port, where)
        await server.serve(sockets=[listener])
        log.info("stopped")


@contextmanager
def data_directory(path: Path) -> Iterator[None]:
    """Have `path`, made when missing (mode 0700), for one server at a time.

    Raises:
        Unavailable: it cannot be written, or another server has it.
    """
    lock = path / "vedette.lock"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Unavailable(f"data directory {path}: {exc.strerror}; name another one with --data") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise Unavailable(f"data directory {path}: another server uses it; stop that one or give --data") from exc
        yield
    finally:
        os.close(descriptor)


@contextmanager
def listen(address: tuple[str, int], option: str = "--listen") -> Iterator[socket.socket]:
    """A socket that listens on `address`, which `option` sets.

    Raises:
        Unavailable: the address is taken, or not of this machine.
    """
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(found[0], socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as exc:
        raise Unavailable(f"cannot listen on {host}:{port}: {exc.strerror}; choose another with {option}") from exc
    except UnicodeError as exc:  # a label of more than 63 characters, or none
        raise Invalid(f"setting {option[2:]}: {host[:80]!r} is no name of a host") from exc
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[4])
            listener.listen(2048)
        except OSError as exc:
            raise Unavailable(f"cannot listen on {host}:{port}: {exc.strerror}; choose another with {option}") from exc
        yield listener


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again at the end and cut the undoing short."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        systemd.notify("READY=1")

    def stop(self) -> None:
        """Serve what has been asked, then end."""
        if not self.should_exit:
            systemd.notify("STOPPING=1")
        self.should_exit = True


@asynccontextmanager
async def _internal(services: Services, listener: socket.socket) -> AsyncIterator[None]:
    """Serve internal paths on `listener`, as long as the server runs."""
    config = uvicorn.Config(
        make_internal_app(services),
        loop="none",
        http=Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Internal(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    log.info("internal paths on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Internal(uvicorn.Server):
    """Stops when told, and leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _configuration(settings: Settings, services: Services) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(services),
        loop="none",
        http=make_protocol(services),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )


def check_tls(settings: Settings) -> None:
    """Try the certificate and key, before anything is touched.

    Raises:
        Invalid: they cannot be read, or do not belong together.
    """
    if not settings.tls_cert:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError; ValueError: the key wants a password
        raise Invalid(f"settings tls_cert {settings.tls_cert} and tls_key {settings.tls_key}: {exc}") from exc


def allow_connections() -> int:
    """Ask for as many open files as we can use; how many connections fit then.

    A login shell allows 1024 files, but more to whom asks. Room is left for those that are told to come back, and
    without files for itself the server could not even ask its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = FILES if soft == resource.RLIM_INFINITY else min(FILES, soft)
    return max(16, (files - OWN_FILES) * 3 // 4)


def _spare_the_collector() -> None:
    """What is there by now stays: the cycle collector need not look at it again, nor come every 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _first_start(services: Services) -> None:
    made = await tenants.ensure_tenant(services)
    if made is not None:
        print(
            f"This is a first start: made the tenant {made.name!r}. Create its first user with\n"
            f"    vedette user create YOU@EXAMPLE.COM --tenant {made.name} --password-stdin"
            f" --data {services.settings.data}",
            file=sys.stderr,
            flush=True,
        )


@asynccontextmanager
async def _beside(works: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """`works` beside everything else, cancelled at the end. If one fails, the server ends: half of one is worse.

    Raises:
        VedetteError: one of them has failed; the log has its trace.
    """
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(_ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if any(isinstance(result, Exception) for result in results):
        raise VedetteError("a part of the server has failed; see the log above")


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("a part of the server has failed: this is a bug", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def _watchdog() -> None:
    """Tell systemd, as often as it wants, that the event loop still turns."""
    every_s = systemd.watchdog_every_s()
    while every_s is not None:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(every_s)
