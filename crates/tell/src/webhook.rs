//! Posting JSON by HTTP (RFC 9110, section 9.3.3), signed as Standard Webhooks says: whoever is told can tell that it comes from
//! this Pavise, that it is whole, when it was sent and whether it was sent before.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::{Severity, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use crate::Letter;
use crate::deliver::Carrier;
use crate::notice::Json;
use crate::secret::Secret;
use crate::tls::{PATIENCE, Place, Trust, shown};

/// A key has so many bytes (Standard Webhooks, "Signature scheme").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// An answer's header has at most so many bytes.
const MAX_HEADER: usize = 16 << 10;

/// Where something is posted, as the file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    pub(crate) url: String,
    /// Certificates (PEM) by which the server is believed, in place of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// A certificate (PEM) of our own, and its key, for a server that asks for one.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// A file with the key that signs, as `whsec_` and base64.
    pub(crate) secret_file: Option<PathBuf>,
    /// A file with a bearer token (RFC 6750).
    pub(crate) token_file: Option<PathBuf>,
}

/// Who is told by posts, as the file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    url: String,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    pub(super) json: Option<Json>,
    pub(super) severity: Option<Severity>,
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self { url, ..Self::default() }
    }
}

impl Options {
    pub(super) fn open(&self, of: &str) -> Result<Poster, String> {
        let Self { url, ca, certificate, key, secret_file, token_file, .. } = self.clone();
        Endpoint { url, ca, certificate, key, secret_file, token_file }.open(of)
    }
}

impl From<String> for Endpoint {
    fn from(url: String) -> Self {
        Self { url, ..Self::default() }
    }
}

impl Endpoint {
    /// Whether what is posted there is encrypted.
    pub fn is_https(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Reads what it names; `of` is whose it is, such as `tell.webhook`.
    ///
    /// # Errors
    ///
    /// What is wrong with which option, and what to do.
    pub fn open(&self, of: &str) -> Result<Poster, String> {
        let place = place(&self.url).ok_or_else(|| {
            format!("{of}.url = {:?}: expected https://HOST[:PORT]/PATH, or http://", shown(&self.url))
        })?;
        let is_https = self.is_https();
        let secret = |key: &str, path: &Option<PathBuf>| match path {
            Some(path) => {
                let wrong = |why: String| format!("{of}.{key} = {:?}: {why}", path.display().to_string());
                Secret::read(path).map_err(wrong).map(Some)
            }
            None => Ok(None),
        };
        let trust = if is_https {
            Some(Trust::load(of, self.ca.as_deref(), self.certificate.as_deref(), self.key.as_deref())?)
        } else if self.ca.is_some() || self.certificate.is_some() || self.key.is_some() {
            return Err(format!(
                "{of}: ca, certificate and key are for https:// only: use it in url, or leave them out"
            ));
        } else {
            None
        };
        let signing = secret("secret-file", &self.secret_file)?;
        let signing =
            signing.map(|text| key(&text)).transpose().map_err(|why| format!("{of}.secret-file: {why}"))?;
        let token = secret("token-file", &self.token_file)?;
        if token.is_some() && !is_https && !place.is_loopback() {
            return Err(format!(
                "{of}.token-file: by http:// everybody on the way could read the token: use https://"
            ));
        }
        let authorization = token.map(|token| bearer(&token)).transpose();
        let authorization = authorization.map_err(|why| format!("{of}.token-file: {why}"))?;
        let mut config = Agent::config_builder()
            .https_only(is_https)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEADER)
            // What is told does not go through whatever the environment names.
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent("pavise");
        if let Some(trust) = &trust {
            config = config.tls_config(trust.for_https().map_err(|why| format!("{of}.key: {why}"))?);
        }
        Ok(Poster {
            agent: Agent::new_with_config(config.build()),
            url: self.url.clone(),
            signing,
            authorization,
        })
    }
}

/// Where a URL of `http` or `https` leads (RFC 9110, section 4.2). A login within it would be shown with it, and is refused.
fn place(url: &str) -> Option<Place> {
    let (rest, port) = match url.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (url.strip_prefix("http://")?, 80),
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.contains('#');
    is_plain
        .then(|| Place::read(host, Some(port)))
        .flatten()
        .filter(|_| url.parse::<ureq::http::Uri>().is_ok())
}

/// The bytes of a key (Standard Webhooks, "Signature scheme").
fn key(text: &Secret) -> Result<Zeroizing<Vec<u8>>, String> {
    let digits = text.expose().strip_prefix("whsec_").unwrap_or(text.expose());
    let bytes = STANDARD.decode(digits).map(Zeroizing::new).ok();
    bytes.filter(|bytes| KEY_BYTES.contains(&bytes.len())).ok_or_else(|| {
        "it holds no key of Standard Webhooks: expected whsec_ and the base64 of 24 to 64 bytes; `openssl rand -base64 32` makes one"
            .into()
    })
}

