//! Rows of one request and one answer, and the asking.
//!
//! Every row is asked of our server in a child process and of a real etcd, both prepared alike. Where the two
//! are meant to differ, the row holds etcd's answer too, and why.

use prost::Message;
use registry_proto::etcdserverpb::{
    DeleteRangeResponse, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseTimeToLiveResponse, RangeResponse,
    RangeStreamResponse, TxnResponse,
};
use registry_tests::requests::{leased, put};
use registry_tests::{Client, Wire};
use tonic::Code;

use crate::healthy::Servers;

/// The newest revision of a prepared store, and where its history begins.
pub(super) const NEWEST: i64 = 7;
pub(super) const COMPACTED: i64 = 4;
/// The lease of a prepared store; it holds the key `leased`.
pub(super) const LEASE: i64 = 7;

/// What a server says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// A code, and the exact text.
    Refused(Code, String),
    /// A code whose text is the library's own.
    Code(Code),
    /// The request is taken; what its answer says in short.
    Taken(String),
}

/// What etcd says to the request of a row.
#[derive(Debug)]
enum Etcd {
    /// What we say.
    Same,
    /// Something else, for this reason.
    Else(Says, &'static str),
    /// It is not asked, for this reason.
    NotAsked(&'static str),
}

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Row {
    what: &'static str,
    path: &'static str,
    messages: Vec<Vec<u8>>,
    says: Says,
    etcd: Etcd,
}

/// Begins a row: a request that is taken, with nothing to say about it, unless what follows says otherwise.
pub(super) fn row(what: &'static str, path: &'static str, request: &impl Message) -> Row {
    let messages = vec![request.encode_to_vec()];
    Row { what, path, messages, says: Says::Taken(String::new()), etcd: Etcd::Same }
}

fn etcds(text: &str) -> String {
    format!("etcdserver: {text}")
}

impl Row {
    /// The request is refused; the text is without etcd's prefix.
    pub(super) fn refused(self, code: Code, text: &str) -> Self {
        Self { says: Says::Refused(code, etcds(text)), ..self }
    }

    /// The request is refused with a text that has no prefix.
    pub(super) fn refused_plainly(self, code: Code, text: &str) -> Self {
        Self { says: Says::Refused(code, text.to_owned()), ..self }
    }

    /// The request is refused; the text is a library's and not compared.
    pub(super) fn coded(self, code: Code) -> Self {
        Self { says: Says::Code(code), ..self }
    }

    /// The request is taken, and its answer says this in short.
    pub(super) fn taken(self, short: &str) -> Self {
        Self { says: Says::Taken(short.to_owned()), ..self }
    }

    /// etcd refuses it with another code or text.
    pub(super) fn etcd_refuses(self, code: Code, text: &str, why: &'static str) -> Self {
        Self { etcd: Etcd::Else(Says::Refused(code, etcds(text)), why), ..self }
    }

    /// etcd refuses it with a text that has no prefix.
    pub(super) fn etcd_refuses_plainly(self, code: Code, text: &str, why: &'static str) -> Self {
        Self { etcd: Etcd::Else(Says::Refused(code, text.to_owned()), why), ..self }
    }

    /// etcd refuses it with a text that is not compared.
    pub(super) fn etcd_codes(self, code: Code, why: &'static str) -> Self {
        Self { etcd: Etcd::Else(Says::Code(code), why), ..self }
    }

    /// etcd takes it.
    pub(super) fn etcd_takes(self, short: &str, why: &'static str) -> Self {
        Self { etcd: Etcd::Else(Says::Taken(short.to_owned()), why), ..self }
    }

    /// etcd is not asked.
    pub(super) fn etcd_is_not_asked(self, why: &'static str) -> Self {
        Self { etcd: Etcd::NotAsked(why), ..self }
    }

    fn expected(&self, of_etcd: bool) -> Option<&Says> {
        match &self.etcd {
            Etcd::Else(says, _) if of_etcd => Some(says),
            Etcd::NotAsked(_) if of_etcd => None,
            _ => Some(&self.says),
        }
    }

    fn why(&self) -> &'static str {
        match self.etcd {
            Etcd::Same => "meant to be the same",
            Etcd::Else(_, why) | Etcd::NotAsked(why) => why,
        }
    }
}

/// Asks every row of both servers.
pub(super) async fn holds(rows: Vec<Row>) {
    let servers = Servers::start().await;
    for (url, of_etcd) in servers.urls() {
        let client = Client::connect(url).await;
        prepare(&client).await;
        let wire = Wire::connect(url).await;
        let mut wrong = Vec::new();
        for row in &rows {
            let Some(expected) = row.expected(of_etcd) else { continue };
            let before = client.revision().await;
            let said = ask(&wire, row).await;
            if !matches!(said, Says::Taken(_)) && client.revision().await != before {
                wrong.push(format!("{}: refused, and yet the store has changed", row.what));
            }
            let matches = match expected {
                Says::Code(code) => matches!(&said, Says::Refused(said, _) if said == code),
                exact => *exact == said,
            };
            if !matches {
                wrong.push(format!("{}: {expected:?} expected, {said:?} said ({})", row.what, row.why()));
            }
        }
        let who = if of_etcd { "etcd" } else { "our server" };
        assert!(wrong.is_empty(), "{who} says otherwise:\n{}", wrong.join("\n"));
        assert!(rows.len() > 3, "a table has rows");
    }
    servers.are_healthy().await;
}

/// `a` at revisions 2 to 4, `b` at 5, `c` at 6, `leased` at 7 under the lease; history begins at 4.
async fn prepare(client: &Client) {
    for (key, value) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "1")] {
        client.try_put(put(key, value)).await.expect("a put of the preparation");
    }
    client.grant(LEASE, 600).await.expect("the lease of the preparation");
    client.try_put(leased("leased", "1", LEASE)).await.expect("a put of the preparation");
    client.compact(COMPACTED).await.expect("the compaction of the preparation");
    assert_eq!(client.revision().await, NEWEST);
}

