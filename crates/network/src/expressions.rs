//! The vocabulary of packet rules: small functions that read like the rule they make.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload,
    Register, Verdict, VerdictAttribute,
};

/// One rule: expressions that all must hold, the last being a verdict.
pub(crate) type Rule = Vec<Expressions>;

pub(crate) const DROP: Verdict = Verdict::Other(0);
pub(crate) const ACCEPT: Verdict = Verdict::Other(1);
pub(crate) const RETURN: Verdict = Verdict::Return;

/// `NF_CT_STATE_BIT` of each state.
pub(crate) const INVALID: u32 = 1;
pub(crate) const ESTABLISHED_OR_RELATED: u32 = 2 | 4;

const FIRST: Register = Register::Reg32_00;
const SECOND: Register = Register::Reg32_01;

/// Which of the two addresses of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

pub(crate) fn verdict(code: Verdict) -> Expressions {
    immediate(vec![VerdictAttribute::Code(code)])
}

/// The packet goes on in another chain, and comes back from there where that decides nothing.
pub(crate) fn jump(chain: &str) -> Expressions {
    immediate(vec![
        VerdictAttribute::Code(Verdict::Jump),
        VerdictAttribute::Chain(chain.to_owned()),
    ])
}

/// The data of a verdict map's element.
pub(crate) fn verdict_data(code: Verdict, chain: &str) -> DataAttribute {
    DataAttribute::Verdict(vec![
        VerdictAttribute::Code(code),
        VerdictAttribute::Chain(chain.to_owned()),
    ])
}

fn immediate(verdict: Vec<VerdictAttribute>) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(verdict)),
    ])
}

fn load_meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![Meta::DestinationRegister(FIRST), Meta::Key(key)])
}

fn load_payload(base: u32, offset: u32, length: u32, register: Register) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}

/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn load_address(end: End, register: Register) -> Expressions {
    let offset = match end {
        End::Source => 12,
        End::Destination => 16,
    };
    load_payload(NETWORK_HEADER, offset, 4, register)
}

fn compare(operator: Operator, value: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(FIRST),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value.to_vec())),
    ])
}

fn mask(mask: &[u8], toggle: &[u8]) -> Expressions {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(FIRST),
        Bitwise::DestinationRegister(FIRST),
        Bitwise::Length(mask.len() as u32),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(toggle.to_vec())),
    ])
}

fn lookup(set: &str, destination: Option<Register>) -> Expressions {
    let mut attributes = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(FIRST)];
    attributes.extend(destination.map(Lookup::DestinationRegister));
    Expressions::Lookup(attributes)
}

fn by_name(name: &str, attributes: &[(u16, u32)]) -> Expressions {
    let attributes = attributes
        .iter()
        .map(|(kind, value)| DefaultNla::new(*kind, value.to_be_bytes().to_vec()));
    Expressions::Other {
        expression_type: name.to_owned(),
        attributes: attributes.collect(),
    }
}

/// The packet is not IPv4.
pub(crate) fn is_not_ipv4() -> Rule {
    let ipv4 = [libc::NFPROTO_IPV4 as u8];
    vec![
        load_meta(MetaKey::Nfproto),
        compare(Operator::NotEqual, &ipv4),
    ]
}

/// The connection is in one of these states.
pub(crate) fn connection_is(states: u32) -> Rule {
    const NFTA_CT_DREG: u16 = 1;
    const NFTA_CT_KEY: u16 = 2;
    const NFT_CT_STATE: u32 = 0;
    vec![
        by_name(
            "ct",
            &[(NFTA_CT_DREG, FIRST.into()), (NFTA_CT_KEY, NFT_CT_STATE)],
        ),
        mask(&states.to_ne_bytes(), &[0; 4]),
        compare(Operator::NotEqual, &[0; 4]),
    ]
}

pub(crate) fn came_by(index: u32) -> Rule {
    vec![
        load_meta(MetaKey::Iif),
        compare(Operator::Equal, &index.to_ne_bytes()),
    ]
}

pub(crate) fn leaves_by(index: u32) -> Rule {
    vec![
        load_meta(MetaKey::Oif),
        compare(Operator::Equal, &index.to_ne_bytes()),
    ]
}

/// The packet came by a link whose name begins so.
pub(crate) fn came_by_name(prefix: &str) -> Rule {
    vec![
        load_meta(MetaKey::Iifname),
        compare(Operator::Equal, prefix.as_bytes()),
    ]
}

pub(crate) fn leaves_by_name(prefix: &str) -> Rule {
    vec![
        load_meta(MetaKey::Oifname),
        compare(Operator::Equal, prefix.as_bytes()),
    ]
}

/// Looks (link . source address) up in a map and sets the packet's mark to what is found there.
/// The rule ends here when nothing is found.
pub(crate) fn mark_by_link_and_source(map: &str) -> Rule {
    let set_mark = Expressions::Meta(vec![Meta::SourceRegister(FIRST), Meta::Key(MetaKey::Mark)]);
    vec![
        load_meta(MetaKey::Iif),
        load_address(End::Source, SECOND),
        lookup(map, Some(FIRST)),
        set_mark,
    ]
}

