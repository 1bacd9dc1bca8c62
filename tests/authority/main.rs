//! Three members with the shipped arbiter and the shipped role machine in each, and everything that can go wrong between
//! them: which member takes traffic from which?
//!
//! The [world] knows which promotion is the latest; the members do not. Its moves are those of a mirror, of its machines,
//! of networks, and of an attacker; each is bounded by a budget, so that the checker ends. What must hold:
//!
//! - **S1** no member takes the object from one that was promoted later and has not stepped down, though it could read the
//!   ownership record or reach that member, whose daemon has known of its promotion for longer than answers may be old;
//! - **S2** two pages say SUCCESS for four rounds of questions at most, while their daemons can reach each other and the
//!   order of the two promotions can be known;
//! - **S3** a member that knew of a later promotion does not serve again because that member fell silent, restarts included;
//! - **S4** nothing is written while a member answers in the name of another, unless the operator took it;
//! - **S5** nor while a page that reports no term says SUCCESS, unless this member was promoted just now;
//! - **S6** no forged term is carried into the members' states;
//! - **S7** no member takes its promotion for the latest beside a later one of a member that answers it, and knows;
//! - **S8** the operator's decision is no match for a promotion after it whose record can be read;
//! - **N** the pool is never empty by our doing;
//! - **L1** once every other member certainly is not the primary and can be reached, the only primary may take traffic and
//!   its page says SUCCESS, from any reachable state; its promotion is proven then, and it is alone in the pool;
//! - **L2** a promotion that is seen may take traffic with every peer silent, as long as the record can be read;
//! - **L3** superseded ends with its cause;
//! - **L4** a promotion that is proven and above every known one may take traffic with every peer silent, restarts included;
//! - **L5** the operator's decision ends every doubt at once;
//! - **L6** without peers and without a known term of another member, a primary may take traffic.
//!
//! Three worlds: members that ask each other, members without peers (S2, S3, L1 and L3 need peers), and one among which a
//! member has a status page and nothing else (of which L1 and S2 cannot hold).
//!
//! `cargo test --test authority` explores for as long as fits into CI. `MODEL_SECONDS=3600 cargo test --release --test
//! authority -- --nocapture` goes further, and prints how far. `tests/authority/break-rules` takes lines of the rule away,
//! one by one, and expects the checker to notice.

mod walk;
mod world;

use std::time::Duration;

use stateright::{Checker, Model, Path};

use world::{Action, Budget, Setup, State, World};

/// How long each of the two searches may take, in all worlds.
fn patience() -> Duration {
    Duration::from_secs(number("MODEL_SECONDS").unwrap_or(40))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// What the members can ask, and which part of the time goes there: one in so many.
const SETUPS: [(Setup, u32); 3] = [(Setup::Peers, 2), (Setup::Alone, 4), (Setup::Plain, 4)];

/// Every sequence of moves, shortest first: a violation is found by its shortest story.
#[test]
fn no_short_story_goes_wrong() {
    for (setup, part) in SETUPS {
        let world = World::new(setup, Budget::default());
        let checker = world.clone().checker().threads(2).timeout(patience() / part).spawn_bfs().join();
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        println!("{setup:?}, shortest first: {states} different states, depth {depth}");
        if let Some((property, path)) = checker.discoveries().into_iter().next() {
            panic!("{property} is violated ({setup:?}):\n{}", tell(&world, path));
        }
        assert!(states > 5_000, "the model has shrunk to {states} states");
    }
}

fn tell(world: &World, path: Path<State, Action>) -> String {
    let beginning = path.clone().into_states().swap_remove(0);
    walk::tell(world, beginning, &path.into_actions())
}

/// Long stories by chance, in which everything can go wrong. `MODEL_SEED` replays one of them in each world;
/// `MODEL_FROM` is where the seeds begin.
#[test]
fn no_long_story_goes_wrong() {
    for (setup, part) in SETUPS {
        let world = World::new(setup, Budget::generous());
        let seeds = match number("MODEL_SEED") {
            Some(seed) => seed..=seed,
            None => number("MODEL_FROM").unwrap_or(1)..=u64::MAX,
        };
        let replays = seeds.start() == seeds.end();
        let walked = walk::until_something_is_wrong(&world, seeds, patience() / part);
        println!("{setup:?}, by chance: {} stories, {} moves", walked.stories, walked.moves);
        if let Some(found) = walked.found {
            panic!(
                "{} is violated ({setup:?}, MODEL_SEED={}):\n{}",
                found.property,
                found.seed,
                walk::tell(&world, walk::beginning(&world, found.seed), &found.actions)
            );
        }
        assert!(replays || walked.moves > 5_000, "only {} moves were made", walked.moves);
    }
}
