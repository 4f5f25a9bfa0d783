//! The Watch service through a real client. What is promised: events in order, each once, none missing, one
//! revision never split without being told, and a reason whenever a watcher ends.

mod history;
mod live;
mod many;
mod slow;
mod stalled;
