//! nftables by netlink: a batch of changes that the kernel takes as one, or not at all.

use std::io;

use netlink_packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetElementAttribute,
    SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::expressions::Rule;
use crate::netlink::{Channel, Dump, NetlinkError};

/// Elements per message: an attribute's length has 16 bits, and an element takes under 100 bytes.
const ELEMENTS_PER_MESSAGE: usize = 400;
/// `NFNL_SUBSYS_NFTABLES`, which a batch's ends must name.
const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;

/// A packet filter's hook into the kernel's path of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HookPoint {
    pub hook: InetHookNumber,
    pub priority: i32,
    /// `filter` or `nat`.
    pub kind: &'static str,
    pub policy: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Drop,
    Accept,
}

/// What a set's keys, and a map's values, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetKind {
    Addresses,
    /// Link index and source address → mark.
    LinkAndAddressToMark,
    AddressToNumber,
    NumberToVerdict,
}

/// A set's or a map's element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub key: Vec<u8>,
    pub value: Option<DataAttribute>,
}

/// A base chain that exists, of whatever table.
#[derive(Debug, Clone)]
pub(crate) struct ChainFound {
    pub table: String,
    pub name: String,
    pub hook: Option<u32>,
    pub policy: Option<u32>,
}

/// A netfilter socket in one namespace.
pub(crate) struct Tables(Channel);

/// Changes to one table that are taken as one.
pub(crate) struct Batch {
    table: String,
    messages: Vec<(NfTablesMessage, u16, &'static str)>,
}

impl Tables {
    pub fn open() -> Result<Self, NetlinkError> {
        Channel::open(NETLINK_NETFILTER).map(Self)
    }

    /// Hands a batch to the kernel. Only the last message asks for an acknowledgement: the kernel
    /// reports a refused message in any case, and answers in order.
    pub fn commit(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        let mut datagram = Vec::new();
        let first = self.append_end(&mut datagram, ControlMessage::BatchBegin);
        let mut last = first;
        let mut doing = Vec::new();
        let count = batch.messages.len();
        for (at, (message, mut flags, what)) in batch.messages.into_iter().enumerate() {
            if at + 1 == count {
                flags |= NLM_F_ACK;
            }
            last = self.0.append(&mut datagram, enclose(message), flags);
            doing.push(what);
        }
        self.append_end(&mut datagram, ControlMessage::BatchEnd);
        if count == 0 {
            return Ok(());
        }
        let refused = |what: &str, source| NetlinkError {
            doing: what.to_owned(),
            source,
        };
        self.0
            .send(&datagram)
            .map_err(|source| refused("take packet rules", source))?;
        let mut first_refusal = None;
        loop {
            let replies = self
                .0
                .receive()
                .map_err(|source| refused("answer about packet rules", source))?;
            for reply in replies.iter().filter(|reply| reply.is_acknowledgement()) {
                let at = reply.sequence.wrapping_sub(first) as usize;
                if at > count {
                    continue;
                }
                if reply.errno() != 0 && first_refusal.is_none() {
                    let what = if at == 0 {
                        "change the packet rules"
                    } else {
                        doing[at - 1]
                    };
                    let source = io::Error::from_raw_os_error(reply.errno());
                    first_refusal = Some(refused(what, source));
                }
                // A refusal of the whole batch bears the number of its beginning and ends it.
                if reply.sequence == last || at == 0 {
                    return first_refusal.map_or(Ok(()), Err);
                }
            }
        }
    }

    fn append_end(&mut self, datagram: &mut Vec<u8>, end: ControlMessage) -> u32 {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
        self.0
            .append(datagram, NetfilterMessage::new(header, end), 0)
    }

    /// The chains of all tables of a family.
    pub fn chains(
        &mut self,
        family: NetfilterProtoFamily,
    ) -> Result<Vec<ChainFound>, NetlinkError> {
        let message = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
        let question = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
        let found = self.0.ask("list chains", question, Dump::All)?;
        let found = found.into_iter().filter_map(inner);
        let chain = |message| match message {
            NfTablesMessage::NewChain(chain) => Some(chain_found(chain)),
            _ => None,
        };
        Ok(found.filter_map(chain).collect())
    }

    /// The names of a table's sets.
    pub fn sets(&mut self, table: &str) -> Result<Vec<String>, NetlinkError> {
        let attributes = vec![SetAttribute::Table(table.to_owned())];
        let question = NfTablesMessage::GetSet(SetMessage { attributes });
        let found = match self.ask("list sets", question, Dump::All) {
            Err(error) if error.is(Errno::ENOENT) => vec![],
            found => found?,
        };
        let name = |message| match message {
            NfTablesMessage::NewSet(set) => {
                set.attributes
                    .into_iter()
                    .find_map(|attribute| match attribute {
                        SetAttribute::Name(name) => Some(name),
                        _ => None,
                    })
            }
            _ => None,
        };
        Ok(found.into_iter().filter_map(name).collect())
    }

