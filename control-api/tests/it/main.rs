//! The API as its clients meet it: requests in, responses out, over a real dialer and a real store.

mod agents;
mod audit;
mod bad_input;
mod best_time;
mod callbacks;
mod caller_ids;
mod compliance;
mod conduct;
mod diagnostics;
mod dial_requests;
mod errors;
mod events;
mod house;
mod imports;
mod inbound_routes;
mod masking;
mod pacing;
mod persons;
mod prompts;
mod rate;
mod reports;
mod resources;
mod schema;
mod spec;
mod webhooks;
mod ws;