/// (link that the packet came by . its destination) is in a map. The rule ends here when it is not.
pub(crate) fn link_and_destination_in(map: &str) -> Rule {
    vec![
        load_meta(MetaKey::Iif),
        load_address(End::Destination, SECOND),
        lookup(map, Some(FIRST)),
    ]
}

/// Looks the address up in a map, and what is found in a second map of verdicts. Two steps, so
/// that an interface is an element of plain data, for which the kernel need not check all chains
/// again.
pub(crate) fn verdict_by_address(end: End, numbers: &str, verdicts: &str) -> Rule {
    vec![
        load_address(end, FIRST),
        lookup(numbers, Some(FIRST)),
        lookup(verdicts, Some(Register::Verdict)),
    ]
}

/// Sets bits of the packet's mark.
pub(crate) fn add_to_mark(bits: u32) -> Rule {
    let set_mark = Expressions::Meta(vec![Meta::SourceRegister(FIRST), Meta::Key(MetaKey::Mark)]);
    vec![
        load_meta(MetaKey::Mark),
        mask(&(!bits).to_ne_bytes(), &bits.to_ne_bytes()),
        set_mark,
    ]
}

/// None of these bits is set in the packet's mark.
pub(crate) fn mark_lacks(bits: u32) -> Rule {
    vec![
        load_meta(MetaKey::Mark),
        mask(&bits.to_ne_bytes(), &[0; 4]),
        compare(Operator::Equal, &[0; 4]),
    ]
}

/// The address is in a range. Empty for every address.
pub(crate) fn address_in_range(end: End, range: Ipv4Net) -> Rule {
    let network = range.network().octets();
    match range.prefix_len() {
        0 => vec![],
        32 => vec![load_address(end, FIRST), compare(Operator::Equal, &network)],
        _ => vec![
            load_address(end, FIRST),
            mask(&range.netmask().octets(), &[0; 4]),
            compare(Operator::Equal, &network),
        ],
    }
}

pub(crate) fn address_in_set(end: End, set: &str) -> Rule {
    vec![load_address(end, FIRST), lookup(set, None)]
}

pub(crate) fn transport_is(protocol: u8) -> Rule {
    vec![
        load_meta(MetaKey::L4Proto),
        compare(Operator::Equal, &[protocol]),
    ]
}

/// An ICMP message of a type, and of a code or any.
pub(crate) fn icmp_is(kind: u8, code: Option<u8>) -> Rule {
    let byte_is = |offset, value: u8| {
        [
            load_payload(TRANSPORT_HEADER, offset, 1, FIRST),
            compare(Operator::Equal, &[value]),
        ]
    };
    let mut rule = byte_is(0, kind).to_vec();
    rule.extend(code.into_iter().flat_map(|code| byte_is(1, code)));
    rule
}

/// The address is outside a range.
pub(crate) fn address_outside(end: End, range: Ipv4Net) -> Rule {
    vec![
        load_address(end, FIRST),
        mask(&range.netmask().octets(), &[0; 4]),
        compare(Operator::NotEqual, &range.network().octets()),
    ]
}

fn load_destination_port(register: Register) -> Expressions {
    const OFFSET: u32 = 2;
    load_payload(TRANSPORT_HEADER, OFFSET, 2, register)
}

/// The destination port is in a range, both ends included. Empty for every port.
pub(crate) fn port_in(from: u16, to: u16) -> Rule {
    if (from, to) == (0, u16::MAX) {
        return vec![];
    }
    let load = load_destination_port(FIRST);
    if from == to {
        return vec![load, compare(Operator::Equal, &from.to_be_bytes())];
    }
    vec![
        load,
        compare(Operator::GreatherThanEqual, &from.to_be_bytes()),
        compare(Operator::LessThanEqual, &to.to_be_bytes()),
    ]
}

/// The source becomes the address of the link that the packet leaves by.
pub(crate) fn masquerade() -> Expressions {
    by_name("masq", &[])
}

/// The destination becomes this address.
pub(crate) fn send_to(address: Ipv4Addr) -> Rule {
    let load = Expressions::Immediate(vec![
        Immediate::DestinationRegister(FIRST),
        Immediate::Data(DataAttribute::Value(address.octets().to_vec())),
    ]);
    vec![load, translate_destination(&[])]
}

/// Looks (protocol . destination port) up in a map: the destination becomes the (address . port) that is found
/// there. The rule ends here when nothing is.
pub(crate) fn send_by_port(map: &str) -> Rule {
    const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
    vec![
        load_meta(MetaKey::L4Proto),
        load_destination_port(SECOND),
        lookup(map, Some(FIRST)),
        translate_destination(&[(NFTA_NAT_REG_PROTO_MIN, SECOND.into())]),
    ]
}

/// The first register has the address.
fn translate_destination(more: &[(u16, u32)]) -> Expressions {
    const NFTA_NAT_TYPE: u16 = 1;
    const NFTA_NAT_FAMILY: u16 = 2;
    const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
    const NFT_NAT_DNAT: u32 = 1;
    let address = [
        (NFTA_NAT_TYPE, NFT_NAT_DNAT),
        (NFTA_NAT_FAMILY, libc::NFPROTO_IPV4 as u32),
        (NFTA_NAT_REG_ADDR_MIN, FIRST.into()),
    ];
    by_name("nat", &[&address[..], more].concat())
}
