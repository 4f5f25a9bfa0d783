//! The model of the whole state machine (`registry_checkers::model`), with which any etcd is compared on the
//! requests and answers of the wire.
//!
//! [`Generator`] makes operations that collide, [`Run`] compares answers field by field and tells
//! how a disagreement is repeated, a [`Subject`] is whoever is compared.
//!
//! What always holds: the same seed gives the same operations, whoever answers them.

mod agreement;
mod footprint;
mod generator;
mod recent;
mod run;
mod settings;
mod subject;
mod watched;

pub use agreement::Answerer;
pub use generator::{Generator, Mix};
pub use registry_checkers::model::{Answer, Dialect, Model, Operation, Refusal};
pub use run::{Outcome, Run};
pub use settings::Settings;
pub use subject::{Feed, Subject, Wire};
pub use watched::Watched;
