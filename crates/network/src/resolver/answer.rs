//! What is answered to a question, as bytes. Whoever asks is not trusted, and whoever is asked in turn
//! no more.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::IpNet;

use super::tables::{Found, Names};

/// A longer question is none: names have 255 bytes, and options are few.
pub(super) const QUESTION_BYTES_MAX: usize = 4096;
/// What a datagram holds for one who does not say how much (RFC 1035).
const DATAGRAM_BYTES_LEAST: u16 = 512;
/// What a datagram holds at the most, so that it is never fragmented (DNS flag day 2020).
const DATAGRAM_BYTES_MAX: u16 = 1232;
/// How long an answer may be kept: addresses come and go with containers.
const TTL_S: u32 = 5;
/// What an address takes in an answer: where its name is, its kind and class, how long it may be kept, its
/// length and itself.
const ADDRESS_RECORD_BYTES: usize = 16;
/// Length of a message's header.
const HEADER_BYTES: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Datagram,
    Connection,
}

pub(super) enum Outcome {
    Reply(Vec<u8>),
    /// Somebody else may know.
    Ask(Box<Asked>),
    /// It is no question.
    Silence,
}

/// A question that is read and well formed.
pub(super) struct Asked {
    message: Message,
    query: Query,
    transport: Transport,
}

/// What becomes of a question of one who is in these networks. The first that knows the name is believed.
pub(super) fn answer(
    bytes: &[u8],
    transport: Transport,
    from: IpAddr,
    networks: impl Iterator<Item: Deref<Target = Names>>,
) -> Outcome {
    let Some(id) = question_id(bytes) else {
        return Outcome::Silence;
    };
    let refused = |op_code, code| match Message::error_msg(id, op_code, code).to_vec() {
        Ok(bytes) => Outcome::Reply(bytes),
        Err(_) => Outcome::Silence,
    };
    let message = match Message::from_vec(bytes) {
        Ok(message) if bytes.len() <= QUESTION_BYTES_MAX => message,
        _ => return refused(OpCode::Query, ResponseCode::FormErr),
    };
    let op_code = message.metadata.op_code;
    if op_code != OpCode::Query {
        return refused(op_code, ResponseCode::NotImp);
    }
    let [query] = &message.queries[..] else {
        return refused(op_code, ResponseCode::FormErr);
    };
    let asked = Asked {
        query: query.clone(),
        message,
        transport,
    };
    asked.answer(from, networks)
}

/// The id of what may be a question: long enough, and not itself an answer, which is never answered.
fn question_id(bytes: &[u8]) -> Option<u16> {
    let is_answer = bytes.get(2)? & 0x80 != 0;
    let id = u16::from_be_bytes([bytes[0], bytes[1]]);
    (bytes.len() >= HEADER_BYTES && !is_answer).then_some(id)
}

impl Asked {
    fn answer(self, from: IpAddr, networks: impl Iterator<Item: Deref<Target = Names>>) -> Outcome {
        if self.query.query_class != DNSClass::IN {
            return self.outcome(ResponseCode::Refused, vec![]);
        }
        let mut leads_out = false;
        let mut name = plain(&self.query.name);
        for names in networks {
            // The first is the network that it is asked in, which knows who asks.
            if let IpAddr::V4(from) = from
                && let Some(meant) = names.alias(from, &name)
            {
                name = meant.to_owned();
            }
            let known = match self.query.query_type {
                RecordType::PTR => self.name(&names),
                kind => self.addresses(kind, &name, &names),
            };
            if let Some((code, records)) = known {
                return self.outcome(code, records);
            }
            leads_out |= names.leads_out;
        }
        match leads_out {
            true => Outcome::Ask(Box::new(self)),
            false => self.outcome(ResponseCode::ServFail, vec![]),
        }
    }

    fn addresses(
        &self,
        kind: RecordType,
        name: &str,
        names: &Names,
    ) -> Option<(ResponseCode, Vec<Record>)> {
        let mut addresses = match names.addresses_of(name) {
            Found::Addresses(addresses) => addresses,
            Found::Nothing => return Some((ResponseCode::NXDomain, vec![])),
            Found::Unknown => return None,
        };
        if !matches!(kind, RecordType::A | RecordType::ANY) {
            // The name is there, and has nothing of that kind.
            return Some((ResponseCode::NoError, vec![]));
        }
        // Each question begins elsewhere, so that clients spread.
        let first = usize::from(self.message.metadata.id) % addresses.len().max(1);
        addresses.rotate_left(first);
        let record = |it| self.record(RData::A(A(it)));
        let records = addresses.into_iter().map(record).collect();
        Some((ResponseCode::NoError, records))
    }

