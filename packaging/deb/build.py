"""Builds the Debian package of the monitor: `make deb`, or `.venv/bin/python packaging/deb/build.py --help`.

What it makes and why it looks like this: docs/decisions/0006-debian-package.md. It needs dpkg-deb, and the network for
pip only. The same commit gives the same bytes.
"""

import argparse
import compileall
import gzip
import importlib.metadata
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

SOURCE: Final = Path(__file__).resolve().parents[2]
PACKAGING: Final = SOURCE / "packaging"
PACKAGE: Final = "vedette-monitor"
HOME: Final = "usr/lib/vedette"
"""A virtual environment of the monitor's own: nothing else on the device can change what it imports."""
PARTS: Final = ("__init__.py", "py.typed", "errors.py", "clock.py", "model", "wire", "agent")
"""Of our own package, what a device needs. ARCHITECTURE.md promises that these need no other part."""
COMMANDS: Final = {"mender-monitord": "vedette.agent.__main__", "mender-monitorctl": "vedette.agent.control"}
LIBRARIES: Final = {
    "libgcc_s.so.1": "libgcc-s1",
    "libm.so.6": "libc6",
    "libc.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libpthread.so.0": "libc6",
    "librt.so.1": "libc6",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}
"""Debian packages of what compiled modules are linked with."""


class Refused(Exception):
    """The package cannot be built; the message says why."""


def main() -> int:
    """Build, print the path of the package; the exit status."""
    parser = argparse.ArgumentParser(description="Build the Debian package of the monitor.")
    parser.add_argument("--output", type=Path, default=SOURCE / "dist", help="directory for the package; dist")
    parser.add_argument("--version", default="", help="version of the package; that of the source")
    asked = parser.parse_args()
    try:
        print(build(asked.output, asked.version))
    except Refused as exc:
        print(f"build.py: {exc}", file=sys.stderr)
        return 1
    return 0


def build(output: Path, version: str = "") -> Path:
    """Make the package in `output`.

    Raises:
        Refused: a tool is missing, a command failed, or a compiled module needs a library we know no package of.
    """
    if shutil.which("dpkg-deb") is None:
        raise Refused("dpkg-deb is missing (on Debian: apt install dpkg)")
    version = version or _version()
    architecture = _run("dpkg", "--print-architecture").strip()
    package = output / f"{PACKAGE}_{version}_{architecture}.deb"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vedette-deb-") as scratch:
        tree = Path(scratch, "tree")
        tree.mkdir(mode=0o755)
        _environment(tree, Path(scratch))
        _files(tree, version, Path(scratch))
        depends = _depends(tree / HOME)
        _control(tree, version, architecture, depends)
        epoch = _epoch()
        for path in tree.rglob("*"):
            os.utime(path, (int(epoch), int(epoch)), follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        half = package.with_suffix(".part")  # nobody installs half a package
        _run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(half), SOURCE_DATE_EPOCH=epoch)
        half.rename(package)
    return package


