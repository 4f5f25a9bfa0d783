//! What changed between two snapshots, as far as connections care.
//!
//! Pure: it holds the last set and compares. A registration is the same as long as id, incarnation and
//! address are; then a new weight, zone or tag is an update and keeps the connection.

use std::collections::HashMap;
use std::sync::Arc;

use registry_client::{Discovered, Endpoint};

use crate::target::{Key, Target};

/// One difference.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Connect to it.
    Insert(Target),
    /// The same registration at the same address says something else about itself.
    Update(Target),
    /// No new request goes there.
    Remove(Key),
}

/// The last set of endpoints that was seen.
#[derive(Debug, Default)]
pub(crate) struct Diff {
    known: HashMap<Key, Target>,
}

impl Diff {
    /// The changes that lead from the last set to `next`. Removals come first, so that a replaced endpoint
    /// is gone before its successor comes.
    pub(crate) fn advance<'a>(&mut self, next: impl Iterator<Item = (Arc<Discovered>, &'a Endpoint)>) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.known);
        let mut arrivals = Vec::new();
        let mut changes = Vec::new();
        for (instance, endpoint) in next {
            let key = Key::of(&instance);
            let target = match before.remove(&key) {
                Some(known) if same_record(known.instance(), &instance) => known,
                Some(known) if known.endpoint() == endpoint => {
                    let target = known.updated(instance);
                    arrivals.push(Change::Update(target.clone()));
                    target
                }
                moved => {
                    if moved.is_some() {
                        changes.push(Change::Remove(key.clone()));
                    }
                    let target = Target::new(instance, endpoint.clone());
                    arrivals.push(Change::Insert(target.clone()));
                    target
                }
            };
            self.known.insert(key, target);
        }
        changes.extend(before.into_keys().map(Change::Remove));
        changes.append(&mut arrivals);
        changes
    }
}

fn same_record(known: &Discovered, instance: &Discovered) -> bool {
    known.mod_revision() == instance.mod_revision()
}

#[cfg(test)]
mod tests {
    use registry_client::{Instance, Selector, ServiceWatch};

    use super::*;

    fn instance(id: &str, port: u16) -> Instance {
        Instance::builder("pay").id(id).endpoint("grpc", format!("http://10.0.0.7:{port}")).build().unwrap()
    }

    fn names(changes: &[Change]) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Insert(target) => format!("+{}", target.endpoint().port()),
            Change::Update(target) => format!("={}", target.instance().weight()),
            Change::Remove(key) => format!("-{}", key.id()),
        };
        changes.iter().map(name).collect()
    }

    #[test]
    fn an_updated_endpoint_is_counted_where_it_was() {
        let (watch, mut publisher) = ServiceWatch::manual("pay");
        let view = watch.select(Selector::endpoint("grpc"));
        let mut diff = Diff::default();
        let mut step = |weight| {
            let mut weighing = instance("a", 1);
            weighing.set_weight(weight);
            publisher.put(weighing);
            match diff.advance(view.endpoints(&view.snapshot())).remove(0) {
                Change::Insert(target) | Change::Update(target) => target,
                Change::Remove(key) => panic!("{key:?} is there"),
            }
        };
        let (first, second) = (step(1), step(2));
        assert_eq!(second.instance().weight(), 2);
        assert!(std::ptr::eq(first.meters(), second.meters()));
    }

    #[test]
    fn g16_a_weight_is_an_update_and_an_address_a_replacement() {
        let (watch, mut publisher) = ServiceWatch::manual("pay");
        let view = watch.select(Selector::endpoint("grpc"));
        let mut diff = Diff::default();
        let mut step = |view: &registry_client::View| names(&diff.advance(view.endpoints(&view.snapshot())));

        publisher.put(instance("a", 1));
        assert_eq!(step(&view), ["+1"]);
        assert!(step(&view).is_empty());

        let mut heavy = instance("a", 1);
        heavy.set_weight(7);
        publisher.put(heavy);
        assert_eq!(step(&view), ["=7"]);

        publisher.put(instance("a", 2));
        assert_eq!(step(&view), ["-a", "+2"]);

        publisher.put_anew(instance("a", 2));
        assert_eq!(step(&view), ["-a", "+2"], "another incarnation is another endpoint");

        publisher.remove("a");
        assert_eq!(step(&view), ["-a"]);
    }
}
