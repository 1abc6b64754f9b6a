//! Health, instruments and metrics.

use std::sync::Arc;

use salvo::handler;
use salvo::http::{HeaderValue, StatusCode, header};
use salvo::prelude::{Request, Response, Router};
use salvo::{Depot, FlowCtrl, Service};
use tickwire_proto::wire::{Encoding, encode_info};
use tickwire_proto::{Pattern, v1};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::page::Page;
use crate::accept::{Refusal, authorize, bearer_of};
use crate::auth::Gate;
use crate::ingest::{Progress, Readiness};
use crate::shard::{InstrumentPage, Shards};
use crate::telemetry::Metrics;
use v1::ErrorCode;

/// What the HTTP side answers from. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) gate: Gate,
    pub(crate) shards: Shards,
    pub(crate) readiness: watch::Receiver<Readiness>,
    pub(crate) leaving: CancellationToken,
    /// `None`: not served.
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// Whether the demo page is served.
    pub(crate) page: bool,
}

impl Api {
    /// The routes.
    pub(super) fn service(self) -> Service {
        let mut router = Router::new()
            .push(Router::with_path("livez").get(Livez))
            .push(Router::with_path("readyz").get(Readyz(self.clone())))
            .push(Router::with_path("v1/instruments").get(Instruments(self.clone())));
        if self.metrics.is_some() {
            router = router.push(Router::with_path("metrics").get(Scrape(self.clone())));
        }
        if self.page {
            router = router.push(Router::new().get(Page)).push(Router::with_path("{**path}").get(Page));
        }
        Service::new(router).catcher(salvo::catcher::Catcher::default().hoop(nothing_here))
    }
}

/// Answers requests that no route took.
#[handler]
async fn nothing_here(res: &mut Response, ctrl: &mut FlowCtrl) {
    let status = res.status_code.unwrap_or(StatusCode::NOT_FOUND);
    if res.body.is_none() || res.body.is_error() {
        let text = if status == StatusCode::NOT_FOUND { "there is nothing here" } else { status.canonical_reason().unwrap_or("refused") };
        answer(res, &Refusal::new(ErrorCode::Unsupported, text).with(status.as_u16(), ""));
    }
    ctrl.skip_rest();
}

struct Livez;

#[handler]
impl Livez {
    async fn handle(&self, res: &mut Response) {
        json(res, StatusCode::OK, &serde_json::json!({"alive": true}));
    }
}

/// 200 if this node serves the newest data and stays.
struct Readyz(Api);

#[handler]
impl Readyz {
    async fn handle(&self, res: &mut Response) {
        let readiness = self.0.readiness.borrow().clone();
        let reason = if self.0.leaving.is_cancelled() { Some("leaving".to_owned()) } else { readiness.reason() };
        let catching_up = match readiness {
            Readiness::CatchingUp(Progress { seq, tail, messages_per_s }) => Some(serde_json::json!({
                "seq": seq.map(|seq| seq.to_string()), "tail": tail.map(|tail| tail.to_string()), "messages_per_s": messages_per_s,
            })),
            _ => None,
        };
        let feed = |state: v1::FeedState| {
            serde_json::json!({
                "feed": state.feed, "health": state.health().as_str_name(), "reason": state.reason, "since_us": state.since_us.to_string(),
            })
        };
        let feeds: Vec<_> = self.0.shards.feeds().into_iter().map(feed).collect();
        let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut answer = serde_json::json!({"ready": reason.is_none(), "reason": reason, "feeds": feeds});
        if let Some(catching_up) = catching_up {
            answer["catching_up"] = catching_up;
        }
        json(res, status, &answer);
    }
}

/// The instruments that the caller may subscribe to, a page at a time. A page may be short, or empty, with more behind it: `next_after` says so.
struct Instruments(Api);

#[handler]
impl Instruments {
    async fn handle(&self, req: &mut Request, res: &mut Response) {
        match self.page(req).await {
            Ok(body) => {
                res.status_code(StatusCode::OK);
                body_of(res, "application/json", body);
            }
            Err(refusal) => answer(res, &refusal),
        }
    }
}

impl Instruments {
    async fn page(&self, req: &mut Request) -> Result<Vec<u8>, Refusal> {
        let token = match req.headers().get(header::AUTHORIZATION) {
            None => None,
            Some(value) => {
                let token = value.to_str().ok().and_then(bearer_of);
                Some(token.ok_or_else(|| Refusal::new(ErrorCode::AuthInvalid, "Authorization is not a bearer token"))?.to_owned())
            }
        };
        let grant = authorize(&self.0.gate, token.as_deref())?;
        let pattern = match req.query::<String>("pattern") {
            None => None,
            Some(text) => Some(Pattern::parse(&text).map_err(|error| Refusal::new(ErrorCode::BadSymbol, format!("pattern {error}")))?),
        };
        let number = |req: &mut Request, name: &str, otherwise: u32| match req.query::<String>(name) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| Refusal::new(ErrorCode::BadMessage, format!("{name} is not a number"))),
        };
        let limit = number(req, "limit", PAGE_DEFAULT)?.clamp(1, PAGE_MAX) as usize;
        let after = number(req, "after", 0)?;
        let (infos, next_after) = self.0.shards.instruments(InstrumentPage { allowed: grant.patterns, pattern, after, limit }).await;
        let mut body = b"{\"instruments\":[".to_vec();
        for (n, info) in infos.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            encode_info(Encoding::Json, info, &mut body);
        }
        let next = next_after.map_or_else(|| "null".to_owned(), |id| id.to_string());
        body.extend_from_slice(format!("],\"next_after\":{next}}}").as_bytes());
        Ok(body)
    }
}

struct Scrape(Api);

#[handler]
impl Scrape {
    async fn handle(&self, res: &mut Response, _depot: &mut Depot) {
        let Some(metrics) = &self.0.metrics else { return };
        let text = metrics.text(&self.0.shards.stats().await);
        res.status_code(StatusCode::OK);
        body_of(res, "application/openmetrics-text; version=1.0.0; charset=utf-8", text.into_bytes());
    }
}

fn json(res: &mut Response, status: StatusCode, value: &serde_json::Value) {
    res.status_code(status);
    body_of(res, "application/json", value.to_string().into_bytes());
}

fn answer(res: &mut Response, refusal: &Refusal) {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    res.status_code(status);
    body_of(res, "application/json", refusal.body().into_bytes());
}

fn body_of(res: &mut Response, content_type: &'static str, body: Vec<u8>) {
    let headers = res.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    res.body(body);
}

/// Instruments in a page, if the caller does not say.
const PAGE_DEFAULT: u32 = 500;
/// Instruments in a page. The rest comes with `after`.
const PAGE_MAX: u32 = 5_000;