fn bearer(token: &Secret) -> Result<HeaderValue, String> {
    // RFC 6750, section 2.1.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if !token.expose().bytes().all(is_allowed) {
        return Err("it holds no bearer token: expected letters, digits and -._~+/= on one line".into());
    }
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Posts to one place.
pub struct Poster {
    agent: Agent,
    url: String,
    signing: Option<Zeroizing<Vec<u8>>>,
    authorization: Option<HeaderValue>,
}

impl Poster {
    /// Where to, without the path: who may post there is often a secret in it.
    pub fn name(&self) -> String {
        let end = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let rest = self.url.get(end..).unwrap_or_default();
        self.url.get(..end + rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or_default().to_owned()
    }

    /// Posts JSON, and looks whether it was taken. The id stays the same when the same is posted again.
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    pub fn post(&self, id: &str, json: &str, now: Timestamp) -> Result<(), String> {
        // The id is sent unsigned, too: whoever knows it can drop what comes twice.
        let mut request =
            self.agent.post(&self.url).header("Content-Type", "application/json").header("webhook-id", id);
        if let Some(key) = &self.signing {
            let seconds = now.as_secs();
            request = request
                .header("webhook-timestamp", seconds.to_string())
                .header("webhook-signature", signature(key, id, seconds, json)?);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.clone());
        }
        let response = request.send(json).map_err(|error| error.to_string())?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            code @ 300..=399 => {
                Err(format!("it answers {code}, and redirections are not followed: name where it leads"))
            }
            code => Err(format!("it answers {code}")),
        }
    }
}

/// `v1,` and the base64 of HMAC-SHA256 (RFC 2104) over `id.seconds.body` (Standard Webhooks, "Signature scheme").
fn signature(key: &[u8], id: &str, seconds: u64, body: &str) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Names what is posted: the same content has the same id, whoever sends it again and when.
pub fn id(json: &str) -> String {
    let digest = Sha256::digest(json.as_bytes());
    digest.iter().take(16).fold(String::from("msg_"), |text, byte| format!("{text}{byte:02x}"))
}

/// Posts each message by itself, under its id.
pub(super) struct Webhook(pub(super) Poster);

impl Carrier for Webhook {
    fn send(&mut self, letters: &[Letter], _: u64, now: Timestamp) -> Result<(), String> {
        letters.iter().try_for_each(|letter| self.0.post(&letter.id, &letter.body, now))
    }
}

#[cfg(test)]
mod tests {
    use testkit::tls::kept;

    use super::*;

    #[test]
    fn places_are_read() {
        let of = |url: &str| place(url).map(|at| format!("{} {}", at.host, at.port));
        assert_eq!(of("http://a.example/x/y?z").as_deref(), Some("a.example 80"));
        assert_eq!(of("https://a.example").as_deref(), Some("a.example 443"));
        assert_eq!(of("http://10.0.0.1:8080").as_deref(), Some("10.0.0.1 8080"));
        assert_eq!(of("https://[::1]/").as_deref(), Some("::1 443"));
        assert_eq!(of("https://[::1]:8443/x").as_deref(), Some("::1 8443"));
        for bad in [
            "ftp://a/",
            "http:///x",
            "a",
            "http://user@a/",
            "https://user:word@a/",
            "http://a/b c",
            "http://a/\r\nX: 1",
            "https://a:0/",
            "https://a:/",
            "https://a:70000/",
            "https://[::1/",
            "https://[a]/",
            "https://::1/",
            "https://a/#b",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_is_told_is_named_without_what_may_be_secret() {
        for (url, expected) in [
            ("http://a.example/services/T0/B0/xyz", "http://a.example"),
            ("http://a.example:80?key=xyz", "http://a.example:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(Endpoint::from(url.to_owned()).open("tell.webhook").unwrap().name(), expected);
        }
    }

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let folder = tempfile::tempdir().unwrap();
        let key = |text: &str| key(&Secret::read(&kept(folder.path(), "key", text)).unwrap());
        // The vector of the reference implementations, which `openssl dgst -hmac` makes, too.
        let of = |text: &str| {
            signature(
                &key(text).unwrap(),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}",
            )
        };
        let expected = Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned());
        assert_eq!(of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        assert_eq!(of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), expected);
        for (bytes, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
            assert_eq!(key(&text).is_ok(), fits, "{bytes}");
        }
        assert!(key("whsec_***").unwrap_err().contains("openssl rand"));
    }

    #[test]
    fn a_token_is_one_word_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| bearer(&Secret::read(&kept(folder.path(), "token", text)).unwrap());
        let value = of("abc.DEF_~+/-123==").unwrap();
        assert_eq!(value, "Bearer abc.DEF_~+/-123==");
        assert!(!format!("{value:?}").contains("abc"));
        for bad in ["two words", "a\nb", "ü", "a\r\nX: 1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
