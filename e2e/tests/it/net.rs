//! Packets that are lost for good, each node in a network namespace of its own: connections that hang and are never closed,
//! answers that are never heard, links that take part of what is sent. Where this machine has no namespaces for this user that is
//! printed, and nothing is proven.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use quorate_e2e::fault::permitted;
use quorate_e2e::net::{Party, Place, enclosed};
use quorate_e2e::{BOUND, Cluster, Network, http_get};

use crate::faults::{FEW, Heal, holds_up_nobody, loaded, replaced_when, three, verify};

/// Runs a test, by its full name, once more inside namespaces of its own.
pub(crate) fn alone<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    match permitted(enclosed(test)) {
        None => {}
        Some(Place::Inside) => {
            let bounded = async { tokio::time::timeout(RUN_MAX, body()).await };
            let ended = tokio::runtime::Runtime::new().expect("a runtime").block_on(bounded);
            ended.expect("a run inside namespaces ends within its bound");
        }
        Some(Place::Outside(output)) => {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            println!("{out}\n{err}");
            assert!(output.status.success(), "inside it failed: {}", output.status);
            assert!(out.contains("1 passed"), "no test of this name ran inside");
        }
    }
}

/// No run takes longer, not even the one that somebody asked to carry a large state.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);

/// Sends the wish for an instance over a connection that is there.
fn wish(stream: &mut TcpStream, id: &str) {
    let body = format!("{{\"id\":\"{id}\"}}");
    let head = format!(
        "POST /v1/machines/lifecycle/instances HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        stream.peer_addr().expect("it is connected"),
        body.len()
    );
    // At once: the system holds back a second small packet until it hears that the first has arrived.
    stream.write_all((head + &body).as_bytes()).expect("it is sent");
}

/// The first line of an answer.
fn answered(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(BOUND)).expect("a time");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("HTTP")
}

fn silent(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can be asked");
    let answer = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("it can be asked");
    answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn exists(cluster: &Cluster, node: usize, id: &str) -> bool {
    let path = format!("/v1/machines/lifecycle/instances/{id}");
    http_get(cluster.api(node), &path).expect("this node answers").starts_with("HTTP/1.1 200")
}

/// What the tests below rely on: losses go one way, nobody is told, and TCP sends again when the network heals.
#[test]
fn what_the_network_loses_hangs_in_one_direction_only_and_is_sent_again() {
    alone("net::what_the_network_loses_hangs_in_one_direction_only_and_is_sent_again", || async {
        let cluster = three(Network::Net);
        let net = cluster.net().expect("it has one");
        let address: SocketAddr = cluster.api(0).parse().expect("an address");
        let connect = |patience| TcpStream::connect_timeout(&address, patience);
        let mut first = connect(BOUND).expect("it listens");

        net.lose(Party::Node(0), Party::Test).expect("a rule");
        wish(&mut first, "unheard");
        let begin = Instant::now();
        while !exists(&cluster, 1, "unheard") {
            assert!(begin.elapsed() < BOUND, "the wish must get through: only answers are lost");
        }
        assert!(silent(&mut first), "the answer is lost");
        let refused = connect(Duration::from_millis(500)).expect_err("nobody answers the first packet");
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "a lost packet is no refusal");
        cluster.heal().expect("it heals");
        assert!(answered(&mut first).contains("201"), "it is sent again");

        // Only now: a node closes a connection over which nothing comes for a while.
        let mut second = connect(BOUND).expect("it listens");
        net.lose(Party::Test, Party::Node(0)).expect("a rule");
        wish(&mut second, "unsaid");
        let other: SocketAddr = cluster.api(1).parse().expect("an address");
        let mut third = TcpStream::connect(other).expect("it listens");
        wish(&mut third, "said");
        assert!(answered(&mut third).contains("201"), "the others serve");
        assert!(!exists(&cluster, 1, "unsaid"), "the wish is lost");
        cluster.heal().expect("it heals");
        assert!(answered(&mut second).contains("201"), "it is sent again");
        assert!(exists(&cluster, 1, "unsaid"));
    });
}

#[test]
fn a_leader_whose_packets_all_vanish_is_replaced_and_nothing_acknowledged_is_lost() {
    alone("net::a_leader_whose_packets_all_vanish_is_replaced_and_nothing_acknowledged_is_lost", || async {
        let vanish = |cluster: &Cluster, leader| {
            let net = cluster.net().expect("it has one");
            net.lose_from(leader).and_then(|()| net.lose_to(leader)).expect("rules");
        };
        replaced_when(three(Network::Net), vanish).await;
    });
}

