//! A DNS server that answers from a table, over UDP.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Runs until it is dropped.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    table: Arc<Mutex<Table>>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Table {
    /// By absolute name. Each A query but the last moves on to the next set of addresses. Without a set
    /// there is no answer at all.
    answers: HashMap<String, VecDeque<Vec<IpAddr>>>,
    /// TXT records by absolute name; each is a list of parts.
    texts: HashMap<String, Vec<Vec<String>>>,
    seen: Vec<(String, RecordType)>,
}

impl Dns {
    /// A server that knows no name yet.
    pub async fn start() -> Self {
        Self::on(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    /// A server on this socket, that knows no name yet.
    pub fn on(socket: UdpSocket) -> Self {
        let address = socket.local_addr().unwrap();
        let table = Arc::new(Mutex::new(Table::default()));
        let mut task = JoinSet::new();
        task.spawn(serve(socket, Arc::clone(&table)));
        Self { address, table, _task: task }
    }

    /// The addresses of `name` from now on.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_in_turn(name, &[addresses]);
    }

    /// The addresses of `name`: another set for each A query, then the last for good. Without a set, queries
    /// are never answered.
    pub fn set_in_turn(&self, name: &str, turns: &[&[&str]]) {
        let turns = turns.iter().map(|turn| turn.iter().map(|address| address.parse().unwrap()).collect());
        let mut table = self.table.lock().unwrap();
        table.answers.insert(name.to_owned(), turns.collect());
    }

    /// The TXT records of `name` from now on, each a list of parts.
    pub fn set_texts(&self, name: &str, texts: &[&[&str]]) {
        let texts = texts.iter().map(|parts| parts.iter().map(|&part| part.to_owned()).collect());
        self.table.lock().unwrap().texts.insert(name.to_owned(), texts.collect());
    }

    /// What was asked so far, in order.
    pub fn seen(&self) -> Vec<(String, RecordType)> {
        self.table.lock().unwrap().seen.clone()
    }
}

async fn serve(socket: UdpSocket, table: Arc<Mutex<Table>>) {
    let mut buffer = [0; 1500];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let answer = table.lock().unwrap().answer(&query);
        if let Some(answer) = answer {
            socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        }
    }
}

impl Table {
    fn answer(&mut self, query: &Message) -> Option<Message> {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        let question = query.queries[0].clone();
        let (name, kind) = (question.name().clone(), question.query_type());
        self.seen.push((name.to_ascii(), kind));
        answer.add_query(question);
        if let Some(texts) = self.texts.get(&name.to_ascii()).filter(|_| kind == RecordType::TXT) {
            let records = texts
                .iter()
                .map(|parts| Record::from_rdata(name.clone(), 0, RData::TXT(TXT::new(parts.clone()))));
            answer.add_answers(records.collect::<Vec<_>>());
            return Some(answer);
        }
        let Some(turns) = self.answers.get_mut(&name.to_ascii()) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return Some(answer);
        };
        let records = turns
            .front()?
            .iter()
            .filter(|address| match kind {
                RecordType::A => address.is_ipv4(),
                RecordType::AAAA => address.is_ipv6(),
                _ => false,
            })
            .map(|address| Record::from_rdata(name.clone(), 0, RData::from(*address)));
        answer.add_answers(records.collect::<Vec<_>>());
        if kind == RecordType::A && turns.len() > 1 {
            turns.pop_front();
        }
        Some(answer)
    }
}
