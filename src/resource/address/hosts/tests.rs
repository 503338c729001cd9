use proptest::prelude::*;

use super::*;

/// In the form in which the installer of Debian 12 writes it.
const DEBIAN: &str = "\
127.0.0.1\tlocalhost
127.0.1.1\tmail.example.org\tmail

# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
";
const NAME: &str = "mail.example.org";

fn set(text: &str, addresses: &[&str]) -> String {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    with_name(text, NAME, &addresses)
}

#[test]
fn the_name_leaves_other_lines_and_gets_one_for_each_address() {
    assert_eq!(
        set(DEBIAN, &["192.0.2.25", "2001:db8::25"]),
        format!(
            "{}192.0.2.25\tmail.example.org\n2001:db8::25\tmail.example.org\n",
            DEBIAN.replace("127.0.1.1\tmail.example.org\tmail", "127.0.1.1\tmail")
        )
    );
}

#[test]
fn single_lines_change_as_little_as_they_can() {
    for (before, after) in [
        (
            "192.0.2.25  mail.example.org mx\n",
            "192.0.2.25  mail.example.org mx\n",
        ),
        (
            "192.0.2.25 MAIL.Example.org # ours\r\n",
            "192.0.2.25 MAIL.Example.org # ours\r\n",
        ),
        (
            "192.0.2.25 mx  # ours\n",
            "192.0.2.25 mx mail.example.org  # ours\n",
        ),
        ("192.0.2.25 mx", "192.0.2.25 mx mail.example.org\n"),
        (
            "192.0.2.9 a mail.example.org b\n192.0.2.25 mail.example.org\n",
            "192.0.2.9 a b\n192.0.2.25 mail.example.org\n",
        ),
        (
            "192.0.2.9 mail.example.org\n192.0.2.25 mail.example.org\n",
            "192.0.2.25 mail.example.org\n",
        ),
        (
            "192.0.2.9 mail.example.org # was\n192.0.2.25 mail.example.org\n",
            "# was\n192.0.2.25 mail.example.org\n",
        ),
        (
            "192.0.2.25 mail.example.org\n192.0.2.25 mail.example.org mx\n",
            "192.0.2.25 mail.example.org\n192.0.2.25 mx\n",
        ),
        (
            "192.0.2.25 a\n192.0.2.25 mail.example.org\n",
            "192.0.2.25 a\n192.0.2.25 mail.example.org\n",
        ),
        (
            "#192.0.2.9 mail.example.org\n",
            "#192.0.2.9 mail.example.org\n192.0.2.25\tmail.example.org\n",
        ),
        (
            "fe80::1%eth0 mail.example.org a\n",
            "fe80::1%eth0 a\n192.0.2.25\tmail.example.org\n",
        ),
        (
            "192.0.2.25 mail.example.org.lan\n",
            "192.0.2.25 mail.example.org.lan mail.example.org\n",
        ),
        ("", "192.0.2.25\tmail.example.org\n"),
    ] {
        assert_eq!(set(before, &["192.0.2.25"]), after, "{before:?}");
    }
}

proptest! {
    #[test]
    fn setting_twice_is_setting_once(
        lines in prop::collection::vec(
            "(192\\.0\\.2\\.25|192\\.0\\.2\\.9|::1|#|x)?[ \t]{0,2}((mail\\.example\\.org|mx|a)[ \t]?){0,3}(#c)?\r?",
            0..6,
        ),
    ) {
        let once = set(&lines.join("\n"), &["192.0.2.25", "2001:db8::25"]);
        prop_assert_eq!(&set(&once, &["192.0.2.25", "2001:db8::25"]), &once);
        // What the resolver finds, hosts(5): first the address, then names.
        let mut found = BTreeSet::new();
        for line in once.lines() {
            let mut words = line.split('#').next().unwrap().split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            if words.any(|word| word == NAME) {
                found.insert(address.to_string());
            }
        }
        prop_assert_eq!(found, ["192.0.2.25", "2001:db8::25"].map(str::to_owned).into());
    }
}

#[test]
fn an_address_has_the_names_of_all_its_lines() {
    let text = format!("{DEBIAN}192.0.2.25 mail.example.org mail # the old one\n192.0.2.25 mx\n");
    let names = |address: &str| names_of(&text, address.parse().unwrap());
    assert_eq!(names("192.0.2.25"), ["mail.example.org", "mail", "mx"]);
    assert_eq!(names("127.0.1.1"), ["mail.example.org", "mail"]);
    assert!(names("192.0.2.2").is_empty());
}
