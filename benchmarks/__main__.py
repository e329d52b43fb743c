"""`python -m benchmarks`: measure everything that can run here, print tables, and hold them against the aims."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec

from benchmarks import analytics, gateway, machine, processes, report
from benchmarks.baseline import mock, nginx
from benchmarks.generator import DRAIN_SECONDS, Job, Seen
from benchmarks.peers import litellm, portkey
from benchmarks.report import Measured
from benchmarks.starting import start_seconds
from benchmarks.subject import CannotRunError, Place, Running, Starter

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "performance.md"
KINDS = {
    "json": "JSON as fast as it goes",
    "burst": "streams as fast as they go",
    "rate": "JSON at a fixed rate",
    "paced": "paced streams at a fixed rate",
}
_started = time.monotonic()


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _started:4.0f} s] {text}", flush=True)


def starters() -> dict[str, Starter]:
    """Every subject by name, in the order of the report. The mock provider comes before them, as `direct`."""
    ours: dict[str, Starter] = {each.name: each.run for each in gateway.gateways()}
    return {"nginx": nginx, **ours, "portkey": portkey, "litellm": litellm}


def job_for(kind: str, running: Running, core: int, seconds: float, *, warm: bool = False) -> Job:
    """What the load generator is to do for one measurement, or to warm up."""
    is_rate = kind in ("rate", "paced")
    return Job(
        port=running.port,
        path=running.path,
        headers=running.headers,
        stream=kind in ("burst", "paced"),
        paced=kind == "paced",
        rate={"rate": running.rate, "paced": running.paced_rate}.get(kind, 0.0),
        connections=4 if is_rate else 32,
        warm_requests=running.warm_requests if warm else 0,
        warm_seconds=running.warm_seconds if warm else 0.5,
        seconds=seconds if is_rate else seconds * running.window,
        subject=running.process.pid,
        core=core,
    )


def drive(job: Job, core: int, running: Running) -> Seen:
    """Let the load generator do a job on its core.

    Raises:
        StartError: It failed, or took too long.
    """
    generator = processes.spawn(
        processes.python_module("benchmarks.generator"), core=core, env=processes.clean_environment(), cwd=ROOT,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    most = job.warm_seconds + job.seconds + DRAIN_SECONDS + 90
    try:
        out, problems = generator.communicate(msgspec.json.encode(job), timeout=most)
    except subprocess.TimeoutExpired:
        raise processes.StartError(f"the load generator was not done after {most:g} s") from None
    finally:
        processes.stop(generator)
    if generator.returncode:
        raise processes.StartError(f"the load generator failed: {problems.decode('utf-8', 'replace')[-500:]}")
    seen = msgspec.json.decode(out, type=Seen)
    running.answered += seen.all_answers
    running.wrong += seen.wrong + seen.unfinished
    running.first_wrong = running.first_wrong or seen.first_wrong
    return seen


def start_all(stack: ExitStack, place: Place, chosen: dict[str, Starter]) -> list[Running]:
    """Start the subjects that can run here."""
    running: list[Running] = []
    for name, start in chosen.items():
        try:
            one = stack.enter_context(start(place))
        except (CannotRunError, processes.StartError, OSError) as problem:
            say(f"{name}: left out, since {problem}")
            continue
        say(f"{name}: {one.versions}")
        running.append(one)
    return running


def warm(one: Running, cores: processes.Cores) -> bool:
    """Drive a subject until it is warm; False when it does not answer rightly."""
    for kind in ("json", "burst"):
        seen = drive(job_for(kind, one, cores.subject, 0.1, warm=True), cores.load, one)
        if seen.wrong or not seen.all_answers:
            say(f"{one.name}: left out, since its answers are wrong: {seen.first_wrong[:300]}")
            return False
    return True


def measure(
    subjects: Sequence[Running], cores: processes.Cores, rounds: int, seconds: dict[str, float]
) -> list[Measured]:
    """Measure each kind of load on each subject in turn, several times over."""
    measured = [
        Measured(name=one.name, versions=one.versions, rate=one.rate, paced_rate=one.paced_rate) for one in subjects
    ]
    for number in range(1, rounds + 1):
        for kind, label in KINDS.items():
            costs: list[str] = []
            for one, into in zip(subjects, measured, strict=True):
                core = cores.load if one.name == "direct" else cores.subject
                seen = drive(job_for(kind, one, core, seconds[kind]), cores.load, one)
                into.seen.setdefault(kind, []).append(seen)
                if seen.answers and one.name != "direct":
                    costs.append(f"{one.name} {seen.cpu / seen.answers * 1e6:,.0f}")
            say(f"round {number}/{rounds}, {label}: CPU µs each: {', '.join(costs) or 'nothing to measure'}")
    for one, into in zip(subjects, measured, strict=True):
        into.memory = processes.memory_bytes(one.process.pid)
    return measured


def books(subjects: Sequence[Running], upstream: Running) -> tuple[list[str], list[str]]:
    """Compare everybody's count of answers: what is right, and what is not."""
    right: list[str] = []
    wrong: list[str] = []
    for one in subjects:
        if one.wrong:
            wrong.append(f"{one.name}: {one.wrong} answers were wrong or missing, the first: {one.first_wrong[:300]}")
        if one.audit is not None:
            try:
                right.append(one.audit(one))
            except AssertionError as problem:
                wrong.append(str(problem))
    asked = sum(one.answered for one in subjects)
    if not wrong and upstream.process.poll() is None:
        told = _count_of(upstream)
        sentence = f"the mock provider answered {told} requests, and {asked} right answers came out at the other end"
        (right if told == asked else wrong).append(sentence)
    return right, wrong


