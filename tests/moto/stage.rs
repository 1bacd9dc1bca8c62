//! One moto with a network, users and rights, and members whose daemons steer in it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::node::{Node, change};
use crate::support::python::{self, Boto3};
use crate::support::{self, Daemon, eventually, mirrorvip};

const REGION: &str = "eu-west-1";
const USER: &str = "mirrorvip";

/// moto, a network with two hosts in it, an administrator, and the daemons' user.
pub(crate) struct Stage {
    moto: Moto,
    pub(crate) administrator: Boto3,
    pub(crate) subnet: String,
    pub(crate) network: String,
    pub(crate) hosts: [Host; 2],
    keys: Keys,
}

/// A host of the cloud, on which a member could run.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) instance: String,
    pub(crate) network_interface: String,
    pub(crate) address: String,
}

/// A pair of keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A node, and the configuration of its daemon.
pub(crate) struct Member {
    pub(crate) node: Node,
    environment: Vec<(String, String)>,
}

/// The server. Ends with its value, or with the test.
struct Moto {
    child: Child,
    address: SocketAddr,
}

/// The first value at `pointer` in `answer`, as text.
#[track_caller]
pub(crate) fn text(answer: &Value, pointer: &str) -> String {
    let value = answer.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_else(|| panic!("no text at {pointer} in {answer}")).to_owned()
}

/// Waits until the daemon, as the primary of this epoch of its own, has made its only target as it wants it.
pub(crate) fn until_led(daemon: &Daemon, epoch: u64) {
    eventually(&format!("clients led in epoch {epoch}"), || {
        let target = daemon.target();
        let ladder = &target["ladder"];
        target["state"] == "fulfilled" && ladder["epoch"] == epoch && ladder["fulfilled"].is_string()
    });
}

// === impl Stage ===

impl Stage {
    /// Starts moto and builds the network. Every client is served, up to [`check_signatures`](Self::check_signatures).
    pub(crate) fn build() -> Self {
        let moto = Moto::start();
        let mut anyone =
            Boto3::start(moto.environment(&Keys { id: "AKIAANYBODY".into(), secret: "x".into() }));
        let mut user = |name: &str| {
            anyone.ok("iam", "create_user", &json!({ "UserName": name }));
            let key = anyone.ok("iam", "create_access_key", &json!({ "UserName": name }));
            Keys {
                id: text(&key, "/AccessKey/AccessKeyId"),
                secret: text(&key, "/AccessKey/SecretAccessKey"),
            }
        };
        let (administrator, keys) = (user("administrator"), user(USER));
        allow(&mut anyone, "administrator", &["*".to_owned()]);
        let mut administrator = Boto3::start(moto.environment(&administrator));
        let network = administrator.ok("ec2", "create_vpc", &json!({ "CidrBlock": "10.0.0.0/16" }));
        let network = text(&network, "/Vpc/VpcId");
        let subnet = json!({ "VpcId": network, "CidrBlock": "10.0.1.0/24" });
        let subnet = text(&administrator.ok("ec2", "create_subnet", &subnet), "/Subnet/SubnetId");
        let instances =
            json!({ "ImageId": "ami-12c6146b", "MinCount": 2, "MaxCount": 2, "SubnetId": subnet });
        let instances = administrator.ok("ec2", "run_instances", &instances);
        let hosts = [0, 1].map(|index| {
            let instance = &instances["Instances"][index];
            Host {
                instance: text(instance, "/InstanceId"),
                network_interface: text(instance, "/NetworkInterfaces/0/NetworkInterfaceId"),
                address: text(instance, "/PrivateIpAddress"),
            }
        });
        Self { moto, administrator, subnet, network, hosts, keys }
    }

