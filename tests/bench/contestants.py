"""Who copies the mail of one host to the other."""
from dataclasses import dataclass

TAR = "tar --numeric-owner --acls --xattrs"
PACK, UNPACK = f"{TAR} -cf - -C / home var/mail", f"{TAR} -xpf - -C /"
RSYNC = ["rsync", "-aHAX", "--numeric-ids", "--delete", "-R", "/./home", "/./var/mail", "new:/"]


@dataclass
class Contestant:
    name: str
    # Where it is started: "operator" or "old".
    at: str
    argv: list
    flush: bool = True
    # It cannot bring a copy up to date.
    once: bool = False


def manifest(way):
    """Everything of the generated users as one would stage it, by this way and no other; they have all sorts
    of mail, and only files are measured here."""
    return (
        f"version: 1\nname: bench\nsource: {{ host: 'ssh://root@old' }}\ntarget: {{ host: 'ssh://root@new' }}\n"
        f"serve_from: source\ntransfer: {{ path: {way}, program: keep }}\ndovecot: {{ accept: [mail_location, userdb] }}\n"
    )


def contestants(lab, program):
    """All of them, rsync as people run it first: it is what the others are compared with."""
    ours = []
    for way in ("direct", "relay"):
        file = lab.work / f"{way}.yaml"
        file.write_text(manifest(way))
        argv = [program, "-f", str(file), "apply", "--yes"]
        ours.append(Contestant(f"ours {way}", "operator", argv, flush=False))
    aes = [RSYNC[0], "-e", "ssh -c aes128-gcm@openssh.com", *RSYNC[1:]]
    script = lambda text: ["bash", "-o", "pipefail", "-c", text]
    return [
        Contestant("rsync", "old", RSYNC),
        *ours,
        Contestant("rsync aes128-gcm", "old", aes),
        Contestant("tar", "old", script(f"{PACK} | ssh new {UNPACK}"), once=True),
        Contestant("tar relay", "operator", script(f"ssh old {PACK} | ssh new {UNPACK}"), once=True),
    ]
