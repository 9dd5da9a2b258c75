//! Who asks, and whether he may.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use account::{From, Secret, Session, Token, User, is_same};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use model::{Access, Device, Timestamp};
use store::AuditEntry;
use trust::access::{ACTIONS, Circumstances, Decision, Principal, Request, Target};

use crate::app::{App, Peer, now};
use crate::problem::Problem;

/// The header in which the console shows that it asks itself.
pub const CSRF: &str = "x-csrf-token";
/// The scope of tokens that may read everything that their owner may.
pub const READ: &str = "read";

/// By what somebody is known.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Session(Box<Session>),
    Token(Box<Token>),
}

/// Somebody who has signed in, or a program with a token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) known: Known,
    pub(crate) address: IpAddr,
    pub(crate) agent: String,
    pub(crate) at: Timestamp,
}

/// The name of the cookie: with TLS one that browsers keep to this host (RFC 6265bis, section 4.1.3).
pub(crate) const fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-pavise" } else { "pavise" }
}

/// The session's secret, if a cookie shows one.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| Secret::shown(value))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The address from which a request came.
pub(crate) fn address(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}

/// What a browser calls itself.
pub(crate) fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Refuses what pages of others make a browser ask (Fetch Metadata, and `Origin` of RFC 6454).
pub(crate) fn same_site(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let elsewhere = || {
        Problem::cross_site(format!(
            "changes are only taken from {}; open the console there",
            app.settings.origin
        ))
    };
    if text(header::ORIGIN).is_some_and(|origin| origin != app.settings.origin) {
        return Err(elsewhere());
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(elsewhere());
    }
    Ok(())
}

impl Caller {
    /// Whoever shows a token, or else a cookie. A wrong one of either is nobody.
    fn of(app: &App, parts: &Parts) -> Result<Option<Self>, Problem> {
        let (headers, at, address) = (&parts.headers, now(), address(parts));
        let agent = agent(headers).to_owned();
        let failed = |_| Problem::unavailable("the accounts cannot be read; the log of the server says why");
        if let Some(text) = bearer(headers) {
            let found = app.accounts.token(text, at).map_err(failed)?;
            return Ok(found.map(|(token, user)| Self {
                user,
                known: Known::Token(Box::new(token)),
                address,
                agent,
                at,
            }));
        }
        let Some(secret) = cookie(headers, cookie_name(app.settings.is_secure())) else { return Ok(None) };
        let Some((session, user)) = app.accounts.session(&secret, at).map_err(failed)? else {
            return Ok(None);
        };
        if !parts.method.is_safe() {
            same_site(app, &parts.method, headers)?;
            let shown = headers.get(CSRF).map_or(&[][..], |value| value.as_bytes());
            if !is_same(shown, session.csrf.as_bytes()) {
                return Err(Problem::cross_site(format!(
                    "the header {CSRF} does not show the session's value; load the page anew"
                )));
            }
        }
        Ok(Some(Self { user, known: Known::Session(Box::new(session)), address, agent, at }))
    }

    /// Under which key its requests are counted.
    pub(crate) fn key(&self) -> String {
        match &self.known {
            Known::Session(session) => format!("session {}", session.id),
            Known::Token(token) => format!("token {}", token.id),
        }
    }

    /// The session, if it is one.
    pub(crate) fn session(&self) -> Result<&Session, Problem> {
        match &self.known {
            Known::Session(session) => Ok(session),
            Known::Token(_) => Err(Problem::forbidden("a token cannot do that: sign in")),
        }
    }

