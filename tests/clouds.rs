//! Real daemons and verbs against clouds: the simulated one, moto, recorded answers, and a Kubernetes API server.

mod aws_verbs;
mod cloud;
mod kubernetes;
mod moto;
mod steering;
mod support;
