//! The servers behind a link, asked one by one: for who looks how they are set up.

use futures_util::future::join_all;
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, InfoDict, RedisResult, Value, cmd};

use super::{Link, Way, within};
use crate::error::Result;

/// One server.
pub(in super::super) struct Node {
    /// Host and port; none where the URL names only one server.
    pub(in super::super) address: Option<String>,
    client: Option<Client>,
}

impl Link {
    /// The servers: of a cluster all that it knows, and where sentinels watch, the master and its replicas.
    pub(in super::super) async fn nodes(&self) -> Result<Vec<Node>> {
        let (example, places) = match &self.way {
            Way::Server(..) => return Ok(vec![Node { address: None, client: None }]),
            Way::Cluster(clients, _) => {
                let text: String = self.ask_any(cmd("CLUSTER").arg("NODES")).await?;
                (clients[0].clone(), text.lines().filter_map(in_cluster).collect::<Vec<_>>())
            }
            Way::Sentinels(watched) => {
                let (master, _) = watched.master().await.map_err(|error| self.explain(&error))?;
                let info: InfoDict = self.ask_any(cmd("INFO").arg("replication")).await?;
                let replicas = (0..).map_while(|number| info.get::<String>(&format!("slave{number}")));
                let own = own_place(master.get_connection_info());
                (master, own.into_iter().chain(replicas.filter_map(|line| of_replica(&line))).collect())
            }
        };
        places.into_iter().map(|place| self.node(example.get_connection_info(), place)).collect()
    }

    fn node(&self, example: &ConnectionInfo, (host, port): (String, u16)) -> Result<Node> {
        let address = format!("{host}:{port}");
        let there = match example.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let client = Client::open(example.clone().set_addr(there)).map_err(|error| self.explain(&error))?;
        Ok(Node { address: Some(address), client: Some(client) })
    }

    /// What any of them answers to a command of its own.
    pub(in super::super) async fn ask_any<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.say(command).await.and_then(of).map_err(|error| self.explain(&error))
    }

    /// What one of them answers.
    pub(in super::super) async fn ask<T: FromRedisValue>(&self, node: &Node, command: &Cmd) -> Result<T> {
        let Some(client) = &node.client else { return self.ask_any(command).await };
        let asked = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            command.query_async::<Value>(&mut connection).await
        };
        within(asked).await.and_then(of).map_err(|error| self.explain(&error))
    }

    /// What each sentinel says of a failover, were one needed; none where there is no sentinel.
    pub(in super::super) async fn sentinels(&self) -> Vec<(String, Result<String>)> {
        let Way::Sentinels(watched) = &self.way else { return Vec::new() };
        join_all(
            watched
                .quorums()
                .map(|(address, said)| async { (address, said.await.map_err(|error| self.explain(&error))) }),
        )
        .await
    }
}

/// Of a line of CLUSTER NODES: its id, `host:port@bus-port[,name]`, flags, …
fn in_cluster(line: &str) -> Option<(String, u16)> {
    let mut words = line.split(' ').skip(1);
    let (place, flags) = (words.next()?.split('@').next()?, words.next()?);
    let (host, port) = place.rsplit_once(':')?;
    let is_there = !host.is_empty() && !["handshake", "noaddr"].into_iter().any(|word| flags.contains(word));
    Some((host.into(), port.parse().ok()?)).filter(|_| is_there)
}

/// Of a line of INFO replication: ip=HOST,port=PORT,…
fn of_replica(line: &str) -> Option<(String, u16)> {
    let mut words = line.split(',').filter_map(|word| word.split_once('='));
    let mut find = |wanted| words.find(|&(name, _)| name == wanted).map(|(_, value)| value);
    Some((find("ip")?.into(), find("port")?.parse().ok()?))
}

fn own_place(info: &ConnectionInfo) -> Option<(String, u16)> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
        _ => None,
    }
}

fn of<T: FromRedisValue>(value: Value) -> RedisResult<T> {
    Ok(redis::from_redis_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_an_address_once_they_are_known() {
        let there = Some(("127.0.0.1".to_owned(), 30004));
        assert_eq!(in_cluster("07c3 127.0.0.1:30004@31004,name slave e7d1 0 1 4 connected"), there);
        assert_eq!(
            in_cluster("07c3 ::1:30004@31004 myself,master - 0 0 1 connected 0-5460"),
            Some(("::1".into(), 30004))
        );
        for gone in
            ["07c3 :0@0 master,noaddr - 1 1 1 disconnected", "07c3 10.0.0.1:1@2 handshake - 0 0 0 connected", ""]
        {
            assert_eq!(in_cluster(gone), None, "{gone}");
        }
        assert_eq!(of_replica("ip=127.0.0.1,port=30004,state=online,offset=14,lag=1"), there);
        assert_eq!(of_replica("state=online"), None);
    }
}
