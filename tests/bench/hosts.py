"""The bench's hosts: two of a lab, with mail on ext4 disks of their own, and the network between them."""
import os, re, signal, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE.parent / "lab"
LABS = Path(os.environ.get("RECONCILE_LABS", "/var/tmp/reconcile-labs"))
# Where the proxy stands that new is reached through, and the ports that it takes on.
FAR, PORTS = "192.0.2.20", ("22", "28730")
SLOW = "tbf rate 80mbit burst 64kb latency 400ms"
# What a disk has, and where it is in the host. The account files are beside them.
PLACES = {"home": "/home", "mail": "/var/mail", "state": "/var/lib/reconcile"}
ACCOUNTS = "passwd shadow group gshadow"


def run(*argv, **more):
    """Runs a program that must succeed; what it printed."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def cgroups(lab):
    """The lab's control groups, which count CPU time (cgroup v2)."""
    pure = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return Path("/sys/fs/cgroup" if pure else "/sys/fs/cgroup/unified") / f"reconcile-lab-{lab.name}"


class Disk:
    """An ext4 file system in a file of the lab. It is mounted here as well, in namespaces of this process:
    so what a host has of it in memory stays there while no host has it. It is gone with the last of its
    mounts and the lab's directory, however this program ends."""

    def __init__(self, directory, name, size, inode_ratio):
        self.image, self.here = directory / f"{name}.img", directory / name
        self.here.mkdir()
        run("truncate", f"--size={size}", self.image)
        run("mkfs.ext4", "-q", "-m", "0", "-i", inode_ratio, self.image)
        device = run("losetup", "--find", "--show", "--direct-io=on", self.image).strip()
        try:
            run("mount", "-o", "noinit_itable", device, self.here)
        finally:
            # As soon as nobody uses it any more.
            run("losetup", "--detach", device)
        self.number = os.major(os.stat(device).st_rdev), os.minor(os.stat(device).st_rdev)

    def drop(self):
        run("umount", self.here)
        self.image.unlink()
        self.here.rmdir()


class Host:
    """A booted host."""

    def __init__(self, lab, name, address):
        self.lab, self.name, self.address = lab, name, address
        self.cgroup = cgroups(lab) / name
        self.init = (self.cgroup / "payload/init.scope/cgroup.procs").read_text().split()[0]
        # A process that joins a host by nsenter is in none of its groups.
        self.guests = self.cgroup / "bench"
        self.guests.mkdir()
        self.run(f"mkdir /srv/accounts; cd /etc; cp -p {ACCOUNTS} /srv/accounts")

    def command(self, *argv):
        return [str(PROGRAMS / "host"), self.name, *argv]

    def run(self, script, **more):
        return run(*self.command("bash", "-euo", "pipefail", "-c", script), **more)

    def wire(self):
        """Bytes that it has sent and received."""
        lines = Path(f"/proc/{self.init}/net/dev").read_text().splitlines()[2:]
        fields = [line.replace(":", " ").split() for line in lines]
        return sum(int(f[1]) + int(f[9]) for f in fields if f[0] != "lo")

    def attach(self, disk):
        """Mail, accounts and the program's records are those of a disk."""
        binds = "".join(f"mkdir -p {at}; mount --bind /srv/bench/{part} {at}\n" for part, at in PLACES.items())
        self.run(
            f"""mkdir -p /srv/bench
            mknod -m 0600 /dev/bench b {disk.number[0]} {disk.number[1]}
            mount /dev/bench /srv/bench
            cd /srv/bench
            if [[ ! -e accounts ]]; then
                cp -rp /srv/accounts .
                mkdir -p home mail; mkdir -m 0700 state; chown :mail mail; chmod 2775 mail
            fi
            (cd accounts; cp -p {ACCOUNTS} /etc)
            {binds}"""
        )

    def detach(self):
        """Gives the disk back, and is as it was without one."""
        self.run(
            f"""(cd /etc; cp -p {ACCOUNTS} /srv/bench/accounts)
            (cd /srv/accounts; cp -p {ACCOUNTS} /etc)
            for at in {' '.join(PLACES.values())} /srv/bench; do
                # A process that lost its connection may be on its way out.
                for ((tries = 0; tries < 100; tries++)); do
                    if umount $at 2>/dev/null; then continue 2; fi
                    sleep 0.1
                done
                umount $at
            done
            rm /dev/bench"""
        )

    def users(self, disk):
        """Accounts of those whose mail the disk has, numbered as it was generated."""
        users = sorted(os.listdir(disk.here / "home"))
        lines = {file: "" for file in ACCOUNTS.split()}
        for number, user in enumerate(users, 20000):
            lines["passwd"] += f"{user}:x:{number}:{number}::/home/{user}:/bin/bash\n"
            lines["shadow"] += f"{user}:$6$salt{number}${'x' * 86}:19000:0:99999:7:::\n"
            lines["group"] += f"{user}:x:{number}:\n"
            lines["gshadow"] += f"{user}:!::\n"
        for file, text in lines.items():
            self.run(f"cat >>/etc/{file}", input=text)


