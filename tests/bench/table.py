"""The figures of a bench as one table, beside the goals."""
from statistics import median

# The goals of issue 6, by data set ("" for all) and step: of what, the contestant, against whom, at most.
# The rest are not reached by a ratio.
GOALS = [
    ("S", "initial copy", "wall", "ours direct", "rsync", 0.55),
    ("S", "initial copy", "CPU", "ours direct", "rsync", 0.6),
    ("M", "initial copy", "wall", "ours direct", "rsync", 0.5),
    ("L", "initial copy", "wall", "ours direct", "rsync", 0.3),
    ("", "initial copy", "wall", "ours direct", "tar relay", 0.45),
    ("", "initial copy", "wall", "ours relay", "tar relay", 0.9),
    ("M", "no-op", "wall", "ours direct", "rsync", 0.2),
    ("L", "no-op", "wall", "ours direct", "rsync", 0.12),
    ("M", "1 % delta", "wall", "ours direct", "rsync", 0.2),
    ("", "1 % delta", "wire", "ours direct", "rsync", 0.4),
    ("", "1 % delta", "CPU", "ours direct", "rsync", 0.2),
    ("", "mbox flip", "wire", "ours direct", "rsync", 0.5),
]
MEMORY = 64 << 20


def spread(values, digits=2):
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def figures(costs):
    """Lists of what is compared."""
    return {
        "wall": [cost.wall for cost in costs],
        "CPU": [sum(cost.cpu) for cost in costs],
        "wire": [cost.wire for cost in costs],
    }


def ratio(ours, peer, what):
    return median(figures(ours)[what]) / max(median(figures(peer)[what]), 1e-9)


def table(kind, costs, wrong):
    """Prints it. `costs` has a list for each network, step and contestant; `wrong` counts copies that were
    not equal afterwards."""
    print("| network, step | | wall s | CPU s: old, new, operator | wire MB | largest process MB | against rsync: "
          "wall, CPU, wire | wrong |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (network, step, name), own in costs.items():
        peer = costs[network, step, "rsync"]
        sides = ", ".join(f"{median(side):.2f}" for side in zip(*(cost.cpu for cost in own)))
        beside = ", ".join(f"{ratio(own, peer, what):.2f}" for what in ("wall", "CPU", "wire"))
        failed = wrong.get((network, step, name), 0)
        print(
            f"| {network}, {step} | {name} | {spread([c.wall for c in own])} | {sides} | "
            f"{spread([c.wire / 1e6 for c in own], 1)} | {max(c.memory for c in own) / 1e6:.0f} | {beside} | "
            f"{f'{failed} of {len(own)}' if failed else ''} |"
        )
    print()
    goals(kind, costs, wrong)


def goals(kind, costs, wrong):
    equal = lambda step, name: not wrong.get(("lan", step, name))
    print("| goal | at most | is | |")
    print("| --- | --- | --- | --- |")
    for of, step, what, name, whom, most in GOALS:
        own, peer = (costs.get(("lan", step, who)) for who in (name, whom))
        if of in ("", kind) and own and peer:
            goal = f"{step}: {what} of {name}, against {whom}"
            row(goal, f"{most}", ratio(own, peer, what), most, equal(step, name))
    flips = costs.get(("lan", "mbox flip", "ours direct"))
    if flips:
        wall = median([cost.wall for cost in flips])
        row("mbox flip: wall", "0.15 s", wall, 0.15, equal("mbox flip", "ours direct"))
    entries = {"M": 225_000, "L": 1_009_000}.get(kind)
    same = costs.get(("lan", "no-op", "ours direct"))
    if entries and same:
        each = median([cost.wire for cost in same]) / entries
        row("no-op: bytes on the wire for each file", "1", each, 1, equal("no-op", "ours direct"))
    sizes = [cost.memory for (_, _, name), own in costs.items() if name.startswith("ours") for cost in own]
    if sizes:
        row("largest process", "64 MiB", max(sizes) / (1 << 20), MEMORY >> 20, True)


def row(goal, most, value, limit, equal):
    outcome = "failed, the trees differ" if not equal else "reached" if value <= limit else "missed"
    print(f"| {goal} | {most} | {value:.2f} | {outcome} |")
