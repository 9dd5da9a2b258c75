//! Signing in and out, second factors, sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use account::{AccountError, Begun, Change, From, Opened, Secret};
use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::AuditEntry;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Body, Named};
use crate::app::{App, now};
use crate::caller::{Caller, address, agent, cookie_name, same_site};
use crate::problem::Problem;
use crate::routes::users::GrantView;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(state))
        .routes(routes!(set_up))
        .routes(routes!(accept))
        .routes(routes!(begin))
        .routes(routes!(challenge))
        .routes(routes!(finish))
        .routes(routes!(sign_out))
        .routes(routes!(step_up_challenge))
        .routes(routes!(step_up))
        .routes(routes!(sessions, end_others))
        .routes(routes!(end))
        .routes(routes!(change_password))
        .routes(routes!(begin_totp, confirm_totp, remove_totp))
        .routes(routes!(passkeys))
        .routes(routes!(begin_passkey, finish_passkey))
        .routes(routes!(remove_passkey))
        .routes(routes!(recovery_codes))
}

impl std::convert::From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let told = error.to_string();
        match error {
            AccountError::Wrong => Self::unauthenticated(told),
            AccountError::Throttled(_) => Self::too_many(told),
            AccountError::Missing(_) => Self::not_found(told),
            AccountError::Changed(_) => Self::changed(told),
            AccountError::Stale | AccountError::WeakPassword(_) | AccountError::Invalid(_) => {
                Self::body(told)
            }
            AccountError::LastAdministrator(_) | AccountError::TooMany(_) => Self::conflict(told),
            AccountError::Random(_)
            | AccountError::Hash(_)
            | AccountError::Sealed(_)
            | AccountError::Database(_) => {
                Self::internal("the accounts cannot be used; the log of the server says why")
            }
        }
    }
}

/// From where somebody asks who has not signed in.
struct Asking {
    from: std::net::IpAddr,
    agent: String,
}

impl axum::extract::FromRequestParts<Arc<App>> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        same_site(app, &parts.method, &parts.headers)?;
        let from = address(parts);
        app.rates
            .take(&format!("address {from}"), now())
            .map_err(|wait| Problem::too_many(format!("too many requests: wait {wait} s")))?;
        Ok(Self { from, agent: agent(&parts.headers).to_owned() })
    }
}

impl Asking {
    fn from(&self) -> From<'_> {
        From { address: self.from, agent: &self.agent }
    }

    fn entry(&self, who: &str) -> AuditEntry {
        AuditEntry {
            at: now(),
            who: who.into(),
            from: self.from.to_canonical().to_string(),
            ..AuditEntry::default()
        }
    }
}

