//! The check against the simulated cloud, on an instance that knows its identity and whose network interface still
//! checks addresses.

use mirrorvip::simulation::cloud::{ClassicBalancer, HealthCheck, Settings, SimulatedCloud};

use super::cloud::{command, found, has};

#[tokio::test]
async fn each_instance_gets_its_own_finding() {
    let mut settings = Settings::default();
    settings.members[0].source_dest_check = true;
    let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
    cloud.create_classic_balancer(ClassicBalancer {
        name: "iris".to_owned(),
        port: 1972,
        health_check: HealthCheck::default(),
        cross_zone: true,
        draining: 300,
    });
    let (zone, table) = (cloud.create_zone("example.internal"), cloud.create_route_table());
    let elsewhere = cloud.create_zone("example.com");
    let targets = format!(
        "peers = 'none'\n[[mirror.classic_elb]]\nload_balancer = 'iris'\n\
         [[mirror.route53]]\nhosted_zone_id = '{zone}'\nrecord = 'db.example.internal'\ntype = 'A'\n\
         [[mirror.route53]]\nhosted_zone_id = '{elsewhere}'\nrecord = 'db.example.internal'\ntype = 'A'\n\
         [[mirror.route]]\nroute_tables = ['{table}']\ndestination = '192.168.99.1/32'\n"
    );
    let check = async |member: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let output = command(&cloud.endpoint(), directory.path(), &targets, &["check", "--json"])
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .envs(cloud.environment(member))
            .output()
            .await
            .expect("the command under test starts");
        found(&output, "")
    };

    let careless = check("a").await;
    let interface = &cloud.settings().members[0].network_interface;
    assert!(has(&careless, "error", &format!("{interface} checks source and destination")), "{careless:#?}");
    let instance = &cloud.settings().members[0].instance_id;
    assert!(has(&careless, "warning", &format!("{instance} is not registered")), "{careless:#?}");
    assert!(has(&careless, "warning", "drain for 300 s"), "{careless:#?}");
    assert!(
        !has(&careless, "warning", "GetChange"),
        "it may ask, only there is no such change: {careless:#?}"
    );

    let outside = format!("lies outside the hosted zone {elsewhere}, which is example.com");
    assert!(has(&careless, "error", &outside), "{careless:#?}");
    assert!(!has(&careless, "error", &format!("the hosted zone {zone}")), "{careless:#?}");

    let ready = check("b").await;
    assert!(has(&ready, "good", "accepts packets to the overlay address"), "{ready:#?}");
}
