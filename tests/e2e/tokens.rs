//! Who gets in, and to what.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_rig::Tickwire;

use crate::peer::{Peer, Transport};
use crate::wire::Wire;

const SECRET: &str = "correct horse battery staple, long enough";
/// Key pairs made for these tests by `openssl genpkey`.
const ED_PRIVATE: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----\n";

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({"sub": "u1", "exp": now_s() + 600, "symbols": ["bench.S1", "bench.S2"], "aud": "prices"})
}

fn sign(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A server that knows the secret, and the EdDSA key by file.
fn start() -> (Tickwire, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(folder.path().join("ed.pem"), ED_PUBLIC).unwrap();
    let text = format!(
        "auth.anonymous.symbols = []\nauth.jwt.audience = \"prices\"\n[[auth.jwt.keys]]\nalg = \"HS256\"\nenv = \"TICKWIRE_JWT_SECRET\"\n\
         [[auth.jwt.keys]]\nalg = \"EdDSA\"\nfile = \"{}\"\n",
        folder.path().join("ed.pem").display()
    );
    std::fs::write(&file, text).unwrap();
    let args = ["demo", "--steady", "10x1000", "--log", "json", "--set", "log.filter=debug", "--config", file.to_str().unwrap()];
    (Tickwire::start_with(&args, &[("TICKWIRE_JWT_SECRET", SECRET)]).unwrap(), folder)
}

/// Tokens, and what becomes of them.
fn table() -> Vec<(&'static str, Option<String>, Option<ErrorCode>)> {
    let with = |key: &str, value: Value| {
        let mut changed = claims();
        changed[key] = value;
        Some(sign(&changed))
    };
    let without = |key: &str| {
        let mut changed = claims();
        changed.as_object_mut().unwrap().remove(key);
        Some(sign(&changed))
    };
    let by = |algorithm: Algorithm, key: &EncodingKey| Some(encode(&Header::new(algorithm), &claims(), key).unwrap());
    let payload = sign(&claims()).split('.').nth(1).unwrap().to_owned();
    vec![
        ("good", with("sub", json!("u2")), None),
        ("EdDSA", by(Algorithm::EdDSA, &EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap()), None),
        ("none", None, Some(ErrorCode::AuthRequired)),
        ("expired", with("exp", json!(now_s() - 60)), Some(ErrorCode::AuthExpired)),
        ("without end", without("exp"), Some(ErrorCode::AuthInvalid)),
        ("not yet", with("nbf", json!(now_s() + 60)), Some(ErrorCode::AuthInvalid)),
        ("for others", with("aud", json!("other")), Some(ErrorCode::AuthInvalid)),
        ("for nobody", without("aud"), Some(ErrorCode::AuthInvalid)),
        ("no symbols", without("symbols"), Some(ErrorCode::AuthInvalid)),
        ("HS512", by(Algorithm::HS512, &EncodingKey::from_secret(SECRET.as_bytes())), Some(ErrorCode::AuthInvalid)),
        // The public key is no secret: whoever signs with it must not get in.
        ("HS256 by the public key", by(Algorithm::HS256, &EncodingKey::from_secret(ED_PUBLIC.as_bytes())), Some(ErrorCode::AuthInvalid)),
        ("alg none", Some(format!("eyJhbGciOiJub25lIn0.{payload}.")), Some(ErrorCode::AuthInvalid)),
        ("garbage", Some("a.b.c".to_owned()), Some(ErrorCode::AuthInvalid)),
        ("huge", Some("x".repeat(9_000)), Some(ErrorCode::AuthInvalid)),
    ]
}

#[test]
fn tokens_decide_on_every_way_in() {
    let (server, _folder) = start();
    for (name, token, refused) in table() {
        let bearer = token.as_ref().map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let refused_name = refused.map(|code| code.name().to_owned());
        let stream = Peer::stream(server.address(), "symbols=bench.S1", &bearer).err();
        assert_eq!(stream.map(|response| (response.status, response.code())), refused_name.clone().map(|code| (401, code)), "SSE: {name}");
        let list = Wire::connect(server.address()).ask("GET /v1/instruments", &bearer);
        assert_eq!((list.status != 200).then(|| list.code()), refused_name.clone(), "list: {name}");
        if token.is_some() {
            let upgraded = Wire::upgrade(server.address(), &bearer).err();
            assert_eq!(upgraded.map(|response| (response.status, response.code())), refused_name.map(|code| (401, code)), "head: {name}");
        }
        let mut peer = Peer::open(server.address(), Transport::Protobuf);
        peer.hello(v1::Hello { token: token.clone(), ..Default::default() });
        match refused {
            Some(code) => {
                assert_eq!(peer.error().code(), code, "Hello: {name}");
                assert_eq!(peer.wire.close_code(), code.close_code(), "Hello: {name}");
            }
            None => {
                peer.subscribe(&["bench.S1"]);
                peer.quote();
            }
        }
        if let Some(token) = token {
            assert!(!server.log().contains(&token), "{name}: the log has the token");
        }
    }
}

#[test]
fn a_token_covers_its_symbols_and_no_other() {
    let (server, _folder) = start();
    let token = sign(&claims());
    let mut peer = Peer::open(server.address(), Transport::Json);
    peer.hello(v1::Hello { token: Some(token.clone()), conflate_ms: Some(0), ..Default::default() });
    peer.subscribe(&["bench.S1", "bench.S3", "bench.*"]);
    let ack = peer.ack();
    let codes: Vec<_> = ack.results.iter().map(v1::SubscribeResult::code).collect();
    assert_eq!(codes[..2], [ErrorCode::Unspecified, ErrorCode::NotEntitled]);
    for _ in 0..200 {
        let (update, _) = peer.quote();
        let symbol = peer.symbols[&update.id].as_str();
        assert!(matches!(symbol, "bench.S1" | "bench.S2"), "{symbol} leaked");
    }
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let list = Wire::connect(server.address()).ask("GET /v1/instruments", &bearer);
    let body: Value = serde_json::from_str(&list.body).unwrap();
    let symbols: Vec<_> = body["instruments"].as_array().unwrap().iter().map(|info| info["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["bench.S1", "bench.S2"]);
}

#[test]
fn a_session_ends_with_its_token() {
    let (server, _folder) = start();
    let mut short = claims();
    // The leeway of 5 s has nearly passed already.
    short["exp"] = json!(now_s() - 3);
    let mut peer = Peer::open(server.address(), Transport::Json);
    peer.hello(v1::Hello { token: Some(sign(&short)), ..Default::default() });
    peer.subscribe(&["bench.S1"]);
    assert_eq!(peer.error().code(), ErrorCode::AuthExpired);
    assert_eq!(peer.wire.close_code(), 4_103);
}