/// An entry with what was changed.
pub(super) fn noted(entry: AuditEntry, change: Change) -> AuditEntry {
    AuditEntry {
        what: change.what.into(),
        to: change.to,
        outcome: "done".into(),
        before: change.before,
        after: change.after,
        ..entry
    }
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionView {
    /// What the place is called.
    pub site: String,
    /// Whether nobody has made the first administrator yet: the server has printed a link with which that is done.
    pub needs_setup: bool,
    /// Who is signed in; absent where nobody is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<SignedIn>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SignedIn {
    /// By which he signs in.
    pub name: String,
    /// What people call him.
    pub display: String,
    /// What he may do where.
    pub grants: Vec<GrantView>,
    /// Whether he has one-time passwords.
    pub has_totp: bool,
    /// How many passkeys he has.
    pub passkeys: u32,
    /// How many recovery codes he has left.
    pub recovery_codes: u32,
    /// Names the session.
    pub session: String,
    /// What is to be shown with each change in the header `x-csrf-token`.
    pub csrf: String,
    /// Whether a second factor has to be enrolled before anything else.
    pub must_enrol: bool,
    /// Seconds since a second factor was shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub factor_age: Option<u64>,
    /// What he may do, somewhere: `allow`, `step-up` or `deny` for each action.
    #[schema(value_type = BTreeMap<String, String>)]
    pub may: BTreeMap<String, String>,
}

fn view(app: &App, caller: &Caller) -> Result<SignedIn, Problem> {
    let session = caller.session()?;
    let user = &caller.user;
    Ok(SignedIn {
        name: user.name.clone(),
        display: user.display.clone(),
        grants: user.grants.iter().cloned().map(Into::into).collect(),
        has_totp: user.has_totp,
        passkeys: user.passkeys,
        recovery_codes: user.recovery_codes,
        session: session.id.clone(),
        csrf: session.csrf.clone(),
        must_enrol: session.may_only_enrol(),
        factor_age: session.factor.map(|shown| caller.at.since(shown).as_secs()),
        may: caller.everything(app)?.into_iter().map(|(action, may)| (action.into(), may.into())).collect(),
    })
}

/// Who is signed in; anybody may ask
#[utoipa::path(get, path = "/session", tag = "session", security((), ("session" = [])), responses((status = 200, body = SessionView), (status = "default", body = Problem)))]
async fn state(State(app): State<Arc<App>>, caller: Option<Caller>) -> Result<Json<SessionView>, Problem> {
    let user =
        caller.filter(|caller| caller.session().is_ok()).map(|caller| view(&app, &caller)).transpose()?;
    let needs_setup = user.is_none() && app.accounts.users()?.is_empty();
    Ok(Json(SessionView { site: app.settings.site.clone(), needs_setup, user }))
}

/// The answer to whoever has just signed in: who he is, and the cookie.
fn opened(app: &App, opened: Opened, asking: &Asking) -> Result<Response, Problem> {
    let user = app.accounts.user(&opened.session.user)?;
    let caller = Caller {
        user,
        known: crate::caller::Known::Session(Box::new(opened.session)),
        address: asking.from,
        agent: asking.agent.clone(),
        at: now(),
    };
    let body =
        Signing { next: "done".into(), pending: None, factors: Vec::new(), user: Some(view(app, &caller)?) };
    let mut response = Json(body).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie(app, opened.secret.reveal())?);
    Ok(response)
}

