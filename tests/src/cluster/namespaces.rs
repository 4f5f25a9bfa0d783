//! A network of its own for each member, so that the kernel itself loses what is cut: Linux' network namespaces.
//!
//! A suite begins again inside a namespace ([`run_inside`]), where it is root, whoever it is outside, and where nothing
//! that it changes is seen by anybody else. From there, each member has a namespace with one address, linked with that of
//! the suite, which forwards what members say to each other, or drops it. What the suite's clients say is never cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::budget::SOON;
use crate::wait::eventually;

/// Set in the process that is inside.
const INSIDE: &str = "CLUSTER_INSIDE";
/// Where the tools of namespaces are, on every distribution.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Does once all that members' namespaces take.
const PROBE: &str = "nsenter -V && ip link add v type veth peer name w && ip rule add from 10.77.0.2 to 10.77.1.2 blackhole \
                     && sysctl -qw net.ipv4.ip_forward=1 && unshare -n true";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// The namespaces of members. Dropping it ends them.
#[derive(Debug)]
pub struct Namespaces {
    /// A process in each, which keeps it there.
    holders: Vec<Child>,
}

/// Whether this process is inside, so that it can make namespaces of members.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a test of the same program again, inside a network namespace; none, and a printed line, where the system lets nobody
/// make one. Blocks until it has ended.
///
/// # Panics
/// When the program cannot be started.
#[must_use]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub fn run_inside(test: &str) -> Option<ExitStatus> {
    let mut probe = tool("unshare");
    probe.args(["-rn", "sh", "-c", PROBE]).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("skipped: the system does not let us make network namespaces, or has no unshare, nsenter and ip");
        return None;
    }
    let program = std::env::current_exe().expect("a process knows its program");
    let mut command = tool("unshare");
    command.arg("-rn").arg(program).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    Some(command.status().expect("it could be started a moment ago"))
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", PATH);
    command
}

/// Runs a tool that must end well.
#[track_caller]
fn run(line: &str) {
    let mut words = line.split(' ');
    let output = tool(words.next().unwrap_or_default()).args(words).output().expect("the tool is there");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where a member is, and at the other end of its link the suite.
fn address(member: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, u8::try_from(member).expect("a few members"), 2)
}

fn gateway(member: usize) -> Ipv4Addr {
    let [a, b, c, _] = address(member).octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// Where a member serves clients, and peers.
pub(super) fn ports(member: usize) -> [SocketAddr; 2] {
    [CLIENT_PORT, PEER_PORT].map(|port| (address(member), port).into())
}

impl Namespaces {
    /// Makes as many, from inside.
    pub(super) async fn make(members: usize) -> Self {
        run("ip link set lo up");
        run("sysctl -qw net.ipv4.ip_forward=1");
        let mut namespaces = Self { holders: Vec::new() };
        for member in 0..members {
            // It ends when nobody holds its other end any more, however this process ends.
            let holder = tool("unshare").args(["-n", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let holder = holder.expect("it could be started before");
            let pid = holder.id();
            namespaces.holders.push(holder);
            let of = |pid: &str| std::fs::read_link(Path::new("/proc").join(pid).join("ns/net")).ok();
            eventually(SOON, "a namespace is there", async || {
                of(&pid.to_string()).is_some_and(|namespace| Some(namespace) != of("self"))
            })
            .await;
            let (address, gateway) = (address(member), gateway(member));
            run(&format!("ip link add v{member} type veth peer name eth0 netns {pid}"));
            run(&format!("ip addr add {gateway}/30 dev v{member}"));
            run(&format!("ip link set v{member} up"));
            for inside in [
                "ip link set lo up".to_owned(),
                format!("ip addr add {address}/30 dev eth0"),
                "ip link set eth0 up".to_owned(),
                format!("ip route add default via {gateway}"),
            ] {
                run(&format!("nsenter -t {pid} -n {inside}"));
            }
        }
        namespaces
    }

    /// The same command in a member's namespace.
    pub(super) fn enter(&self, member: usize, command: &Command) -> Command {
        let mut inside = Command::new("/usr/bin/nsenter");
        inside.env_clear().arg("-t").arg(self.holders[member].id().to_string()).args(["-n", "--"]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// Drops what one member says to another.
    pub fn cut(&self, from: usize, to: usize) {
        run(&format!("ip rule add from {} to {} blackhole", address(from), address(to)));
    }

    /// Lets it through again.
    pub fn mend(&self, from: usize, to: usize) {
        run(&format!("ip rule del from {} to {} blackhole", address(from), address(to)));
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            // It may have ended by itself.
            drop(holder.kill());
            drop(holder.wait());
        }
    }
}
