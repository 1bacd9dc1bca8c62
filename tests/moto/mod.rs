//! Real daemons, real signatures, and moto: an AWS that others wrote, as a process of its own.
//!
//! What it proves: that the requests are ones which another implementation reads, that their signatures are
//! good and bad ones are refused, that the actions in the policy which `mirrorvip iam-policy` prints are all
//! that a life of each target needs, and that what the daemon makes of the answers is so afterwards, asked by
//! boto3. What it cannot prove is how AWS behaves; that is the simulated cloud's part (`tests/cloud/`).
//!
//! # Where moto 5.2 is not AWS
//!
//! Identity and access:
//! - Every request is for the resource `*`: a statement with another one never allows anything, and one with
//!   a condition on a context key denies. So the policy's actions are enforced and no more.
//! - The rights of CloudWatch go by the name in the signature, `monitoring:`, not by `cloudwatch:`.
//! - It refuses a good signature on every GET of Route 53, boto3's too. So the records are tested with the
//!   checks off.
//! - Its refusals wrap the error in `<Errors>`, which is EC2's form alone. The SDK finds no code there, so
//!   that a refusal to read a target group or a record is a bare status 403, as a proxy could send it.
//!
//! Target groups and classic load balancers:
//! - Targets are healthy at once, their pages are never checked, and none ever drains: one that is deregistered is
//!   gone from the list.
//! - A target is its id alone: the same id with another port replaces it, and `DeregisterTargets` without a
//!   port removes it. One that is absent is an error to `DeregisterTargets`.
//! - A target in no subnet of the group's network needs no availability zone.
//! - A classic load balancer takes instances that do not exist, and leaves them out of their health. One
//!   that is registered twice is in the list twice.
//!
//! Route 53:
//! - Zone ids begin with any letter or digit; those of AWS with `Z`.
//! - A swap that is stale is accepted: DELETE needs a value that was there at some time. The ownership record is then
//!   there twice, and from that no member finds a way out.
//! - A swap back to a value that was there before is refused: CREATE needs one that was never there.
//! - Batches are not atomic, and changes are INSYNC at once.
//!
//! In general: no throttles, no delays, `DryRun` ignored, every answer closes its connection, and no token
//! header in its instance metadata, without which the SDK does not use it.

mod pools;
mod records;
mod refused;
mod stage;
