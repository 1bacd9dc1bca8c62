//! How long clients will wait, from the settings.

use super::*;

#[test]
fn the_time_to_recovery_is_that_of_the_settings() {
    let stages = |recovery: &Recovery| {
        recovery.stages.iter().map(|stage| (stage.stage, stage.at_most.as_secs())).collect::<Vec<_>>()
    };
    let all_members = config("", &elbv2(""));
    let recovery = with_subject(&all_members, |subject, _| {
        recovery::pool(subject, steering::Pool::AllMembers, &sound())
    });
    assert_eq!(stages(&recovery), [("role seen", 4), ("page flipped", 0), ("health checks agree", 15)]);
    assert_eq!(recovery.at_most, Duration::from_secs(19));
    assert_eq!(recovery.depends_on, "the load balancer's data plane alone");

    let slow = with_subject(&all_members, |subject, _| {
        let mut group = sound();
        *check(&mut group) =
            HealthCheck { interval: Duration::from_secs(30), fall: 3, ..check(&mut group).clone() };
        recovery::pool(subject, steering::Pool::AllMembers, &group)
    });
    assert_eq!(slow.at_most, Duration::from_secs(4 + 4 * 30), "the old member must be out as well");

    let primary_only = with_subject(&all_members, |subject, _| {
        recovery::pool(subject, steering::Pool::PrimaryOnly, &sound())
    });
    assert_eq!(
        stages(&primary_only)[2..],
        [("API accepts", 1), ("target registered", 300), ("health checks agree", 10)]
    );

    let plain = route53("ttl = 5");
    let record =
        with_subject(&plain, |subject, _| recovery::record(subject, record_table(&plain), &sound_zone()));
    assert_eq!(stages(&record)[2..], [("API accepts", 1), ("record INSYNC", 60), ("caches expire", 5)]);

    let document = serde_json::to_value(&record).unwrap();
    assert_eq!(document["at_most_seconds"], 70.0);
    assert_eq!(document["stages"][0]["at_most_seconds"], 4.0);
}

#[test]
fn the_role_is_seen_as_fast_as_questions_follow_each_other() {
    let seen = |timing: &str| {
        let config = config("", &format!("{timing}\n{}", elbv2("")));
        let recovery =
            with_subject(&config, |subject, _| recovery::pool(subject, steering::Pool::AllMembers, &sound()));
        recovery.stages[0].at_most.as_secs()
    };
    assert_eq!(seen("interval = '2s'\ntimeout = '1s'"), 3, "the next question waits for the timer");
    assert_eq!(seen("interval = '1s'\ntimeout = '2s'"), 4, "it waits for the answer before it");
    assert_eq!(seen("interval = '500ms'\ntimeout = '1s'\nrise = 3"), 4, "and so do those that `rise` adds");
}

#[test]
fn clients_hold_the_record_that_is_served() {
    let cached = |config: &Config, records: Records| {
        let recovery =
            with_subject(config, |subject, _| recovery::record(subject, record_table(config), &records));
        recovery.stages.last().expect("the caches come last").at_most.as_secs()
    };
    let with = |seen: Seen| Records { named: vec![seen], ..sound_zone() };
    let plain = || Seen { record_type: "A".to_owned(), ttl: Some(300), ..Seen::default() };
    let alias = || Seen { is_alias: true, ttl: None, ..plain() };
    let (to_plain, to_alias) =
        (route53("ttl = 5"), route53("alias_dns_name = 'lb.example.com'\nalias_hosted_zone_id = 'Z2'"));
    assert_eq!(cached(&to_plain, with(plain())), 300);
    assert_eq!(cached(&to_alias, with(plain())), 300);
    assert_eq!(cached(&to_plain, with(alias())), 60);
    assert_eq!(cached(&to_alias, with(alias())), 60);
    let other = Seen { set_identifier: Some("other".to_owned()), ..plain() };
    assert_eq!(cached(&to_plain, with(other)), 5, "another's record is not the one that moves");
}

#[test]
fn each_table_is_a_call_and_a_dead_peer_is_waited_for() {
    let stages = |tables: &str, peer: &str| {
        let tables =
            format!("{peer}\n[[mirror.route]]\nroute_tables = [{tables}]\ndestination = '192.168.99.1'\n");
        let config = config("", &tables);
        let recovery = with_subject(&config, |subject, target| {
            let Target::Route(table) = target else { panic!("{target:?}") };
            recovery::route(subject, table)
        });
        recovery.stages[2..].iter().map(|stage| (stage.stage, stage.at_most.as_secs())).collect::<Vec<_>>()
    };
    let peer = "[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'http://b/'";
    let three = "'rtb-00000001', 'rtb-00000002', 'rtb-00000003'";
    assert_eq!(stages("'rtb-00000001'", ""), [("API accepts", 1), ("route in effect", 5)]);
    assert_eq!(stages(three, ""), [("API accepts", 3), ("route in effect", 5)]);
    assert_eq!(
        stages("'rtb-00000001'", peer),
        [("peers answer", 2), ("API accepts", 1), ("route in effect", 5)]
    );
    assert_eq!(stages(three, peer), [("peers answer", 4), ("API accepts", 3), ("route in effect", 5)]);
}