def _version() -> str:
    found = re.search(r'^__version__ = "(.+)"$', (SOURCE / "src/vedette/__init__.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def _epoch() -> str:
    """The time that files in the package carry: of the last commit, or what the caller's environment says."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    if not (SOURCE / ".git").exists():  # a source archive: its own age
        return str(int((SOURCE / "pyproject.toml").stat().st_mtime))
    return _run("git", "-C", str(SOURCE), "log", "-1", "--format=%ct").strip()


# -- the programs ------------------------------------------------------------------------------------------------------


def _environment(tree: Path, scratch: Path) -> None:
    """The virtual environment, without pip in it, and the commands."""
    home = tree / HOME
    python = f"python3.{sys.version_info.minor}"
    site = home / "lib" / python / "site-packages"
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")

    locked = scratch / "requirements.txt"
    locked.write_text(locked_requirements())
    # Into a prefix and not --target: a distribution that brings its sources along leaves them outside of site-packages.
    prefix = scratch / "prefix"
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    )
    _run(*pip, "--ignore-installed", "--require-hashes", "--prefix", str(prefix), "-r", str(locked))
    for installed in sorted(prefix.glob(f"lib*/{python}/site-packages")):
        shutil.copytree(installed, site, dirs_exist_ok=True)
    for part in PARTS:
        source, target = SOURCE / "src/vedette" / part, site / "vedette" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for record in site.glob("*.dist-info"):
        for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            (record / name).unlink(missing_ok=True)
    # Compiled here: the device may have /usr read-only, and what it wrote there itself, no removal would find.
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(site, quiet=1, stripdir=str(tree), prependdir="/", invalidation_mode=unchecked):
        raise Refused("a module cannot be compiled")

    (tree / "usr/bin").mkdir(parents=True)
    for command, module in COMMANDS.items():
        # -I: neither the directory one stands in nor PYTHONPATH decides what root imports.
        text = f"#!/{HOME}/bin/python3 -I\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n"
        (tree / "usr/bin" / command).write_text(text)
        (tree / "usr/bin" / command).chmod(0o755)


def locked_requirements(*extras: str, besides: tuple[str, ...] = ()) -> str:
    """The part of requirements.lock that a device needs, with its hashes; also what `extras` need, and `besides`."""
    blocks = {
        canonicalize_name(block.partition("==")[0]): re.sub(r"(?m)^\s*#.*\n?", "", block).rstrip() + "\n"
        for block in re.split(r"\n(?=[A-Za-z])", (SOURCE / "requirements.lock").read_text())
        if "==" in block.partition("\n")[0]
    }
    needed = sorted({*_needed(*extras), *map(canonicalize_name, besides)})
    if missing := [name for name in needed if name not in blocks]:
        raise Refused(f"{', '.join(missing)} not in requirements.lock (make lock)")
    return "".join(blocks[name] for name in needed)


def _needed(*extras: str) -> set[NormalizedName]:
    """Names of the distributions that the agent imports, and what these need in turn, here and on this Python."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    todo = [
        Requirement(each) for each in (*project["dependencies"], *(one for name in extras for one in optional[name]))
    ]
    # The fast engine, where this machine could install it; without it the agent works all the same.
    for each in map(Requirement, optional.get("fast", ())):
        if _installed(each.name):
            todo.append(each)
        else:
            print(f"without {each.name}: it is not installed in this environment", file=sys.stderr)
    names: set[NormalizedName] = set()
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in names or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        names.add(name)
        todo += map(Requirement, importlib.metadata.requires(name) or ())
    return names


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


# -- everything else ---------------------------------------------------------------------------------------------------


def _files(tree: Path, version: str, scratch: Path) -> None:
    def put(source: Path, target: str) -> None:
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tree / target)

    put(PACKAGING / "systemd/mender-monitor.service", "usr/lib/systemd/system/mender-monitor.service")
    # What postinst puts in the place of config.sh when nobody has edited it.
    put(PACKAGING / "config/config.sh", f"usr/share/{PACKAGE}/config.sh")
    applies = "usr/lib/mender-configure/apply-device-config.d/vedette"
    put(PACKAGING / "mender-configure/vedette", applies)
    (tree / applies).chmod(0o755)
    put(PACKAGING / "completion/mender-monitorctl", "usr/share/bash-completion/completions/mender-monitorctl")
    _run(sys.executable, str(PACKAGING / "man/render.py"), str(scratch / "man"), version)
    for page in sorted((scratch / "man").glob("mender-*")):
        target = tree / "usr/share/man" / f"man{page.suffix[1:]}" / f"{page.name}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_gzip(page.read_bytes()))
    library = PACKAGING / "lib"
    if library.is_dir():
        shutil.copytree(library, tree / "usr/share/mender-monitor", dirs_exist_ok=True)
    example = "usr/share/mender-monitor/examples/pid-change"
    put(PACKAGING / "examples/pid-change", example)
    (tree / example).chmod(0o755)
    (tree / "usr/share/mender-monitor/config").mkdir(parents=True, exist_ok=True)
    for name in ("available", "enabled"):
        (tree / "etc/mender-monitor/monitor.d" / name).mkdir(parents=True)
    doc = tree / "usr/share/doc" / PACKAGE
    for name in ("checks.md", "security.md", "import.md"):
        put(SOURCE / "docs" / name, f"usr/share/doc/{PACKAGE}/{name}")
    (doc / "changelog.gz").write_bytes(_gzip((SOURCE / "CHANGELOG.md").read_bytes()))
    (doc / "copyright").write_text(_copyright(tree))


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _copyright(tree: Path) -> str:
    lines = ["Vedette is licensed under the Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0.", ""]
    lines += ["The package holds these libraries; their licences are in the directories named:", ""]
    lines += [f"  /{each.relative_to(tree)}" for each in sorted((tree / HOME).rglob("*.dist-info"))]
    return "\n".join(lines) + "\n"


def _depends(home: Path) -> str:
    """What the compiled modules need: this very minor version of Python, the C library, what they are linked with."""
    minor = sys.version_info.minor
    glibc, packages = (0, 0), {"libc6"}
    modules = sorted(path for path in home.rglob("*.so*") if path.is_file())
    bundled = {path.name for path in modules}
    for module in modules:
        data = module.read_bytes()
        for version in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data):
            glibc = max(glibc, (int(version[0]), int(version[1])))
        for name in {found.decode() for found in re.findall(rb"\0(lib[\w+-]+\.so\.\d+)(?=\0)", data)} - bundled:
            if name not in LIBRARIES:
                raise Refused(f"{module.name} needs {name}, and LIBRARIES does not say which Debian package has it")
            packages.add(LIBRARIES[name])
    libraries = [f"{name} (>= {glibc[0]}.{glibc[1]})" if name == "libc6" else name for name in sorted(packages)]
    return ", ".join([f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})", *libraries])


def _control(tree: Path, version: str, architecture: str, depends: str) -> None:
    control = tree / "DEBIAN"
    control.mkdir()
    size = sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()) // 1024
    template = (PACKAGING / "deb/control").read_text()
    values = {"version": version, "architecture": architecture, "size": size, "depends": depends}
    (control / "control").write_text(template.format_map(values))
    for name in ("postinst", "prerm", "postrm"):
        shutil.copyfile(PACKAGING / "deb" / name, control / name)
        (control / name).chmod(0o755)


def _run(*words: str, **environment: str) -> str:
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        raise Refused(f"{' '.join(words[:4])} ... failed with status {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