    /// What a map holds under a key now.
    pub fn value_in_map(
        &mut self,
        table: &str,
        map: &str,
        key: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, NetlinkError> {
        let element = Element { key, value: None };
        let question = NfTablesMessage::GetSetElement(elements_message(table, map, &[element]));
        let found = match self.ask("look an element up", question, Dump::One) {
            Err(error) if error.is(Errno::ENOENT) => return Ok(None),
            found => found?,
        };
        Ok(found.into_iter().find_map(value_of_first_element))
    }

    fn ask(
        &mut self,
        doing: &str,
        question: NfTablesMessage,
        dump: Dump,
    ) -> Result<Vec<NfTablesMessage>, NetlinkError> {
        let found = self.0.ask(doing, enclose(question), dump)?;
        Ok(found.into_iter().filter_map(inner).collect())
    }
}

impl Batch {
    pub fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            messages: vec![],
        }
    }

    fn push(&mut self, message: NfTablesMessage, flags: u16, doing: &'static str) {
        self.messages.push((message, flags, doing));
    }

    /// Makes the table unless it is there.
    pub fn make_table(&mut self) {
        let message = NfTablesMessage::NewTable(self.table_message());
        self.push(message, NLM_F_CREATE, "make a table");
    }

    pub fn remove_table(&mut self) {
        let message = NfTablesMessage::DeleteTable(self.table_message());
        self.push(message, 0, "remove a table");
    }

    fn table_message(&self) -> TableMessage {
        TableMessage {
            attributes: vec![TableAttribute::Name(self.table.clone())],
        }
    }

    /// Makes a chain unless it is there.
    pub fn make_chain(&mut self, name: &str, hook: Option<HookPoint>) {
        let mut message = self.chain_message(name);
        if let Some(point) = hook {
            message.attributes.extend([
                ChainAttribute::Type(point.kind.to_owned()),
                ChainAttribute::Policy(match point.policy {
                    Policy::Drop => 0,
                    Policy::Accept => 1,
                }),
                ChainAttribute::Hook(vec![
                    Hook::Number(point.hook.into()),
                    Hook::Priority(point.priority as u32),
                ]),
            ]);
        }
        self.push(
            NfTablesMessage::NewChain(message),
            NLM_F_CREATE,
            "make a chain",
        );
    }

    pub fn remove_chain(&mut self, name: &str) {
        let message = NfTablesMessage::DeleteChain(self.chain_message(name));
        self.push(message, 0, "remove a chain");
    }

    fn chain_message(&self, name: &str) -> ChainMessage {
        ChainMessage {
            attributes: vec![
                ChainAttribute::Table(self.table.clone()),
                ChainAttribute::Name(name.to_owned()),
            ],
        }
    }

    pub fn add_rule(&mut self, chain: &str, rule: Rule) {
        let mut message = self.rule_message(chain);
        let expressions = rule.into_iter().map(Into::into).collect();
        message
            .attributes
            .push(RuleAttribute::Expressions(expressions));
        self.push(
            NfTablesMessage::NewRule(message),
            NLM_F_CREATE | NLM_F_APPEND,
            "add a rule",
        );
    }

    /// Removes every rule of a chain.
    pub fn empty_chain(&mut self, chain: &str) {
        let message = NfTablesMessage::DeleteRule(self.rule_message(chain));
        self.push(message, 0, "empty a chain");
    }

    fn rule_message(&self, chain: &str) -> RuleMessage {
        RuleMessage {
            attributes: vec![
                RuleAttribute::Table(self.table.clone()),
                RuleAttribute::Chain(chain.to_owned()),
            ],
        }
    }

    /// Makes a set or a map unless it is there.
    pub fn make_set(&mut self, name: &str, kind: SetKind) {
        let id = self.messages.len() as u32 + 1;
        let mut message = self.set_message(name);
        message.attributes.push(SetAttribute::Id(id));
        message.attributes.extend(kind.attributes());
        self.push(NfTablesMessage::NewSet(message), NLM_F_CREATE, "make a set");
    }

    pub fn remove_set(&mut self, name: &str) {
        let message = NfTablesMessage::DeleteSet(self.set_message(name));
        self.push(message, 0, "remove a set");
    }

    fn set_message(&self, name: &str) -> SetMessage {
        SetMessage {
            attributes: vec![
                SetAttribute::Table(self.table.clone()),
                SetAttribute::Name(name.to_owned()),
            ],
        }
    }

