use proptest::prelude::*;

use super::*;

fn hide(redaction: Redaction, text: &str) -> String {
    redact(redaction, text).unwrap().as_str().to_owned()
}

#[test]
fn keyfile_secrets_are_hidden_and_settings_stay() {
    // Keys of nm-settings-keyfile(5).
    let text = "\
[connection]
id=Office
[wifi-security]
key-mgmt=wpa-psk
psk=hunter2
wep-key0=hunter2
leap-password=hunter2
[802-1x]
identity=alice
password=hunter2
private-key=/etc/ssl/key.pem
private-key-password=hunter2
pin=hunter2
#password=hunter2
[vpn-secrets]
anything=hunter2
[wireguard-peer.AAAA]
preshared-key = hunter2
[ipv4]
address1=192.0.2.20/24,192.0.2.1
";
    let hidden = hide(Redaction::Keyfile, text);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    for kept in [
        "id=Office",
        "identity=alice",
        "address1=192.0.2.20/24,192.0.2.1",
    ] {
        assert!(hidden.contains(kept), "{hidden}");
    }
}

#[test]
fn yaml_secrets_are_hidden_in_every_style() {
    // Keys of netplan-yaml(5).
    let text = "\
network:
  wifis:
    wlan0:
      addresses: [192.0.2.20/24]
      access-points:
        \"Office\": {password: \"hunter2 # no\", mode: infrastructure}
        Home:
          auth:
            key-management: eap
            identity: alice
            password: |
              hunter2
              hunter2 again

            client-key-password: 'hunter2
              goes on'
        # password: hunter2
  tunnels:
    wg0:
      keys:
        private: hunter2
      peers:
        - keys: {shared: hunter2, public: abc}
";
    let hidden = hide(Redaction::Yaml, text);
    assert!(
        !hidden.contains("hunter2") && !hidden.contains("goes on"),
        "{hidden}"
    );
    assert!(hidden.contains("identity: alice") && hidden.contains("192.0.2.20/24"));
    assert_eq!(hidden.lines().count(), text.lines().count());
    let parsed: serde_yaml::Value = serde_yaml::from_str(&hidden).unwrap();
    let auth = &parsed["network"]["wifis"]["wlan0"]["access-points"]["Home"]["auth"];
    assert_eq!(auth["password"].as_str().unwrap().trim(), HIDDEN);
    assert_eq!(auth["client-key-password"], HIDDEN);
}

#[test]
fn shell_and_interfaces_secrets_are_hidden_over_several_lines() {
    let ifcfg =
        "DEVICE=eth0\nKEY1=s:hunter2\nIEEE_8021X_PASSWORD='hunter2\nhunter2'\nIPADDR=192.0.2.20\n";
    assert_eq!(
        hide(Redaction::Shell, ifcfg),
        "DEVICE=eth0\nKEY1=<hidden>\nIEEE_8021X_PASSWORD=<hidden>\n<hidden>\nIPADDR=192.0.2.20\n"
    );
    let interfaces = "iface wlan0 inet dhcp\n\twpa-ssid Office\n\twpa-psk hunter2\n\twireless-key1 s:hunter2\n\tup iptables -A INPUT -j DROP\n\tup connect --token=hunter2 \\\n\t   hunter2\n\tup join \\\n\t  psk=hunter2\n\taddress 192.0.2.20/24\n";
    let hidden = hide(Redaction::Words, interfaces);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    assert!(
        hidden.contains("\twpa-psk <hidden>\n")
            && hidden.contains("-A INPUT")
            && hidden.contains("\taddress 192.0.2.20/24")
    );
    assert_eq!(hidden.lines().count(), interfaces.lines().count());
}

#[test]
fn broken_yaml_names_its_line_and_not_its_text() {
    let malformed = redact(Redaction::Yaml, "network:\n  a: [hunter2\n  b: }\n").unwrap_err();
    assert!(malformed.line >= 2 && !malformed.to_string().contains("hunter2"));
}

proptest! {
    #[test]
    fn redacting_keeps_lines_and_twice_is_once(
        lines in prop::collection::vec(
            "(#|  )?(password|psk|up|address|KEY|- private|\\[vpn-secrets\\])?[ =:]{0,2}['\"a\\\\x]{0,3}\r?",
            0..8,
        ),
    ) {
        let text = lines.join("\n");
        for redaction in [Redaction::Keyfile, Redaction::Shell, Redaction::Words, Redaction::Yaml] {
            let Ok(once) = redact(redaction, &text) else { continue };
            prop_assert_eq!(once.as_str().matches('\n').count(), text.matches('\n').count());
            let twice = redact(redaction, once.as_str());
            prop_assert_eq!(twice.unwrap(), once, "{:?}", redaction);
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC*[\n\r]?\\PC*") {
        for redaction in [Redaction::Keyfile, Redaction::Shell, Redaction::Words, Redaction::Yaml] {
            drop(redact(redaction, &text));
        }
    }
}
