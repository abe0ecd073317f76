"""Holds the invariants of ARCHITECTURE.md: who may import whom, who may ask the time, who may start processes.

The rules are read from the source, not from memory: a new file is checked the day it is written.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "vedette"
FILES = sorted(PACKAGE.rglob("*.py"))

# A part may import itself, the parts named here, the standard library and the distributions named here.
SHARED = ("vedette.errors", "vedette.clock", "vedette.model", "vedette.wire")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "vedette.errors": (),
    "vedette.clock": (),
    "vedette.model": ("vedette.errors",),
    "vedette.wire": ("vedette.errors", "vedette.model", "msgspec"),
    "vedette.agent": (*SHARED, "vedette.__version__", "cryptography", "hyperscan", "jeepney", "pcre2", "yaml"),
    "vedette.server": (
        *SHARED, "vedette.__version__", "aiosmtplib", "argon2", "asyncpg", "cryptography", "httptools", "jinja2",
        "joserfc", "markupsafe", "msgspec", "pcre2", "pyotp", "segno", "starlette", "uvicorn", "uvloop",
    ),
    "vedette.cli": ("vedette.errors", "vedette.clock", "vedette.__version__", "yaml"),
    "vedette.demo": ("vedette.errors", "vedette.clock", "vedette.__version__", "aiosmtpd"),
    "vedette.__main__": ("vedette",),  # the one place where the parts meet: it picks a command and imports its part
}  # fmt: skip
# Slices of the server, left to right: a slice calls services to its left only, and nobody else's store.
SLICES = ("db", "audit", "access", "devices", "feed", "deployments", "configuration", "alerts", "notify")
# Modules that stay in the memory of an idle device; the rest is imported by short-lived children.
RESIDENT_ROOT = "vedette.agent.__main__"
NEVER_RESIDENT = (
    "ssl",
    "http",
    "asyncio",
    "cryptography",
    "msgspec",
    "argparse",
    "urllib.request",
    "hyperscan",
    "yaml",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Every module that `path` imports, absolute; `from a import b` counts as a.b."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def foreign(path: Path) -> Iterator[str]:
    import sys

    for name in imports(path):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            yield name


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_in_the_allowed_direction(path: Path) -> None:
    """`agent` and `server` never import one another, and nothing unlisted comes in."""
    module = module_name(path)
    if module == "vedette":
        assert not list(foreign(path))
        return
    part = ".".join(module.split(".")[:2])
    allowed = (part, *MAY_IMPORT[part])
    wrong = [name for name in foreign(path) if not within(name, allowed)]
    assert not wrong, f"{module} may not import {wrong}"


def test_the_device_never_imports_msgspec_through_the_wire() -> None:
    """`wire.incoming` is the server's: a device has no msgspec."""
    for path in (PACKAGE / "agent").rglob("*.py"):
        assert not any(within(name, ("vedette.wire.incoming",)) for name in imports(path)), path


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_slices_call_services_to_their_left_only(path: Path) -> None:
    parts = module_name(path).split(".")
    if len(parts) < 3 or parts[1] != "server" or parts[2] not in SLICES:
        return
    for name in imports(path):
        target = name.split(".")
        if target[:2] != ["vedette", "server"] or len(target) < 3 or target[2] not in SLICES or target[2] == parts[2]:
            continue
        assert SLICES.index(target[2]) < SLICES.index(parts[2]), f"{'.'.join(parts)} imports {name}, to its right"
        assert not any(part.endswith("store") for part in target[3:]), (
            f"{'.'.join(parts)} imports another slice's store: {name}"
        )


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_clock_asks_the_time(path: Path) -> None:
    if module_name(path) == "vedette.clock":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            call = f"{node.value.id}.{node.attr}"
            forbidden = {"time.time", "time.monotonic", "time.clock_gettime", "datetime.now", "datetime.utcnow"}
            assert call not in forbidden, f"{path}:{node.lineno}: {call} belongs to clock.py"


@pytest.mark.parametrize("path", sorted((PACKAGE / "agent").rglob("*.py")), ids=module_name)
def test_only_the_host_starts_processes_for_checks(path: Path) -> None:
    """Checks and the rest of the agent have no way to run anything but through `host.py`."""
    if module_name(path) == "vedette.agent.host":
        return
    starters = ("subprocess", "os.system", "os.popen", "os.fork", "os.posix_spawn", "pty", "multiprocessing")
    assert not [name for name in imports(path) if within(name, starters)], path
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in {"system", "popen", "fork", "posix_spawn", "posix_spawnp", "execv", "execve"}, path


def test_the_resident_daemon_stays_small() -> None:
    """An idle agent has no TLS, HTTP, cryptography or command-line library in memory; asked of the real interpreter."""
    import subprocess
    import sys

    code = f"import sys, {RESIDENT_ROOT}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert RESIDENT_ROOT in loaded
    assert not [name for name in loaded if within(name, NEVER_RESIDENT)]


def test_no_two_test_files_share_a_name() -> None:
    """Pytest imports them by their name alone, so one of the two would not run."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
