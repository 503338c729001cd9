//! What a real name server says of the domain's exchangers, and what `plan` makes of it: dnsmasq, in a
//! network of its own.

use std::fs;

use crate::requirement;
use crate::sandbox::{Run, Sandbox};
use crate::village::village;

/// One domain for each thing that can be said. 192.0.2.25 is the address that moves.
const ZONES: &str = "\
no-resolv
no-hosts
user=root
pid-file=
port=53
listen-address=127.0.0.1
bind-interfaces
local-ttl=60
auth-ttl=60
local=/example/
host-record=mail.example,192.0.2.25
host-record=mx2.example,192.0.2.26
host-record=other.example,192.0.2.80
ptr-record=25.2.0.192.in-addr.arpa,mail.example
mx-host=good.example,mail.example,10
mx-host=good.example,mx2.example,20
txt-record=good.example,v=spf1 mx -all
txt-record=s1._domainkey.good.example,v=DKIM1; p=
mx-host=single.example,mail.example,10
mx-host=order.example,mail.example,20
mx-host=order.example,mx2.example,10
mx-host=equal.example,mail.example,10
mx-host=equal.example,mx2.example,10
mx-host=gone.example,mail.example,10
mx-host=gone.example,nowhere.example,20
txt-record=bare.example,no address
mx-host=half.example,mail.example,10
mx-host=half.example,bare.example,20
cname=alias.example,mail.example
mx-host=cname.example,alias.example,10
mx-host=address.example,192.0.2.25,10
dns-rr=null.example,15,000000
mx-host=elsewhere.example,other.example,10
txt-record=nothing.example,text
host-record=implicit.example,192.0.2.25
server=/silent.example/198.51.100.9
";

/// Starts the name server, waits until it listens, and plans. 198.51.100.9 is on a wire on which nobody
/// answers.
const PLAN: &str = "\
ip link set lo up
ip link add nobody type veth peer name nowhere
ip link set nowhere up
ip link set nobody up
ip addr add 198.51.100.1/24 dev nobody
ip neighbour add 198.51.100.9 lladdr 02:00:00:00:00:09 dev nobody
dnsmasq --conf-file=../zones
exec \"$reconcile\" plan";

/// Plans a hand-over, or not, of a domain.
fn plan(sandbox: &Sandbox, serve_from: &str, domain: &str, rest: &str) -> Run {
    fs::write(sandbox.path("zones"), ZONES).unwrap();
    let rest = format!(
        "cutover: {{ address: [192.0.2.25/24], interface: eth0 }}\n\
         mx: {{ domain: {domain}, nameservers: [127.0.0.1]{rest} }}\n"
    );
    sandbox.manifest(serve_from, &rest);
    sandbox.shell(&format!(
        "exec unshare --net --pid --fork --kill-child sh -ec '{PLAN}'"
    ))
}

/// What a plan says, its lines joined again.
trait Tells {
    fn tells(self, text: &str) -> Self;
}

impl Tells for Run {
    #[track_caller]
    fn tells(self, text: &str) -> Self {
        let words: Vec<&str> = self.stdout.split_whitespace().collect();
        assert!(
            words.join(" ").contains(text),
            "not told {text:?}: {}",
            self.describe()
        );
        self
    }
}

fn ready() -> Option<Sandbox> {
    (requirement::root() && requirement::program("dnsmasq")).then(village)
}

#[test]
fn a_zone_that_is_right_is_in_nobodys_way() {
    let Some(sandbox) = ready() else { return };
    let run = plan(&sandbox, "source", "good.example", ", dkim: [s1]").exits(0);
    run.tells("mail exchangers, preferred ones first: 10 mail.example at 192.0.2.25, 20 mx2.example at 192.0.2.26")
        .done();
}

#[test]
fn what_keeps_senders_away_blocks_a_hand_over() {
    let Some(sandbox) = ready() else { return };
    for (domain, said) in [
        (
            "order.example",
            "mx2.example (preference 10) is tried before mail.example (preference 20), whose address moves",
        ),
        (
            "equal.example",
            "mx2.example (preference 10) is tried as early as mail.example",
        ),
        (
            "gone.example",
            "there is no name nowhere.example in DNS, which is an exchanger",
        ),
        ("half.example", "the exchanger bare.example has no address"),
        (
            "cname.example",
            "the exchanger alias.example is an alias (CNAME) of mail.example",
        ),
        (
            "address.example",
            "the exchanger 192.0.2.25 is an address where a name has to be",
        ),
        ("null.example", "null.example says that it takes no mail"),
        (
            "elsewhere.example",
            "goes to other.example at 192.0.2.80, and not to the address that moves, 192.0.2.25",
        ),
        (
            "nothing.example",
            "nothing.example has neither mail exchangers nor an address",
        ),
        ("absent.example", "there is no domain absent.example in DNS"),
    ] {
        let run = plan(&sandbox, "target", domain, "").exits(3);
        run.tells(&format!("! mx/{domain}")).tells(said).done();
        // While staging nothing of it is in the way.
        let run = plan(&sandbox, "source", domain, "").exits(0);
        run.tells(&format!("warning mx/{domain}"))
            .tells(said)
            .done();
    }
}