/// A cookie that scripts cannot read and that other sites do not send (RFC 6265bis).
fn cookie(app: &App, value: &str) -> Result<HeaderValue, Problem> {
    let secure = app.settings.is_secure();
    let ends = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Strict{}{ends}",
        cookie_name(secure),
        if secure { "; Secure" } else { "" }
    );
    let mut value = HeaderValue::from_str(&text).map_err(|error| Problem::internal(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is needed to make the first administrator.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    /// The secret of the link that the server printed.
    #[schema(max_length = 128)]
    pub secret: String,
    /// By which he is to sign in.
    #[schema(max_length = 64)]
    pub name: String,
    /// What people call him.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub display: String,
    /// His password.
    #[schema(min_length = 12, max_length = 128)]
    pub password: String,
}

/// Make the first administrator
///
/// Of whoever has the link that the server printed when it was started. He then signs in and enrols a second factor.
#[utoipa::path(post, path = "/setup", tag = "session", security(()), request_body = SetUp, responses((status = 204, description = "He is made."), (status = "default", body = Problem)))]
async fn set_up(
    State(app): State<Arc<App>>,
    asking: Asking,
    Body(body): Body<SetUp>,
) -> Result<StatusCode, Problem> {
    app.beside(move |app| {
        let secret = Secret::shown(&body.secret);
        let change = app.accounts.setup(&secret, &body.name, &body.display, &body.password, now())?;
        app.note(noted(asking.entry(&body.name), change))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// What is needed to take an invitation.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    /// The secret of the link.
    #[schema(max_length = 128)]
    pub secret: String,
    /// The password.
    #[schema(min_length = 12, max_length = 128)]
    pub password: String,
}

/// Take an invitation: choose a password
#[utoipa::path(post, path = "/invitation", tag = "session", security(()), request_body = Accept, responses((status = 204, description = "The password holds."), (status = "default", body = Problem)))]
async fn accept(
    State(app): State<Arc<App>>,
    asking: Asking,
    Body(body): Body<Accept>,
) -> Result<StatusCode, Problem> {
    app.beside(move |app| {
        let change = app.accounts.accept(&Secret::shown(&body.secret), &body.password, now())?;
        app.note(noted(asking.entry(&change.to.clone()), change))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A name and a password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// The name.
    #[schema(max_length = 64)]
    pub name: String,
    /// The password.
    #[schema(max_length = 128)]
    pub password: String,
}

/// How signing in goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Signing {
    /// `second-factor`, or `done`: then the session is open, if only for enrolling a second factor.
    pub next: String,
    /// To be shown with the second factor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<String>,
    /// Second factors that serve: `totp`, `passkey`, `recovery`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub factors: Vec<String>,
    /// Who has signed in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<SignedIn>,
}

/// What was wrong of somebody who is signed in, and stays so.
fn wrong_here(error: AccountError, at: &str) -> Problem {
    match error {
        AccountError::Wrong => Problem::body(error.to_string()).at(at),
        other => other.into(),
    }
}

/// Writes down that somebody could not sign in.
fn note_failure(app: &App, asking: &Asking, who: &str, error: &AccountError) -> Result<(), Problem> {
    let entry = AuditEntry {
        what: "sign-in".into(),
        outcome: "failed".into(),
        why: Some(match error {
            AccountError::Throttled(_) => "too many failures".into(),
            _ => "name, password or second factor is wrong".into(),
        }),
        ..asking.entry(who)
    };
    match error {
        AccountError::Wrong | AccountError::Throttled(_) => app.note(entry),
        _ => Ok(()),
    }
}

/// Sign in: name and password
#[utoipa::path(post, path = "/session", tag = "session", security(()), request_body = SignIn, responses((status = 200, body = Signing), (status = "default", body = Problem)))]
async fn begin(
    State(app): State<Arc<App>>,
    asking: Asking,
    Body(body): Body<SignIn>,
) -> Result<Response, Problem> {
    app.beside(move |app| match app.accounts.begin(&body.name, &body.password, &asking.from(), now()) {
        Ok(Begun::Pending { secret, totp, passkey, recovery }) => {
            let all = [(totp, "totp"), (passkey, "passkey"), (recovery, "recovery")];
            let factors = all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.to_owned()).collect();
            let pending = Some(secret.reveal().to_owned());
            Ok(Json(Signing { next: "second-factor".into(), pending, factors, user: None }).into_response())
        }
        Ok(Begun::Enrol(session)) => {
            let entry = AuditEntry {
                what: "sign-in".into(),
                outcome: "done".into(),
                why: Some("to enrol a second factor".into()),
                ..asking.entry(&session.session.user)
            };
            app.note(entry)?;
            opened(app, *session, &asking)
        }
        Err(error) => {
            note_failure(app, &asking, &body.name, &error)?;
            Err(error.into())
        }
    })
    .await
}

/// What is shown with the second factor.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    /// As signing in has given it.
    #[schema(max_length = 128)]
    pub pending: String,
}

/// What a browser needs to show a passkey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Challenge {
    /// To be shown with the answer.
    pub ceremony: String,
    /// The options for `navigator.credentials` (WebAuthn Level 3, `parseRequestOptionsFromJSON` and its like).
    #[schema(value_type = Object)]
    pub options: Value,
}

fn options(options: &impl Serialize, ceremony: &Secret) -> Result<Json<Challenge>, Problem> {
    let options = serde_json::to_value(options).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Json(Challenge { ceremony: ceremony.reveal().into(), options }))
}

/// Sign in: what the browser needs to show a passkey
#[utoipa::path(post, path = "/session/passkey", tag = "session", security(()), request_body = Pending, responses((status = 200, body = Challenge), (status = "default", body = Problem)))]
async fn challenge(
    State(app): State<Arc<App>>,
    _asking: Asking,
    Body(body): Body<Pending>,
) -> Result<Json<Challenge>, Problem> {
    let (asked, ceremony) = app.accounts.challenge_for(&Secret::shown(&body.pending), now())?;
    options(&asked, &ceremony)
}

/// A second factor.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(tag = "factor", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Factor {
    /// A one-time password.
    Totp {
        /// Six digits.
        #[schema(max_length = 16)]
        code: String,
    },
    /// A recovery code.
    Recovery {
        /// The code.
        #[schema(max_length = 64)]
        code: String,
    },
    /// A passkey.
    Passkey {
        /// The challenge that it answers.
        #[schema(max_length = 128)]
        ceremony: String,
        /// What `navigator.credentials.get` gave, as JSON.
        #[schema(value_type = Object)]
        credential: Value,
    },
}

