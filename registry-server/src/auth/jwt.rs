//! Tokens that carry their user themselves (RFC 7519): signed by one algorithm that is pinned, with an end.
//!
//! As etcd's, so that those of either are understood by the other: the claims `username`, `revision` and `exp`. A token
//! without any of them, by another algorithm or by none, is no token.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, get_current_timestamp};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, KeyPair};
use ring::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// What a token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtAlgorithm(Algorithm);

/// The algorithm and the keys, as read from their files.
#[derive(Clone)]
pub struct JwtKeys {
    /// The one that is taken.
    pub algorithm: JwtAlgorithm,
    /// In PEM. Not for HMAC. Without it, it is taken from the private key.
    pub public: Option<Vec<u8>>,
    /// In PEM; for HMAC the secret itself. Without it tokens are verified here and issued elsewhere.
    pub private: Option<Vec<u8>>,
    /// How long a token lives that is issued here.
    pub ttl: Duration,
}

/// Issues and verifies tokens.
pub struct Jwt {
    algorithm: Algorithm,
    sign: Option<EncodingKey>,
    verify: DecodingKey,
    validation: Validation,
    ttl: Duration,
}

/// Keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say what each means")]
pub enum JwtError {
    #[error("sign-method {0:?} is unknown here; give one of {KNOWN}")]
    Algorithm(String),
    #[error("{0} needs the secret in a file: give it as priv-key")]
    NoSecret(&'static str),
    #[error("neither pub-key nor priv-key is given")]
    NoKey,
    #[error("the key in {which} cannot be used: {reason}")]
    Key { which: &'static str, reason: String },
    #[error("pub-key and priv-key do not belong together")]
    Mismatch,
    #[error("tokens are verified here and not issued: priv-key is not given")]
    VerifyOnly,
}

const KNOWN: &str = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    /// Any number, as etcd reads it.
    revision: f64,
    exp: u64,
}

impl std::str::FromStr for JwtAlgorithm {
    type Err = JwtError;

    fn from_str(name: &str) -> Result<Self, JwtError> {
        name.parse().map(Self).map_err(|_| JwtError::Algorithm(name.to_owned()))
    }
}

impl Jwt {
    /// With these keys.
    ///
    /// # Errors
    /// When one is missing, cannot be read, or does not belong to the other.
    pub fn new(keys: &JwtKeys) -> Result<Self, JwtError> {
        let algorithm = keys.algorithm.0;
        let (sign, verify) = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                let secret = keys.private.as_deref().filter(|secret| !secret.is_empty());
                let secret = secret.ok_or(JwtError::NoSecret("HMAC"))?;
                (Some(EncodingKey::from_secret(secret)), DecodingKey::from_secret(secret))
            }
            _ => {
                let sign = keys.private.as_deref().map(|pem| signing_key(algorithm, pem)).transpose()?;
                let verify = match (&keys.public, &keys.private) {
                    (Some(pem), _) => verifying_key(algorithm, pem)?,
                    (None, Some(pem)) => public_part(algorithm, pem)?,
                    (None, None) => return Err(JwtError::NoKey),
                };
                (sign, verify)
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_aud = false;
        let jwt = Self { algorithm, sign, verify, validation, ttl: keys.ttl };
        if jwt.sign.is_some() && jwt.user_of(&jwt.issue("", 1)?).is_none() {
            return Err(JwtError::Mismatch);
        }
        Ok(jwt)
    }

    /// A token for a user whose password was right at a revision of users and roles.
    ///
    /// # Errors
    /// When tokens are issued elsewhere.
    pub fn issue(&self, user: &str, revision: u64) -> Result<String, JwtError> {
        let sign = self.sign.as_ref().ok_or(JwtError::VerifyOnly)?;
        // In whole seconds, and not ended at once.
        let exp = get_current_timestamp() + self.ttl.as_secs().max(1);
        let claims = Claims { username: user.to_owned(), revision: revision as f64, exp };
        let key = |error: jsonwebtoken::errors::Error| JwtError::Key { which: "priv-key", reason: error.to_string() };
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, sign).map_err(key)
    }

    /// Whose token this is, and the revision at which it was issued; none if it is none, or has ended.
    #[must_use]
    pub fn user_of(&self, token: &str) -> Option<(Arc<str>, u64)> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation).ok()?.claims;
        (claims.revision >= 0.0).then(|| (claims.username.into(), claims.revision as u64))
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("algorithm", &self.algorithm).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKeys").field("algorithm", &self.algorithm).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

fn private_key(reason: impl std::fmt::Display) -> JwtError {
    JwtError::Key { which: "priv-key", reason: reason.to_string() }
}

fn signing_key(algorithm: Algorithm, pem: &[u8]) -> Result<EncodingKey, JwtError> {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        _ => EncodingKey::from_rsa_pem(pem),
    }
    .map_err(private_key)
}

fn verifying_key(algorithm: Algorithm, pem: &[u8]) -> Result<DecodingKey, JwtError> {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        _ => DecodingKey::from_rsa_pem(pem),
    }
    .map_err(|error| JwtError::Key { which: "pub-key", reason: error.to_string() })
}

