//! A network in which packets can be lost: one network namespace for each node, one for the test, and a router between them. What
//! the router drops, nobody is told of: connections hang, as they do behind a dead switch, and are not closed as on
//! loopback. *Knows nothing of* what the packets carry.
//!
//! The test itself runs once more, in namespaces of its own (network, mounts, processes) made by `unshare`. They have no way
//! out, so no packet of a test leaves them and none meets those of another; and they are gone with their last process, however
//! that ends. No kernel module is loaded. Where the kernel has no `netem`, packets cannot be made late or lost by chance:
//! for that there is [`crate::proxy`], and the short queue of [`Net::narrow`].

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

use anyhow::{Context, Result, ensure};

use crate::fault::NotPermitted;

/// Set for the test that runs inside.
const INSIDE: &str = "E2E_INSIDE";
/// After so many seconds a test inside is killed with all its processes, if it is not to take longer.
const TEST_SECONDS_MAX: u64 = 900;

/// Where the caller runs.
pub enum Place {
    /// In namespaces of its own.
    Inside,
    /// Outside; the test has run inside meanwhile, and this is what it wrote and how it ended.
    Outside(Output),
}

/// Runs the calling test, known by its full name, in namespaces of its own, or says that it does so already.
///
/// # Errors
/// When this machine has no such namespaces for this user.
pub fn enclosed(test: &str) -> Result<Place, NotPermitted> {
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Place::Inside);
    }
    let told = |error: anyhow::Error| format!("no network namespaces: {error:#}");
    let probed = PROBED.get_or_init(|| probe().map_err(told));
    probed.clone().map_err(NotPermitted)?;
    // Built out here, where its builder may reach what it needs.
    let built = crate::quorate().and_then(|binary| Ok((binary, unshare()?)));
    let run = built.and_then(|(binary, mut command)| {
        let own = std::env::current_exe()?;
        command.arg(own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").env(crate::BUILT, binary);
        Ok(command.stdin(Stdio::null()).output()?)
    });
    run.map(Place::Outside).map_err(|error| NotPermitted(told(error)))
}

/// The beginning of a command that runs what follows in namespaces of its own. Whoever is not root is called so in there.
fn unshare() -> Result<Command> {
    let mut command = Command::new("timeout");
    let asked =
        |name: &str| -> u64 { std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(0) };
    let seconds = TEST_SECONDS_MAX + 60 * asked("E2E_LONG") + 3 * asked("E2E_STATE_MB");
    command.args(["-s", "KILL", &seconds.to_string(), "unshare"]);
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    // The first process in there ends with `unshare`, and all others with it.
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    Ok(command)
}

/// Does once what every test inside does.
fn probe() -> Result<()> {
    const ALL: &str = "set -e; mount -t tmpfs quorate-e2e /run; ip netns add a; ip netns add b; \
        ip link add eth0 netns a type veth peer name p1 netns b; ip -n b link set p1 up; \
        nsenter --net=/run/netns/b sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'; \
        ip -n b rule add from 10.0.1.2 to 10.0.2.2 blackhole; \
        tc -n b qdisc add dev p1 root tbf rate 64kbit burst 3000 limit 3000";
    run(unshare()?.args(["sh", "-c", ALL])).map(drop)
}

/// The namespaces began with copies of all mounts. Those of other tests' disks must end with their tests, not with this one.
fn let_go_of_disks() -> Result<()> {
    let temporary = std::env::temp_dir();
    for line in std::fs::read_to_string("/proc/self/mounts")?.lines() {
        let mut words = line.split(' ');
        let (source, target) = words.next().zip(words.next()).context("a line of mounts")?;
        let is_disk = source.starts_with("/dev/loop") || source == "quorate-e2e";
        if is_disk && std::path::Path::new(target).starts_with(&temporary) {
            // One that is gone by now is what is wanted.
            let _ = Command::new("umount").args(["-l", target]).stderr(Stdio::null()).status();
        }
    }
    Ok(())
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(output)
}

/// Who sends and receives packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// The test with its clients.
    Test,
    /// A node, counted from 0.
    Node(usize),
}

impl Party {
    fn address(self) -> String {
        format!("10.0.{}.2", self.number())
    }

    /// The number of its subnet, and of its port at the router.
    fn number(self) -> usize {
        match self {
            Party::Test => 0,
            Party::Node(node) => node + 1,
        }
    }
}

/// The network of a test inside. Its parts go with the namespaces.
pub struct Net {
    size: usize,
    /// The ordered pairs whose packets are lost.
    lost: Mutex<Vec<(Party, Party)>>,
}

impl Net {
    /// A network of so many nodes, all of which reach each other and the test. There is one at most in an enclosed test.
    ///
    /// # Errors
    /// When the caller is not [`Place::Inside`], or a tool fails.
    pub fn start(size: usize) -> Result<Net> {
        ensure!(std::env::var_os(INSIDE).is_some(), "a network is made in namespaces of its own only");
        ensure!(size < 200, "each node has a subnet of its own");
        let_go_of_disks()?;
        // The names of namespaces lie there. Nobody outside sees this file system.
        run(Command::new("mount").args(["-t", "tmpfs", "quorate-e2e", "/run"]))?;
        let nodes: Vec<Party> = (0..size).map(Party::Node).collect();
        let mut made = vec!["netns add router".to_owned()];
        made.push("link add eth0 type veth peer name p0 netns router".to_owned());
        for node in nodes.iter().map(|node| node.number()) {
            made.push(format!("netns add n{node}"));
            made.push(format!("link add eth0 netns n{node} type veth peer name p{node} netns router"));
        }
        ip(None, &made)?;
        let mut ports = vec!["link set lo up".to_owned()];
        for party in nodes.iter().copied().chain([Party::Test]) {
            let (number, address) = (party.number(), party.address());
            ports.push(format!("addr add 10.0.{number}.1/24 dev p{number}"));
            ports.push(format!("link set p{number} up"));
            let own = [
                "link set lo up".to_owned(),
                format!("addr add {address}/24 dev eth0"),
                "link set eth0 up".to_owned(),
                format!("route add default via 10.0.{number}.1"),
            ];
            // The route needs no answer of the router yet.
            let space = format!("n{number}");
            ip((party != Party::Test).then_some(space.as_str()), &own)?;
        }
        ip(Some("router"), &ports)?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(Command::new("nsenter").args(["--net=/run/netns/router", "sh", "-c", forward]))?;
        Ok(Net { size, lost: Mutex::new(Vec::new()) })
    }