/// A passkey's answer, if it is one.
fn shown<T: serde::de::DeserializeOwned>(credential: Value) -> Result<T, Problem> {
    serde_json::from_value(credential).map_err(|error| Problem::body(error.to_string()).at("/credential"))
}

/// The second factor after the password.
#[derive(Clone, Deserialize, ToSchema)]
pub(crate) struct Finish {
    /// As signing in has given it.
    #[schema(max_length = 128)]
    pub pending: String,
    /// The second factor.
    #[serde(flatten)]
    pub factor: Factor,
}

/// Sign in: the second factor
#[utoipa::path(post, path = "/session/factor", tag = "session", security(()), request_body = Finish, responses((status = 200, body = Signing), (status = "default", body = Problem)))]
async fn finish(
    State(app): State<Arc<App>>,
    asking: Asking,
    Body(body): Body<Finish>,
) -> Result<Response, Problem> {
    app.beside(move |app| {
        let (pending, from) = (Secret::shown(&body.pending), asking.from());
        let result = match body.factor {
            Factor::Totp { code } => app.accounts.finish_totp(&pending, &code, &from, now()),
            Factor::Recovery { code } => app.accounts.finish_recovery(&pending, &code, &from, now()),
            Factor::Passkey { ceremony, credential } => {
                let shown = shown(credential)?;
                app.accounts.finish_challenge(&pending, &Secret::shown(&ceremony), &shown, &from, now())
            }
        };
        match result {
            Ok(session) => {
                app.note(AuditEntry {
                    what: "sign-in".into(),
                    outcome: "done".into(),
                    ..asking.entry(&session.session.user)
                })?;
                opened(app, session, &asking)
            }
            Err(error) => {
                note_failure(app, &asking, "", &error)?;
                Err(error.into())
            }
        }
    })
    .await
}

/// Sign out
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 204, description = "The session has ended."), (status = "default", body = Problem)))]
async fn sign_out(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    let session = caller.session()?;
    let change = app.accounts.end_session(&session.user, &session.id)?;
    app.note(noted(caller.entry(), change))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie(&app, "")?);
    // Whatever the browser has kept of this site (Clear Site Data).
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

