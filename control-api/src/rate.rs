//! How many requests a token may make: a bucket for each token, and a smaller one for originating calls.
//!
//! Told in the headers of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "requests";q=10000;w=10` and
//! `RateLimit: "requests";r=9999;t=1`.

use crate::auth::{ACTOR, Caller};
use crate::gateway::Gateway;
use crate::problem::{Code, Problem};
use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dashmap::DashMap;
use sansio::Duration;
use std::sync::Arc;
use tokio::time::Instant;

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What each token may do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateLimits {
    /// Requests a second, on average over the window.
    pub requests_per_s: u32,
    /// Calls originated a second, on average over the window.
    pub originates_per_s: u32,
    /// The window, seconds: so many seconds' worth may come at once.
    pub window_s: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        RateLimits { requests_per_s: 1_000, originates_per_s: 100, window_s: 10 }
    }
}

/// Sorts of requests that are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Sort {
    Requests,
    Originates,
}

impl Sort {
    const fn name(self) -> &'static str {
        match self {
            Sort::Requests => "requests",
            Sort::Originates => "originates",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// The buckets. One for each token that asked; tokens are few, and those that are full again are dropped.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    buckets: DashMap<(String, Sort), Bucket>,
}

/// Buckets kept before those that are full are dropped.
const BUCKETS_MAX: usize = 4_096;

/// How a bucket stands after a request.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Standing {
    sort: Sort,
    /// What the window holds.
    quota: u64,
    window_s: u32,
    left: u64,
    /// Until the next one fits, or until the bucket is full.
    wait: Duration,
    granted: bool,
}

impl Buckets {
    fn take(&self, key: &str, sort: Sort, limits: RateLimits, now: Instant) -> Standing {
        let per_s = match sort {
            Sort::Requests => limits.requests_per_s,
            Sort::Originates => limits.originates_per_s,
        };
        let quota = f64::from(per_s) * f64::from(limits.window_s);
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.retain(|_, bucket| refilled(bucket, per_s, quota, now) < quota);
        }
        let mut bucket =
            self.buckets.entry((key.to_owned(), sort)).or_insert(Bucket { left: quota, at: now });
        let left = refilled(&bucket, per_s, quota, now);
        let granted = left >= 1.0;
        let left = if granted { left - 1.0 } else { left };
        *bucket = Bucket { left, at: now };
        let missing = if left >= 1.0 { quota - left } else { 1.0 - left };
        let wait = Duration::from_secs_f64(missing / f64::from(per_s.max(1)));
        Standing { sort, quota: quota as u64, window_s: limits.window_s, left: left as u64, wait, granted }
    }
}

fn refilled(bucket: &Bucket, per_s: u32, quota: f64, now: Instant) -> f64 {
    let since = now.saturating_duration_since(bucket.at).as_secs_f64();
    (bucket.left + since * f64::from(per_s)).min(quota)
}

/// The layer. Requests without a valid token go on: they are refused where the token is asked for.
pub(crate) async fn limited(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(caller) = Caller::identify(&parts, &gateway).await else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let originates = parts.method == Method::POST && parts.uri.path() == "/v1/calls";
    let sorts: &[Sort] = if originates { &[Sort::Requests, Sort::Originates] } else { &[Sort::Requests] };
    let (key, now) = (caller.key_space(), Instant::now());
    let mut standings = Vec::with_capacity(sorts.len());
    for sort in sorts {
        let standing = gateway.buckets.take(&key, *sort, gateway.config.rate_limits, now);
        standings.push(standing);
        if !standing.granted {
            let detail = format!("this token makes too many {}", sort.name());
            let mut response = Problem::new(Code::LimitReached, detail)
                .with_header(RETRY_AFTER, HeaderValue::from(standing.wait.as_secs_f64().ceil() as u64))
                .into_response();
            tell(&standings, response.headers_mut());
            return response;
        }
    }
    let actor = caller.actor();
    parts.extensions.insert(caller);
    let mut response = ACTOR.scope(actor, next.run(Request::from_parts(parts, body))).await;
    tell(&standings, response.headers_mut());
    response
}

fn tell(standings: &[Standing], headers: &mut HeaderMap) {
    let all = |one: &dyn Fn(&Standing) -> String| standings.iter().map(one).collect::<Vec<_>>().join(", ");
    let policy = all(&|one| format!("\"{}\";q={};w={}", one.sort.name(), one.quota, one.window_s));
    let limit = all(&|one| {
        let seconds = one.wait.as_secs_f64().ceil() as u64;
        format!("\"{}\";r={};t={seconds}", one.sort.name(), one.left)
    });
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits { requests_per_s: 2, originates_per_s: 1, window_s: 2 };

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let buckets = Buckets::default();
        let start = Instant::now();
        let take = |ms: u64| buckets.take("a", Sort::Requests, LIMITS, start + Duration::from_millis(ms));
        assert_eq!((0..5).map(|_| take(0).granted).collect::<Vec<_>>(), [true, true, true, true, false]);
        assert_eq!(take(0).wait, Duration::from_millis(500));
        assert!(!take(499).granted);
        assert!(take(500).granted);
        assert!(!take(500).granted);
        // Never more than the window holds.
        assert_eq!((0..6).filter(|_| take(60_000).granted).count(), 4);
        // Others and other sorts have their own.
        assert!(buckets.take("b", Sort::Requests, LIMITS, start).granted);
        assert!(buckets.take("a", Sort::Originates, LIMITS, start).granted);
    }

    #[test]
    fn the_headers_of_the_draft() {
        let buckets = Buckets::default();
        let standing = buckets.take("a", Sort::Requests, LIMITS, Instant::now());
        let mut headers = HeaderMap::new();
        tell(&[standing], &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"requests\";q=4;w=2");
        assert_eq!(headers["ratelimit"], "\"requests\";r=3;t=1");
    }
}
