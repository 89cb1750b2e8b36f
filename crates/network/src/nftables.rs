//! nftables by netlink: hands batches to the kernel and asks what is there.

use std::io;

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook, ListAttribute, NfTablesMessage,
    SetAttribute, SetElementAttribute, SetElementList, SetMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::batch::{Batch, Element, elements_message};
use crate::netlink::{Channel, Dump, NetlinkError};

/// `NFNL_SUBSYS_NFTABLES`, which a batch's ends must name.
const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;

/// A chain that exists, of whatever table.
#[derive(Debug, Clone)]
pub(crate) struct ChainFound {
    pub table: String,
    pub name: String,
    pub hook: Option<u32>,
    pub policy: Option<u32>,
}

/// A netfilter socket in one namespace.
pub(crate) struct Tables(Channel);

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
