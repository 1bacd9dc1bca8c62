//! An object that another member has, and withdrawals that became void during a consultation.

use super::scripted::CERTAIN;
use super::*;
use crate::term::Claim;

/// Another member takes what this one led in this epoch.
fn take(bench: &scripted::Bench) {
    let mut cloud = bench.cloud();
    (cloud.members, cloud.taken_by) = (BTreeSet::from(["b"]), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_another_takes_stays_there_and_its_ownership_record_is_reported() {
    let bench = start(pool(&["b"]), &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    assert_eq!(*bench.marks.lock().unwrap(), [None, None], "one per turn");
    take(&bench);
    // The intent is the same after a spell of silence: so is what was taken.
    says(&bench.snapshot, &bench.clock, Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
    sleep(Duration::from_secs(6)).await;
    bench.pass(60, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "holding"), "although this member may take traffic");
    let why = bench.report.borrow().state.reason().map(str::to_owned).expect("held for a reason");
    assert!(why.contains("another tool") && why.contains("mirrorvip take"), "{why}");
    let reported = bench.marks.lock().unwrap().last().cloned().flatten();
    assert_eq!(reported, Some(Claim { term: 2, member: "b".to_owned() }));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_took_is_taken_back_once_it_is_certain_that_no_other_is_the_primary() {
    let bench = start(pool(&["b"]), &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    take(&bench);
    bench.pass(60, Role::Primary).await;
    assert_eq!(bench.steps().len(), 2);
    bench.authority.send_replace(CERTAIN);
    bench.pass(6, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (4, "fulfilled"));
    assert_eq!(bench.cloud().resets, 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn in_doubt_what_another_took_is_not_taken_back() {
    for doubt in [unsure(), Authority::Superseded { by: "b".to_owned() }] {
        let bench = start(pool(&["b"]), &[Role::Primary]);
        bench.pass(1, Role::Primary).await;
        take(&bench);
        bench.authority.send_replace(doubt.clone());
        bench.pass(60, Role::Primary).await;
        assert_eq!((bench.steps().len(), bench.state()), (2, "holding"), "{doubt:?}");
        assert_eq!(bench.cloud().resets, 0);
        bench.stop().await;
    }
}

/// Story 5: another tool registers a member whose daemon is down.
#[tokio::test(start_paused = true)]
async fn an_object_in_which_another_tool_put_a_member_holds_up_no_other_object() {
    let (contested, other) = (start(pool(&["a"]), &[Role::Primary]), start(pool(&["a"]), &[Role::Primary]));
    contested.pass(1, Role::Primary).await;
    take(&contested);
    contested.pass(60, Role::Primary).await;
    assert_eq!(contested.state(), "holding");
    // Nothing is reported of it but the ownership record, so the ruling for other objects is the same.
    assert_eq!(*contested.authority.borrow(), CLEAR);
    other.pass(1, Role::Primary).await;
    other.cloud().members.insert("b");
    other.pass(35, Role::Primary).await;
    assert_eq!((other.steps(), other.state()), (vec![TAKE[1].to_owned()], "fulfilled"));
    contested.stop().await;
    other.stop().await;
}

/// Story 8: two members each remove the other within one round trip.
#[tokio::test(start_paused = true)]
async fn a_removal_is_void_when_this_member_was_removed_while_the_arbiter_was_asked() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().removed_during_consultation = Some("a");
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE, "added again first: at no time was the pool empty");
    assert_eq!(bench.cloud().fewest, 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_higher_term_that_came_to_light_while_the_arbiter_was_asked_voids_the_plan() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.rulings.lock().unwrap().push_back(Authority::Clear { term: 8, certain: false });
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.steps(), ["Add a (epoch 1, term 8)", "Remove b (epoch 1, term 8)"]);
    bench.stop().await;
}
