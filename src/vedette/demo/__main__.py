"""`vedette demo`: the whole road of an alert on this machine."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from email.message import EmailMessage

from vedette.demo import story
from vedette.demo.stage import Stage, command_hint
from vedette.errors import VedetteError

ONCE_EXPIRY_S = 5
WATCH_EXPIRY_S = 60


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="vedette demo",
        description="Start a server, an agent and a mailbox on this machine and show alerts travel between them.",
        epilog="examples:\n  vedette demo               look around; Ctrl-C ends and removes everything\n"
        "  vedette demo --once        run the round trip unattended; exit 0 only if every step held\n"
        "  vedette demo --port 9090   another port than 8080",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--once", action="store_true", help="run the round trip and end")
    made.add_argument("--port", type=int, default=8080, help="port of the server; a free one when it is taken")
    made.add_argument("--keep", action="store_true", help="leave the files of the demo for a look afterwards")
    return made


def say(text: str) -> None:
    sys.stdout.write(text + "\n")  # in one piece: the mailbox speaks from another thread
    sys.stdout.flush()


def on_mail(mail: EmailMessage) -> None:
    say(f"mail      to {mail['To']}: {mail['Subject']}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status."""
    options = parser().parse_args(argv)
    expiry_s = ONCE_EXPIRY_S if options.once else WATCH_EXPIRY_S
    # Ctrl-C also when a script started us in the background (it ignores SIGINT then); SIGTERM does the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with Stage(say, keep=options.keep) as stage:
            try:
                scene = story.set_up(stage, port=options.port, expiry_s=expiry_s, on_mail=on_mail)
                if options.once:
                    story.play_once(scene)
                    say("every step held")
                else:
                    watch(scene)
            except VedetteError as exc:
                print(f"vedette demo: {exc}", file=sys.stderr)
                for log in sorted(stage.path.glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
                return 1
    except KeyboardInterrupt:
        say("\nended; everything the demo made is removed")
        return 0 if not options.once else 130
    return 0


def watch(scene: story.Scene) -> None:
    """Play both examples, tell what to try, stay until Ctrl-C."""
    say(
        f"""
  Open {scene.url} and log in as {story.EMAIL} with password {scene.password}
  Mails are kept in {scene.stage.path / "mail"}; an alert is called off {scene.expiry_s} s after its last match.
"""
    )
    story.line_in_a_file(scene)
    story.line_from_a_command(scene)
    control = f"{command_hint('mender-monitorctl')} --root {scene.root}"
    say(
        f"""
  Try it:
    echo "CVE-2026-7 curl HIGH" >> {scene.scan_file}
    {control} list
    {control} create log mine "ERROR|panic" /tmp/mine.log 5m && {control} enable log mine
    kill -9 {scene.agent.pid}    # the agent, or {scene.server.pid}, the server: nothing is lost, nothing doubled
  Ctrl-C ends everything.
"""
    )
    threading.Event().wait()
