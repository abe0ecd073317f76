"""What the tests of packaging share: one fresh Debian root and one package, made once and only when wanted."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from debian_root import SOURCE, Machine, bootstrap


def load(path: Path) -> ModuleType:
    """A program of packaging/ as a module."""
    spec = importlib.util.spec_from_file_location(f"packaging_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fresh_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("debian")
    yield bootstrap(directory)
    shutil.rmtree(directory)  # hundreds of megabytes that pytest would keep for three runs


@pytest.fixture
def machine(fresh_root: Path, tmp_path: Path) -> Iterator[Machine]:
    """A Debian on which nothing has been done yet."""
    root = tmp_path / "machine"
    subprocess.run(["cp", "-a", "--reflink=auto", fresh_root, root], check=True)
    yield Machine(root)
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this source."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is missing: the Debian package is not built")
    directory = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        [sys.executable, SOURCE / "packaging/deb/build.py", "--output", directory],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that `install.sh device` and `install.sh server` take from the package index, in one directory."""
    directory = tmp_path_factory.mktemp("wheels")
    wanted = directory / "requirements.txt"
    build = load(SOURCE / "packaging/deb/build.py")
    wanted.write_text(build.locked_requirements("server", "cli", besides=("setuptools",)))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--wheel-dir", directory, "-r", wanted],
        check=True, stderr=subprocess.DEVNULL, timeout=600, env={**os.environ},
    )  # fmt: skip
    return directory
