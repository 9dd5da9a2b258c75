//! Users, for those who manage them.

use std::sync::Arc;

use account::{Grant, User};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use trust::access::{GATEWAY, ROLES};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::session::noted;
use super::{Body, Named, tagged_as, version};
use crate::app::{App, now};
use crate::caller::{Caller, Of};
use crate::problem::Problem;

/// A name for people has at most so many characters.
const DISPLAY_MAX: usize = 128;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, invite))
        .routes(routes!(one, change, remove))
        .routes(routes!(invite_again))
}

/// A role, everywhere or in a part of the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantView {
    /// `viewer`, `analyst`, `operator`, `engineer`, `administrator` or `auditor`.
    #[schema(max_length = 64)]
    pub role: String,
    /// Only at this site.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(max_length = 128)]
    pub site: Option<String>,
    /// Only in this zone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(max_length = 128)]
    pub zone: Option<String>,
}

impl From<Grant> for GrantView {
    fn from(Grant { role, site, zone }: Grant) -> Self {
        Self { role, site, zone }
    }
}

/// Grants that there can be here.
fn grants(app: &App, views: &[GrantView]) -> Result<Vec<Grant>, Problem> {
    let read = |(place, view): (usize, &GrantView)| {
        let refused =
            |detail: String, field: &str| Err(Problem::body(detail).at(format!("/grants/{place}/{field}")));
        let GrantView { role, site, zone } = view.clone();
        if !ROLES.contains(&role.as_str()) || role == GATEWAY {
            let roles: Vec<_> = ROLES.into_iter().filter(|role| *role != GATEWAY).collect();
            return refused(
                format!("there is no role {role:?} for people: there are {}", roles.join(", ")),
                "role",
            );
        }
        if site.as_ref().is_some_and(|site| *site != app.settings.site) {
            return refused(
                format!("no site is called {site:?}: this one is {:?}", app.settings.site),
                "site",
            );
        }
        if zone.as_ref().is_some_and(|zone| !app.settings.zones.iter().any(|known| known.name == *zone)) {
            return refused(format!("no zone is called {zone:?}: see /api/v1/zones"), "zone");
        }
        Ok(Grant { role, site, zone })
    };
    views.iter().enumerate().map(read).collect()
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserView {
    /// By which he signs in.
    pub name: String,
    /// What people call him.
    pub display: String,
    /// What he may do where.
    pub grants: Vec<GrantView>,
    /// Whether he may not sign in.
    pub disabled: bool,
    /// Counts changes: the entity tag.
    pub version: u64,
    /// When he was invited.
    #[schema(format = DateTime)]
    pub created: String,
    /// Whether he has chosen a password.
    pub has_password: bool,
    /// Whether he has a second factor.
    pub has_second_factor: bool,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            has_second_factor: user.has_second_factor(),
            name: user.name,
            display: user.display,
            grants: user.grants.into_iter().map(Into::into).collect(),
            disabled: user.disabled,
            version: user.version,
            created: user.created.to_string(),
            has_password: user.has_password,
        }
    }
}

fn may(app: &App, caller: &Caller, whom: &str) -> Result<(), Problem> {
    caller.may(app, "manage-users", &Of { id: whom, zone: None, proposer: None })
}

/// List users
#[utoipa::path(get, path = "/users", tag = "users", responses((status = 200, body = Vec<UserView>), (status = "default", body = Problem)))]
async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<UserView>>, Problem> {
    may(&app, &caller, "all")?;
    Ok(Json(app.accounts.users()?.into_iter().map(Into::into).collect()))
}

/// Somebody who is to be invited.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// By which he is to sign in.
    #[schema(max_length = 64)]
    pub name: String,
    /// What people call him.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub display: String,
    /// What he is to do where.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub grants: Vec<GrantView>,
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Invitation {
    /// The user.
    pub name: String,
    /// The link at which he chooses a password. It holds for 24 hours, serves once, and is shown this once.
    pub link: String,
}

