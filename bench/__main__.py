"""`make bench`: measure, print, put into RESULTS.md. `python -m bench intake peers` runs the parts it names;
the sections of the others stay as they are.
"""

import sys
from collections.abc import Callable
from typing import Final

from bench import cve, following, guard, ingest, management, peers, results, road, scan, security, weight, wrk
from bench.markdown import table
from vedette.demo.stage import Stage


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the parts that were named, or the usual ones. Each is written down when it ends: a failure costs only it."""
    names = sys.argv[1:] or list(USUAL)
    if unknown := set(names) - PARTS.keys():
        sys.exit(f"no part {min(unknown)!r}, only {', '.join(PARTS)}")
    for name in names:
        say(f"{name} ...")
        with Stage(say) as stage:
            lines = PARTS[name](stage)
        results.put(name, lines, order=tuple(PARTS))
        print("\n".join(lines), flush=True)


def of_the_road(stage: Stage) -> list[str]:
    scene = road.set_the_stage(stage)
    idle = road.idle(scene)
    way = road.measure(scene)
    return [
        "## From the write of a matching line to the alert stored at the server",
        "",
        "Real agent, real server with the embedded database (fsync at both hand-overs), HTTP on loopback.",
        "",
        *table(
            "uplink | samples | median ms | p99 ms | expected median",
            *(
                (name, len(each), f"{way.median(each) * 1000:.1f}", f"{way.p99(each) * 1000:.1f}", "< 100")
                for name, each in (("running (a burst)", way.warm), ("started for it (the usual case)", way.cold))
            ),
        ),
        "## Idle agent, the two checks of the mission, nothing happening",
        "",
        *table(
            "seconds | CPU s | wake-ups | RSS MB | PSS MB | expected",
            (
                f"{idle.seconds:.0f}",
                f"{idle.cpu_s:.2f}",
                idle.wakeups,
                f"{idle.rss_mb:.1f}",
                f"{idle.pss_mb:.1f}",
                "no measurable CPU, RSS < 25",
            ),
        ),
    ]


def of_the_intake(stage: Stage) -> list[str]:
    served = ingest.serve(stage)
    intakes = ingest.measure(served)
    limit = ingest.bare_loop(stage.path)
    peer = {each.per_post: each for each in ingest.alertmanager(stage.path)}
    return [
        "## Alerts taken in durably by one server process",
        "",
        f"`wrk`, {wrk.THREADS} threads, {wrk.CONNECTIONS} connections, {ingest.DEVICES} devices, {wrk.SECONDS} s each,",
        "21 lines of context an alert. The limit is a bare loop that only stores rows of the same size,",
        f"one fsync for {ingest.COMMIT_OF}: {limit:,.0f} alerts/s.",
        "",
        *table(
            "alerts a POST | alerts/s | of the limit | per CPU-second of the server | p50 ms | p99 ms | RSS MB | stored"
            " | answered 2xx | expected",
            *(
                (
                    each.per_post,
                    f"{each.per_s:,.0f}",
                    f"{each.per_s / limit:.2f}",
                    f"{each.per_cpu_s:,.0f}",
                    f"{each.load.p50_ms:.1f}",
                    f"{each.load.p99_ms:.1f}",
                    f"{each.load.rss_mb:.0f}",
                    f"{each.stored:,}",
                    f"{each.load.requests * each.per_post:,}",
                    "at least 3,000 alerts/s, RSS < 120",
                )
                for each in intakes
            ),
        ),
        "Requests that were under way when the load ended can be stored without being counted by `wrk`.",
        "",
        *(_beside_alertmanager(intakes, peer) if peer else ["Prometheus Alertmanager is not installed.", ""]),
    ]


def _beside_alertmanager(intakes: list[ingest.Intake], peer: dict[int, ingest.Intake]) -> list[str]:
    goals = {1: "1.2, then 1.5; p99 at most 0.2", 16: "2.9, then 3"}
    return [
        "The same load on Prometheus Alertmanager, which answers before anything is durable:",
        "",
        *table(
            "alerts a POST | its alerts/s | per CPU-second | p99 ms | failed | ours to its | p99, ours to its"
            " | to reach",
            *(
                (
                    each.per_post,
                    f"{its.per_s:,.0f}",
                    f"{its.per_cpu_s:,.0f}",
                    f"{its.load.p99_ms:.1f}",
                    its.load.errors,
                    f"{each.per_cpu_s / its.per_cpu_s:.2f}",
                    f"{each.load.p99_ms / its.load.p99_ms:.2f}",
                    goals[each.per_post],
                )
                for each in intakes
                for its in (peer[each.per_post],)
            ),
        ),
    ]


def of_the_devices(stage: Stage) -> list[str]:
    served = ingest.serve(stage)
    loads = [(what, wrk.load(script, served.url, served.pid, served.tokens)) for what, script in DEVICE_CALLS]
    return [
        "## What devices do all day",
        "",
        f"`wrk`, {wrk.CONNECTIONS} connections, {ingest.DEVICES} devices, {wrk.SECONDS} s each; one server process.",
        "",
        *table(
            "call | a second | per CPU-second of the server | p50 ms | p99 ms | failed | RSS MB",
            *(
                (
                    what,
                    f"{each.per_s:,.0f}",
                    f"{each.per_cpu_s:,.0f}",
                    f"{each.p50_ms:.1f}",
                    f"{each.p99_ms:.1f}",
                    each.errors,
                    f"{each.rss_mb:.0f}",
                )
                for what, each in loads
            ),
        ),
    ]


DEVICE_CALLS: Final = (
    ("`next`: nothing to install, 204", "poll.lua"),
    ("inventory, 10 attributes, one of them new", "inventory.lua"),
)
# `scan` takes minutes, `peers` needs what it measures.
USUAL: Final = ("road", "intake")
PARTS: Final[dict[str, Callable[[Stage], list[str]]]] = {
    "road": of_the_road,
    "intake": of_the_intake,
    "devices": of_the_devices,
    "management": management.measure,
    "following": following.measure,
    "weight": weight.measure,
    "peers": peers.measure,
    "scan": scan.measure,
    "cve": cve.measure,
    "security": security.measure,
    "guard": guard.measure,
}


if __name__ == "__main__":
    main()
