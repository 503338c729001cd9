//! What the domain name system says, asked from the machine that this program runs on.
//!
//! Name servers are those of the machine (resolv.conf(5)), or those that are given. `/etc/hosts` is not
//! asked: whoever sends mail does not know it. That nobody answers, or that a server cannot, is an answer
//! here too: what could not be known must not look like what is not there. What the answers mean for mail
//! is the business of [`crate::resource::mx`].

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use serde::{Deserialize, Serialize};

use crate::error::{Doing as _, Error, Kind, Result};

/// A name server that has not answered by then is asked once more, and then given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a name server is asked again.
const AGAIN: usize = 1;

/// So many name servers of a zone are asked at most.
const MOST_SERVERS: usize = 4;

/// Longer than any time to live that means something: by default the library cuts them to a day.
const LONGEST: Duration = Duration::from_hours(100 * 24);

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The mail exchangers of a domain.
    Exchangers(String),
    /// The IPv4 addresses of a name.
    V4(String),
    /// Its IPv6 addresses.
    V6(String),
    /// Another name that it stands for.
    Alias(String),
    /// Its texts.
    Texts(String),
    /// The names of an address.
    Pointers(IpAddr),
    /// The name servers of a zone.
    Servers(String),
}

impl Question {
    fn query(&self) -> Result<(Name, RecordType), String> {
        let (text, kind) = match self {
            Self::Exchangers(name) => (name, RecordType::MX),
            Self::V4(name) => (name, RecordType::A),
            Self::V6(name) => (name, RecordType::AAAA),
            Self::Alias(name) => (name, RecordType::CNAME),
            Self::Texts(name) => (name, RecordType::TXT),
            Self::Servers(name) => (name, RecordType::NS),
            Self::Pointers(address) => return Ok((Name::from(*address), RecordType::PTR)),
        };
        let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
        // Not to be looked for in the search domains.
        name.set_fqdn(true);
        Ok((name, kind))
    }
}

/// One record of an answer. Names are in lower case and without their last dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Record {
    /// A mail exchanger: the lower preference is tried first. The name is empty for the null MX of
    /// RFC 7505.
    Exchanger(u16, String),
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(String),
    /// A text, its strings joined as RFC 7208, 3.3 and RFC 6376, 3.6.2.2 have it.
    Text(String),
}

/// What was said to a question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered<T> {
    /// There are records.
    Found(Found<T>),
    /// The name is there, and has none of these.
    Nothing,
    /// There is no such name.
    NoName,
    /// It could not be known, and why.
    Unknown(String),
}

impl<T> Answered<T> {
    /// The records, if there are any.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(&found.records),
            _ => None,
        }
    }

    /// Why it could not be known.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            _ => None,
        }
    }

    /// The same about other records.
    pub fn map<U>(self, records: impl FnOnce(T) -> U) -> Answered<U> {
        match self {
            Self::Found(found) => Answered::Found(Found {
                records: records(found.records),
                ttl: found.ttl,
                authoritative: found.authoritative,
            }),
            Self::Nothing => Answered::Nothing,
            Self::NoName => Answered::NoName,
            Self::Unknown(why) => Answered::Unknown(why),
        }
    }
}

/// Records, and how long they may be remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found<T> {
    /// The records, in order.
    pub records: T,
    /// For how many seconds; the shortest of the answer.
    pub ttl: u32,
    /// Whether a server of the zone said so. Otherwise a cache did, and the zone's own time may be
    /// longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authoritative: bool,
}

