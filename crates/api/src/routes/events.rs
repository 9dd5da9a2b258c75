//! What happens now, as server-sent events (HTML Living Standard, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::findings;
use crate::app::{App, now};
use crate::caller::{Caller, Where};
use crate::estate::Notice;
use crate::problem::Problem;
use crate::view::{Level, Trust};

/// So many listen at a time.
pub(crate) const LISTENERS_MAX: usize = 2_048;
/// A line is sent at least so often, so that a connection that is broken shows.
const ALIVE: Duration = Duration::from_secs(20);
/// Whoever listens is asked who he is so often: a session that has ended hears no more.
const STILL: Duration = Duration::from_secs(15);

static LISTENERS: AtomicUsize = AtomicUsize::new(0);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(listen))
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum EventView {
    /// A device is new or has changed.
    Device {
        /// Which.
        id: String,
        /// Whether it is new.
        new: bool,
        /// How far it is trusted.
        trust: Trust,
    },
    /// A device turned out to be another one.
    DeviceGone {
        /// Which.
        id: String,
    },
    /// A finding is new or has changed.
    Finding {
        /// Which.
        id: String,
        /// Whether it is new.
        new: bool,
        /// How bad it is.
        severity: Level,
        /// Whether somebody has said that it is expected or false.
        silenced: bool,
    },
    /// An incident is new or has changed.
    Incident {
        /// Which.
        id: String,
        /// Whether it is new.
        new: bool,
        /// How bad it is.
        severity: Level,
    },
    /// An incident turned out to be part of another one.
    IncidentGone {
        /// Which.
        id: String,
    },
    /// Packets were read.
    Progress {
        /// How many in all.
        packets: u64,
        /// When the latest was sent.
        #[schema(format = DateTime)]
        at: String,
    },
    /// You were too slow, and missed some: load anew what you show.
    Missed {
        /// How many.
        count: u64,
    },
}

fn view(notice: Notice) -> EventView {
    match notice {
        Notice::Device { id, is_new, access } => {
            EventView::Device { id: id.to_string(), new: is_new, trust: access.into() }
        }
        Notice::DeviceGone(id) => EventView::DeviceGone { id: id.to_string() },
        Notice::Finding { id, is_new, severity, is_silenced } => EventView::Finding {
            id: id.to_string(),
            new: is_new,
            severity: severity.into(),
            silenced: is_silenced,
        },
        Notice::Incident { id, is_new, severity } => {
            EventView::Incident { id: id.to_string(), new: is_new, severity: severity.into() }
        }
        Notice::IncidentGone(id) => EventView::IncidentGone { id: id.to_string() },
        Notice::Progress { packets, at } => EventView::Progress { packets, at: at.to_string() },
    }
}

/// Counts a listener for as long as he listens.
struct Listening;

impl Listening {
    fn begin() -> Result<Self, Problem> {
        let before = LISTENERS.fetch_add(1, Ordering::Relaxed);
        // Counted out again when it is dropped.
        let listening = Self;
        if before >= LISTENERS_MAX {
            return Err(Problem::unavailable(format!("{LISTENERS_MAX} listen already: close one")));
        }
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody who listens.
struct Listener {
    app: Arc<App>,
    caller: Caller,
    devices: Where,
    findings: Where,
    notices: Receiver<(u64, Notice)>,
    asked: tokio::time::Instant,
    _listening: Listening,
}

impl Listener {
    /// Whether he may hear of it.
    fn hears(&self, notice: &Notice) -> bool {
        let estate = self.app.mirror.estate();
        match notice {
            Notice::Device { id, .. } => {
                self.devices.all
                    || estate.device(*id).is_some_and(|device| self.devices.holds(self.app.zone_of(device)))
            }
            Notice::Finding { id, .. } => {
                self.findings.all
                    || estate
                        .finding(*id)
                        .is_some_and(|finding| findings::sees(&self.app, &estate, &self.findings, finding))
            }
            Notice::Incident { id, .. } => {
                self.findings.all
                    || estate.incident(*id).is_some_and(|incident| {
                        let mut all = incident.findings.iter().filter_map(|id| estate.finding(*id));
                        all.any(|finding| findings::sees(&self.app, &estate, &self.findings, finding))
                    })
            }
            Notice::DeviceGone(_) | Notice::IncidentGone(_) | Notice::Progress { .. } => true,
        }
    }

    /// Whether he still is who he was.
    fn is_still_there(&self) -> bool {
        self.caller.still_holds(&self.app, now())
    }

    /// The next event for him; none when he is not to hear any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let told = match tokio::time::timeout_at(self.asked + STILL, self.notices.recv()).await {
                Err(_) => None,
                Ok(Ok((number, notice))) => self.hears(&notice).then(|| (number, view(notice))),
                Ok(Err(RecvError::Lagged(count))) => {
                    Some((self.app.mirror.estate().number, EventView::Missed { count }))
                }
                Ok(Err(RecvError::Closed)) => return None,
            };
            if self.asked.elapsed() >= STILL {
                self.asked = tokio::time::Instant::now();
                if !self.is_still_there() {
                    return None;
                }
            }
            if let Some((number, event)) = told {
                let event = Event::default().id(number.to_string()).json_data(&event);
                return event.ok();
            }
        }
    }
}

/// Listen to what happens
///
/// Server-sent events, each with JSON data. Events say what has changed, not how: ask for that. `Missed` says that some were not
/// sent because you were too slow.
#[utoipa::path(get, path = "/events", tag = "place", responses((status = 200, description = "Events for as long as you listen.", body = EventView, content_type = "text/event-stream"), (status = "default", body = Problem)))]
async fn listen(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let listening = Listening::begin()?;
    let listener = Listener {
        devices: caller.where_may(&app, "view-device")?,
        findings: caller.where_may(&app, "view-incident")?,
        notices: app.notices.subscribe(),
        asked: tokio::time::Instant::now(),
        caller,
        app,
        _listening: listening,
    };
    let stream = futures_util::stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}