/// What the browser needs to show a passkey anew
#[utoipa::path(post, path = "/session/step-up/passkey", tag = "session", responses((status = 200, body = Challenge), (status = "default", body = Problem)))]
async fn step_up_challenge(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Challenge>, Problem> {
    let (asked, ceremony) = app.accounts.challenge_in(caller.session()?, now())?;
    options(&asked, &ceremony)
}

/// Show a second factor anew
///
/// The session goes on under another cookie. Recovery codes do not serve here.
#[utoipa::path(post, path = "/session/step-up", tag = "session", request_body = Factor, responses((status = 200, body = Signing), (status = "default", body = Problem)))]
async fn step_up(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(factor): Body<Factor>,
) -> Result<Response, Problem> {
    app.beside(move |app| {
        let session = caller.session()?;
        let result = match factor {
            Factor::Totp { code } => app.accounts.step_up_totp(session, &code, &caller.from(), now()),
            Factor::Passkey { ceremony, credential } => {
                let shown = shown(credential)?;
                app.accounts.step_up_passkey(
                    session,
                    &Secret::shown(&ceremony),
                    &shown,
                    &caller.from(),
                    now(),
                )
            }
            Factor::Recovery { .. } => {
                return Err(Problem::body(
                    "a recovery code does not serve here: use a one-time password or a passkey",
                ));
            }
        };
        let asking = Asking { from: caller.address, agent: caller.agent.clone() };
        match result {
            Ok(session) => opened(app, session, &asking),
            Err(error) => {
                note_failure(app, &asking, &caller.user.name, &error)?;
                Err(wrong_here(error, "/code"))
            }
        }
    })
    .await
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionRow {
    /// Names it.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it was opened.
    #[schema(format = DateTime)]
    pub created: String,
    /// When it was last used.
    #[schema(format = DateTime)]
    pub seen: String,
    /// From where it was opened.
    pub address: String,
    /// What the browser called itself.
    pub agent: String,
}

/// Your sessions
#[utoipa::path(get, path = "/sessions", tag = "session", responses((status = 200, body = Vec<SessionRow>), (status = "default", body = Problem)))]
async fn sessions(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<SessionRow>>, Problem> {
    let current = &caller.session()?.id;
    let all = app.accounts.sessions(&caller.user.name, now())?;
    let row = |session: account::Session| SessionRow {
        current: session.id == *current,
        id: session.id,
        created: session.created.to_string(),
        seen: session.seen.to_string(),
        address: session.address,
        agent: session.agent,
    };
    Ok(Json(all.into_iter().map(row).collect()))
}

/// End one of your sessions
#[utoipa::path(delete, path = "/sessions/{id}", tag = "session", params(("id" = String, Path, description = "The session.")), responses((status = 204, description = "It has ended."), (status = "default", body = Problem)))]
async fn end(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    caller.session()?;
    let change = app.accounts.end_session(&caller.user.name, &id)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all your other sessions
#[utoipa::path(delete, path = "/sessions", tag = "session", responses((status = 204, description = "They have ended."), (status = "default", body = Problem)))]
async fn end_others(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, Problem> {
    let change = app.accounts.end_other_sessions(&caller.user.name, &caller.session()?.id)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A change of password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The password until now.
    #[schema(max_length = 128)]
    pub old: String,
    /// The new one.
    #[schema(min_length = 12, max_length = 128)]
    pub new: String,
}

/// Change your password; all your sessions end
#[utoipa::path(put, path = "/me/password", tag = "session", request_body = NewPassword, responses((status = 204, description = "Sign in with the new one."), (status = "default", body = Problem)))]
async fn change_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewPassword>,
) -> Result<StatusCode, Problem> {
    caller.session()?;
    app.beside(move |app| {
        let change = app
            .accounts
            .change_password(&caller.user.name, &body.old, &body.new, &caller.from(), now())
            .map_err(|error| wrong_here(error, "/old"))?;
        app.note(noted(caller.entry(), change))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Refuses a change of second factors without one that was shown just now; the first may be enrolled without.
fn may_change_factors(caller: &Caller) -> Result<(), Problem> {
    let session = caller.session()?;
    let fresh = session.factor.is_some_and(|shown| caller.at.since(shown).as_secs() <= 300);
    if fresh || session.may_only_enrol() && !caller.user.has_second_factor() {
        return Ok(());
    }
    Err(Problem::step_up("changing second factors needs one that was shown in the last five minutes"))
}

/// What is needed to enrol one-time passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TotpOffer {
    /// To be shown with the first code.
    pub ceremony: String,
    /// The address for the authenticator application (`otpauth://`), for a QR code.
    pub uri: String,
}

/// Begin to enrol one-time passwords
#[utoipa::path(post, path = "/me/totp", tag = "session", responses((status = 200, body = TotpOffer), (status = "default", body = Problem)))]
async fn begin_totp(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<TotpOffer>, Problem> {
    may_change_factors(&caller)?;
    let (uri, ceremony) = app.accounts.begin_totp(&caller.user.name, now())?;
    Ok(Json(TotpOffer { ceremony: ceremony.reveal().into(), uri: uri.to_string() }))
}

/// The first code.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    /// As it was offered.
    #[schema(max_length = 128)]
    pub ceremony: String,
    /// The code that the application shows.
    #[schema(max_length = 16)]
    pub code: String,
}

/// Goes on after a factor was enrolled: a session that could only enrol may now do everything.
fn go_on(app: &App, caller: &Caller, change: Change) -> Result<Response, Problem> {
    app.note(noted(caller.entry(), change))?;
    let session = caller.session()?;
    if session.may_only_enrol() {
        let asking = Asking { from: caller.address, agent: caller.agent.clone() };
        return opened(app, app.accounts.enrolled(session, now())?, &asking);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Enrol one-time passwords with the first code
#[utoipa::path(put, path = "/me/totp", tag = "session", request_body = Confirm, responses((status = 200, body = Signing, description = "It was the first factor: the session may now do everything."), (status = 204, description = "They serve from now on."), (status = "default", body = Problem)))]
async fn confirm_totp(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<Confirm>,
) -> Result<Response, Problem> {
    may_change_factors(&caller)?;
    let change = app
        .accounts
        .confirm_totp(&caller.user.name, &Secret::shown(&body.ceremony), &body.code, now())
        .map_err(|error| {
            // Signed in he is; it is the code that is wrong.
            if error == AccountError::Wrong {
                Problem::body("this is not the code of the present half minute: see that the clocks agree")
                    .at("/code")
            } else {
                error.into()
            }
        })?;
    go_on(&app, &caller, change)
}

/// Remove one-time passwords
#[utoipa::path(delete, path = "/me/totp", tag = "session", responses((status = 204, description = "They do not serve any more."), (status = "default", body = Problem)))]
async fn remove_totp(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, Problem> {
    may_change_factors(&caller)?;
    let change = app.accounts.remove_totp(&caller.user.name)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PasskeyView {
    /// Names it.
    pub id: String,
    /// What its owner calls it.
    pub label: String,
    /// When it was registered.
    #[schema(format = DateTime)]
    pub created: String,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(format = DateTime)]
    pub used: Option<String>,
}

/// Your passkeys
#[utoipa::path(get, path = "/me/passkeys", tag = "session", responses((status = 200, body = Vec<PasskeyView>), (status = "default", body = Problem)))]
async fn passkeys(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<PasskeyView>>, Problem> {
    caller.session()?;
    let all = app.accounts.passkeys(&caller.user.name)?.into_iter().map(|kept| PasskeyView {
        id: kept.id,
        label: kept.label,
        created: kept.created.to_string(),
        used: kept.used.map(|used| used.to_string()),
    });
    Ok(Json(all.collect()))
}

/// Begin to register a passkey
#[utoipa::path(post, path = "/me/passkeys/ceremony", tag = "session", responses((status = 200, body = Challenge), (status = "default", body = Problem)))]
async fn begin_passkey(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Challenge>, Problem> {
    may_change_factors(&caller)?;
    let (asked, ceremony) = app.accounts.begin_passkey(&caller.user.name, now())?;
    options(&asked, &ceremony)
}

/// A passkey that was made.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskey {
    /// The challenge that it answers.
    #[schema(max_length = 128)]
    pub ceremony: String,
    /// What its owner calls it.
    #[schema(max_length = 64)]
    pub label: String,
    /// What `navigator.credentials.create` gave, as JSON.
    #[schema(value_type = Object)]
    pub credential: Value,
}

/// Register a passkey
#[utoipa::path(put, path = "/me/passkeys/ceremony", tag = "session", request_body = NewPasskey, responses((status = 200, body = Signing, description = "It was the first factor: the session may now do everything."), (status = 204, description = "It serves from now on."), (status = "default", body = Problem)))]
async fn finish_passkey(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewPasskey>,
) -> Result<Response, Problem> {
    may_change_factors(&caller)?;
    let shown = shown(body.credential)?;
    let change = app.accounts.finish_passkey(
        &caller.user.name,
        &Secret::shown(&body.ceremony),
        &shown,
        &body.label,
        now(),
    )?;
    go_on(&app, &caller, change)
}

/// Remove one of your passkeys
#[utoipa::path(delete, path = "/me/passkeys/{id}", tag = "session", params(("id" = String, Path, description = "The passkey.")), responses((status = 204, description = "It does not serve any more."), (status = "default", body = Problem)))]
async fn remove_passkey(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    may_change_factors(&caller)?;
    let change = app.accounts.remove_passkey(&caller.user.name, &id)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Codes {
    /// Each serves once. They are shown this once.
    pub codes: Vec<String>,
}

/// Make new recovery codes; those before do not serve any more
#[utoipa::path(post, path = "/me/recovery-codes", tag = "session", responses((status = 200, body = Codes), (status = "default", body = Problem)))]
async fn recovery_codes(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Codes>, Problem> {
    if caller.session()?.may_only_enrol() {
        return Err(Problem::step_up("enrol a second factor first"));
    }
    may_change_factors(&caller)?;
    let (codes, change) = app.accounts.recovery_codes(&caller.user.name)?;
    app.note(noted(caller.entry(), change))?;
    Ok(Json(Codes { codes: codes.iter().map(|code| code.reveal().to_owned()).collect() }))
}
