#!/usr/bin/env python3
"""Run make targets as stages, side by side where the table lets them, and sum up. usage: .ci/stages.py [--record FILE] STAGE...

A stage that fails ends the others. One that does not run, since the machine lacks something, closes the gate, unless ALLOW_NOT_RUN names it
(ALLOW_NOT_RUN='akko airgap'). On an empty cache the parts of the test hosts may come too late for the stages that need them; with ALL_MUST_RUN=1
they are waited for. With --record, stages that FILE says passed on this very tree are not run again, and what passes is added to it.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
#: Minutes after the start of a run within which the parts of the test hosts are made, or the stages that need them do not run.
#: It counts on an empty cache alone, and leaves room for those stages in the 80 minutes of such a run.
PARTS_WITHIN = 50.0
#: Seconds that a stage has to clean up after itself when it is ended.
ENDS_WITHIN = 180
#: A stage hangs, and fails, that takes so many times its budget, and at least so many minutes: CI's time is not waited for, and its log is seen.
HANGS_AFTER, NOT_BEFORE = 3.0, 10.0
#: Lines of the log of a stage that is ended which are shown.
LAST_LINES = 30
#: Runs a command at a nice value. Where Linux schedules whole sessions (autogroups, sched(7)), a process's own value counts within its session alone.
STANDING_BACK = ("sh", "-c", 'echo "$0" 2>/dev/null >/proc/self/autogroup; exec nice -n "$0" "$@"')
#: How a stage's log says that something was left out.
LEFT_OUT = "NOT RUN: "


@dataclass(frozen=True)
class Stage:
    """A make target: the minutes that it may take on two cores, with a warm and with an empty cache, and the stages that it waits for."""

    name: str
    warm: float
    cold: float
    after: tuple[str, ...] = ()
    nice: int = 0
    #: Whether it tests nothing, and only builds what others stand on: if it cannot, it is they that did not run.
    builds: bool = False
    #: What removes the stacks that it leaves when it is ended.
    clean: tuple[str, ...] = ()

    def budget(self, cold: bool) -> float:
        """The seconds that it may take.

        >>> Stage("unit", 1.5, 3).budget(cold=True)
        180
        """
        return 60 * (self.cold if cold else self.warm)

    def patience(self, cold: bool) -> float:
        """The seconds after which it hangs. What builds may have to build anew where the rest of the cache is there.

        >>> Stage("unit", 1.5, 3).patience(cold=False), Stage("parts", 0.5, 45, builds=True).patience(cold=False)
        (600.0, 8100.0)
        """
        return max(HANGS_AFTER * self.budget(cold or self.builds), 60 * NOT_BEFORE)


_CLEAN = (".venv/bin/python", "tests/integration/deployment.py")
_HOSTS = (".venv/bin/python", "tests/hosts/hosts.py", "down")
#: Every stage, and every budget. Whoever adds a story that makes a stage longer says so here; the whole is 35 minutes warm and 80 cold.
STAGES = {stage.name: stage for stage in (
    Stage("setup", 0.5, 4, builds=True),
    # Its builds stand back by themselves, and are what an empty cache waits for longest.
    Stage("parts", 0.5, 45, ("setup",), builds=True),
    Stage("lint", 1.5, 3, ("setup",)),
    Stage("unit", 1.5, 1.5, ("setup",)),
    # These two build the artifact, each anew.
    Stage("contract", 1, 1.5, ("unit",)),
    Stage("sanity", 2, 4, ("lint", "contract")),
    # What keeps both cores busy stands back behind what mostly waits.
    Stage("integration", 14, 22, ("sanity",), nice=10, clean=(*_CLEAN, "integration", "site", "safety")),
    Stage("utils", 12, 18, ("integration",), nice=10, clean=(*_CLEAN, "utils")),
    Stage("akko", 26, 26, ("parts", "sanity"), clean=_HOSTS),
    # From here on: make test-all alone. The test hosts are there once, and a sweep keeps a core busy, so these go one after the other.
    Stage("outages", 240, 270, ("parts", "akko"), clean=_HOSTS),
    Stage("airgap", 25, 25, ("parts", "outages"), clean=_HOSTS),
    Stage("upgrade", 40, 40, ("parts", "airgap"), clean=_HOSTS),
    Stage("ha", 30, 45, ("parts", "upgrade"), clean=_HOSTS),
    Stage("sweep-3.11", 5, 10, ("utils",), nice=10),
    Stage("sweep-3.12", 5, 10, ("sweep-3.11",), nice=10),
    Stage("sweep-3.13", 5, 10, ("sweep-3.12",), nice=10),
    Stage("utils-3.10", 4, 8, ("sweep-3.13",), nice=10),
    Stage("utils-3.11", 4, 8, ("utils-3.10",), nice=10),
    Stage("utils-3.12", 4, 8, ("utils-3.11",), nice=10),
    Stage("utils-3.13", 4, 8, ("utils-3.12",), nice=10),
    Stage("utils-airflow", 6, 15, ("utils-3.13",), nice=10, clean=(*_CLEAN, "utils")),
    Stage("utils-extras", 3, 6, ("utils-airflow",), nice=10),
    Stage("clients", 3, 12, ("utils-extras",), nice=10),
    Stage("utils-slow", 5, 8, ("clients",), nice=10, clean=(*_CLEAN, "utils")),
    Stage("healing", 64, 75, ("utils-slow",), nice=10, clean=(
        *_CLEAN, "healing", "backup", "backup-s3", "maintenance", "rotation", "integration", "guest",
    )),
    Stage("hostile", 60, 65, ("healing",), nice=10, clean=(*_CLEAN, "integration")),
)}  # fmt: skip


# What is decided without a look at the machine


@dataclass
class Outcome:
    """What became of a stage. ``verdict`` is passed, FAILED, NOT RUN or ended; ``reason`` says why it did not run."""

    verdict: str
    seconds: float = 0.0
    reason: str = ""
    log: str = ""
    #: Whether it may be missing, since what it needs could not be built in time on an empty cache.
    late: bool = False
    #: Seconds of CPU, without what its daemons took: on two cores, what does not fit into the time is seen here.
    cpu: float = 0.0


_SUMMARY = re.compile(r"=+ (\S.*\b(?:passed|failed|errors?|skipped|no tests ran)\b.*) in [0-9.]+s.* =+")


def said(log: str) -> list[str]:
    r"""The lines in which pytest summed up, and those that say what did not run.

    >>> said("x\n===== 2 passed, 1 skipped in 0.10s =====\nNOT RUN: Skipping one\n")
    ['2 passed, 1 skipped', 'NOT RUN: Skipping one']
    """
    found = []
    for line in log.splitlines():
        summary = _SUMMARY.search(line)
        if summary:
            found.append(summary[1])
        elif line.startswith(LEFT_OUT):
            found.append(line)
    return found


def counts(log: str) -> tuple[int, int, int]:
    r"""How many tests passed, failed and were skipped, by pytest's summaries.

    >>> counts("== 2 passed, 1 skipped, 3 deselected in 0.10s ==\n== 1 failed, 5 passed, 1 error in 61.20s (0:01:01) ==")
    (7, 2, 1)
    """
    numbers = dict.fromkeys(("passed", "failed", "error", "skipped", "xfailed", "xpassed"), 0)
    for line in said(log):
        for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)", "" if line.startswith(LEFT_OUT) else line):
            numbers[word] += int(number)
    return numbers["passed"] + numbers["xpassed"], numbers["failed"] + numbers["error"], numbers["skipped"] + numbers["xfailed"]


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(125.7)
    '2:05'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def chosen(names: Sequence[str]) -> list[Stage]:
    """The stages of those names, in the table's order; each waits for those of the chosen alone. Raises ValueError for an unknown one."""
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise ValueError(f"there is no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return [stage for name, stage in STAGES.items() if name in names]


def verdict_of(status: int, name: str, log: str) -> tuple[str, str]:
    r"""What a stage that ended with this status came to, and why it did not run.

    >>> verdict_of(2, "akko", "NOT RUN: akko: hosts need root\n")
    ('NOT RUN', 'hosts need root')
    """
    if status == 0:
        return "passed", ""
    reason = re.search(rf"^NOT RUN: {re.escape(name)}: (.*)$", log, re.M)
    return ("NOT RUN", reason[1]) if reason else ("FAILED", "")


def missing(stages: Sequence[Stage], outcomes: Mapping[str, Outcome]) -> list[str]:
    """The stages that were to run and did not."""
    return [stage.name for stage in stages if not stage.builds and outcomes[stage.name].verdict in ("NOT RUN", "ended")]


def summary(stages: Sequence[Stage], outcomes: Mapping[str, Outcome], cold: bool) -> Iterator[str]:
    """A line a stage with its time and its budget, and what it said of itself."""
    for stage in stages:
        outcome, budget = outcomes[stage.name], stage.budget(cold)
        over = ", OVER ITS BUDGET" if outcome.seconds > budget else ""
        cpu = f", {clock(outcome.cpu)} of CPU" if outcome.cpu else ""
        time_taken = f" in {clock(outcome.seconds)} of {clock(budget)}{cpu}{over}" if outcome.seconds else ""
        yield f"{stage.name:<13}{outcome.verdict}{time_taken}{': ' if outcome.reason else ''}{outcome.reason}"
        for line in said(outcome.log):
            if not (outcome.reason and line.endswith(outcome.reason)):
                yield f"{'':<13}{line}"


def closing(stages: Sequence[Stage], outcomes: Mapping[str, Outcome], allowed: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the gate is open, and the last lines: what did not run, in capitals, and the numbers of tests.

    A stage that failed without a test of its own that did counts as one failed, and one that did not run as one skipped.
    """
    lines, totals = [], [0, 0, 0]
    for stage in stages:
        outcome = outcomes[stage.name]
        numbers = list(counts(outcome.log))
        numbers[1] += outcome.verdict == "FAILED" and numbers[1] == 0
        numbers[2] += stage.name in missing([stage], outcomes)
        totals = [total + number for total, number in zip(totals, numbers)]
        parts = [line[len(LEFT_OUT) :] for line in said(outcome.log) if line.startswith(LEFT_OUT)]
        lines += [f"NOT RUN in {stage.name.upper()}: {part}" for part in parts if outcome.verdict == "passed"]
    failed = [stage.name for stage in stages if outcomes[stage.name].verdict == "FAILED"]
    gone = missing(stages, outcomes)
    unasked = [name for name in gone if name not in allowed and not outcomes[name].late]
    lines += [f"NOT RUN: {name.upper()} ({outcomes[name].reason})" for name in gone]
    if unasked and not failed and all(outcome.verdict != "ended" for outcome in outcomes.values()):
        lines.append(f"The gate is closed, for not everything ran. ALLOW_NOT_RUN='{' '.join(unasked)}' opens it.")
    lines.append("{} passed, {} failed, {} skipped".format(*totals))
    return not failed and not unasked, lines


# What is passed on from run to run


def fingerprint(root: Path) -> str:
    """A name of the tree as it is, committed or not."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(set(listed.split(b"\0")) - {b""}):
        path = root / os.fsdecode(name)
        digest.update(name + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Record:
    """A table of what passed: a line a stage with the tree, the commit, the day, the time it took, and the numbers of tests."""

    path: Path
    tree: str
    commit: str

    HEADER = "stage\ttree\tcommit\twhen\ttook\tpassed\tfailed\tskipped\n"

    def passed(self) -> dict[str, str]:
        """The stages that passed on this tree, and when."""
        lines = self.path.read_text().splitlines()[1:] if self.path.exists() else []
        rows = [line.split("\t") for line in lines]
        return {row[0]: f"passed before, at {row[2]} on {row[3]}" for row in rows if row[1] == self.tree}

    def add(self, name: str, outcome: Outcome) -> None:
        """Write down that a stage passed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        row = [name, self.tree, self.commit, time.strftime("%Y-%m-%d %H:%M"), clock(outcome.seconds), *map(str, counts(outcome.log))]
        with self.path.open("a") as file:
            file.write((self.HEADER if fresh else "") + "\t".join(row) + "\n")


# Processes


class Interrupted(Exception):
    """Somebody wants the run to end."""


@dataclass
class Runner:
    """Runs stages in ``root``, each in a process group of its own, with its output in a file that is shown when it ends."""

    root: Path
    stages: Sequence[Stage]
    cold: bool = False
    #: Whether the parts of hosts may come too late.
    late: bool = True
    record: Record | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _running: dict[str, tuple[subprocess.Popen[bytes], float]] = field(default_factory=dict)
    #: What every process of this run has in its environment, whichever session it is in.
    _mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.root / "build" / "logs"

    def run(self) -> None:
        """Run them all, or until one fails or Interrupted is raised; then end what runs."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for stage in self.stages:
            before = self.record.passed().get(stage.name) if self.record and not stage.builds else None
            if before:
                self.outcomes[stage.name] = Outcome("passed", reason=before)
        try:
            while len(self.outcomes) < len(self.stages):
                self._start_what_can()
                time.sleep(0.1)
                self._look()
                if any(outcome.verdict == "FAILED" for outcome in self.outcomes.values()):
                    break
        finally:
            self._end()

    def _start_what_can(self) -> None:
        """Start what waits for nothing any more; what stands on something that could not be built does not run."""
        known = {stage.name: stage for stage in self.stages}
        for stage in self.stages:
            awaited = [known[name] for name in stage.after if name in known]
            if stage.name in self.outcomes or stage.name in self._running or any(other.name not in self.outcomes for other in awaited):
                continue
            unbuilt = [self.outcomes[other.name] for other in awaited if other.builds and self.outcomes[other.name].verdict != "passed"]
            if unbuilt:
                self._finish(stage, Outcome("NOT RUN", reason=unbuilt[0].reason, late=unbuilt[0].late))
            else:
                self._start(stage)

    def _start(self, stage: Stage) -> None:
        words = ["make", "--no-print-directory", stage.name]
        with (self.logs / f"{stage.name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*STANDING_BACK, str(stage.nice), *words] if stage.nice else words,
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[stage.name] = (process, time.monotonic())
        tell(f"-- {stage.name}: started, may take {clock(stage.budget(self.cold))}")

    def _environment(self) -> dict[str, str]:
        # The tests name by the second what belongs to one run of them.
        return {**os.environ, "STAGES_MARK": self._mark, "MLFLOW_TEST_RUN": self._mark}

    def _look(self) -> None:
        for stage in self.stages:
            process, since = self._running.get(stage.name, (None, 0.0))
            if process is None:
                continue
            before = _cpu_of_ended()
            status = process.poll()
            seconds = time.monotonic() - since
            if status is not None:
                del self._running[stage.name]
                log = self._log(stage)
                verdict, reason = verdict_of(status, stage.name, log)
                self._finish(stage, Outcome(verdict, seconds, reason, log, cpu=_cpu_of_ended() - before))
            elif stage.name == "parts" and self.cold and self.late and time.monotonic() - self.began > 60 * PARTS_WITHIN:
                self._end_one(stage)
                reason = f"the cache was empty, and {PARTS_WITHIN:.0f} minutes did not suffice to make the test hosts; the next run goes on"
                self._finish(stage, Outcome("NOT RUN", seconds, reason, self._log(stage), late=True))
            elif seconds > stage.patience(self.cold):
                self._end_one(stage)
                self._finish(stage, Outcome("FAILED", seconds, f"it hangs: it was ended after {clock(seconds)}", self._log(stage)))

    def _log(self, stage: Stage) -> str:
        return (self.logs / f"{stage.name}.log").read_text(errors="replace")

    def _finish(self, stage: Stage, outcome: Outcome) -> None:
        self.outcomes[stage.name] = outcome
        tell(f"\n== {stage.name}: {outcome.verdict}{f' in {clock(outcome.seconds)}' if outcome.seconds else ''}\n{outcome.log}".rstrip())
        if self.record and outcome.verdict == "passed" and not stage.builds:
            self.record.add(stage.name, outcome)

    def _end(self) -> None:
        """End what runs still, and remove what it leaves, and what a stage that failed may have left."""
        ended = [stage for stage in self.stages if stage.name in self._running]
        early = len(self.outcomes) < len(self.stages) or any(outcome.verdict == "FAILED" for outcome in self.outcomes.values())
        for stage in ended:
            last = "\n".join(self._log(stage).splitlines()[-LAST_LINES:])
            tell(f"-- {stage.name}: is ended; its log stays in build/logs/{stage.name}.log, and ends so:\n{last}")
        for stage in ended:
            seconds = self._end_one(stage)
            self.outcomes[stage.name] = Outcome("ended", seconds, "another stage failed, or the run was interrupted")
        if early:
            # Ansible's workers and the daemons of stacks are in sessions of their own.
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self._marked():
                    _signal(pid, number)
                _until(lambda: not self._marked(), 30)
        for stage in self.stages:
            if stage.clean and self.outcomes.get(stage.name, Outcome("")).verdict in ("ended", "FAILED"):
                words = [str(self.root / stage.clean[0]), *stage.clean[1:]]
                subprocess.run(words, cwd=self.root, env=self._environment(), stdin=subprocess.DEVNULL, check=False)
        for stage in self.stages:
            self.outcomes.setdefault(stage.name, Outcome("NOT RUN", reason="another stage failed before, or the run was interrupted"))

    def _end_one(self, stage: Stage) -> float:
        """Ask the stage's processes to end, and make them end after a while; the seconds that it ran."""
        process, since = self._running.pop(stage.name)
        for number, patience in ((signal.SIGTERM, ENDS_WITHIN), (signal.SIGKILL, 10)):
            if _signal_group(process, number):
                _until(lambda: not _signal_group(process, 0), patience)
        process.wait()
        return time.monotonic() - since

    def _marked(self) -> list[int]:
        """The processes that this run started and that are still there, whoever their parent is by now."""
        found, mark = [], f"STAGES_MARK={self._mark}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:  # it has ended, or is another user's
                continue
        return found


def _cpu_of_ended() -> float:
    """Seconds of CPU of all children that have ended, and of those that they have waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether there was anything left in the process's group to send the signal to."""
    process.poll()  # a child that nobody waited for counts as there
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so, or for so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def tell(text: str) -> None:
    """Print at once, among what other programs print."""
    print(text, flush=True)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # ending takes a while, and is to end
    raise Interrupted


def cache_is_empty() -> bool:
    """Whether no run has made the parts of the test hosts yet."""
    base = os.environ.get("MLOPS_MLFLOW_CACHE") or str(Path.home() / ".cache" / "mlops-mlflow")
    return not any(Path(base, "hosts").glob("k3s-release-*"))


def commit_of(root: Path) -> str:
    """The commit, with a plus where the tree has something that it has not."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return head + ("+" if subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=False).stdout else "")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="stages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("stages", nargs="+", metavar="STAGE")
    asked = parser.parse_args(words)
    try:
        stages = chosen(asked.stages)
    except ValueError as error:
        parser.error(str(error))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    record = Record(asked.record, fingerprint(ROOT), commit_of(ROOT)) if asked.record else None
    allowed, late = os.environ.get("ALLOW_NOT_RUN", "").split(), not os.environ.get("ALL_MUST_RUN")
    runner = Runner(ROOT, stages, cold=cache_is_empty(), late=late, record=record)
    interrupted = False
    try:
        runner.run()
    except Interrupted:
        interrupted = True
    passed, lines = closing(stages, runner.outcomes, allowed)
    took = clock(time.monotonic() - runner.began)
    tell("\n" + "\n".join(summary(stages, runner.outcomes, runner.cold)))
    tell(f"{'Interrupted' if interrupted else 'All that ran passed' if passed else 'Did not pass'}, after {took}.")
    tell("\n".join(lines))
    return 130 if interrupted else 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