#[test]
fn a_leader_whose_sent_packets_vanish_is_replaced_and_nothing_acknowledged_is_lost() {
    alone("net::a_leader_whose_sent_packets_vanish_is_replaced_and_nothing_acknowledged_is_lost", || async {
        let vanish =
            |cluster: &Cluster, leader| cluster.net().expect("it has one").lose_from(leader).expect("rules");
        replaced_when(three(Network::Net), vanish).await;
    });
}

#[test]
fn a_leader_that_no_packet_reaches_is_replaced_and_nothing_acknowledged_is_lost() {
    alone("net::a_leader_that_no_packet_reaches_is_replaced_and_nothing_acknowledged_is_lost", || async {
        let vanish =
            |cluster: &Cluster, leader| cluster.net().expect("it has one").lose_to(leader).expect("rules");
        replaced_when(three(Network::Net), vanish).await;
    });
}

/// The answers of the leader to all clients vanish, the nodes hear each other: each proposal that it gets is carried out, and no
/// client is told. They find the other nodes, and what they repeat there is not carried out twice.
#[test]
fn clients_that_hear_no_answer_of_the_leader_go_on_elsewhere_and_nothing_is_repeated() {
    alone(
        "net::clients_that_hear_no_answer_of_the_leader_go_on_elsewhere_and_nothing_is_repeated",
        || async {
            let cluster = three(Network::Net);
            let (load, leader) = loaded(&cluster).await;
            cluster.net().expect("it has one").lose(Party::Node(leader), Party::Test).expect("a rule");
            load.progress(FEW).await;
            let other = (leader + 1) % 3;
            println!("node {} led, now {:?}", leader + 1, cluster.leader_seen_by(other).map(|node| node + 1));
            cluster.heal().expect("it heals");
            verify(&cluster, load).await;
        },
    );
}

/// Longer than the system tries for a connection in vain: it is given up, and made anew when the network heals.
#[test]
fn a_follower_that_vanishes_for_the_leader_holds_up_nobody_and_its_dead_connections_are_made_anew() {
    alone(
        "net::a_follower_that_vanishes_for_the_leader_holds_up_nobody_and_its_dead_connections_are_made_anew",
        || async {
            let slow = |cluster: &Cluster, leader: usize, follower: usize| {
                let net = cluster.net().expect("it has one");
                net.lose(Party::Node(leader), Party::Node(follower)).expect("a rule");
                net.lose(Party::Node(follower), Party::Node(leader)).expect("a rule");
                Some(Box::new(move |cluster: &Cluster| {
                    cluster.wait_log(leader, "timed out").expect("it notices");
                    cluster.heal().expect("it heals");
                }) as Heal)
            };
            holds_up_nobody(three(Network::Net), slow).await;
        },
    );
}

/// Killed behind a dead network, a process says no last word: its peers go on with connections that nobody holds any more.
#[test]
fn a_node_that_is_killed_and_started_again_while_its_packets_vanish_comes_back() {
    alone("net::a_node_that_is_killed_and_started_again_while_its_packets_vanish_comes_back", || async {
        let mut cluster = three(Network::Net);
        let (load, leader) = loaded(&cluster).await;
        let net = cluster.net().expect("it has one");
        net.lose_from(leader).and_then(|()| net.lose_to(leader)).expect("rules");
        cluster.kill(leader).expect("it runs");
        let other = (leader + 1) % 3;
        cluster.wait_leader(other, |new| new != leader).expect("another node leads");
        load.progress(FEW).await;
        cluster.run(leader).expect("it starts again");
        load.progress(FEW).await;
        cluster.heal().expect("it heals");
        cluster.wait_ready(leader).expect("it gets ready");
        verify(&cluster, load).await;
    });
}

/// The link takes 256 kilobits in a second and loses what comes faster: TCP finds that out by its losses.
#[test]
fn a_link_to_one_follower_that_loses_packets_holds_up_nobody_and_it_catches_up() {
    alone("net::a_link_to_one_follower_that_loses_packets_holds_up_nobody_and_it_catches_up", || async {
        let slow = |cluster: &Cluster, _: usize, follower: usize| {
            cluster.net().expect("it has one").narrow(follower, 256).expect("a queue");
            Some(Box::new(move |cluster: &Cluster| {
                let (begin, net) = (Instant::now(), cluster.net().expect("it has one"));
                // The load goes on. Where it is slow, too little comes for a link of this width.
                let mut kilobits = 256;
                let dropped = loop {
                    std::thread::sleep(Duration::from_millis(200));
                    match net.dropped(follower).expect("a count") {
                        0 => assert!(begin.elapsed() < BOUND, "a link that loses nothing proves nothing"),
                        dropped => break dropped,
                    }
                    kilobits = (kilobits / 2).max(8);
                    net.narrow(follower, kilobits).expect("a queue");
                };
                println!("{dropped} packets were lost");
                cluster.heal().expect("it heals");
            }) as Heal)
        };
        holds_up_nobody(three(Network::Net), slow).await;
    });
}