    pub fn add_elements(&mut self, set: &str, elements: &[Element]) {
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let message = elements_message(&self.table, set, some);
            self.push(
                NfTablesMessage::NewSetElement(message),
                NLM_F_CREATE,
                "add elements to a set",
            );
        }
    }

    pub fn remove_elements(&mut self, set: &str, elements: &[Element]) {
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let message = elements_message(&self.table, set, some);
            self.push(
                NfTablesMessage::DeleteSetElement(message),
                0,
                "remove elements from a set",
            );
        }
    }

    /// Removes every element of a set.
    pub fn empty_set(&mut self, set: &str) {
        let attributes = vec![
            SetElementList::Table(self.table.clone()),
            SetElementList::Set(set.to_owned()),
        ];
        let message = SetElementMessage { attributes };
        self.push(NfTablesMessage::DeleteSetElement(message), 0, "empty a set");
    }
}

impl SetKind {
    fn attributes(self) -> Vec<SetAttribute> {
        // The numbers by which user space tells types apart; the kernel looks at verdicts only.
        const ADDRESS: u32 = 7;
        const MARK: u32 = 19;
        const LINK: u32 = 20;
        const LINK_AND_ADDRESS: u32 = LINK << 6 | ADDRESS;
        const VERDICT: u32 = 0xffff_ff00;
        let key = |kind, length, flags| {
            vec![
                SetAttribute::Flags(flags),
                SetAttribute::KeyType(kind),
                SetAttribute::KeyLen(length),
            ]
        };
        let value = |kind, length| [SetAttribute::DataType(kind), SetAttribute::DataLen(length)];
        let mut attributes = match self {
            Self::Addresses => key(ADDRESS, 4, SetFlags::empty()),
            Self::LinkAndAddressToMark => {
                key(LINK_AND_ADDRESS, 8, SetFlags::Concat | SetFlags::Map)
            }
            Self::AddressToNumber => key(ADDRESS, 4, SetFlags::Map),
            Self::NumberToVerdict => key(MARK, 4, SetFlags::Map),
        };
        match self {
            Self::Addresses => {}
            Self::LinkAndAddressToMark => {
                attributes.extend(value(MARK, 4));
                attributes.push(SetAttribute::Description(vec![SetDescription::Concat(
                    vec![field_of_four_bytes(), field_of_four_bytes()],
                )]));
            }
            Self::AddressToNumber => attributes.extend(value(MARK, 4)),
            Self::NumberToVerdict => attributes.extend(value(VERDICT, 16)),
        }
        attributes
    }
}

/// `NFTA_LIST_ELEM { NFTA_SET_FIELD_LEN = 4 }`: the kernel wants each field's length.
fn field_of_four_bytes() -> DefaultNla {
    const NFTA_LIST_ELEM: u16 = 1;
    let mut field_length = vec![8, 0, 1, 0];
    field_length.extend(4u32.to_be_bytes());
    DefaultNla::new(NFTA_LIST_ELEM | NLA_F_NESTED, field_length)
}

fn inner(message: NetfilterMessage) -> Option<NfTablesMessage> {
    match message.inner {
        NetfilterMessageInner::NfTables(message) => Some(message),
        _ => None,
    }
}

fn enclose(message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0),
        message,
    )
}

fn elements_message(table: &str, set: &str, elements: &[Element]) -> SetElementMessage {
    let element = |element: &Element| {
        let key = DataAttribute::Value(element.key.clone());
        let mut attributes = vec![SetElementAttribute::Key(key)];
        attributes.extend(element.value.clone().map(SetElementAttribute::Data));
        ListAttribute::Element(attributes)
    };
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(table.to_owned()),
            SetElementList::Set(set.to_owned()),
            SetElementList::Elements(elements.iter().map(element).collect()),
        ],
    }
}

fn value_of_first_element(message: NfTablesMessage) -> Option<Vec<u8>> {
    let NfTablesMessage::NewSetElement(message) = message else {
        return None;
    };
    let elements = message
        .attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            SetElementList::Elements(elements) => Some(elements),
            _ => None,
        })?;
    let ListAttribute::Element(attributes) = elements.into_iter().next()? else {
        return None;
    };
    attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            SetElementAttribute::Data(DataAttribute::Value(value)) => Some(value),
            _ => None,
        })
}

fn chain_found(message: ChainMessage) -> ChainFound {
    let mut found = ChainFound {
        table: String::new(),
        name: String::new(),
        hook: None,
        policy: None,
    };
    for attribute in message.attributes {
        match attribute {
            ChainAttribute::Table(table) => found.table = table,
            ChainAttribute::Name(name) => found.name = name,
            ChainAttribute::Policy(policy) => found.policy = Some(policy),
            ChainAttribute::Hook(attributes) => {
                found.hook = attributes
                    .into_iter()
                    .find_map(|attribute| match attribute {
                        Hook::Number(number) => Some(number.into()),
                        _ => None,
                    });
            }
            _ => {}
        }
    }
    found
}