#[test]
fn a_name_server_that_is_silent_or_cannot_tell_is_not_taken_for_an_empty_zone() {
    let Some(sandbox) = ready() else { return };
    let unknown = "it could not be known what DNS says of the mail exchangers of";
    for (domain, why) in [
        ("silent.example", "no name server answered in time"),
        // Nothing is known of it, and nobody else can be asked.
        (
            "elsewhere.test",
            "the name server answered that it cannot: ",
        ),
    ] {
        let run = plan(&sandbox, "target", domain, "").exits(3);
        run.tells(unknown).tells(why).done();
    }
}

#[test]
fn a_time_to_live_above_the_window_is_told() {
    let Some(sandbox) = ready() else { return };
    let long = ZONES.replace("ttl=60", "ttl=86400");
    let run = plan(&sandbox, "source", "good.example", "").exits(0);
    assert!(!run.stdout.contains("its TTL"), "{}", run.stdout);
    run.done();
    fs::write(sandbox.path("zones"), long).unwrap();
    let run = sandbox.shell(&format!(
        "exec unshare --net --pid --fork --kill-child sh -ec '{PLAN}'"
    ));
    run.exits(0)
        .tells("senders may remember the MX record of good.example for 1d")
        .tells("set the TTL to 1m")
        .done();
}

/// Two name servers: the zone's own, and a cache that was asked before and says half a minute.
const CACHED: &str = "\
ip link set lo up
dnsmasq --conf-file=../zones
dnsmasq --conf-file=../cache
\"$reconcile\" plan >/dev/null
exec \"$reconcile\" plan";

/// `deep.example. NS ns.deep.example.`: dnsmasq(8), `--dns-rr`.
const DEEP: &str = "\
mx-host=deep.example,mail.deep.example,10
host-record=mail.deep.example,192.0.2.25
host-record=ns.deep.example,127.0.0.2
dns-rr=deep.example,2,026e730464656570076578616d706c6500
";

#[test]
fn a_time_to_live_is_the_zones_own_and_not_what_is_left_of_it_in_a_cache() {
    let Some(sandbox) = ready() else { return };
    let own = ZONES
        .replace("127.0.0.1", "127.0.0.2")
        .replace("ttl=60", "ttl=86400");
    let cache = "no-resolv\nno-hosts\nuser=root\npid-file=\nlisten-address=127.0.0.1\nbind-interfaces\n\
                 server=127.0.0.2\nmax-ttl=30\n";
    plan(&sandbox, "source", "deep.example", "").exits(0).done();
    let told = |zones: &str| {
        fs::write(sandbox.path("zones"), zones).unwrap();
        fs::write(sandbox.path("cache"), cache).unwrap();
        sandbox
            .shell(&format!(
                "exec unshare --net --pid --fork --kill-child sh -ec '{CACHED}'"
            ))
            .exits(0)
    };
    told(&format!("{own}{DEEP}"))
        .tells("senders may remember the A record of mail.deep.example for 1d (its TTL)")
        .done();
    // Without a server that could be asked, it is not known.
    let without = DEEP.replace("dns-rr=", "#");
    told(&format!("{own}{without}"))
        .tells("its own TTL is not known")
        .done();
}

#[test]
fn mail_without_an_exchanger_goes_to_the_domain_itself() {
    let Some(sandbox) = ready() else { return };
    let run = plan(&sandbox, "source", "implicit.example", "").exits(0);
    run.tells("no mail exchanger is in the zone, so mail goes to the domain's own address")
        .done();
    let run = plan(&sandbox, "source", "single.example", "").exits(0);
    run.tells("no other exchanger takes mail while it stands still")
        .tells("`single.example. MX 20 mx2.single.example.`")
        .done();
}

#[test]
fn a_key_that_is_not_published_is_missed() {
    let Some(sandbox) = ready() else { return };
    let run = plan(&sandbox, "source", "good.example", ", dkim: [s1, s2]").exits(0);
    run.tells("DKIM: there is no key at s2._domainkey.good.example")
        .done();
}
