//! A durable three-node counter. Run it three times: `cargo run -p counter -- 1 add 5`, then the same with 2 and 3.
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
    let [_, id, add, ..] = &args[..] else { return Err("usage: counter ID ADD".into()) };
    let (id, add): (u64, u64) = (id.parse()?, add.parse()?);
    let peers = [1, 2, 3].map(|id| (u64::from(id), format!("127.0.0.1:{}", base + id)));
    let dir = format!("counter-data/n{id}");
    let node = Node::builder(dir).id(id).cluster("counter").peers(peers).start(Counter(0)).await?;
    println!("total after adding {add}: {}", node.propose(add).await?); // durable on two of three
    println!("total read on node {id}: {}", node.read(|counter| counter.0).await?); // linearizable
    tokio::time::sleep(Duration::from_secs(600)).await; // serve the others for ten minutes
    Ok(())
}