def _count_of(upstream: Running) -> int:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    try:
        connection.request("GET", "/count")
        return int(json.loads(connection.getresponse().read())["answered"])
    finally:
        connection.close()


def hold_and_settle(core: int, seconds: float) -> str:
    """What a hold and its settlement cost without HTTP, as a sentence."""
    done = processes.spawn(
        processes.python_module("benchmarks.holding", str(seconds)), core=core, env=processes.clean_environment(),
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, problems = done.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        return "hold and settle: took too long"
    finally:
        processes.stop(done)
    if done.returncode:
        return f"hold and settle: could not be measured: {problems.decode('utf-8', 'replace').strip()[-200:]}"
    found = json.loads(out)
    return (
        f"A hold and its settlement in SQLite, without HTTP and 32 at a time: {found['microseconds']:.0f} µs of CPU "
        f"({found['pairs']:,.0f} pairs). In five nested budgets, of a tenant, a project, a user, a session and a "
        f"model: {found['microseconds_nested']:.0f} µs."
    )


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Leave by way of everything that has to be stopped."""
    sys.exit(143)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    known = starters()
    parser.add_argument("--only", metavar="A,B", help=f"measure these alone, of {', '.join(known)}")
    parser.add_argument("--analytics", action="store_true", help="measure questions about a million rows, alone")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default %(default)s)")
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parsed = parser.parse_args(arguments)
    names = [name.strip() for name in parsed.only.split(",")] if parsed.only else [*known]
    unknown = sorted(set(names) - {*known, "direct"})
    if unknown:
        parser.error(f"{', '.join(unknown)}: there is no such subject; there are {', '.join(known)}")
    parsed.chosen = {name: start for name, start in known.items() if name in names}
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 1 when an answer was wrong or the books do not agree; a missed aim is only printed."""
    if not sys.platform.startswith("linux"):
        print("The benchmark reads CPU time from /proc and puts programs on cores, as only Linux lets it.")
        return 2
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--analytics" in given:
        given.remove("--analytics")
        return analytics.main(given)
    options = read_arguments(given)
    signal.signal(signal.SIGTERM, _leave)
    cores = processes.choose_cores()
    seconds = {"json": 1.5, "burst": 1.5, "rate": 2.5, "paced": 2.5}
    rounds = options.rounds
    if options.quick:
        rounds, seconds = 1, dict.fromkeys(seconds, 0.7)
    if not cores.are_apart:
        say("this machine lends one core only: load and subject share it, and only CPU per request means anything")
    load_before = os.getloadavg()[0]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="behest-bench-")))
        scratch.chmod(0o755)
        starts: dict[str, float] = {}
        holding = ""
        if any(name.startswith("behest") for name in options.chosen):
            say("starting the gateway cold, and holding and settling without it")
            starts = start_seconds(scratch, 1 if options.quick else 5)
            holding = hold_and_settle(cores.subject, 0.5 if options.quick else 2.0)
        place = Place(
            core=cores.subject, upstream=0, scratch=scratch, environments=ROOT / ".nox" / "bench-peers", say=say
        )
        upstream = stack.enter_context(mock(place, cores.load))
        place = Place(
            core=cores.subject, upstream=upstream.port, scratch=scratch, environments=place.environments, say=say
        )
        started = start_all(stack, place, options.chosen)
        for one in started:
            say(f"{one.name}: warming up")
        subjects = [upstream, *(one for one in started if warm(one, cores))]
        measured = measure(subjects, cores, rounds, seconds)
        right, wrong = books([upstream, *started], upstream)
    facts = {
        **machine.facts(),
        "Subjects": "; ".join(f"{one.name} = {one.versions}" for one in measured),
        "Others on the subject's core while it was measured": report.disturbance(measured),
        "Load average before": f"{load_before:.1f}; {rounds} rounds",
    }
    text = "\n\n".join(
        part
        for part in (
            "\n".join(f"- {name}: {value}" for name, value in facts.items()),
            report.json_table(measured),
            report.stream_table(measured),
            report.memory_table(measured),
            report.start_table(starts) if starts else "",
            holding,
            "\n".join(f"- {aim}" for aim in report.aims(measured, starts)),
            "\n".join(f"- {sentence}" for sentence in right),
        )
        if part
    )
    print(f"\n{text}\n")
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    if options.write_docs and not wrong:
        report.write_into(PAGE, text)
        say(f"{PAGE.relative_to(ROOT)} has these tables now")
    say("done")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped; everything that was started is stopped too.")
        sys.exit(130)
