//! Long walks through the world by chance, each from a seed that replays it; what goes wrong is cut down to the moves
//! that it takes.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use stateright::Model;

use super::world::{Action, State, World};

/// How many moves a story has at most.
const LENGTH: usize = 60;

/// What a search did.
pub(crate) struct Walked {
    pub(crate) stories: u64,
    pub(crate) moves: u64,
    pub(crate) found: Option<Found>,
}

/// A story in which a property does not hold.
pub(crate) struct Found {
    pub(crate) property: &'static str,
    pub(crate) seed: u64,
    pub(crate) actions: Vec<Action>,
}

/// Walks story after story until a property is violated, time is up, or there are no more seeds.
#[expect(clippy::disallowed_methods, reason = "how long a search lasts is real time")]
pub(crate) fn until_something_is_wrong(
    world: &World,
    seeds: RangeInclusive<u64>,
    patience: Duration,
) -> Walked {
    let mut walked = Walked { stories: 0, moves: 0, found: None };
    let started = Instant::now();
    for number in seeds {
        let (actions, wrong) = walk(world, number);
        walked.stories += 1;
        walked.moves += actions.len() as u64;
        if let Some(property) = wrong {
            walked.found =
                Some(Found { property, seed: number, actions: shorten(world, number, property, actions) });
        }
        if walked.found.is_some() || started.elapsed() >= patience {
            break;
        }
    }
    walked
}

/// The story step by step, with the state after each.
pub(crate) fn tell(world: &World, beginning: State, actions: &[Action]) -> String {
    let mut text = String::new();
    let mut state = beginning;
    let _ = writeln!(text, "{state}");
    for action in actions {
        let Some(next) = world.next_state(&state, *action) else { continue };
        state = next;
        let _ = writeln!(text, "{action:?}\n{state}");
    }
    text
}

/// Where the story of a seed begins.
pub(crate) fn beginning(world: &World, seed: u64) -> State {
    let mut states = world.init_states();
    let count = states.len() as u64;
    states.swap_remove(usize::try_from(seed % count).expect("a few states"))
}

fn walk(world: &World, seed: u64) -> (Vec<Action>, Option<&'static str>) {
    let mut random = Random(seed);
    let mut state = beginning(world, seed);
    let (mut taken, mut choices) = (Vec::new(), Vec::new());
    for _ in 0..LENGTH {
        choices.clear();
        world.actions(&state, &mut choices);
        let weighed: u64 = choices.iter().map(weight).sum();
        if weighed == 0 {
            break;
        }
        let mut left = random.below(weighed);
        let action = *choices
            .iter()
            .find(|action| {
                let weight = weight(action);
                let chosen = left < weight;
                left = left.saturating_sub(weight);
                chosen
            })
            .expect("the weights add up");
        let Some(next) = world.next_state(&state, action) else { continue };
        state = next;
        taken.push(action);
        if let Some(property) = violated(world, &state) {
            return (taken, Some(property));
        }
    }
    (taken, None)
}

fn violated(world: &World, state: &State) -> Option<&'static str> {
    world
        .properties()
        .iter()
        .find(|property| !(property.condition)(world, state))
        .map(|property| property.name)
}

/// Leaves out every move without which the property is violated all the same.
fn shorten(world: &World, seed: u64, property: &str, mut actions: Vec<Action>) -> Vec<Action> {
    let mut at = 0;
    while at < actions.len() {
        let mut fewer = actions.clone();
        fewer.remove(at);
        if goes_wrong(world, seed, property, &fewer) {
            actions = fewer;
            at = 0;
        } else {
            at += 1;
        }
    }
    actions
}

fn goes_wrong(world: &World, seed: u64, property: &str, actions: &[Action]) -> bool {
    let mut state = beginning(world, seed);
    for action in actions {
        let mut possible = Vec::new();
        world.actions(&state, &mut possible);
        if !possible.contains(action) {
            return false;
        }
        if let Some(next) = world.next_state(&state, *action) {
            state = next;
        }
        if let Some(wrong) = violated(world, &state) {
            return wrong == property;
        }
    }
    false
}

/// A daemon does its work far more often than something goes wrong.
fn weight(action: &Action) -> u64 {
    match action {
        Action::Observe(_) | Action::Poll(_) | Action::Act(_) => 6,
        Action::Time(_) | Action::Promote(_) => 8,
        Action::Take(_) => 3,
        Action::Rejoin(_) | Action::Heal(..) | Action::HealCloud(_) | Action::Start(_) => 4,
        _ => 1,
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
