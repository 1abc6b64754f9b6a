//! A cluster of three brokers is upgraded: one node after the other leaves and comes back.

use tickwire::Transport;
use tickwire_rig::Broker;

use super::node::Node;
use super::oracle::{Feed, INSTRUMENTS, Load};
use super::view::{wait_for_versions, wait_until};
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_brokers_costs_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let first = Broker::start(folder.path()).unwrap();
    let (second, third) = std::thread::scope(|scope| {
        let joining = [(); 2].map(|()| scope.spawn(|| first.join(folder.path()).unwrap()));
        let [second, third] = joining.map(|joined| joined.join().unwrap());
        (second, third)
    });
    let mut brokers = [first, second, third];
    let clustered = brokers[0].control(&["--silent", "eval", "length(rabbit_nodes:all_running())."]).unwrap();
    assert_eq!(clustered.trim(), "3");

    // Server and feed know all addresses, and begin at different ones: each loses its broker at some time.
    let urls = [brokers[0].url(), brokers[1].url(), brokers[2].url()];
    let mut node = Node::at(&urls[0], "");
    node.start_server_at(&[&urls[0], &urls[1], &urls[2]]);
    node.ready(200).await;
    let feed = Feed::load_at(&[&urls[1], &urls[2], &urls[0]], Load::default());
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut events = watch_sse::watch(node.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    for broker in &mut brokers {
        broker.stop().unwrap();
        let before = every.borrow().versions.clone();
        // Two of three are enough.
        let moved = |versions: &std::collections::HashMap<String, i64>| versions.iter().all(|(symbol, version)| *version > before[symbol]);
        wait_until(&mut every, "prices go on with two brokers", |view| moved(&view.versions)).await;
        broker.restart().unwrap();
        // An upgrade goes on when every log has all its copies again.
        broker.control(&["await_online_nodes", "3"]).unwrap();
    }
    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("SSE", &mut events), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        assert_eq!((view.borrow().connections, view.borrow().gaps()), (1, 0), "{who} keeps its connection, and is told of no loss");
    }
    assert_eq!((node.count("log_resets_total").await, node.count("log_truncations_total").await), (0, 0), "{}", node.log());
}
