//! A DNS server on a loopback UDP port that returns the addresses of one name, or fails.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use egress::resolver::Resolver;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

type Records = Result<Vec<IpAddr>, ResponseCode>;

/// Gives the same answer to every question.
pub(super) struct Dns {
    address: SocketAddr,
    records: watch::Sender<Records>,
    failed: mpsc::UnboundedReceiver<()>,
    _serving: JoinSet<()>,
}

impl Dns {
    pub(super) async fn start(ips: &[IpAddr]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (records, current) = watch::channel(Ok(ips.to_vec()));
        let (sender, failed) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let current = current.borrow().clone();
                let reply = answer(&query, &current).to_vec().unwrap();
                socket.send_to(&reply, peer).await.unwrap();
                if current.is_err() {
                    // The test may be over.
                    let _ = sender.send(());
                }
            }
        });
        Self { address, records, failed, _serving: serving }
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::new(&[self.address]).unwrap()
    }

    /// Changes the addresses.
    pub(super) fn set(&self, ips: &[IpAddr]) {
        let _ = self.records.send_replace(Ok(ips.to_vec()));
    }

    /// Fails from now on. Returns after the first query that failed.
    pub(super) async fn fail(&mut self, code: ResponseCode) {
        let _ = self.records.send_replace(Err(code));
        timeout(PATIENCE, self.failed.recv()).await.expect("it is asked in time").expect("the server lives");
    }
}

fn answer(query: &Message, current: &Records) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    let question = query.queries[0].clone();
    let (name, kind) = (question.name().clone(), question.query_type());
    answer.add_query(question);
    match current {
        Err(code) => answer.metadata.response_code = *code,
        Ok(ips) => {
            let of_kind = ips.iter().filter(|ip| ip.is_ipv4() == (kind == RecordType::A));
            answer.add_answers(of_kind.map(|ip| Record::from_rdata(name.clone(), 0, RData::from(*ip))));
        }
    }
    answer
}