    /// Where a node listens for its peers, and for clients.
    pub fn addresses(&self, node: usize) -> (String, String) {
        let address = Party::Node(node).address();
        (format!("{address}:7481"), format!("{address}:7480"))
    }

    /// The beginning of a command that runs what follows in a node's namespace, as the same process.
    pub fn command(&self, node: usize, program: &std::path::Path) -> Command {
        let space = PathBuf::from("/run/netns").join(format!("n{}", Party::Node(node).number()));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", space.display())).arg("--").arg(program);
        command
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Party, Party)>> {
        self.lost.lock().expect("nobody panics while holding it")
    }

    /// From now on the router loses each packet from one party to another. Nobody is told.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn lose(&self, from: Party, to: Party) -> Result<()> {
        let mut lost = self.lock();
        if from == to || lost.contains(&(from, to)) {
            return Ok(());
        }
        rule("add", from, to)?;
        lost.push((from, to));
        Ok(())
    }

    /// What `node` sends to all others is lost.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn lose_from(&self, node: usize) -> Result<()> {
        (0..self.size).try_for_each(|other| self.lose(Party::Node(node), Party::Node(other)))
    }

    /// What all others send to `node` is lost.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn lose_to(&self, node: usize) -> Result<()> {
        (0..self.size).try_for_each(|other| self.lose(Party::Node(other), Party::Node(node)))
    }

    /// What is sent to `node`, by anybody, comes at so many kilobits in a second, through a queue of two packets: what
    /// does not fit in there is lost. Acknowledgements of TCP fit in longer than data.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn narrow(&self, node: usize, kilobits: u32) -> Result<()> {
        let (port, rate) = (format!("p{}", Party::Node(node).number()), format!("{kilobits}kbit"));
        let queue = ["root", "tbf", "rate", &rate, "burst", "3000", "limit", "3000"];
        run(Command::new("tc").args(["-n", "router", "qdisc", "replace", "dev", &port]).args(queue)).map(drop)
    }

    /// What is sent to `node`, by anybody, comes at so many kilobits in a second, through a queue as routers have it: a fifth of a second long.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn limit(&self, node: usize, kilobits: u32) -> Result<()> {
        let (port, rate) = (format!("p{}", Party::Node(node).number()), format!("{kilobits}kbit"));
        let queue = ["root", "tbf", "rate", &rate, "burst", "16000", "latency", "200ms"];
        run(Command::new("tc").args(["-n", "router", "qdisc", "replace", "dev", &port]).args(queue)).map(drop)
    }

    /// How many bytes have gone through the queue before `node` since it was made, with the heads of their packets.
    ///
    /// # Errors
    /// When it has no such queue.
    pub fn sent_bytes(&self, node: usize) -> Result<u64> {
        self.counted(node, "Sent ", ' ')
    }

    /// How many packets the queue before `node` has lost so far.
    ///
    /// # Errors
    /// When it has no such queue.
    pub fn dropped(&self, node: usize) -> Result<u64> {
        self.counted(node, "dropped ", ',')
    }

    /// A number that the tool tells of the queue before `node`, between these words.
    fn counted(&self, node: usize, before: &str, behind: char) -> Result<u64> {
        let port = format!("p{}", Party::Node(node).number());
        let mut command = Command::new("tc");
        let told = run(command.args(["-n", "router", "-s", "qdisc", "show", "dev", &port]))?;
        let told = String::from_utf8(told.stdout)?;
        let count = told.split(before).nth(1).and_then(|rest| rest.split(behind).next());
        Ok(count.with_context(|| format!("no count in: {told}"))?.parse()?)
    }

    /// Every packet arrives again, and at once.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn heal(&self) -> Result<()> {
        let mut lost = self.lock();
        while let Some((from, to)) = lost.pop() {
            rule("del", from, to)?;
        }
        for port in (0..=self.size).map(|number| format!("p{number}")) {
            // A port without a narrow queue has none that could be removed.
            let _ = run(Command::new("tc").args(["-n", "router", "qdisc", "del", "dev", &port, "root"]));
        }
        Ok(())
    }
}

/// The router drops without a word what such a rule catches (an "unreachable" one would answer).
fn rule(verb: &str, from: Party, to: Party) -> Result<()> {
    let (from, to) = (from.address(), to.address());
    run(Command::new("ip").args(["-n", "router", "rule", verb, "from", &from, "to", &to, "blackhole"]))
        .map(drop)
}

/// Runs commands of `ip`, in a namespace of this name or where the test is.
fn ip(space: Option<&str>, lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(space) = space {
        command.args(["-n", space]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("running ip")?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(lines.join("\n").as_bytes())?;
    stdin.write_all(b"\n")?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip in {space:?} of {lines:?}: {}", said.trim());
    Ok(())
}
