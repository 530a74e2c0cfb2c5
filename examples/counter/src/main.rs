//! A durable counter on three nodes: `cargo run -p counter -- 1 5 127.0.0.1:7581,127.0.0.1:7582,127.0.0.1:7583`, then 2, then 3.
use quorate::{Context, Node, Snapshot, StateMachine};
use std::{error::Error, io, time::Duration};

struct Counter(u64);

impl StateMachine for Counter {
    type Command = u64;
    type Reply = u64;

    fn apply(&mut self, _: &Context, add: u64) -> u64 {
        self.0 = self.0.wrapping_add(add);
        self.0
    }
    fn snapshot(&self) -> Snapshot {
        let value = self.0;
        Box::new(move |out| out.write_all(&value.to_le_bytes()))
    }
    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, id, add, peers] = &args[..] else { return Err("usage: counter ID ADD PEER1,PEER2,PEER3".into()) };
    let (id, peers) = (id.parse()?, (1..).zip(peers.split(',')));
    let builder = Node::builder(format!("counter-data/n{id}")).id(id).cluster("counter").peers(peers);
    let node = builder.start(Counter(0)).await?;
    println!("after adding {add}: {}", node.propose(add.parse()?).await?); // durable on two of three, applied once
    println!("read on node {id}: {}", node.read(|counter| counter.0).await?); // linearizable
    tokio::time::sleep(Duration::from_secs(600)).await; // serve the others for ten minutes
    Ok(())
}
