//! What each fault does on the wire, over raw connections.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mirrorvip::simulation::cloud::{Effect, Fault, Service, SimulatedCloud, TargetGroup};

use super::harness::{connect, eventually, fast_cloud, read_answer, send_query};

/// How long a test watches that nothing comes. What fails here fails by getting an answer, so a machine that
/// is slow cannot make it fail.
const SILENCE: Duration = Duration::from_millis(300);
const KEY: &str = "AKIASIMULATEDA";

/// A cloud with one target group, and the bodies of a write and a read on it.
fn cloud() -> (SimulatedCloud, String, String) {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let register = format!(
        "Action=RegisterTargets&Version=2015-12-01&TargetGroupArn={arn}&Targets.member.1.Id=10.0.1.11\
         &Targets.member.1.Port=1972"
    );
    let describe = format!("Action=DescribeTargetHealth&Version=2015-12-01&TargetGroupArn={arn}");
    (cloud, register, describe)
}

fn send(cloud: &SimulatedCloud, body: &str) -> std::net::TcpStream {
    let mut stream = connect(cloud);
    send_query(&mut stream, KEY, "elasticloadbalancing", body);
    stream
}

fn is_silent(stream: &mut std::net::TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).expect("a deadline");
    match read_answer(stream) {
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        Ok(_) => false,
    }
}

#[test]
fn a_hang_is_silence_and_does_nothing() {
    let (cloud, register, describe) = cloud();
    cloud.fault(Fault::new(Effect::Hang).on(Service::Elbv2).action("RegisterTargets").times(1));
    assert!(is_silent(&mut send(&cloud, &register)));
    assert_eq!(cloud.mutations().len(), 0);
    let answer = read_answer(&mut send(&cloud, &describe)).expect("reads are not hit");
    assert_eq!(answer.0, 200);
}

#[test]
fn a_request_is_carried_out_whether_or_not_its_client_waits() {
    let (cloud, register, _) = cloud();
    cloud.fault(Fault::new(Effect::Delay(Duration::from_millis(100))).times(1));
    let stream = send(&cloud, &register);
    eventually("the request has arrived", || cloud.faults_left() == 0);
    drop(stream);
    eventually("the change is made", || cloud.mutations().len() == 1);
    cloud.fault(Fault::new(Effect::HangAfter).times(1));
    assert!(is_silent(&mut send(&cloud, &register)));
    assert_eq!(cloud.mutations().len(), 2);
}

#[test]
fn a_reset_does_nothing_and_a_torn_answer_follows_the_change() {
    let (cloud, register, _) = cloud();
    cloud.fault(Fault::new(Effect::Reset).times(1));
    let error = read_answer(&mut send(&cloud, &register)).expect_err("there is no answer");
    assert_eq!((error.kind(), cloud.mutations().len()), (ErrorKind::ConnectionReset, 0));
    cloud.fault(Fault::new(Effect::CutOff).times(1));
    let mut stream = send(&cloud, &register);
    let mut bytes = Vec::new();
    let ended = std::io::Read::read_to_end(&mut stream, &mut bytes).expect_err("it does not end properly");
    assert_eq!((ended.kind(), cloud.mutations().len()), (ErrorKind::ConnectionReset, 1));
}

#[test]
fn a_kept_connection_can_die_between_two_requests() {
    let (cloud, _, describe) = cloud();
    cloud.fault(Fault::new(Effect::DeadKeepAlive).times(1));
    let mut stream = send(&cloud, &describe);
    assert_eq!(read_answer(&mut stream).expect("the first is answered").0, 200);
    send_query(&mut stream, KEY, "elasticloadbalancing", &describe);
    assert!(is_silent(&mut stream));
    assert_eq!(read_answer(&mut send(&cloud, &describe)).expect("a new connection lives").0, 200);
}

#[test]
fn a_request_can_be_overtaken() {
    let (cloud, register, _) = cloud();
    let deregister = register.replace("Action=Register", "Action=Deregister");
    cloud.fault(Fault::new(Effect::Overtaken).action("RegisterTargets").times(1));
    let mut slow = send(&cloud, &register);
    eventually("the request has arrived", || cloud.faults_left() == 0);
    assert_eq!(read_answer(&mut send(&cloud, &deregister)).expect("an answer").0, 200);
    assert_eq!(read_answer(&mut slow).expect("an answer, later").0, 200);
    let actions: Vec<_> = cloud.mutations().into_iter().map(|mutation| mutation.action).collect();
    assert_eq!(actions, ["DeregisterTargets", "RegisterTargets"]);
    let [first, second] = &cloud.mutations()[..] else {
        panic!("there are two");
    };
    let age_at_start =
        |mutation: &mirrorvip::simulation::cloud::Mutation| mutation.received.since_unix_epoch();
    assert!(age_at_start(second) <= age_at_start(first), "the slow one had come first");
}

#[test]
fn a_slow_answer_comes_after_the_change_and_other_faults_end() {
    let (cloud, register, describe) = cloud();
    let pause = Duration::from_millis(200);
    cloud.fault(Fault::new(Effect::SlowAnswer(pause)).times(1));
    let began = Instant::now();
    assert_eq!(read_answer(&mut send(&cloud, &register)).expect("an answer").0, 200);
    assert!(began.elapsed() >= pause);
    cloud.fault(Fault::new(Effect::ServerError(503)).by("a").times(1));
    assert_eq!(read_answer(&mut send(&cloud, &describe)).expect("an answer").0, 503);
    assert_eq!(read_answer(&mut send(&cloud, &describe)).expect("an answer").0, 200);
    let fault = cloud.fault(Fault::new(Effect::Throttle));
    let (status, body) = read_answer(&mut send(&cloud, &describe)).expect("an answer");
    assert!(status == 400 && body.contains("<Code>Throttling</Code>"), "{body}");
    cloud.clear_fault(fault);
    assert_eq!(read_answer(&mut send(&cloud, &describe)).expect("an answer").0, 200);
}
