//! The demo page: files that live in the binary.

use rust_embed::RustEmbed;
use salvo::handler;
use salvo::http::{HeaderMap, HeaderValue, StatusCode, header};
use salvo::prelude::{Request, Response};

/// Serves the files of the page by their paths, and `index.html` at `/`.
pub(super) struct Page;

#[derive(RustEmbed)]
#[folder = "page/"]
struct Files;

#[handler]
impl Page {
    async fn handle(&self, req: &mut Request, res: &mut Response) {
        let path = req.uri().path().trim_start_matches('/');
        let path = if path.is_empty() { "index.html" } else { path };
        let is_hidden = path.split('/').any(|name| name.starts_with('.'));
        let Some(file) = Files::get(path).filter(|_| !is_hidden) else {
            res.status_code(StatusCode::NOT_FOUND);
            return;
        };
        let tag: String = file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("\"{tag}\"");
        let headers = res.headers_mut();
        set_safety(headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
        // The names carry no version, so the browser asks each time; an unchanged file costs it nothing more.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(value) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, value);
        }
        let known = req.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
            res.status_code(StatusCode::NOT_MODIFIED);
        } else {
            res.status_code(StatusCode::OK);
            res.body(file.data.into_owned());
        }
    }
}

/// The page runs its own scripts and talks to its own host; nothing else.
fn set_safety(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
