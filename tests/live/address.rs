//! The address of the mail service, which moves from host to host, and the network configuration of
//! the host that has it: ifupdown as the lab's hosts boot with, or systemd-networkd.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::Host;
use crate::lab::Lab;

/// The service's address.
pub(crate) const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25));

/// The same in IPv6.
pub(crate) const SERVICE_6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 0x25));

/// Both.
pub(crate) const SERVICES: [IpAddr; 2] = [SERVICE, SERVICE_6];

/// The interface on the mail network, in every host.
pub(crate) const INTERFACE: &str = "host0";

/// A manifest's `cutover` key for both addresses, with these further keys of it: lines of YAML,
/// indented by two.
pub(crate) fn cutover(more: &str) -> String {
    format!(
        "cutover:\n  address: [{SERVICE}/24, \"{SERVICE_6}/64\"]\n  interface: {INTERFACE}\n{more}"
    )
}

impl Lab {
    /// Writes `migration.yaml` for hosts between which the service's addresses move; `more` are
    /// further keys of `cutover`, indented by two, `rest` are further keys of the manifest.
    #[track_caller]
    pub(crate) fn cutover_manifest(&self, serve_from: &str, more: &str, rest: &str) -> &Self {
        self.manifest(serve_from, &format!("{}{rest}", cutover(more)))
    }
}

impl Host {
    /// Its address on the mail network in IPv6: host .10 is `::10`.
    pub(crate) fn mail_address_6(&self) -> Ipv6Addr {
        let (_, number) = self.mail_address().rsplit_once('.').unwrap();
        let number = u16::from_str_radix(number, 16).unwrap();
        Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, number)
    }

    /// Gives this host the service's addresses, as an admin had them: now and after each boot.
    #[track_caller]
    pub(crate) fn hold_service_address(&self) -> &Self {
        if self
            .attempt("systemctl --quiet is-enabled systemd-networkd")
            .status
            .success()
        {
            self.networkd_with(&SERVICES);
            // Each by itself: restarting networkd would do, but hosts that are up are not restarted.
            self.run(format!(
                "networkctl reload && networkctl reconfigure {INTERFACE}"
            ));
            for address in SERVICES {
                self.await_that(&format!(
                    "ip -o addr show to {address} -tentative | grep -q ."
                ));
            }
            return self;
        }
        let mut stanzas = String::new();
        for address in SERVICES {
            let (family, length) = family(address);
            write!(
                stanzas,
                "\niface {INTERFACE} {family} static\n    address {address}/{length}\n"
            )
            .unwrap();
        }
        self.feed("cat >>/etc/network/interfaces", stanzas);
        self.run(format!(
            "ip addr add {SERVICE}/32 dev {INTERFACE}; ip addr add {SERVICE_6}/128 dev {INTERFACE} nodad"
        ));
        self
    }

    /// Puts this host's network in the care of systemd-networkd, now and after each boot, with the
    /// addresses that it has; ifupdown is left the loopback. To be called before
    /// [`Host::hold_service_address`].
    #[track_caller]
    pub(crate) fn use_networkd(&self) -> &Self {
        self.networkd_with(&[]);
        self.file(
            "/etc/systemd/network/10-mgmt0.network",
            format!(
                "[Match]\nName=mgmt0\n\n[Network]\nAddress={}/24\nIPv6AcceptRA=no\n",
                self.management_address()
            ),
        );
        self.file(
            "/etc/network/interfaces",
            "auto lo\niface lo inet loopback\n",
        );
        self.run(
            "systemctl disable networking.service; systemctl enable --now systemd-networkd.service",
        );
        self.await_that(&format!(
            "for link in {INTERFACE} mgmt0; do networkctl status $link | grep -q 'routable (configured)'; done"
        ))
    }

    #[track_caller]
    fn networkd_with(&self, services: &[IpAddr]) {
        let mut text = format!(
            "[Match]\nName={INTERFACE}\n\n[Network]\nAddress={}/24\nAddress={}/64\nIPv6AcceptRA=no\n",
            self.mail_address(),
            self.mail_address_6()
        );
        for &address in services {
            writeln!(text, "Address={address}/{}", family(address).1).unwrap();
        }
        self.file(
            &format!("/etc/systemd/network/10-{INTERFACE}.network"),
            text,
        );
    }

    /// The hardware address of its interface on the mail network.
    #[track_caller]
    pub(crate) fn hardware_address(&self) -> String {
        let text = self.run(format!("cat /sys/class/net/{INTERFACE}/address"));
        text.trim().to_owned()
    }
}

/// What ifupdown calls an address's family, and the length of a prefix of one address.
const fn family(address: IpAddr) -> (&'static str, u8) {
    match address {
        IpAddr::V4(_) => ("inet", 32),
        IpAddr::V6(_) => ("inet6", 128),
    }
}