class Lab:
    """Hosts `old` and `new`, and the operator's machine, which is this one."""

    def __init__(self):
        if os.geteuid() != 0:
            raise SystemExit("tests/bench/run: booting hosts needs root")
        argv = [str(PROGRAMS / "run"), "old=bookworm", "new=bookworm"]
        # In a session of its own: Ctrl-C leaves it time to clean up.
        self.owner = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.dir = Path(self.owner.stdout.readline().strip() or sys.exit("the lab does not start"))
        self.name, self.proxy, self.slow = self.dir.name, None, False
        os.environ["LAB"] = str(self.dir)
        lines = (self.dir / "hosts").read_text().splitlines()
        addresses = {line.split()[0]: line.split()[1] for line in lines}
        self.old, self.new = (Host(self, name, addresses[name]) for name in ("old", "new"))
        self.operator = cgroups(self) / "operator"
        self.operator.mkdir()
        self.work, self.disks = self.dir / "operator/work", self.dir / "bench"
        self.work.mkdir()
        self.disks.mkdir()
        self.acquaint()

    def close(self):
        # Whoever is impatient does not stop this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.proxy:
            self.proxy.terminate()
        # What is mounted here is not removed with the lab's directory.
        for here in filter(os.path.ismount, self.disks.iterdir()):
            run("umount", "--lazy", here)
        # The end of its standard input is the lab's end.
        self.owner.stdin.close()
        self.owner.wait()

    def acquaint(self):
        """Lets root of the old host in at the new one, as rsync needs it."""
        self.old.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
        key = self.old.run("cat /root/.ssh/id_ed25519.pub")
        self.new.run("cat >>/root/.ssh/authorized_keys", input=key)
        for file in ("config", "known_hosts"):
            self.old.run(f"cat >/root/.ssh/{file}", input=self.ssh_file(file).read_text())

    def ssh_file(self, name):
        return self.dir / "operator/home/.ssh" / name

    def operate(self, *argv):
        return [str(PROGRAMS / "operator"), *argv]

    def network(self, name):
        """What is between the hosts; see tests/bench/run."""
        self.near()
        if name.endswith("ms"):
            self.far(name[:-2])
        elif name == "10MB/s":
            self.slow = True
            for host in (self.old, self.new):
                host.run(f"for i in mgmt0 host0; do tc qdisc add dev $i root {SLOW}; done")

    def far(self, milliseconds):
        """Has the new host so long a round trip away from the old one and from the operator, who is beside
        the old one. There is no way but through the proxy."""
        run(*self.operate("ip", "address", "add", f"{FAR}/24", "dev", "mgmt"))
        argv = self.operate(sys.executable, f"{HERE}/delay.py", milliseconds, FAR, self.new.address, *PORTS)
        self.proxy = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        if self.proxy.stdout.readline() != "up\n":
            raise SystemExit("tests/bench/delay.py does not start")
        self.route("add")
        self.resolve(FAR)

    def near(self):
        """The bridge as it is."""
        if self.slow:
            for host in (self.old, self.new):
                host.run("for i in mgmt0 host0; do tc qdisc del dev $i root; done")
            self.slow = False
        if self.proxy:
            self.proxy.terminate()
            self.proxy.wait()
            self.proxy = None
            run(*self.operate("ip", "address", "del", f"{FAR}/24", "dev", "mgmt"))
            self.route("del")
            self.resolve(self.new.address)

    def route(self, change):
        """Adds or deletes what keeps the old host from reaching the new one by itself."""
        number = self.new.address.rsplit(".", 1)[1]
        for address in (self.new.address, f"198.51.100.{number}", f"2001:db8:51::{number}"):
            self.old.run(f"ip route {change} unreachable {address}")

    def resolve(self, address):
        """Says by which address ssh finds the new host."""
        config = self.ssh_file("config")
        text = re.sub(r"(Host new .*\n +HostName ).*", rf"\g<1>{address}", config.read_text())
        config.write_text(text)
        self.old.run("cat >/root/.ssh/config", input=text)
