//! Tokens: JWTs become grants. Nothing here prints or logs a token or a secret.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use tickwire_core::access::{Authority, Grant};
use tickwire_proto::Pattern;
use tickwire_proto::v1::ErrorCode;

use crate::config::AuthConfig;

/// Checks JWTs against the configured keys. Cheap to clone: every shard has one.
#[derive(Clone, Debug)]
pub struct Gate(Arc<AuthConfig>);

impl Gate {
    /// A gate that follows `config`.
    pub fn new(config: AuthConfig) -> Self {
        Self(Arc::new(config))
    }

    fn anonymous(&self) -> Result<Grant, ErrorCode> {
        if self.0.anonymous.is_empty() {
            return Err(ErrorCode::AuthRequired);
        }
        let patterns = self.0.anonymous.clone();
        Ok(Grant { subject: String::new(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None })
    }

    /// The claims of a token whose signature holds. The header chooses a key, never an algorithm.
    fn verify(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let fits = |key: &&KeyConfig| key.algorithm.library() == header.alg && (key.kid.is_none() || key.kid == header.kid);
        self.0.keys.iter().filter(fits).find_map(|key| {
            let mut validation = Validation::new(key.algorithm.library());
            // The claims are checked in `grant`, against the caller's clock; the library would let a token without aud and iss pass.
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            jsonwebtoken::decode::<Claims>(token, &key.key, &validation).ok().map(|data| data.claims)
        })
    }
}

impl Authority for Gate {
    fn grant(&self, token: Option<&str>, unix_s: u64) -> Result<Grant, ErrorCode> {
        let Some(token) = token else { return self.anonymous() };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ErrorCode::AuthInvalid);
        }
        let claims = self.verify(token).ok_or(ErrorCode::AuthInvalid)?;
        if claims.nbf.is_some_and(|nbf| nbf > unix_s.saturating_add(LEEWAY_S)) {
            return Err(ErrorCode::AuthInvalid);
        }
        let names = |wanted: &Option<String>, given: &Option<Names>| match wanted {
            None => true,
            Some(wanted) => given.as_ref().is_some_and(|given| given.contain(wanted)),
        };
        if !names(&self.0.audience, &claims.aud) || !names(&self.0.issuer, &claims.iss) {
            return Err(ErrorCode::AuthInvalid);
        }
        if claims.exp.saturating_add(LEEWAY_S) < unix_s {
            return Err(ErrorCode::AuthExpired);
        }
        let patterns =
            claims.symbols.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>().map_err(|_| ErrorCode::AuthInvalid)?;
        Ok(Grant {
            subject: claims.sub,
            patterns,
            expires_at_s: Some(claims.exp),
            conflate_ms_min: claims.conflate_ms_min.unwrap_or(0),
            subscriptions_max: claims.subscriptions_max,
        })
    }
}

/// One key and the only algorithm that it verifies.
#[derive(Clone)]
pub struct KeyConfig {
    algorithm: Algorithm,
    kid: Option<String>,
    key: DecodingKey,
}

impl KeyConfig {
    /// Reads a key: a PEM public key, or for HS256 the secret itself.
    ///
    /// # Errors
    /// Says what is wrong with the key, without showing it.
    pub fn new(algorithm: Algorithm, kid: Option<String>, bytes: &[u8]) -> Result<Self, String> {
        let key = match algorithm {
            Algorithm::HS256 => {
                let secret = bytes.trim_ascii_end();
                if secret.len() < SECRET_BYTES_MIN {
                    return Err(format!("names a secret of {} bytes; HS256 needs {SECRET_BYTES_MIN} or more", secret.len()));
                }
                DecodingKey::from_secret(secret)
            }
            Algorithm::ES256 => {
                DecodingKey::from_ec_pem(bytes).map_err(|_| "names something other than a PEM public key for ES256".to_owned())?
            }
            Algorithm::EdDSA => {
                DecodingKey::from_ed_pem(bytes).map_err(|_| "names something other than a PEM public key for EdDSA".to_owned())?
            }
        };
        Ok(Self { algorithm, kid, key })
    }
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyConfig").field("algorithm", &self.algorithm).field("kid", &self.kid).field("key", &"…").finish()
    }
}

/// Signature algorithms that a key may be pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    HS256,
    ES256,
    EdDSA,
}

impl Algorithm {
    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::HS256, Self::ES256, Self::EdDSA].into_iter().find(|algorithm| format!("{algorithm:?}") == name)
    }

    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// What a token says.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    symbols: Vec<String>,
    nbf: Option<u64>,
    aud: Option<Names>,
    iss: Option<Names>,
    conflate_ms_min: Option<u32>,
    subscriptions_max: Option<u32>,
}

/// One name or a list of them, as `aud` allows.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    fn contain(&self, wanted: &str) -> bool {
        match self {
            Self::One(name) => name == wanted,
            Self::Many(names) => names.iter().any(|name| name == wanted),
        }
    }
}

