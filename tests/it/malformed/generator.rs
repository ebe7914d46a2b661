//! Requests that are wrong in one or a few ways, from a seed.

/// A request as bytes.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) bytes: Vec<u8>,
    pub(super) head_only: bool,
    /// Its end is not clear from its framing, so the client closes its side after it.
    pub(super) unframed: bool,
}

/// Makes requests. Equal seeds make equal requests, apart from the tokens.
pub(super) struct Generator {
    state: u64,
    tokens: [(&'static str, String); 2],
}

/// The parts of a request, each as it will be sent.
struct Parts {
    verb: Vec<u8>,
    target: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

const VERBS: &str = "GET HEAD PUT DELETE PATCH OPTIONS TRACE post POSTS PROPFIND X M-SEARCH";

const TARGETS: &str = "/ * /xrpc /xrpc/ /xrpc// /xrpc/a /xrpc/a.b /xrpc/com.example.nothing \
    /xrpc/com.example.nothing?x=%ff /xrpc/place.wisp.v2.secret.create/ /xrpc/place.wisp.v2.secret.Create \
    /xrpc/place.wisp.v2.secret.create%20 /xrpc/place.wisp.v2.secret%2ecreate \
    /xrpc/../xrpc/place.wisp.v2.secret.create /xrpc/place.stream.server.createWebhook;a=b \
    //xrpc/place.stream.server.createWebhook /xrpc/%00 /xrpc/% /xrpc/\u{e9} /XRPC/place.wisp.v2.secret.create \
    http://elsewhere.example/xrpc/place.wisp.v2.secret.create /xrpc/_health?x /readyz/../livez \
    /.well-known/did.json/";

/// `~` stands for a space.
const VALUES: &str = r#"null true 0 -0 1e400 -1e-400 1.0 9223372036854775808 18446744073709551616 [] {} [[]] "" "~"
    "." ".." "\u0000" "\ud800" "\uDC00\uD800" "\x" undefined "https://10.0.0.1/" "https://user:word@a.example/"
    "https://[::ffff:127.0.0.1]/" "javascript:alert(1)" "https://a.example:99999/" ["chat","chat"] ["chat",1]
    [{"from":"","to":""}] [{"from":"a"}]"#;
/// Values with characters that [`VALUES`] can't have.
const ODD_VALUES: [&str; 2] = ["\"a\nb\"", "\"\u{202e}\""];

const FIELDS: &str = r"name token url events active description prefix suffix rewrite muteWords streamplaceFormat
    secretId \u006eame caller_did";

const QUERIES: [&str; 8] =
    ["?", "?limit=0", "?limit=1e9&limit=2", "?%00=%00", "?a=%", "?a=%ff%fe", "?&&&==", "?cursor=\u{e9}"];

const HEADERS: [(&str, &str); 16] = [
    ("content-type", "text/plain"),
    ("content-type", "application/json; charset=\u{e9}"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", ""),
    ("content-encoding", "gzip"),
    ("content-encoding", "identity, br"),
    ("accept", "text/html;q=\u{0}"),
    ("authorization", "Basic YTpi"),
    ("authorization", "Bearer"),
    ("authorization", "Bearer  a.b.c"),
    ("origin", "null"),
    ("x-request-id", "\u{1}"),
    ("grpc-timeout", "99999999999H"),
    ("cookie", "a=b; =; ;"),
    ("expect", "200-maybe"),
    ("te", "trailers, deflate;q=9"),
];

const FRAMINGS: [(&str, &str); 8] = [
    ("content-length", "99999999"),
    ("content-length", "-1"),
    ("content-length", "1, 2"),
    ("content-length", "18446744073709551616"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "gzip, chunked"),
    ("transfer-encoding", "chunked, identity"),
    ("upgrade", "h2c"),
];

impl Generator {
    pub(super) fn new(seed: u64, tokens: [(&'static str, String); 2]) -> Self {
        Self { state: seed, tokens }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Malformed {
        let mut parts = self.valid();
        let mut unframed = false;
        for _ in 0..=self.below(2) {
            unframed |= self.break_one(&mut parts);
        }
        let head_only = parts.verb == b"HEAD";
        let mut bytes = self.bytes(parts, unframed);
        // Any byte may be anything.
        if self.below(8) == 0 {
            unframed = true;
            self.corrupt(&mut bytes);
        }
        Malformed { bytes, head_only, unframed }
    }

    /// A valid request.
    fn valid(&mut self) -> Parts {
        let (nsid, token) = self.tokens[self.below(2)].clone();
        let number = self.state;
        let body = if nsid.ends_with("create") {
            format!(r#"{{"name":"n{number}","token":"0123456789abcdef0123456789abcdef"}}"#)
        } else {
            format!(
                r#"{{"url":"https://a.example/{number}","events":["chat","follow"],"active":false,"name":"n","rewrite":[{{"from":"a","to":"b"}}],"muteWords":["w"]}}"#
            )
        };
        Parts {
            verb: b"POST".to_vec(),
            target: format!("/xrpc/{nsid}").into_bytes(),
            headers: vec![
                (b"host".to_vec(), b"hooks.example".to_vec()),
                (b"authorization".to_vec(), format!("Bearer {token}").into_bytes()),
                (b"content-type".to_vec(), b"application/json".to_vec()),
            ],
            body: body.into_bytes(),
        }
    }

    /// Breaks one thing. Returns whether the request's end is no longer clear.
    fn break_one(&mut self, parts: &mut Parts) -> bool {
        match self.below(16) {
            0 => parts.verb = self.word_of(VERBS).as_bytes().to_vec(),
            1 | 2 => parts.target = self.word_of(TARGETS).as_bytes().to_vec(),
            3 => parts.target.extend_from_slice(self.one_of(&QUERIES).as_bytes()),
            4 | 5 => self.break_token(parts),
            6 => {
                let (name, value) = self.one_of(&HEADERS);
                parts.headers.retain(|(present, _)| present != name.as_bytes());
                parts.headers.push((name.into(), value.into()));
            }
            7 => {
                let at = self.below(parts.headers.len());
                let twice = parts.headers[at].clone();
                parts.headers.push(twice);
            }
            8 => {
                let at = self.below(parts.headers.len());
                parts.headers.remove(at);
            }
            9 => {
                let (name, value) = self.one_of(&FRAMINGS);
                parts.headers.push((name.into(), value.into()));
                return true;
            }
            10 => {
                let bytes = [10, 1_000, 40_000][self.below(3)];
                parts.headers.push((b"x-long".to_vec(), vec![b'a'; bytes]));
            }
            _ => self.break_body(&mut parts.body),
        }
        false
    }

    fn break_token(&mut self, parts: &mut Parts) {
        let Some((_, value)) = parts.headers.iter_mut().find(|(name, _)| name == b"authorization") else {
            return;
        };
        match self.below(4) {
            0 => value.truncate(self.below(value.len() + 1)),
            1 => {
                let length = value.len() + self.below(10_000);
                value.resize(length, b'A');
            }
            // Only in the signature: changed claims would cause a look-up of another DID each.
            2 => {
                let at = value.len() - 1 - self.below(80).min(value.len() - 1);
                value[at] = b"Aa0-_.=\x7f\xc3"[self.below(9)];
            }
            _ => {
                let tampered = [
                    "Bearer eyJhbGciOiJub25lIn0.e30.",
                    "Bearer e30.e30.AAAA",
                    "Bearer ..",
                    "Bearer bnVsbA.bnVsbA.bnVsbA",
                    "Bearer W10.W10.W10",
                    "Bearer eyJhbGciOiJFUzI1NksifQ.eyJleHAiOjFlOTk5fQ.AAAA",
                    "Bearer eyJhbGciOiJFUzI1NksiLCJhbGciOiJFUzI1NiJ9.e30.AAAA",
                ];
                *value = self.one_of(&tampered).into();
            }
        }
    }

    fn break_body(&mut self, body: &mut Vec<u8>) {
        match self.below(10) {
            0 => body.truncate(self.below(body.len() + 1)),
            1 => {
                let many = 1 + self.below(8);
                for _ in 0..many {
                    self.corrupt(body);
                }
            }
            2 => {
                let deep = [100, 200, 30_000][self.below(3)];
                let open = self.one_of(&["[", "{\"a\":"]);
                *body = format!("{{\"x\":{}", open.repeat(deep)).into_bytes();
            }
            3 => {
                let digits = [20, 400, 60_000][self.below(3)];
                *body = format!("{{\"name\":{}}}", "9".repeat(digits)).into_bytes();
            }
            4 => body.resize([65_536, 65_537, 300_000][self.below(3)], b' '),
            5 => *body = self.value().into_bytes(),
            _ => {
                // A field again, or another one, at the front or the end.
                let field = format!("\"{}\":{}", self.word_of(FIELDS), self.value());
                match body.first() {
                    Some(b'{') if self.below(2) == 0 => {
                        body.splice(1..1, format!("{field},").into_bytes());
                    }
                    _ => {
                        body.pop();
                        body.extend_from_slice(format!(",{field}}}").as_bytes());
                    }
                }
            }
        }
    }

    /// Changes, takes out or puts in one byte.
    fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        // Near the start, where the head of a request is.
        let at = self.below(bytes.len().min(400));
        let byte = u8::try_from(self.below(256)).unwrap();
        match self.below(3) {
            0 => bytes[at] = byte,
            1 => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, byte),
        }
    }

    fn bytes(&mut self, parts: Parts, unframed: bool) -> Vec<u8> {
        let Parts { verb, target, headers, body } = parts;
        let mut bytes = [&verb[..], b" ", &target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in headers {
            bytes.extend_from_slice(&[&name[..], b": ", &value, b"\r\n"].concat());
        }
        if !unframed || self.below(2) == 0 {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        bytes
    }

    fn value(&mut self) -> String {
        if self.below(16) == 0 {
            return self.one_of(&ODD_VALUES).to_owned();
        }
        self.word_of(VALUES).replace('~', " ")
    }

    /// One of the words in `text`.
    fn word_of(&mut self, text: &'static str) -> &'static str {
        self.one_of(&text.split_whitespace().collect::<Vec<_>>())
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number below `limit`: SplitMix64.
    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % limit as u64).unwrap()
    }
}
