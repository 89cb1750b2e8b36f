//! Changes to an nftables table that the kernel takes as one, or not at all.

use netlink_packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetElementAttribute,
    SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use crate::expressions::Rule;

/// Elements per message: an attribute's length has 16 bits, and an element takes under 100 bytes.
const ELEMENTS_PER_MESSAGE: usize = 400;

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
    /// Protocol and port → address and port.
    PortToPlace,
}

/// A set's or a map's element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub key: Vec<u8>,
    pub value: Option<DataAttribute>,
}

/// Changes to one table that are taken as one.
pub(crate) struct Batch {
    table: String,
    /// Each with its flags, and what it is for.
    pub messages: Vec<(NfTablesMessage, u16, &'static str)>,
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
        const PROTOCOL: u32 = 12;
        const PORT: u32 = 13;
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
            Self::PortToPlace => key(PROTOCOL << 6 | PORT, 8, SetFlags::Concat | SetFlags::Map),
        };
        match self {
            Self::Addresses => {}
            Self::LinkAndAddressToMark => {
                attributes.extend(value(MARK, 4));
                attributes.push(two_fields());
            }
            Self::PortToPlace => {
                attributes.extend(value(ADDRESS << 6 | PORT, 8));
                attributes.push(two_fields());
            }
            Self::AddressToNumber => attributes.extend(value(MARK, 4)),
            Self::NumberToVerdict => attributes.extend(value(VERDICT, 16)),
        }
        attributes
    }
}

/// The key is two things, each in four bytes.
fn two_fields() -> SetAttribute {
    let fields = vec![field_of_four_bytes(), field_of_four_bytes()];
    SetAttribute::Description(vec![SetDescription::Concat(fields)])
}

/// `NFTA_LIST_ELEM { NFTA_SET_FIELD_LEN = 4 }`: the kernel wants each field's length.
fn field_of_four_bytes() -> DefaultNla {
    const NFTA_LIST_ELEM: u16 = 1;
    let mut field_length = vec![8, 0, 1, 0];
    field_length.extend(4u32.to_be_bytes());
    DefaultNla::new(NFTA_LIST_ELEM | NLA_F_NESTED, field_length)
}

pub(crate) fn elements_message(table: &str, set: &str, elements: &[Element]) -> SetElementMessage {
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
