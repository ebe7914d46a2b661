//! A DNS server, over UDP on loopback, that knows the addresses of one name or fails.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use egress::resolver::Resolver;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

type Knowledge = Result<Vec<IpAddr>, ResponseCode>;

/// Answers every question alike, until it is dropped.
pub(super) struct Dns {
    address: SocketAddr,
    knowledge: watch::Sender<Knowledge>,
    failed: mpsc::UnboundedReceiver<()>,
    _serving: JoinSet<()>,
}

impl Dns {
    pub(super) async fn start(ips: &[IpAddr]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (knowledge, known) = watch::channel(Ok(ips.to_vec()));
        let (tell, failed) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let known = known.borrow().clone();
                let reply = answer(&query, &known).to_vec().unwrap();
                socket.send_to(&reply, peer).await.unwrap();
                if known.is_err() {
                    // The test may be over.
                    let _ = tell.send(());
                }
            }
        });
        Self { address, knowledge, failed, _serving: serving }
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::new(&[self.address]).unwrap()
    }

    /// The addresses of the name from now on.
    pub(super) fn set(&self, ips: &[IpAddr]) {
        let _ = self.knowledge.send_replace(Ok(ips.to_vec()));
    }

    /// Fails from now on; returns when it has.
    pub(super) async fn fail(&mut self, code: ResponseCode) {
        let _ = self.knowledge.send_replace(Err(code));
        timeout(PATIENCE, self.failed.recv()).await.expect("it is asked in time").expect("the server lives");
    }
}

fn answer(query: &Message, known: &Knowledge) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    let question = query.queries[0].clone();
    let (name, kind) = (question.name().clone(), question.query_type());
    answer.add_query(question);
    match known {
        Err(code) => answer.metadata.response_code = *code,
        Ok(ips) => {
            let of_kind = ips.iter().filter(|ip| ip.is_ipv4() == (kind == RecordType::A));
            answer.add_answers(of_kind.map(|ip| Record::from_rdata(name.clone(), 0, RData::from(*ip))));
        }
    }
    answer
}
