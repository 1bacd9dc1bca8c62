//! The label of the pod: whole daemons against a simulated API server, over TLS.

#![cfg(feature = "simulation")]

mod api_server;
mod label;
