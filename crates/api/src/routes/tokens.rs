//! Tokens of programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use trust::access::ACTIONS;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::session::noted;
use super::{Body, Named};
use crate::app::{App, now};
use crate::caller::{Caller, READ};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, make)).routes(routes!(revoke))
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenView {
    /// Names it.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created: String,
    /// Until when it holds.
    #[schema(format = DateTime)]
    pub expires: String,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(format = DateTime)]
    pub used: Option<String>,
}

impl From<account::Token> for TokenView {
    fn from(token: account::Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            created: token.created.to_string(),
            expires: token.expires.to_string(),
            used: token.used.map(|used| used.to_string()),
        }
    }
}

/// Your tokens
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = Vec<TokenView>), (status = "default", body = Problem)))]
async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<TokenView>>, Problem> {
    caller.session()?;
    Ok(Json(app.accounts.tokens(Some(&caller.user.name))?.into_iter().map(Into::into).collect()))
}

/// A token that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What it is for.
    #[schema(max_length = 128)]
    pub name: String,
    /// What it may be used for: `read`, or actions of `pavise access matrix` such as `judge-finding`.
    #[schema(min_items = 1, max_items = 64)]
    pub scopes: Vec<String>,
    /// For how many days it holds.
    #[schema(minimum = 1, maximum = 366)]
    pub days: u16,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MadeToken {
    /// As in the list.
    #[serde(flatten)]
    pub token: TokenView,
    /// To be sent as `Authorization: Bearer ...`. It is shown this once.
    pub secret: String,
}

/// Make a token
///
/// It may never do more than you may at the moment of its use. Making one needs a second factor of the last five minutes.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken, responses((status = 201, body = MadeToken), (status = "default", body = Problem)))]
async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewToken>,
) -> Result<Response, Problem> {
    let session = caller.session()?;
    if session.factor.is_none_or(|shown| caller.at.since(shown).as_secs() > 300) {
        return Err(Problem::step_up("making a token needs a second factor of the last five minutes"));
    }
    let known = |scope: &String| scope == READ || ACTIONS.iter().any(|(action, _)| action == scope);
    if let Some(place) = body.scopes.iter().position(|scope| !known(scope)) {
        return Err(Problem::body("there is no such scope: `read`, or an action of `pavise access matrix`")
            .at(format!("/scopes/{place}")));
    }
    let expires = caller.at + std::time::Duration::from_secs(86_400 * u64::from(body.days));
    let (token, secret, change) = app.accounts.make_token(
        &caller.user.name,
        &body.name,
        &body.scopes,
        expires,
        now().min(caller.at),
    )?;
    app.note(noted(caller.entry(), change))?;
    Ok((StatusCode::CREATED, Json(MadeToken { token: token.into(), secret: secret.reveal().into() }))
        .into_response())
}

/// Revoke one of your tokens
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token.")), responses((status = 204, description = "It does not hold any more."), (status = "default", body = Problem)))]
async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    caller.session()?;
    let change = app.accounts.revoke_token(&caller.user.name, &id)?;
    app.note(noted(caller.entry(), change))?;
    Ok(StatusCode::NO_CONTENT)
}