    /// From where, as the accounts want to know it.
    pub(crate) fn from(&self) -> From<'_> {
        From { address: self.address, agent: &self.agent }
    }

    fn may_only_enrol(&self) -> bool {
        matches!(&self.known, Known::Session(session) if session.may_only_enrol())
    }

    /// Its roles in a zone of a site; those for everywhere count everywhere.
    fn roles(&self, site: &str, zone: Option<&str>) -> Vec<String> {
        let grants = self.user.grants.iter().filter(|grant| {
            grant.site.as_deref().is_none_or(|granted| granted == site)
                && grant.zone.as_deref().is_none_or(|granted| zone == Some(granted))
        });
        let mut roles: Vec<String> = grants.map(|grant| grant.role.clone()).collect();
        roles.sort();
        roles.dedup();
        roles
    }

    /// Whether a token's scopes name an action. What only reads is in the scope `read`.
    fn is_in_scope(&self, action: &str) -> bool {
        match &self.known {
            Known::Session(_) => true,
            Known::Token(token) => token
                .scopes
                .iter()
                .any(|scope| scope == action || scope == READ && action.starts_with("view-")),
        }
    }

    /// What the policies say to an action in a zone.
    fn ask(&self, app: &App, action: &str, of: &Of<'_>) -> Result<(Decision, String), Problem> {
        if self.may_only_enrol() {
            return Ok((Decision::StepUp, "enrol a second factor first".into()));
        }
        if !self.is_in_scope(action) {
            return Ok((Decision::Deny, format!("the token has no scope for {action}")));
        }
        let (is_service, mfa_age, new_location) = match &self.known {
            Known::Token(_) => (true, None, false),
            Known::Session(session) => {
                let age = session
                    .factor
                    .map(|shown| u32::try_from(self.at.since(shown).as_secs()).unwrap_or(u32::MAX));
                (false, age, session.is_new_place)
            }
        };
        let request = Request {
            principal: Principal {
                id: self.user.name.clone(),
                roles: self.roles(&app.settings.site, of.zone),
                is_service,
            },
            action: action.into(),
            target: Target {
                id: of.id.into(),
                zone_kind: app.kind_of(of.zone).into(),
                criticality: 0,
                proposer: of.proposer.map(str::to_owned),
            },
            circumstances: Circumstances { mfa_age, posture: self.posture(app), new_location },
        };
        let answer = app.access.decide(&request).map_err(|error| Problem::internal(error.to_string()))?;
        Ok((answer.decision, answer.explanation))
    }

    /// How far the device is trusted from which is asked, where it is one that is known.
    fn posture(&self, app: &App) -> Access {
        let address = self.address.to_canonical();
        if address.is_loopback() {
            return Access::Full;
        }
        let estate = app.mirror.estate();
        let uses = |device: &&Arc<Device>| device.addresses.iter().any(|known| known.ip == address);
        let latest = estate
            .devices
            .iter()
            .filter(|device| !device.access.is_full())
            .filter(uses)
            .map(|device| device.access);
        latest.max().unwrap_or_default()
    }

    /// Refuses what he may not do. What is denied is written down.
    pub(crate) fn may(&self, app: &App, action: &str, of: &Of<'_>) -> Result<(), Problem> {
        let (decision, why) = self.ask(app, action, of)?;
        if decision == Decision::Allow {
            return Ok(());
        }
        app.note(AuditEntry {
            what: action.into(),
            to: of.id.into(),
            outcome: "denied".into(),
            why: Some(why.clone()),
            ..self.entry()
        })?;
        Err(if decision == Decision::StepUp { Problem::step_up(why) } else { Problem::forbidden(why) })
    }

    /// The zones in which he may do something; `None` stands for what is in no zone. He is refused if there is none.
    pub(crate) fn where_may(&self, app: &App, action: &str) -> Result<Where, Problem> {
        let mut zones = BTreeMap::new();
        let (mut first, mut all) = (None, true);
        for zone in app.settings.zones.iter().map(|zone| Some(zone.name.as_str())).chain([None]) {
            let (decision, why) = self.ask(app, action, &Of { zone, ..Of::NOTHING })?;
            let may = decision == Decision::Allow;
            if !may && (first.is_none() || decision == Decision::StepUp) {
                first = Some((decision, why));
            }
            all &= may;
            zones.insert(zone.map(str::to_owned), may);
        }
        match first {
            Some((decision, why)) if !zones.values().any(|may| *may) => {
                Err(if decision == Decision::StepUp {
                    Problem::step_up(why)
                } else {
                    Problem::forbidden(why)
                })
            }
            _ => Ok(Where { zones, all }),
        }
    }

    /// Whether the session or token by which he is known still holds.
    pub(crate) fn still_holds(&self, app: &App, at: Timestamp) -> bool {
        match &self.known {
            Known::Session(session) => app
                .accounts
                .sessions(&session.user, at)
                .is_ok_and(|all| all.iter().any(|known| known.id == session.id)),
            Known::Token(token) => app
                .accounts
                .tokens(Some(&token.user))
                .is_ok_and(|all| all.iter().any(|known| known.id == token.id && known.expires > at)),
        }
    }

    /// What is written down of him, to be filled in.
    pub(crate) fn entry(&self) -> AuditEntry {
        AuditEntry {
            at: self.at,
            who: self.user.name.clone(),
            by: self.key(),
            from: self.address.to_canonical().to_string(),
            ..AuditEntry::default()
        }
    }

    /// What he may do somewhere, by action: for a console that does not offer what would be refused.
    pub(crate) fn everything(&self, app: &App) -> Result<BTreeMap<&'static str, &'static str>, Problem> {
        let zones: Vec<Option<&str>> =
            app.settings.zones.iter().map(|zone| Some(zone.name.as_str())).chain([None]).collect();
        let mut out = BTreeMap::new();
        for (action, _) in ACTIONS {
            let mut best = Decision::Deny;
            for zone in &zones {
                best = best.min(self.ask(app, action, &Of { zone: *zone, ..Of::NOTHING })?.0);
            }
            out.insert(action, best.name());
        }
        Ok(out)
    }
}

/// What something is done to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) id: &'a str,
    pub(crate) zone: Option<&'a str>,
    pub(crate) proposer: Option<&'a str>,
}

impl Of<'_> {
    pub(crate) const NOTHING: Self = Of { id: "any", zone: None, proposer: None };
}

/// In which zones somebody may do something.
#[derive(Clone, Debug)]
pub(crate) struct Where {
    zones: BTreeMap<Option<String>, bool>,
    /// Whether it is everywhere.
    pub(crate) all: bool,
}

impl Where {
    /// Whether he may do it there.
    pub(crate) fn holds(&self, zone: Option<&str>) -> bool {
        self.all || self.zones.get(&zone.map(str::to_owned)).copied().unwrap_or(false)
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let asked: Option<Self> =
            <Self as OptionalFromRequestParts<Arc<App>>>::from_request_parts(parts, app).await?;
        asked.ok_or_else(|| {
            Problem::unauthenticated(
                "sign in at the console, or send a token as `Authorization: Bearer pavise_...`",
            )
        })
    }
}

impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Problem> {
        let caller = Self::of(app, parts)?;
        let key = caller.as_ref().map_or_else(|| format!("address {}", address(parts)), Self::key);
        app.rates.take(&key, now()).map_err(|wait| {
            Problem::too_many(format!(
                "more than {} requests a second: wait {wait} s",
                crate::limits::PER_SECOND
            ))
        })?;
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_tokens_are_found_in_headers() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; pavise=xyz".parse().unwrap());
        headers.append(header::COOKIE, "c=d".parse().unwrap());
        assert_eq!(cookie(&headers, "pavise").unwrap().reveal(), "xyz");
        assert!(cookie(&headers, "__Host-pavise").is_none());
        for (value, token) in [
            ("Bearer pavise_x", Some("pavise_x")),
            ("bearer  y ", Some("y")),
            ("Basic z", None),
            ("Bearer", None),
        ] {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }
}
