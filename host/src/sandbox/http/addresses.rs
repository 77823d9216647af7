//! Which addresses are outside: no name may lead a guest to another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA's registry of special addresses, and what clouds answer their machines at. Address, bits, what it is.
const V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's own"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's own"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// What stands apart within 2000::/3, the only part of IPv6 that is outside at all.
const V6: [(Ipv6Addr, u32, &str); 4] = [
    // Teredo, which carries an IPv4 address, is in here.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
];

/// What an address is that isn't outside; none for one that is.
pub(super) fn inside(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let shares = |(net, bits, _): &&(Ipv4Addr, u32, _)| (address.to_bits() ^ net.to_bits()) >> (32 - bits) == 0;
            V4.iter().find(shares).map(|(_, _, what)| *what)
        }
        // Mapped, compatible and translated IPv4, loopback, link-local, unique-local and multicast are all elsewhere.
        IpAddr::V6(address) if address.segments()[0] >> 13 != 1 => Some("not global"),
        IpAddr::V6(address) => {
            let shares =
                |(net, bits, _): &&(Ipv6Addr, u32, _)| (address.to_bits() ^ net.to_bits()) >> (128 - bits) == 0;
            V6.iter().find(shares).map(|(_, _, what)| *what)
        }
    }
}

/// Of an address that no manifest can grant: a machine's own facts and credentials are there.
pub(super) fn is_never_granted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            inside(address.into()).is_some_and(|what| ["link-local", "a cloud's own"].contains(&what))
        }
        // fd00:ec2::254 and its like: unique-local is private, and so a matter of the grant, but these.
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.segments()[..2] == [0xfd00, 0xec2]
                || embedded(address).is_some_and(|inner| is_never_granted(inner.into()))
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated (NAT64), 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, .., high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_outside_is_known_up_to_its_borders() {
        for (inner, outer) in [
            ("0.255.255.255", "1.0.0.0"),
            ("10.0.0.0", "9.255.255.255"),
            ("10.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.63.255.255"),
            ("100.127.255.255", "100.128.0.0"),
            ("127.255.255.255", "128.0.0.0"),
            ("168.63.129.16", "168.63.129.17"),
            ("169.254.169.254", "169.255.0.0"),
            ("172.31.255.255", "172.32.0.0"),
            ("192.0.0.192", "192.0.1.0"),
            ("192.168.255.255", "192.169.0.0"),
            ("198.19.255.255", "198.20.0.0"),
            ("224.0.0.0", "223.255.255.255"),
            ("255.255.255.255", "8.8.8.8"),
            ("::1", "2606:4700::1111"),
            ("2001:1ff::", "2001:200::"),
            ("2001:db8::1", "2001:db9::1"),
            ("2002:a9fe:a9fe::", "2003::"),
            ("3fff:fff::1", "3fff:1000::1"),
            ("4000::", "3ffe::"),
            ("fd00::1", "2a00::1"),
        ] {
            assert!(inside(inner.parse().unwrap()).is_some(), "{inner}");
            assert_eq!(inside(outer.parse().unwrap()), None, "{outer}");
        }
    }

    #[test]
    fn a_machines_own_facts_are_granted_to_nobody() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_never_granted(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "::1", "fd00::1"] {
            assert!(!is_never_granted(address.parse().unwrap()), "{address}");
        }
    }
}