fn invitation(app: &App, name: &str, secret: &account::Secret) -> Invitation {
    // Behind `#`, so that it is in no log of a server.
    Invitation { name: name.into(), link: format!("{}/invitation#{}", app.settings.origin, secret.reveal()) }
}

/// Invite somebody
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUser, responses((status = 201, body = Invitation), (status = "default", body = Problem)))]
async fn invite(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewUser>,
) -> Result<Response, Problem> {
    may(&app, &caller, &body.name)?;
    let (secret, change) =
        app.accounts.invite(&body.name, &body.display, &grants(&app, &body.grants)?, now())?;
    let told = invitation(&app, &change.to, &secret);
    app.note(noted(caller.entry(), change))?;
    Ok((StatusCode::CREATED, Json(told)).into_response())
}

fn tag(user: &User) -> String {
    format!("\"{}\"", user.version)
}

/// One user
#[utoipa::path(get, path = "/users/{name}", tag = "users", params(("name" = String, Path, description = "The user.")), responses((status = 200, body = UserView, headers(("etag" = String))), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem)))]
async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    may(&app, &caller, &name)?;
    let user = app.accounts.user(&name)?;
    let tag = tag(&user);
    let body =
        serde_json::to_vec(&UserView::from(user)).map_err(|error| Problem::internal(error.to_string()))?;
    tagged_as(&headers, &tag, || Bytes::from(body))
}

/// What is changed of a user; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// What people call him.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub display: Option<String>,
    /// What he may do where.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub grants: Option<Vec<GrantView>>,
    /// Whether he may not sign in.
    #[serde(default)]
    pub disabled: Option<bool>,
}

/// Change a user
///
/// Needs `If-Match` with the entity tag of what was seen.
#[utoipa::path(patch, path = "/users/{name}", tag = "users", request_body = UserChange, params(("name" = String, Path, description = "The user."), ("if-match" = Option<String>, Header, description = "The entity tag.", example = "\"1\"")), responses((status = 200, body = UserView, headers(("etag" = String))), (status = "default", body = Problem)))]
async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(name): Named<String>,
    Body(body): Body<UserChange>,
) -> Result<Response, Problem> {
    may(&app, &caller, &name)?;
    let granted = body.grants.as_deref().map(|views| grants(&app, views)).transpose()?;
    if body.display.as_ref().is_some_and(|display| display.chars().count() > DISPLAY_MAX) {
        return Err(
            Problem::body(format!("a name for people has at most {DISPLAY_MAX} characters")).at("/display")
        );
    }
    let version = version(&headers)?;
    let (user, change) = app.accounts.change_user(
        &name,
        version,
        body.display.as_deref(),
        granted.as_deref(),
        body.disabled,
    )?;
    app.note(noted(caller.entry(), change))?;
    let tag = HeaderValue::from_str(&tag(&user)).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(header::ETAG, tag)], Json(UserView::from(user))).into_response())
}

/// Remove a user with everything that is his
#[utoipa::path(delete, path = "/users/{name}", tag = "users", params(("name" = String, Path, description = "The user.")), responses((status = 204, description = "He is gone."), (status = "default", body = Problem)))]
async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    may(&app, &caller, &name)?;
    let change = app.accounts.remove_user(&name)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}

/// How somebody is invited again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    /// Whether his second factors and sessions end, too: for whoever has lost them.
    #[serde(default)]
    pub reset_factors: bool,
}

/// A new link for somebody who has lost his password or his second factors
#[utoipa::path(post, path = "/users/{name}/invitation", tag = "users", request_body = Again, params(("name" = String, Path, description = "The user.")), responses((status = 201, body = Invitation), (status = "default", body = Problem)))]
async fn invite_again(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(name): Named<String>,
    Body(body): Body<Again>,
) -> Result<Response, Problem> {
    may(&app, &caller, &name)?;
    let (secret, change) = app.accounts.invite_again(&name, body.reset_factors, now())?;
    app.note(noted(caller.entry(), change))?;
    Ok((StatusCode::CREATED, Json(invitation(&app, &name, &secret))).into_response())
}