    /// From here on each request must be signed by a user who has the right.
    pub(crate) fn check_signatures(&self) {
        let request = "POST /moto-api/reset-auth HTTP/1.1\r\nHost: moto\r\nConnection: close\r\n\
                       Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n0";
        let answer = support::request(self.moto.address, request).expect("moto answers");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Both members, with their `tables`, and the rights that the first one's policy names.
    pub(crate) fn members(&mut self, tables: impl Fn(&Host) -> String) -> [Member; 2] {
        let members = self.hosts.clone().map(|host| self.member(&tables(&host), &self.keys));
        let policy: Value =
            serde_json::from_slice(&members[0].run(&["iam-policy"]).stdout).expect("a policy");
        let statements = policy["Statement"].as_array().expect("statements");
        let actions =
            statements.iter().flat_map(|statement| statement["Action"].as_array().expect("actions"));
        let actions = actions.filter_map(Value::as_str);
        let actions: Vec<_> = actions.map(|action| action.replace("cloudwatch:", "monitoring:")).collect();
        allow(&mut self.administrator, USER, &actions);
        members
    }

    /// A member with these `tables` that signs with these `keys`.
    pub(crate) fn member(&self, tables: &str, keys: &Keys) -> Member {
        let node = Node::backup();
        let config = change(&node.config(), "name = \"PROD\"\n", "name = \"PROD\"\npeers = \"none\"\n");
        node.write(&format!("{config}{tables}"));
        Member { node, environment: self.moto.environment(keys) }
    }

    /// The daemons' keys.
    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }
}

/// Gives a user these rights.
fn allow(by: &mut Boto3, user: &str, actions: &[String]) {
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": actions, "Resource": "*" }
    ] });
    let policy = json!({ "UserName": user, "PolicyName": "rights", "PolicyDocument": document.to_string() });
    by.ok("iam", "put_user_policy", &policy);
}

// === impl Member ===

impl Member {
    /// Gives it a name as the owner of records; both run on one host here.
    pub(crate) fn is_called(&self, name: &str) {
        let config = std::fs::read_to_string(self.node.config_file()).expect("it was written");
        self.node.write(&change(
            &config,
            "name = \"PROD\"\n",
            &format!("name = \"PROD\"\nmember = \"{name}\"\n"),
        ));
    }

    /// Starts its daemon, and waits until it knows the role: a promotion counts as seen from then on.
    pub(crate) fn start(&self) -> Daemon {
        let config = std::fs::read_to_string(self.node.config_file()).expect("it was written");
        let daemon = Daemon::start_with(self.node.path(), &config, self.command());
        eventually("the first answer of the instance", || {
            let state = daemon.mirror("PROD")["state"].clone();
            state == "backup" || state == "primary"
        });
        daemon
    }

    /// Runs a verb of the command under test to its end.
    pub(crate) fn run(&self, verb: &[&str]) -> Output {
        let mut command = self.command();
        command.args(verb).args(["--color", "never", "--config"]).arg(self.node.config_file());
        command.output().expect("the command under test starts")
    }

    /// Its instance becomes the primary.
    pub(crate) fn promote(&self) {
        self.node.iris.set_role("Failover", "Primary").expect("the role can be set");
    }

    /// Its instance becomes the backup.
    pub(crate) fn demote(&self, daemon: &Daemon) {
        self.node.iris.set_role("Failover", "Backup").expect("the role can be set");
        daemon.wait_for_page(503);
    }

    fn command(&self) -> Command {
        let mut command = mirrorvip();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.node.path()).envs(self.environment.clone());
        command
    }
}

// === impl Moto ===

impl Moto {
    fn start() -> Self {
        let mut child = python::command(python::program("python"), Vec::new())
            .arg(python::script("moto_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut port = String::new();
        let mut says = BufReader::new(child.stdout.take().expect("it is piped"));
        says.read_line(&mut port).expect("moto prints its port");
        let port: u16 = port.trim().parse().expect("moto prints its port, unless it failed: see above");
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// What a client of it needs.
    fn environment(&self, keys: &Keys) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
