//! What operators ask of a server that serves: to give history and space back, and whether members hold the same; and
//! the figures that they watch.

mod compaction;
mod defragment;
mod hash;
mod metrics;