/// The public key that a private one has in it.
fn public_part(algorithm: Algorithm, pem: &[u8]) -> Result<DecodingKey, JwtError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(private_key)?;
    let der = key.secret_der();
    let ec = |curve: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::from_pkcs8(curve, der, &ring::rand::SystemRandom::new()).map_err(private_key)?;
        Ok(DecodingKey::from_ec_der(pair.public_key().as_ref()))
    };
    match algorithm {
        Algorithm::ES256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(private_key)?;
            Ok(DecodingKey::from_ed_der(pair.public_key().as_ref()))
        }
        _ => {
            let pair = match &key {
                PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der),
                _ => RsaKeyPair::from_pkcs8(der),
            };
            let pair = pair.map_err(private_key)?;
            Ok(DecodingKey::from_rsa_der(pair.public_key().as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(algorithm: &str, private: Option<&str>) -> JwtKeys {
        let (algorithm, ttl) = (algorithm.parse().unwrap(), Duration::from_secs(60));
        JwtKeys { algorithm, public: None, private: private.map(|text| text.as_bytes().to_vec()), ttl }
    }

    fn hmac() -> Jwt {
        Jwt::new(&keys("HS256", Some("secret"))).unwrap()
    }

    fn signed(header: &Header, claims: &serde_json::Value, secret: &str) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_tells_its_user_and_revision() {
        let jwt = hmac();
        let token = jwt.issue("anna", 7).unwrap();
        assert_eq!(jwt.user_of(&token), Some(("anna".into(), 7)));
        let other = Jwt::new(&keys("HS256", Some("other"))).unwrap();
        assert_eq!(other.user_of(&token), None);
    }

    #[test]
    fn keys_of_each_kind_sign_and_verify_also_when_only_the_private_one_is_given() {
        let curves = [("ES256", &rcgen::PKCS_ECDSA_P256_SHA256), ("ES384", &rcgen::PKCS_ECDSA_P384_SHA384)];
        for (algorithm, curve) in curves.into_iter().chain([("EdDSA", &rcgen::PKCS_ED25519)]) {
            let pair = rcgen::KeyPair::generate_for(curve).unwrap();
            let jwt = Jwt::new(&keys(algorithm, Some(&pair.serialize_pem()))).unwrap();
            let token = jwt.issue("anna", 1).unwrap();
            assert!(jwt.user_of(&token).is_some(), "{algorithm}");
            let public = Some(pair.public_key_pem().into_bytes());
            let verifier = Jwt::new(&JwtKeys { public: public.clone(), ..keys(algorithm, None) }).unwrap();
            assert!(verifier.user_of(&token).is_some(), "{algorithm}");
            assert_eq!(verifier.issue("anna", 1), Err(JwtError::VerifyOnly));
            let stranger = rcgen::KeyPair::generate_for(curve).unwrap().serialize_pem();
            let unfit = Jwt::new(&JwtKeys { public, ..keys(algorithm, Some(&stranger)) });
            assert_eq!(unfit.unwrap_err(), JwtError::Mismatch, "{algorithm}");
        }
    }

    #[test]
    fn a_token_needs_its_algorithm_its_user_its_revision_and_an_end() {
        let jwt = hmac();
        let exp = get_current_timestamp() + 60;
        let whole = json!({"username": "anna", "revision": 1, "exp": exp});
        let header = Header::new(Algorithm::HS256);
        assert!(jwt.user_of(&signed(&header, &whole, "secret")).is_some());
        assert_eq!(jwt.user_of(&signed(&Header::new(Algorithm::HS512), &whole, "secret")), None);
        for claim in ["username", "revision", "exp"] {
            let mut claims = whole.clone();
            claims.as_object_mut().unwrap().remove(claim);
            assert_eq!(jwt.user_of(&signed(&header, &claims, "secret")), None, "without {claim}");
        }
        let ended = json!({"username": "anna", "revision": 1, "exp": get_current_timestamp() - 1});
        assert_eq!(jwt.user_of(&signed(&header, &ended, "secret")), None);
        // {"alg":"none"} and no signature.
        let body = signed(&header, &whole, "secret");
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", body.split('.').nth(1).unwrap());
        for text in [unsigned.as_str(), "", ".", "a.b.c", &body[..body.len() - 2]] {
            assert_eq!(jwt.user_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_public_key_is_no_secret_for_hmac() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let jwt = Jwt::new(&keys("ES256", Some(&pair.serialize_pem()))).unwrap();
        let claims = json!({"username": "root", "revision": 1, "exp": get_current_timestamp() + 60});
        assert_eq!(jwt.user_of(&signed(&Header::new(Algorithm::HS256), &claims, &pair.public_key_pem())), None);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        assert!("none".parse::<JwtAlgorithm>().unwrap_err().to_string().contains("give one of HS256"));
        assert_eq!(Jwt::new(&keys("HS256", None)).unwrap_err(), JwtError::NoSecret("HMAC"));
        assert_eq!(Jwt::new(&keys("RS256", None)).unwrap_err(), JwtError::NoKey);
        let text = Jwt::new(&keys("RS256", Some("no key"))).unwrap_err().to_string();
        assert!(text.starts_with("the key in priv-key cannot be used"), "{text}");
    }
}