/// Asks questions.
pub struct Asker {
    resolver: TokioResolver,
    runtime: tokio::runtime::Runtime,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl Asker {
    /// Will ask these name servers, or those of this machine if none are given.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if this machine names no name server.
    pub fn new(servers: &[IpAddr]) -> Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            Resolver::builder(provider).map_err(|error| {
                let what = "cannot find this machine's name servers";
                Error::caused(Kind::Host, what, error)
                    .hint("mend /etc/resolv.conf, or name some in the manifest's mx.nameservers")
            })?
        } else {
            let servers = servers.iter().copied().map(NameServerConfig::udp_and_tcp);
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Resolver::builder_with_config(config, provider)
        };
        settle(builder.options_mut());
        let resolver = builder
            .build()
            .doing(Kind::Host, || "cannot ask name servers".to_owned())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing(Kind::Host, || "cannot ask name servers".to_owned())?;
        Ok(Self { resolver, runtime })
    }

    /// Will ask the name servers of the zone that a name is in, whose own TTLs only they know; `None` if
    /// they cannot be found.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn of_zone(&self, name: &str) -> Result<Option<Self>> {
        let mut zone = name;
        while zone.contains('.') {
            match self.ask(&[Question::Servers(zone.to_owned())]).pop() {
                Some(Answered::Found(found)) => {
                    let servers = self.addresses(&found.records);
                    return (!servers.is_empty())
                        .then(|| Self::new(&servers))
                        .transpose();
                }
                Some(Answered::Nothing | Answered::NoName) => {}
                Some(Answered::Unknown(_)) | None => return Ok(None),
            }
            zone = zone.split_once('.').map_or("", |(_, above)| above);
        }
        Ok(None)
    }

    /// Where name servers are: IPv4 rather, which every machine has.
    fn addresses(&self, servers: &[Record]) -> Vec<IpAddr> {
        let names = servers.iter().filter_map(|record| match record {
            Record::Name(name) => Some(name.clone()),
            _ => None,
        });
        let names: Vec<String> = names.take(MOST_SERVERS).collect();
        for question in [Question::V4, Question::V6] {
            let questions: Vec<Question> = names.iter().cloned().map(question).collect();
            let answers = self.ask(&questions);
            let records = answers.iter().filter_map(Answered::found).flatten();
            let found = records.filter_map(|record| match record {
                Record::Address(address) => Some(*address),
                _ => None,
            });
            let found: Vec<IpAddr> = found.collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// Asks all at once. The answers come in the order of the questions, the records of each sorted.
    pub fn ask(&self, questions: &[Question]) -> Vec<Answered<Vec<Record>>> {
        self.runtime.block_on(async {
            let asked: Vec<_> = questions
                .iter()
                .map(|question| {
                    let (resolver, query) = (self.resolver.clone(), question.query());
                    tokio::spawn(async move {
                        let (name, kind) = match query {
                            Ok(query) => query,
                            Err(why) => return Answered::Unknown(why),
                        };
                        match resolver.lookup(name, kind).await {
                            Ok(lookup) => answer(&lookup, kind),
                            Err(error) => nothing(&error),
                        }
                    })
                })
                .collect();
            let mut answers = Vec::with_capacity(asked.len());
            for asked in asked {
                answers.push(asked.await.expect("asking does not panic"));
            }
            answers
        })
    }
}

fn settle(options: &mut ResolverOpts) {
    options.timeout = PATIENCE;
    options.attempts = AGAIN;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    options.positive_max_ttl = Some(LONGEST);
    options.edns0 = true;
}

fn answer(lookup: &Lookup, kind: RecordType) -> Answered<Vec<Record>> {
    let wanted = lookup
        .answers()
        .iter()
        .filter(|record| record.record_type() == kind);
    let mut records: Vec<Record> = wanted.filter_map(|record| read(&record.data)).collect();
    if records.is_empty() {
        return Answered::Nothing;
    }
    records.sort();
    let ttls = lookup.answers().iter().map(|record| record.ttl);
    Answered::Found(Found {
        records,
        ttl: ttls.min().unwrap_or_default(),
        authoritative: lookup.message().authoritative,
    })
}

fn read(data: &RData) -> Option<Record> {
    Some(match data {
        RData::MX(mx) => Record::Exchanger(mx.preference, text(&mx.exchange)),
        RData::A(address) => Record::Address(address.0.into()),
        RData::AAAA(address) => Record::Address(address.0.into()),
        RData::CNAME(name) => Record::Name(text(name)),
        RData::NS(name) => Record::Name(text(name)),
        RData::PTR(name) => Record::Name(text(name)),
        RData::TXT(txt) => Record::Text(
            txt.txt_data
                .iter()
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect(),
        ),
        _ => return None,
    })
}

/// As people write it; empty for the root.
fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.trim_end_matches('.').to_owned()
}

/// An error that says that there is nothing, and one that says nothing.
fn nothing(error: &NetError) -> Answered<Vec<Record>> {
    if error.is_nx_domain() {
        return Answered::NoName;
    }
    if error.is_no_records_found() {
        return Answered::Nothing;
    }
    Answered::Unknown(match error {
        NetError::Dns(DnsError::ResponseCode(code)) => {
            let code = format!("{code}").to_ascii_lowercase();
            format!("the name server answered that it cannot: {code}")
        }
        NetError::Timeout => "no name server answered in time".to_owned(),
        NetError::NoConnections => "no name server can be reached".to_owned(),
        error => error.to_string(),
    })
}