    fn name(&self, names: &Names) -> Option<(ResponseCode, Vec<Record>)> {
        let address = address_in(&self.query.name).filter(|it| names.has(*it))?;
        let name = names.name_of(address);
        let name = name.and_then(|it| Name::from_ascii(format!("{it}.")).ok());
        Some(match name {
            Some(name) => (
                ResponseCode::NoError,
                vec![self.record(RData::PTR(PTR(name)))],
            ),
            None => (ResponseCode::NXDomain, vec![]),
        })
    }

    fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.query.name.clone(), TTL_S, data)
    }

    fn outcome(&self, code: ResponseCode, records: Vec<Record>) -> Outcome {
        self.reply(code, records)
            .map_or(Outcome::Silence, Outcome::Reply)
    }

    /// That nobody could be asked.
    pub fn failed(&self) -> Option<Vec<u8>> {
        self.reply(ResponseCode::ServFail, vec![])
    }

    fn reply(&self, code: ResponseCode, records: Vec<Record>) -> Option<Vec<u8>> {
        let asked = &self.message.metadata;
        let mut reply = Message::response(asked.id, OpCode::Query);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = code;
        reply.add_query(self.query.clone());
        reply.add_answers(records);
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_BYTES_MAX);
            reply.set_edns(edns);
        }
        let room = usize::from(self.room());
        let mut bytes = reply.to_vec().ok()?;
        if bytes.len() > room {
            // As many as fit: there are clients that never ask again by a connection. They are addresses,
            // and each takes the same.
            reply.metadata.truncation = true;
            let over = (bytes.len() - room).div_ceil(ADDRESS_RECORD_BYTES);
            let kept = reply.answers.len().saturating_sub(over);
            reply.answers.truncate(kept);
            bytes = reply.to_vec().ok()?;
        }
        (bytes.len() <= room).then_some(bytes)
    }

    /// How long a reply may be.
    fn room(&self) -> u16 {
        match (self.transport, &self.message.edns) {
            (Transport::Connection, _) => u16::MAX,
            (Transport::Datagram, Some(edns)) => {
                let most = edns.max_payload();
                most.clamp(DATAGRAM_BYTES_LEAST, DATAGRAM_BYTES_MAX)
            }
            (Transport::Datagram, None) => DATAGRAM_BYTES_LEAST,
        }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The same question in our own words, with an id that nobody can guess.
    pub fn in_our_words(&self) -> Option<Vec<u8>> {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.metadata.checking_disabled = self.message.metadata.checking_disabled;
        question.add_query(self.query.clone());
        if let Some(theirs) = &self.message.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(self.room().min(DATAGRAM_BYTES_MAX));
            edns.set_dnssec_ok(theirs.flags().dnssec_ok);
            question.set_edns(edns);
        }
        question.to_vec().ok()
    }

    /// What another resolver answered to `question`, for whoever asked first. None when it is no answer
    /// to it.
    pub fn passed_on(&self, question: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
        let end = question_end(question)?;
        let is_answer = answer.get(2)? & 0x80 != 0;
        let same_id = answer.get(..2)? == question.get(..2)?;
        let theirs = answer.get(HEADER_BYTES..end)?;
        let same_question = theirs.eq_ignore_ascii_case(question.get(HEADER_BYTES..end)?);
        if !(is_answer && same_id && same_question) {
            return None;
        }
        if answer.len() > usize::from(self.room()) {
            return self.cut_short();
        }
        let mut answer = answer.to_vec();
        answer[..2].copy_from_slice(&self.message.metadata.id.to_be_bytes());
        Some(answer)
    }

    /// That the answer does not fit a datagram.
    fn cut_short(&self) -> Option<Vec<u8>> {
        let mut reply = Message::response(self.message.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = self.message.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.truncation = true;
        reply.add_query(self.query.clone());
        reply.to_vec().ok()
    }
}

/// Where the question of a message of one question ends.
fn question_end(message: &[u8]) -> Option<usize> {
    const KIND_AND_CLASS_BYTES: usize = 4;
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at + KIND_AND_CLASS_BYTES);
        }
    }
}

/// A name as tables have it.
fn plain(name: &Name) -> String {
    let mut text = name.to_lowercase().to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// The address that a name of `in-addr.arpa` stands for.
fn address_in(name: &Name) -> Option<Ipv4Addr> {
    let mut name = name.clone();
    name.set_fqdn(true);
    match name.parse_arpa_name() {
        Ok(IpNet::V4(range)) if range.prefix_len() == 32 => Some(range.addr()),
        _ => None,
    }
}