async fn ask(wire: &Wire, row: &Row) -> Says {
    match wire.call(row.path, &row.messages).await {
        Err(error) => Says::Taken(format!("the connection broke: {error}")),
        Ok(answer) => match answer.refusal() {
            Some((code, text)) => Says::Refused(code, text),
            None => Says::Taken(short(row.path, &answer.messages)),
        },
    }
}

/// What an answer says, as far as a row cares.
fn short(path: &str, messages: &[bytes::Bytes]) -> String {
    let Some(first) = messages.first() else { return "no message".to_owned() };
    let said = match path.rsplit('/').next().unwrap_or_default() {
        "Range" => RangeResponse::decode(first.clone()).map(range),
        "RangeStream" => {
            RangeStreamResponse::decode(first.clone()).map(|part| range(part.range_response.unwrap_or_default()))
        }
        "DeleteRange" => DeleteRangeResponse::decode(first.clone()).map(|answer| format!("{} gone", answer.deleted)),
        "Txn" => TxnResponse::decode(first.clone()).map(|answer| format!("{}", answer.succeeded)),
        "LeaseGrant" => LeaseGrantResponse::decode(first.clone()).map(|answer| format!("TTL {}", answer.ttl)),
        "LeaseTimeToLive" => LeaseTimeToLiveResponse::decode(first.clone()).map(|answer| format!("TTL {}", answer.ttl)),
        "LeaseKeepAlive" => messages
            .iter()
            .map(|one| LeaseKeepAliveResponse::decode(one.clone()).map(|one| format!("TTL {} of {}", one.ttl, one.id)))
            .collect::<Result<Vec<_>, _>>()
            .map(|all| all.join(", ")),
        _ => Ok(String::new()),
    };
    said.unwrap_or_else(|error| format!("not an answer: {error}"))
}

fn range(answer: RangeResponse) -> String {
    let kvs = answer.kvs.into_messages().expect("key-values decode");
    let keys: Vec<_> = kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key)).collect();
    format!("{} of {}", keys.join(" "), answer.count)
}
