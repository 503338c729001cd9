"""What a command between the hosts costs: seconds, CPU of each side, bytes, memory."""
import os, subprocess, tempfile, threading, time
from dataclasses import dataclass


@dataclass
class Cost:
    wall: float
    # Seconds of CPU on the old host, on the new one, and of the operator.
    cpu: tuple
    # What the old host has sent and received.
    wire: int
    # The most that any one process had in memory, as seen four times a second.
    memory: int


class Watch(threading.Thread):
    """Looks at the processes of some control groups until it is told to stop."""

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.groups, self.peak, self.over = groups, 0, threading.Event()
        self.before = set(self.processes())

    def processes(self):
        for group in self.groups:
            for directory, _, _ in os.walk(group):
                try:
                    with open(f"{directory}/cgroup.procs") as file:
                        yield from file.read().split()
                except OSError:
                    # A session that has ended meanwhile.
                    pass

    def run(self):
        while not self.over.wait(0.25):
            for process in set(self.processes()) - self.before:
                try:
                    with open(f"/proc/{process}/status") as file:
                        size = [line.split()[1] for line in file if line.startswith("VmHWM:")]
                except OSError:
                    continue
                self.peak = max([self.peak, *(int(kib) << 10 for kib in size)])


def cpu(group):
    with open(group / "cpu.stat") as file:
        return int(next(line for line in file if line.startswith("usage_usec")).split()[1]) / 1e6


def measured(lab, contestant, target):
    """Runs a contestant until its result is durable. `target` is where that is, on this machine."""
    groups = [lab.old.cgroup, lab.new.cgroup, lab.operator]
    own = lab.operator if contestant.at == "operator" else lab.old.guests
    enter = lab.operate if contestant.at == "operator" else lab.old.command
    # The clock starts in the host, when the command is about to be.
    wait = ["sh", "-c", 'cd "$1"; shift; echo ready; read -r _; exec "$@" </dev/null', "sh"]
    where = str(lab.work) if contestant.at == "operator" else "/"
    join = ["sh", "-c", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"', "sh", str(own)]
    watch = Watch(groups)
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            [*join, *enter(*wait, where, *contestant.argv)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        )
        child.stdout.readline()
        cpus, wire, began = [cpu(group) for group in groups], lab.old.wire(), time.monotonic()
        watch.start()
        child.stdin.write("go\n")
        child.stdin.flush()
        rest = child.stdout.read()
        code = child.wait()
        # Ours is durable when it says so; a peer is given a flush to be so, too.
        if contestant.flush:
            subprocess.run(["sync", "--file-system", target], check=True)
        wall = time.monotonic() - began
        cost = Cost(wall, tuple(cpu(g) - c for g, c in zip(groups, cpus)), lab.old.wire() - wire, 0)
        watch.over.set()
        watch.join()
        cost.memory = watch.peak
        said.seek(0)
        if code:
            raise SystemExit(f"{contestant.name} ended with {code}:\n{(rest + said.read())[-4000:]}")
    return cost


def differences(source, target):
    """What rsync would still do, from disk to disk on this machine. The two directories that hold the
    trees are the hosts' own."""
    argv = ["rsync", "-aHAXn", "--numeric-ids", "--checksum", "--itemize-changes", "--delete"]
    left = []
    for part in ("home", "mail"):
        done = subprocess.run([*argv, f"{source}/{part}/", f"{target}/{part}/"], check=True, stdout=subprocess.PIPE)
        left += [line for line in done.stdout.splitlines() if not line.endswith(b" ./")]
    return left