/// Bytes of a token. A larger one is refused unread.
pub const TOKEN_BYTES_MAX: usize = 8 * 1_024;
/// Bytes of an HMAC secret. A shorter one is refused at the start.
const SECRET_BYTES_MIN: usize = 32;
/// How far clocks may differ, seconds.
const LEEWAY_S: u64 = 5;

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: u64 = 1_790_000_000;

    fn gate(audience: Option<&str>) -> Gate {
        let keys = vec![KeyConfig::new(Algorithm::HS256, None, SECRET).unwrap()];
        Gate::new(AuthConfig { anonymous: Vec::new(), audience: audience.map(str::to_owned), issuer: None, keys })
    }

    fn sign(claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    #[track_caller]
    fn check(claims: serde_json::Value, expected: Result<(), ErrorCode>) {
        assert_eq!(gate(Some("prices")).grant(Some(&sign(&claims)), NOW).map(|_| ()), expected, "{claims}");
    }

    #[test]
    fn claims_decide() {
        let good = json!({"sub": "u1", "exp": NOW + 60, "symbols": ["stock.#"], "aud": "prices"});
        let with = |key: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[key] = value;
            claims
        };
        let without = |key: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(key);
            claims
        };
        check(good.clone(), Ok(()));
        check(with("aud", json!(["a", "prices"])), Ok(()));
        check(with("exp", json!(NOW - 4)), Ok(()));
        check(with("exp", json!(NOW - 6)), Err(ErrorCode::AuthExpired));
        check(with("nbf", json!(NOW + 6)), Err(ErrorCode::AuthInvalid));
        check(with("aud", json!("other")), Err(ErrorCode::AuthInvalid));
        check(with("symbols", json!(["a..b"])), Err(ErrorCode::AuthInvalid));
        check(with("exp", json!("soon")), Err(ErrorCode::AuthInvalid));
        check(with("exp", json!(-1)), Err(ErrorCode::AuthInvalid));
        for key in ["aud", "exp", "sub", "symbols"] {
            check(without(key), Err(ErrorCode::AuthInvalid));
        }
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let claims = json!({"sub": "u1", "exp": NOW + 60, "symbols": ["#"]});
        let hs512 = jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::HS512), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
        assert_eq!(gate(None).grant(Some(&hs512), NOW), Err(ErrorCode::AuthInvalid));
        // {"alg":"none"} without a signature
        let good = sign(&claims);
        let none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
        assert_eq!(gate(None).grant(Some(&none), NOW), Err(ErrorCode::AuthInvalid));
        let mut forged = good.clone().into_bytes();
        let middle = good.find('.').unwrap() + 3;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert_eq!(gate(None).grant(Some(std::str::from_utf8(&forged).unwrap()), NOW), Err(ErrorCode::AuthInvalid));
        assert_eq!(gate(None).grant(Some(&"x".repeat(TOKEN_BYTES_MAX + 1)), NOW), Err(ErrorCode::AuthInvalid));
        assert_eq!(gate(None).grant(None, NOW), Err(ErrorCode::AuthRequired));
        assert!(gate(None).grant(Some(&good), NOW).is_ok());
    }

    #[test]
    fn public_keys_verify_what_their_owners_sign() {
        let claims = json!({"sub": "u1", "exp": NOW + 60, "symbols": ["#"]});
        let key = KeyConfig::new(Algorithm::ES256, Some("k1".to_owned()), EC_PUBLIC.as_bytes()).unwrap();
        let gate = Gate::new(AuthConfig { keys: vec![key], ..AuthConfig::default() });
        let private = EncodingKey::from_ec_pem(EC_PRIVATE.as_bytes()).unwrap();
        let signed = |kid: Option<&str>| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(jsonwebtoken::Algorithm::ES256) };
            jsonwebtoken::encode(&header, &claims, &private).unwrap()
        };
        assert!(gate.grant(Some(&signed(Some("k1"))), NOW).is_ok());
        assert_eq!(gate.grant(Some(&signed(Some("k2"))), NOW), Err(ErrorCode::AuthInvalid));
        assert_eq!(gate.grant(Some(&signed(None)), NOW), Err(ErrorCode::AuthInvalid));
        assert!(KeyConfig::new(Algorithm::ES256, None, b"no key").is_err());
        assert!(KeyConfig::new(Algorithm::EdDSA, None, EC_PUBLIC.as_bytes()).is_err());
    }

    /// A pair made for this test by `openssl ecparam -name prime256v1 -genkey`.
    const EC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGkdM4CeMwS+AJiEA\nvisha30R2amEfr011gx5mEAT7QqhRANCAATsCs7Yiych21/1+5im3p1OGfi1CrE9\nYOHpm6Y2dQwy8BgT/4XrJmXu5cs5WGmG/1F1AUxrWWW2E0yjg6k+JSch\n-----END PRIVATE KEY-----\n";
    const EC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7ArO2IsnIdtf9fuYpt6dThn4tQqx\nPWDh6ZumNnUMMvAYE/+F6yZl7uXLOVhphv9RdQFMa1llthNMo4OpPiUnIQ==\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_does_not_print() {
        let shown = format!("{:?}", gate(None));
        assert!(shown.contains('…') && !shown.contains("48, 49, 50"), "{shown}");
    }
}
